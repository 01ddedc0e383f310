"""How commands end that something outside ends: Ctrl-C, signals, no memory, no permission."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any, get_args, get_type_hints

import pytest

from hedge.cli import app
from hedge.cli.commands import app as commands
from hedge.cli.messages import error_line
from tests.attacks.conftest import ON_DENSE
from tests.cli.conftest import Refuses, Run
from tests.conftest import random_mlp
from tests.exporting.c_compiler import needs_gcc

# Runs a command in which a module ends so when it is loaded.
LOADING = """
import sys
class Finder:
    def find_spec(self, name, path=None, target=None):
        if name == {module!r}:
            {how}
sys.meta_path.insert(0, Finder())
sys.argv = ["hedge", "inspect", "m.onnx"]
from hedge.cli.app import main
main()
"""
MODULES = ("typer", "hedge.cli.commands", "hedge.errors", "numpy")


def loading(folder: Path, module: str, how: str) -> subprocess.CompletedProcess[str]:
    (folder / "m.onnx").write_bytes(random_mlp([2, 4, 1]).SerializeToString())
    code = LOADING.format(module=module, how=how)
    return subprocess.run(
        [sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize("module", MODULES)
def test_ctrl_c_while_modules_load_is_no_traceback(module: str, tmp_path: Path) -> None:
    done = loading(tmp_path, module, "raise KeyboardInterrupt")
    assert (done.returncode, done.stdout, done.stderr) == (app.INTERRUPTED, "", "")


def test_a_compiled_module_that_is_interrupted_is_ctrl_c(tmp_path: Path) -> None:
    done = loading(
        tmp_path, "numpy", "raise ImportError('no such symbol') from KeyboardInterrupt()"
    )
    assert (done.returncode, done.stderr) == (app.INTERRUPTED, "")


@pytest.mark.parametrize(
    ("module", "how"),
    [
        ("typer", "raise MemoryError"),
        ("hedge.graph", "raise MemoryError"),
        ("numpy", "raise ImportError('m.so: failed to map segment from shared object')"),
        ("onnxruntime", "raise RuntimeError('pthread_create failed: Cannot allocate memory')"),
    ],
)
def test_no_memory_while_modules_load_is_one_line(module: str, how: str, tmp_path: Path) -> None:
    done = loading(tmp_path, module, how)
    assert done.returncode == 1
    assert done.stderr == "hedge: out of memory; take a smaller model, or fewer points or rows\n"


@pytest.mark.parametrize(
    "error", [MemoryError(), RuntimeError("std::bad_alloc"), RuntimeError("can't start new thread")]
)
def test_no_memory_at_work_is_one_line(
    error: Exception, refuses: Refuses, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: Path, **options: bool) -> None:
        raise error

    monkeypatch.setattr("hedge.exporting.stored_model.load_model", full)
    (tmp_path / "m.onnx").write_bytes(random_mlp([2, 4, 1]).SerializeToString())
    refuses("inspect", "m.onnx", named=("out of memory",))


def test_other_errors_stay_what_they_are(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A fault of hedge is to be seen, not called a lack of memory."""

    def faulty(path: Path, **options: bool) -> None:
        raise RuntimeError("a fault")

    monkeypatch.setattr("hedge.exporting.stored_model.load_model", faulty)
    (tmp_path / "m.onnx").write_bytes(b"")
    with pytest.raises(RuntimeError, match="a fault"):
        run("inspect", "m.onnx")


# --- Signals ----------------------------------------------------------------------------------------

# A compiler that leaves a file and ends whoever called it.
COMPILER = """#!/bin/sh
[ "$1" = --version ] && exit 0
touch "$TMPDIR/left.s"
kill -{signal} $PPID
exit 1
"""


def benched(folder: Path, **environment: str) -> int:
    """The exit code of a bench in C whose temporary folder is ``t``."""
    argv = ["bench", "m.onnx", "--device", "laptop-x86", "--seconds", "0.001", "--batch", "1"]
    return subprocess.run(
        [sys.executable, "-m", "hedge", *argv, "--backend", "c"],
        cwd=folder,
        capture_output=True,
        check=False,
        env=os.environ | {"TMPDIR": str(folder / "t")} | environment,
    ).returncode


@needs_gcc
def test_what_a_compiler_leaves_goes_with_the_run_or_at_the_next(tmp_path: Path) -> None:
    (tmp_path / "m.onnx").write_bytes(random_mlp([2, 4, 1]).SerializeToString())
    (tmp_path / "t").mkdir()
    compiler = tmp_path / "cc"
    for signal, code in (("TERM", 143), ("KILL", -9)):
        compiler.write_text(COMPILER.format(signal=signal))
        compiler.chmod(0o755)
        assert benched(tmp_path, CC=str(compiler)) == code
        left = list((tmp_path / "t").rglob("left.s"))
        assert len(left) == (signal == "KILL")
    assert benched(tmp_path, CC="gcc") == 0
    assert not list((tmp_path / "t").iterdir())


# --- Permissions and messages -----------------------------------------------------------------------


def has_path(kind: Any) -> bool:
    return kind is Path or any(has_path(part) for part in get_args(kind))


def test_no_command_leaves_it_to_typer_whether_a_file_can_be_read() -> None:
    """It would refuse in a box of its own, with the exit code of a wrong option."""
    checked = []
    for command in commands.registered_commands:
        assert command.callback is not None
        for name, hint in get_type_hints(command.callback, include_extras=True).items():
            if has_path(hint):
                checked.append(name)
                assert [info.readable for info in hint.__metadata__] == [False], command.callback
    assert len(checked) > 20


@pytest.mark.parametrize("command", ["inspect", "compress", "bench", "report"])
def test_a_file_without_read_permission_is_one_line(
    command: str, refuses: Refuses, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """(For root every file can be read.)"""
    (tmp_path / "m.onnx").write_bytes(random_mlp([2, 4, 1]).SerializeToString())
    real = os.open

    def refused(path: Any, flags: int, *rest: Any) -> int:
        if Path(os.fsdecode(path)).name == "m.onnx":
            raise PermissionError(13, "Permission denied")
        return real(path, flags, *rest)

    monkeypatch.setattr(os, "open", refused)
    monkeypatch.setattr(os, "access", lambda path, mode: mode != os.R_OK)
    refuses(*ON_DENSE[command], named=("m.onnx: can't be read: Permission denied",))


def test_a_line_is_as_long_as_can_be_read() -> None:
    line = error_line(f"m.onnx: holds {'x' * 10**5}; export it without")
    assert len(line) < 1100
    assert line.startswith("hedge: m.onnx: holds xxx")
    assert line.endswith("; export it without")
