"""What a worker does with a task: the same as a user would, in a folder of its own."""

from __future__ import annotations

import fcntl
import os
import tempfile
from inspect import signature
from pathlib import Path
from typing import Any

import pytest

import hedge
from hedge.api import sweep_stages
from hedge.api.sweep_stages import run_task
from hedge.benching import BenchResult
from hedge.errors import InputError, RemoteError
from hedge.sweeping import Cell, InputFile, Outcome, Task, read_sweep
from hedge.sweeping.plan import task
from hedge.sweeping.timing import alone_on_this_machine
from tests.conftest import random_mlp
from tests.reporting.documents import bench_document

BOX = "-1:1,0:1"


@pytest.fixture
def model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "net.onnx"
    path.write_bytes(random_mlp([2, 12, 12, 1]).SerializeToString())
    return path


def first_cell(**table: Any) -> Cell:
    return read_sweep(table, lambda: []).plan.cells[0]


def done(cell: Cell) -> list[Outcome | None]:
    """All of a cell's tasks, one after the other, as workers do them."""
    found: list[Outcome | None] = []
    for one in cell.tasks:
        files = {option: file.read() for option, file in one.files.items() if file.is_sent}
        found.append(run_task(one, files, found))
    return found


def test_a_cell_gives_what_the_same_calls_give(model: Path, tmp_path: Path) -> None:
    cell = first_cell(
        stages=["compress", "certify", "export"],
        axes={"model": "net.onnx", "device": "raspberry-pi-4b", "tolerance": 0.1, "domain": BOX},
        compress={"recover": "none"}, certify={"boxes": 20},
    )  # fmt: skip
    compressed, certified, exported = done(cell)
    assert compressed is not None
    assert certified is not None
    assert exported is not None
    assert (compressed.failed, certified.failed, exported.failed) == (None, None, None)
    small = tmp_path / "net.hedge.safetensors"
    plan = hedge.compress(
        model, out=small, device="raspberry-pi-4b", tolerance=0.1, domain=BOX, recover=None
    ).plan
    assert compressed.files == {"small": {small.name: small.read_bytes()}}
    assert compressed.figures["error"] == plan.relative_error
    certificate = tmp_path / "net.hedge.certificate.json"
    claim = hedge.certify(small, model, domain=BOX, boxes=20, out=certificate).difference
    assert claim is not None
    assert certified.figures["proved_largest"] == claim.claims[0].largest
    assert certified.files["certificate"] == {certificate.name: certificate.read_bytes()}
    hedge.export(small, tmp_path / "net.small.onnx")
    assert exported.files["exported"] == {
        "net.small.onnx": (tmp_path / "net.small.onnx").read_bytes()
    }
    assert exported.figures["file_bytes"] == (tmp_path / "net.small.onnx").stat().st_size


def test_a_problem_is_trained_and_compressed() -> None:
    cell = first_cell(
        stages=["train", "compress"],
        axes={"problem": "heat", "device": "raspberry-pi-4b", "tolerance": 0.5, "seed": 3},
        train={"width": 4, "depth": 1, "steps": 2}, compress={"steps": 1},
    )  # fmt: skip
    trained, compressed = done(cell)
    assert trained is not None
    assert compressed is not None
    assert (trained.failed, compressed.failed) == (None, None)
    assert trained.figures["dense_parameters"] == compressed.figures["dense_parameters"] == 17
    assert list(trained.files["dense"]) == ["heat.onnx"]


def test_a_format_of_many_files_keeps_them_all(model: Path) -> None:
    cell = first_cell(
        stages=["export"], axes={"model": "net.onnx"}, export={"format": "c", "domain": BOX}
    )
    (exported,) = done(cell)
    assert exported is not None
    assert exported.failed is None
    assert set(exported.files["exported"]) == {"net_net.c", "net_net.h"}


def test_what_fails_is_a_line_and_those_behind_do_nothing(model: Path) -> None:
    cell = first_cell(
        stages=["compress", "export"],
        axes={"model": "net.onnx", "device": "raspberry-pi-4b"},
    )
    compressed, exported = done(cell)
    assert compressed is not None
    assert compressed.failed is not None
    assert compressed.failed.startswith("domain: not known for this model")
    assert exported is None


