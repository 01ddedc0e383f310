"""What a training run tells: its log, its bar, and what is said when it ends without a result."""

from __future__ import annotations

import errno
import io
import json
import math
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import hedge
from hedge.cli.app import main
from hedge.cli.training_progress import (
    training_log,
    training_progress,
    training_reports,
)
from hedge.errors import InputError, OutputError
from hedge.names import checkpoint_of
from hedge.training import Record

RECORD = Record(4, 0.5, float("nan"), 1e-3)
OUT = Path("m.onnx")

Train = Callable[..., tuple[int, str, str]]


@pytest.fixture
def train(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> Train:
    """Runs ``hedge train`` in the temporary folder and returns its code, output and errors."""
    monkeypatch.chdir(tmp_path)

    def run(*argv: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["hedge", "train", *argv])
        with pytest.raises(SystemExit) as stopped:
            main()
        return int(stopped.value.code or 0), *capsys.readouterr()

    return run


# --- The log --------------------------------------------------------------------------------------


REFUSED = {
    "steps": ["heat", "--out", "m.onnx", "--steps", "0"],
    "budget": ["heat", "--out", "m.onnx", "--budget", "-1"],
    "problem": ["navier", "--out", "m.onnx"],
    "folder": ["heat", "--out", "gone/m.onnx"],
    "operator": ["poisson-operator", "--out", "m.onnx", "--sensors", "16", "--steps", "0"],
    "checkpoint": ["heat", "--out", "m.onnx", "--resume"],
}


@pytest.mark.parametrize("kind", REFUSED)
def test_a_refused_run_leaves_the_log_as_it_was(train: Train, kind: str, tmp_path: Path) -> None:
    assert train(*REFUSED[kind], "--log", "new.jsonl")[0] == 1
    assert not list(tmp_path.iterdir())
    old = tmp_path / "old.jsonl"
    old.write_text("kept")
    assert train(*REFUSED[kind], "--log", "old.jsonl", "--force")[0] == 1
    assert old.read_text() == "kept"


def write_log(path: Path, count: int, *, append: bool = False, force: bool = False) -> None:
    with training_log(path, OUT, append=append, force=force) as on_record:
        for _ in range(count):
            on_record(RECORD)


def test_the_first_cycle_empties_an_old_log_unless_the_run_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    for append, force, count in ((False, False, 2), (False, True, 2), (True, False, 4)):
        write_log(path, 2, append=append, force=force)
        lines = [json.loads(line) for line in path.read_text().splitlines()]
        assert lines == [RECORD.as_dict()] * count
    with pytest.raises(OutputError, match="exists already"):
        write_log(path, 0)


def test_half_a_line_of_a_killed_run_stays_a_line_of_its_own(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    path.write_text('{"step": 1')
    write_log(path, 2, append=True)
    assert path.read_text().splitlines()[0] == '{"step": 1'
    assert [json.loads(line) for line in path.read_text().splitlines()[1:]] == [
        RECORD.as_dict()
    ] * 2


@pytest.mark.parametrize("lines", [0, 2])
def test_a_full_disk_leaves_no_half_line_and_no_empty_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lines: int
) -> None:
    path, room = tmp_path / "log.jsonl", lines * len(json.dumps(RECORD.as_dict()) + "\n") + 7

    class Disk(io.FileIO):
        def write(self, data: Any) -> int:
            if self.tell() >= room:
                raise OSError(errno.ENOSPC, "No space left on device")
            return super().write(data[: room - self.tell()])

    def opened(path: Path, **_: bool) -> io.FileIO:
        return Disk(path, "xb")

    monkeypatch.setattr("hedge.cli.training_progress._opened_log", opened)
    with pytest.raises(OutputError, match=r"log\.jsonl: can't be written: No space left"):
        write_log(path, lines + 1)
    found = path.read_text().splitlines() if path.exists() else []
    assert [json.loads(line) for line in found] == [RECORD.as_dict()] * lines
    assert path.exists() == (lines > 0)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_log_that_cannot_be_written_is_named() -> None:
    with pytest.raises(OutputError, match=r"^/dev/full: [^\n]+$"):
        write_log(Path("/dev/full"), 1, force=True)


def test_a_log_that_cannot_be_opened_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("hedge.cli.training_progress.check_writable", lambda path, force: None)
    with pytest.raises(OutputError, match=r"log\.jsonl: can't be written: No such file"):
        write_log(tmp_path / "gone" / "log.jsonl", 1)


@pytest.mark.parametrize("name", ["m.onnx", "m.onnx.checkpoint", "sub/../m.onnx", "link"])
def test_a_log_is_no_file_of_the_run(name: str, tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "link").symlink_to("m.onnx")
    with (
        pytest.raises(InputError, match=f"{name} is the file of"),
        training_log(tmp_path / name, tmp_path / "m.onnx", append=True, force=True),
    ):
        pass


# --- The bar --------------------------------------------------------------------------------------


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize("budget", [math.inf, math.nan, 5.0])
def test_a_bar_of_any_budget(monkeypatch: pytest.MonkeyPatch, budget: float) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    with training_progress(budget, lambda record: None) as show:
        show(RECORD)
        show(replace(RECORD, step=8, seconds=1.0))
    assert "step 8" in terminal.getvalue()


# --- Without a result -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cycles", "checkpoint", "said"),
    [
        (0, False, "before the first cycle; nothing was written"),
        (0, True, "with --resume goes on from"),
        (2, True, "with --resume goes on from"),
        (2, False, "before the network was written"),
    ],
)
def test_an_interruption_says_what_there_is(
    cycles: int, checkpoint: bool, said: str, tmp_path: Path
) -> None:
    out = tmp_path / "m.onnx"
    if checkpoint:
        checkpoint_of(out).touch()
    with pytest.raises(InputError, match=said):
        interrupted_run(out, cycles)


def interrupted_run(out: Path, cycles: int) -> None:
    with training_reports(1.0, None, out, resume=False, force=False) as on_record:
        for _ in range(cycles):
            on_record(RECORD)
        raise KeyboardInterrupt


@pytest.mark.parametrize(("loss", "kept"), [(math.inf, "untrained"), (0.5, "last good")])
def test_divergence_says_which_network_is_kept(
    train: Train, monkeypatch: pytest.MonkeyPatch, loss: float, kept: str
) -> None:
    real = hedge.train

    def diverged(problem: str, out: Path, **options: Any) -> Any:
        result = real("poisson", width=2, depth=1, max_steps=1)
        return replace(result, stopped="diverged", held_out_loss=loss)

    monkeypatch.setattr("hedge.api.train", diverged)
    code, printed, errors = train("poisson", "--out", "m.onnx", "--json")
    assert code == 0
    assert f"m.onnx is the {kept} network" in errors
    assert json.loads(printed)["held_out_loss"] == (None if loss == math.inf else loss)


def test_operators_take_no_more_steps_than_asked(train: Train) -> None:
    argv = ["poisson-operator", "--sensors", "16", "--out", "m.onnx", "--force", "--json"]
    for steps in (2, 4, 6):
        code, printed, errors = train(*argv, "--steps", str(steps))
        assert code == 0, errors
        assert json.loads(printed)["steps"] == steps
