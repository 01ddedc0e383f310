"""``hedge sweep`` without workers: what is listed, shown and refused."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from hedge.api import planned
from hedge.sweeping import Ledger, Outcome, Store
from tests.cli.conftest import Run
from tests.conftest import ROOT, random_mlp

FILE = """
stages = ["compress", "export"]
[axes]
model = ["a.onnx", "b.onnx"]
tolerance = [0.1, 0.01]
device = "rp2040"
"""
ERRORS = {("a.onnx", 0.1): (0.09, 100), ("a.onnx", 0.01): (0.009, 300), ("b.onnx", 0.1): (0.05, 50)}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for seed, name in enumerate(("a.onnx", "b.onnx")):
        (tmp_path / name).write_bytes(random_mlp([2, 4, 1], seed).SerializeToString())
    (tmp_path / "sweep.toml").write_text(FILE)
    return tmp_path


@pytest.fixture
def swept(folder: Path) -> Path:
    """Three cells of four that are done, or failed."""
    plan = planned(folder / "sweep.toml").plan
    store = Store(folder / "runs")
    store.begin(plan, force=False)
    ledger = Ledger(store, plan.cells)
    for cell in plan.cells[:3]:
        error, size = ERRORS[cell.axes["model"], cell.axes["tolerance"]]
        ledger.take(cell.tasks[0], Outcome({"error": error, "bytes": size, "predicted_s": 1e-3}))
    for cell in plan.cells[:2]:
        ledger.take(cell.tasks[1], Outcome({"file_bytes": 2000}))
    ledger.take(plan.cells[2].tasks[1], Outcome(failed="no room"))
    return store.folder


def test_a_dry_run_lists_cells_and_what_is_there(run: Run, folder: Path, swept: Path) -> None:
    outcome = run("sweep", "sweep.toml", "--dry-run", "--out", "runs")
    assert outcome.code == 0, outcome.err
    assert outcome.out.splitlines() == [
        "sweep.toml: 4 cells of compress > export; device rp2040",
        "model  tolerance state",
        "a.onnx       0.1 there",
        "a.onnx      0.01 there",
        "b.onnx       0.1 there",
        "b.onnx      0.01 to do: compress, export",
        "3 cells are there; 2 of 8 tasks to do",
    ]
    found = run("sweep", "sweep.toml", "--dry-run", "--json").document()
    assert [cell["state"] for cell in found["cells"]] == ["to do: compress, export"] * 4


def test_a_dry_run_prints_the_script_of_jobs(run: Run, folder: Path) -> None:
    jobs = '[cluster]\nkind = "slurm"\njobs = 2\ncores = 4\nmemory = "8 GiB"\nqueue = "short"\n'
    (folder / "sweep.toml").write_text(FILE + jobs)
    outcome = run("sweep", "sweep.toml", "--dry-run")
    script = outcome.out.partition("each of 2 job(s) of SLURM:\n")[2]
    assert "#SBATCH -p short\n" in script
    assert subprocess.run(["bash", "-n"], input=script.encode()).returncode == 0
    assert run("sweep", "sweep.toml", "--dry-run", "--json").document()["stages"]


def test_show_prints_what_is_there_best_first(run: Run, swept: Path) -> None:
    outcome = run("sweep", "show", "runs", "--by", "error")
    assert outcome.out.splitlines() == [
        "runs: 3 of 4 cells; device rp2040",
        "model  tolerance    error bytes     file predicted",
        "a.onnx      0.01 9.00e-03 300 B 1.95 KiB   1.00 ms",
        "a.onnx       0.1 9.00e-02 100 B 1.95 KiB   1.00 ms",
        "b.onnx 0.1: failed: export: no room",
    ]
    cells = run("sweep", "show", "runs", "--pareto", "bytes", "--json").document()["cells"]
    assert [(cell["bytes"], cell["error"]) for cell in cells] == [(100, 0.09), (300, 0.009)]


def test_unstable_times_are_told(run: Run, folder: Path) -> None:
    plan = planned(folder / "sweep.toml").plan
    store = Store(folder / "runs")
    store.begin(plan, force=False)
    ledger = Ledger(store, plan.cells)
    ledger.take(plan.cells[0].tasks[0], Outcome({"error": 0.1}))
    ledger.take(
        plan.cells[0].tasks[1], Outcome({}, {"measured_s": 1e-6, "unstable": "it throttled"})
    )
    outcome = run("sweep", "show", "runs")
    assert "1.00 us" in outcome.out
    assert "1 measured time(s) are unstable, as one where it throttled" in outcome.err


@pytest.mark.parametrize(
    ("argv", "named"),
    [
        (["none.toml", "--out", "x"], ("none.toml: there is no such file",)),
        (["sweep.toml"], ("out: not given",)),
        (["sweep.toml", "--out", "x", "--workers", "0"], ("workers: 0 is too small",)),
        (["sweep.toml", "--out", "x", "--scheduler", "here"], ("scheduler", "tcp://")),
        (["sweep.toml", "--out", "x", "--scheduler", "tcp://127.0.0.1:1"],
         ("tcp://127.0.0.1:1: no Dask scheduler answers",)),
        (["sweep.toml", "--dry-run", "--out", "."], ("is no folder of a sweep",)),
        (["show", "."], ("is no folder of a sweep",)),
        (["show", "runs", "--by", "eror"], ("'eror'", "error")),
        (["sweep.toml", "--out", "sweep.toml"], ("is no folder",)),
        (["many.toml", "--out", "x"], ("many.toml: has 1000000 cells; pass --yes",)),
        (["more.toml", "--out", "x", "--yes"], ("more.toml: has 1001000 cells; at most 1000000",)),
    ],
)  # fmt: skip
def test_bad_input_is_one_line(
    argv: list[str],
    named: tuple[str, ...],
    run: Run,
    folder: Path,
    swept: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("hedge.clusters.opening.LONGEST_CONNECTING_S", 0.5)
    many = FILE.replace("[0.1, 0.01]", "{from = 1e-3, to = 1e-1, count = 500}")
    (folder / "many.toml").write_text(many + "seed = {from = 1, to = 1000}\n")
    (folder / "more.toml").write_text(many + "seed = {from = 1, to = 1001}\n")
    outcome = run("sweep", *argv)
    assert (outcome.code, outcome.out) == (1, "")
    lines = [line for line in outcome.err.splitlines() if line.startswith("hedge: ")]
    assert len(lines) == 1
    for text in named:
        assert text in lines[0]


def test_without_dask_a_line_says_what_to_install(
    run: Run, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    outcome = run("sweep", "sweep.toml", "--out", "runs")
    assert outcome.code == 1
    assert "distributed is not installed; run: pip install" in outcome.err
    assert "hedge-pinn[sweep]" in outcome.err


def test_importing_hedge_and_listing_cells_needs_no_dask(folder: Path) -> None:
    code = (
        "import sys; sys.modules.update(distributed=None, dask=None, pyarrow=None); import hedge.api; "
        "print(len(hedge.api.planned('sweep.toml').plan.cells))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert done.stdout == "4\n"