def test_a_fault_of_hedge_is_a_line_too(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("first\nsecond")

    monkeypatch.setitem(sweep_stages.STAGES, "export", broken)
    (exported,) = done(first_cell(stages=["export"], axes={"model": "net.onnx"}))
    assert exported is not None
    assert exported.failed == "RuntimeError: first"


def test_a_problems_file_that_a_worker_does_not_see_is_named(tmp_path: Path) -> None:
    def refused(file: InputFile) -> str:
        one: Task = task("train", {}, {"problem": file}, None)
        outcome = run_task(one, {}, [])
        assert outcome is not None
        return str(outcome.failed)

    missing = InputFile("own.py:plate", tmp_path / "own.py", "0", is_sent=False)
    assert f"{missing.path}: worker" in refused(missing)
    assert "does not see it" in refused(missing)
    missing.path.write_text("another")
    assert "is another file on worker" in refused(missing)


def test_a_bench_runs_alone_and_on_one_core(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    seen = []

    def bench(models: list[Path], **options: Any) -> None:
        (place,) = tmp_path.glob(f"hedge-timing-{os.geteuid()}-*.lock")
        with place.open() as other, pytest.raises(BlockingIOError):
            fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
        seen.append((len(os.sched_getaffinity(0)), options["batches"]))
        raise InputError("seen")

    monkeypatch.setattr(sweep_stages, "bench", bench)
    cores = os.sched_getaffinity(0)
    (outcome,) = done(first_cell(stages=["bench"], axes={"model": "net.onnx", "batch": [8]}))
    assert outcome is not None
    assert (outcome.failed, seen) == ("seen", [(1, [8])])
    assert os.sched_getaffinity(0) == cores
    with alone_on_this_machine():  # the turn was given on
        pass


def test_a_bench_times_what_was_exported(model: Path) -> None:
    cell = first_cell(
        stages=["compress", "export", "bench"],
        axes={"model": "net.onnx", "device": "raspberry-pi-4b", "tolerance": 0.1, "domain": BOX},
        compress={"recover": "none"}, bench={"batch": [1, 4], "seconds": 0.01},
    )  # fmt: skip
    *_, timed = done(cell)
    assert timed is not None
    assert timed.failed is None
    assert timed.files == {}
    assert timed.figures == {}  # which are the same in every run
    for name in ("measured_s", "measured_s_4"):
        assert 0.0 < timed.timed[name] < 1.0
    assert timed.timed["speedup"] > 0.0
    assert timed.timed["timed_on"]


def test_a_bench_on_a_board_is_that_of_the_board(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its names and options are those of the function that reaches boards, which is tested over ssh."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    document = bench_document(["net.onnx"])
    asked: dict[str, Any] = {}

    def bench_fleet(*args: Any, **options: Any) -> dict[str, Any]:
        asked.update(signature(hedge.bench_fleet).bind(*args, **options).arguments)
        result = BenchResult.model_validate(document)
        return {"pi@a": RemoteError("pi@a: can't be reached"), "pi@b": result}

    monkeypatch.setattr(sweep_stages, "bench_fleet", bench_fleet)
    table = {
        "stages": ["bench"],
        "axes": {"model": "net.onnx", "device": "raspberry-pi-4b", "on": ["pi@a", "pi@b"]},
        "bench": {"batch": [1, 256], "seconds": 0.5},
    }
    (failed,), (timed,) = (done(cell) for cell in read_sweep(table, lambda: []).plan.cells)
    assert failed is not None
    assert failed.failed == "pi@a: can't be reached"
    assert timed is not None
    assert timed.failed is None
    assert [path.name for path in asked["models"]] == ["net.onnx"]
    assert (asked["hosts"], asked["device"], asked["batches"]) == (
        ["pi@b"],
        "raspberry-pi-4b",
        [1, 256],
    )
    first, second = document["models"]
    assert timed.timed["measured_s"] == first["median_s"]
    assert timed.timed["measured_s_256"] == second["median_s"]


def test_a_reason_names_files_and_not_where_they_lay(model: Path) -> None:
    (exported,) = done(first_cell(stages=["export"], axes={"model": "net.onnx"}))
    assert exported is not None
    assert str(exported.failed).startswith("net.onnx: is ONNX already")
