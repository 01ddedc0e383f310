"""Files that others make, take or kill: every command, whatever lies where it reads or writes."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from json import dumps
from pathlib import Path
from typing import Any

import onnx
import pytest
import torch

import hedge
from hedge.benching import Machine
from hedge.benching.calibration import cache
from hedge.compression import CompressedModel, Plan
from hedge.devices import find_profile, write_profile
from hedge.errors import OutputError
from hedge.files import write_atomically, write_together
from tests.cli.conftest import Refuses, Run, contents
from tests.conftest import random_mlp
from tests.exporting.c_compiler import needs_gcc
from tests.reporting.documents import bench_document, machine

DEVICE = ("--device", "laptop-x86")
DOMAIN = ("--domain", "-1:1,-1:1", "--tolerance", "0.5")
QUICK = ("--batch", "1", "--seconds", "0.01")
TINY = ("--width", "2", "--depth", "1", "--steps", "1")
THEIRS = b"written by somebody else"

# Every command that writes: what to call it with, and the first file that it writes.
WRITERS = {
    "compress": (
        ("compress", "m.onnx", "--no-recover", *DEVICE, *DOMAIN, "--out", "o.safetensors"),
        "o.safetensors",
    ),
    "export": (("export", "c.safetensors", "--out", "o.onnx"), "o.onnx"),
    "export to C": (("export", "m.onnx", "--format", "c", "--test", "--out", "o.c"), "o.c"),
    "the header": (("export", "m.onnx", "--format", "c", "--out", "o.c"), "o.h"),
    "the makefile": (("export", "m.onnx", "--format", "c", "--test", "--out", "o.c"), "o.mk"),
    "import": (("import", "w.pt", "--out", "o.onnx"), "o.onnx"),
    "train": (("train", "heat", *TINY, "--out", "o.onnx"), "o.onnx"),
    "train's log": (("train", "heat", *TINY, "--out", "o.onnx", "--log", "o.jsonl"), "o.jsonl"),
    "train an operator": (
        ("train", "poisson-operator", "--sensors", "4", "--steps", "1", "--out", "o.onnx"), "o.onnx"
    ),
    "calibrate": (("calibrate", "--out", "o.toml"), "o.toml"),
    "bench": (("bench", "m.onnx", *DEVICE, *QUICK, "--out", "o.json"), "o.json"),
    "report": (("report", "m.onnx", "--out", "o.html"), "o.html"),
}  # fmt: skip


@pytest.fixture(scope="module")
def once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a file of every kind that commands read."""
    folder = tmp_path_factory.mktemp("made")
    (folder / "m.onnx").write_bytes(random_mlp([2, 4, 1], seed=1).SerializeToString())
    hedge.compress(
        folder / "m.onnx", device="laptop-x86", domain="-1:1,-1:1", tolerance=0.5,
        out=folder / "c.safetensors", recover=None,
    )  # fmt: skip
    torch.save({"0.weight": torch.ones(1, 2)}, folder / "w.pt")
    (folder / "b.json").write_text(dumps(bench_document(["m.onnx"])))
    return folder


@pytest.fixture
def made(once: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Such a folder of one's own, on a machine that is quickly calibrated."""
    shutil.copytree(once, tmp_path, dirs_exist_ok=True)
    monkeypatch.setattr("hedge.benching.calibrate", lambda *_, **__: find_profile("laptop-x86"))
    return tmp_path


# --- What is at --out -----------------------------------------------------------------------------


@pytest.mark.parametrize("command", WRITERS)
def test_a_link_to_nowhere_at_out_is_refused_before_the_work(
    made: Path, refuses: Refuses, command: str
) -> None:
    argv, name = WRITERS[command]
    (made / name).symlink_to("a-place-for-later")
    refuses(*argv, named=(name, "exists already"))
    assert (made / name).is_symlink()


@pytest.mark.parametrize("command", WRITERS)
def test_what_appears_at_out_during_the_work_stays(
    made: Path, run: Run, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    argv, name = WRITERS[command]
    before = contents(made).keys()

    def late(folder: Path) -> None:
        (made / name).write_bytes(THEIRS)

    monkeypatch.setattr("hedge.files.remove_leftovers", late)
    outcome = run(*argv)
    assert outcome.code == 1
    assert outcome.err.splitlines()[-1].startswith(f"hedge: {name}: ")
    assert (made / name).read_bytes() == THEIRS
    assert contents(made).keys() - before <= {made / name, made / "o.onnx.checkpoint"}


@pytest.mark.parametrize("moment", ["machine_facts", "remove_leftovers"])
def test_a_folder_of_results_that_appears_stays(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    """While results are drawn, or at the last moment."""

    def late(*_: Path) -> Machine:
        (tmp_path / "o").mkdir()
        (tmp_path / "o" / "results.json").write_bytes(THEIRS)
        return machine()

    monkeypatch.setattr(f"hedge.reproducing.writing.{moment}", late)
    assert run("reproduce", "def1", "--quick", "--out", "o").code == 1
    assert contents(tmp_path) == {tmp_path / "o": None, tmp_path / "o" / "results.json": THEIRS}


def test_what_appears_while_the_demo_copies_its_model_stays(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def late(folder: Path) -> None:
        (folder / "heat.onnx").write_bytes(THEIRS)

    monkeypatch.setattr("hedge.files.remove_leftovers", late)
    assert run("demo", "heat", *DEVICE, "--out", "o").code == 1
    assert contents(tmp_path) == {tmp_path / "o": None, tmp_path / "o" / "heat.onnx": THEIRS}


# --- Results that are written again and again -----------------------------------------------------


def recover(folder: Path, **options: Any) -> None:
    hedge.compress(
        folder / "m.onnx", device="laptop-x86", domain="-1:1,-1:1", tolerance=0.5,
        out=folder / "o.safetensors", recover="outputs", **options,
    )  # fmt: skip


@pytest.mark.parametrize("offered", ["nothing", "by force", "to go on from"])
def test_recovery_replaces_only_its_own_file(
    made: Path, monkeypatch: pytest.MonkeyPatch, offered: str
) -> None:
    out = made / "o.safetensors"
    if offered != "nothing":
        shutil.copy(made / "c.safetensors", out)
    written: list[Plan] = []

    def better(task: object, found: CompressedModel, *_: object, **options: Any) -> CompressedModel:
        options["on_better"](found)
        written.append(hedge.load(out).plan)
        out.write_bytes(THEIRS)
        options["on_better"](found)
        return found

    monkeypatch.setattr("hedge.recovery.files.recover", better)
    with pytest.raises(OutputError, match=r"o\.safetensors: another .* is in .*o\.2\.safetensors$"):
        recover(made, force=offered == "by force", resume=offered == "to go on from")
    assert out.read_bytes() == THEIRS
    assert [hedge.load(made / "o.2.safetensors").plan] == written
    assert not list(made.glob("o.3*"))


def test_what_appears_before_recovery_s_first_result_stays(made: Path) -> None:
    out = made / "o.safetensors"

    def meanwhile(said: str) -> None:
        if not out.exists():
            out.write_bytes(THEIRS)

    with pytest.raises(OutputError, match=r"is in .*o\.2\.safetensors$"):
        recover(made, on_progress=meanwhile)
    assert out.read_bytes() == THEIRS
    assert hedge.load(made / "o.2.safetensors").plan.relative_error <= 0.5


@pytest.mark.parametrize("name", ["o.onnx", "o.onnx.checkpoint"])
def test_two_trainings_at_once_leave_each_other_s_files(
    made: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hedge.training.checkpoint_file.INTERVAL_S", 0.0)
    monkeypatch.setattr("hedge.training.checkpoint_file.TIMES_WRITING", 0.0)

    def other(*_: object) -> None:
        (made / name).write_bytes(THEIRS)

    with pytest.raises(OutputError, match=f"{name}: "):
        hedge.train("heat", made / "o.onnx", width=2, depth=1, max_steps=200, on_cycle=other)
    assert (made / name).read_bytes() == THEIRS
    saved = {"o.onnx": "o.onnx.checkpoint", "o.onnx.checkpoint": "o.onnx.2.checkpoint"}[name]
    assert (made / saved).stat().st_size


def test_a_training_that_goes_on_replaces_what_was_there_not_what_came_later(made: Path) -> None:
    out = made / "o.onnx"

    def stops(*_: object) -> None:
        raise KeyboardInterrupt

    def train(steps: int, **options: Any) -> str:
        return hedge.train("heat", out, width=2, depth=1, max_steps=steps, **options).stopped

    assert train(200, on_cycle=stops) == "interrupted"
    out.unlink()
    with pytest.raises(OutputError, match=r"o\.onnx: exists already"):
        train(200, resume=True, on_cycle=lambda *_: out.write_bytes(THEIRS))
    assert out.read_bytes() == THEIRS
    assert (made / "o.onnx.checkpoint").exists()
    assert train(300, resume=True) == "steps"
    assert out.read_bytes() != THEIRS
    assert not (made / "o.onnx.checkpoint").exists()


# --- Killed ---------------------------------------------------------------------------------------

KILLED = """
import os, signal, sys
from pathlib import Path
def killed(*_, **__): os.kill(os.getpid(), signal.SIGKILL)
import hedge.files
{moment} = killed
a, h = Path(sys.argv[1], "u.c"), Path(sys.argv[1], "u.h")
hedge.files.write_together({{a: b"new", h: b"new"}}, force=True)
"""


@pytest.mark.parametrize("moment", ["os.fsync", "hedge.files._replace", "Path.replace"])
def test_what_a_killed_run_leaves_goes_at_the_next(tmp_path: Path, moment: str) -> None:
    old = {tmp_path / "u.c": b"old", tmp_path / "u.h": b"old"}
    write_together(old)
    code = KILLED.format(moment=moment)
    done = subprocess.run([sys.executable, "-c", code, tmp_path], check=False)
    assert done.returncode == -signal.SIGKILL
    left = contents(tmp_path)
    assert left.keys() > old.keys()
    assert {path: left[path] for path in old} == old
    write_atomically(tmp_path / "other", b"")
    assert contents(tmp_path) == {**old, tmp_path / "other": b""}


# Commands that would write over what the model x.onnx or the profile x.toml is read from.
OVER_INPUTS = {
    "compress, over weights": ("compress", "x.onnx", *DEVICE, *DOMAIN, "--out", "x.h"),
    "bench, over weights": ("bench", "m.onnx", "x.onnx", *DEVICE, *QUICK, "--out", "x.h"),
    "report, over weights": ("report", "x.onnx", "--out", "x.h"),
    "export to C, over weights": ("export", "x.onnx", "--format", "c", "--out", "x.c"),
    "compress, over a profile": ("compress", "m.onnx", "--device", "x.toml", *DOMAIN, "--out", "x.toml"),
    "export, over a profile": ("export", "c.safetensors", "--device", "x.toml", "--out", "x.toml"),
    "bench, over a profile": ("bench", "m.onnx", "--device", "x.toml", *QUICK, "--out", "x.toml"),
}  # fmt: skip


@pytest.mark.parametrize("command", OVER_INPUTS)
def test_force_does_not_offer_what_is_read(made: Path, refuses: Refuses, command: str) -> None:
    onnx.save(
        onnx.load(made / "m.onnx"), made / "x.onnx", save_as_external_data=True, location="x.h",
        size_threshold=0,
    )  # fmt: skip
    (made / "x.toml").write_bytes(write_profile(find_profile("laptop-x86")))
    refuses(*OVER_INPUTS[command], "--force", named=(": is the file that is read",))


@needs_gcc
def test_a_compiler_refuses_files_of_two_exports(made: Path) -> None:
    """As a kill between two names, or a copy that was forgotten, would leave them."""
    for folder, seed in (("one", 1), ("two", 2)):
        (made / folder).mkdir()
        (made / folder / "m.onnx").write_bytes(random_mlp([2, 4, 1], seed=seed).SerializeToString())
        hedge.export_c(made / folder / "m.onnx", made / folder / "u.c", test=True)
    for name in ("u.c", "u_test.c"):
        assert compiled(made / "one", name) == ""
    shutil.copy(made / "two" / "u.h", made / "one" / "u.h")
    for name in ("u.c", "u_test.c"):
        assert f"{name} and u.h are of two exports; export all files again" in compiled(
            made / "one", name
        )


def compiled(folder: Path, name: str) -> str:
    command = ["gcc", "-std=c99", "-Wall", "-Wextra", "-pedantic", "-fsyntax-only", name]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False).stderr


# --- What is read ---------------------------------------------------------------------------------

READERS = {
    "inspect": ("inspect", "{}.onnx"),
    "inspect what is compressed": ("inspect", "{}.safetensors"),
    "compress": ("compress", "{}.onnx", *DEVICE, *DOMAIN, "--out", "o.safetensors"),
    "samples": ("compress", "m.onnx", *DEVICE, "--samples", "{}.npy", "--out", "o.safetensors"),
    "device": ("compress", "m.onnx", "--device", "{}.toml", *DOMAIN, "--out", "o.safetensors"),
    "resume": (
        "compress", "m.onnx", *DEVICE, *DOMAIN, "--recover", "outputs", "--resume",
        "--out", "{}.safetensors",
    ),
    "bench": ("bench", "{}.onnx", *DEVICE),
    "bench for a device": ("bench", "m.onnx", "--device", "{}.toml"),
    "bench against": ("bench", "m.onnx", *DEVICE, "--against", "{}.json"),
    "check": ("devices", "m.onnx", "--check", "{}.toml"),
    "export": ("export", "{}.safetensors", "--out", "o.onnx"),
    "export for a device": ("export", "c.safetensors", "--device", "{}.toml", "--out", "o.onnx"),
    "export to C": ("export", "{}.onnx", "--format", "c", "--name", "u", "--out", "o.c"),
    "import": ("import", "{}.pt", "--out", "o.onnx"),
    "import weights": ("import", "{}.safetensors", "--out", "o.onnx"),
    "evaluate": ("evaluate", "{}.onnx", "--problem", "heat"),
    "ntk": ("ntk", "{}.onnx", "--domain", "0:1"),
    "ntk after": ("ntk", "m.onnx", "{}.safetensors", "--domain", "-1:1,-1:1"),
    "compare": ("compare", "{}.onnx", *DEVICE),
    "compare on samples": ("compare", "m.onnx", *DEVICE, "--samples", "{}.npy"),
    "report a model": ("report", "{}.onnx", "--out", "o.html"),
    "report what is compressed": ("report", "{}.safetensors", "--out", "o.html"),
    "report a result": ("report", "b.json", "{}.json", "--out", "o.html"),
    "checkpoint": ("train", "heat", "--resume", "--out", "t.onnx"),
}  # fmt: skip


@pytest.mark.parametrize("command", READERS)
@pytest.mark.parametrize("kind", ["pipe", "endless"])
def test_pipes_and_devices_are_no_input(
    made: Path, refuses: Refuses, command: str, kind: str
) -> None:
    for ending in ("onnx", "safetensors", "npy", "toml", "json", "pt", "onnx.checkpoint"):
        path = made / f"t.{ending}"
        os.mkfifo(path) if kind == "pipe" else path.symlink_to("/dev/zero")
    if command == "checkpoint":
        (made / "t.onnx").unlink()
    refuses(*(word.format("t") for word in READERS[command]), named=("is a device or a pipe",))


@pytest.mark.parametrize("argv", [("bench",), ("devices", "--check", "auto")])
def test_models_that_are_not_there_are_refused_before_a_calibration(
    refuses: Refuses, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, argv: tuple[str, ...]
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.delattr(cache, "calibrate")
    refuses(*argv, "gone.onnx", "gone, too.onnx", named=("gone.onnx: there is no such file",))


@pytest.mark.parametrize("kind", ["pipe", "endless"])
def test_a_kept_profile_that_is_no_file_is_measured_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    device, said = find_profile("laptop-x86"), list[str]()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(cache, "calibrate", lambda **_: device)
    path = cache.cached_path()
    path.parent.mkdir()
    os.mkfifo(path) if kind == "pipe" else path.symlink_to("/dev/zero")
    assert cache.this_machine(said.append) == device
    assert "can't be kept" in said[-1]
