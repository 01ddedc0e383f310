"""Sweeps on real workers, which are killed: nothing is lost, nothing done twice, and results are the same."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

import hedge
from hedge.clusters import Local, open_cluster
from hedge.errors import RemoteError
from hedge.sweeping import Tally
from hedge.sweeping.timing import _turn_of_cluster
from tests.conftest import random_mlp

ROOT = Path(__file__).parent.parent.parent
SWEEP = """
stages = ["compress", "export"]
[axes]
model = "*.onnx"
tolerance = [0.3, 0.1]
device = "raspberry-pi-4b"
compress.flash = [1, 100_000]
[compress]
domain = "-1:1,0:1"
recover = "none"
"""


@pytest.fixture(scope="module")
def client() -> Iterator[Any]:
    """Of two workers."""
    with open_cluster(Local(), 2) as client:
        yield client


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sweep of eight cells, of which half fail: nothing fits into a flash of a byte."""
    folder = tmp_path_factory.mktemp("sweep")
    for seed in range(2):
        (folder / f"{seed}.onnx").write_bytes(random_mlp([2, 8, 8, 1], seed).SerializeToString())
    path = folder / "sweep.toml"
    path.write_text(SWEEP)
    return path


@pytest.fixture(scope="module")
def whole(file: Path, client: Any) -> dict[str, Any]:
    """The results of a sweep that nobody kills."""
    out = file.parent / "whole"
    swept = hedge.sweep(file, out, scheduler=client.scheduler.address)
    assert (swept.done, swept.failed, swept.left) == (4, 4, 0)
    table = pq.read_table(out / "results.parquet").to_pylist()
    assert [row["cell"] for row in table] == [cell.key for cell in swept.plan.cells]
    assert [row["failed"] is None for row in table] == [row.failed is None for row in swept.rows]
    return results(out)


def results(out: Path) -> dict[str, Any]:
    """All that is kept of a sweep, by cell, but for times; and that nothing else lies there."""
    found = {}
    named = set()
    for path in (out / "cells").iterdir():
        document = json.loads(path.read_text())
        timed = document.pop("timed")
        assert timed["host"]
        names = [name for names in document["files"].values() for name in names]
        named |= {Path(name).parts[1] for name in names}
        document["contents"] = [(out / name).read_bytes() for name in names]
        found[document["key"]] = document
    tasks = {path.name for path in (out / "tasks").iterdir()}
    assert not [name for name in tasks if name.startswith(".")]
    assert named <= tasks
    return found


def test_failed_cells_are_rows_with_their_reason(whole: dict[str, Any]) -> None:
    failed = [cell["failed"] for cell in whole.values() if cell["failed"] is not None]
    assert (len(failed), len(whole)) == (4, 8)
    assert all(reason.startswith("compress: ") and "flash" in reason for reason in failed)


def test_a_worker_that_is_killed_loses_nothing(
    file: Path, client: Any, whole: dict[str, Any]
) -> None:
    killed: list[int] = []

    def kill(tally: Tally) -> None:
        if tally.done + tally.failed > 2 and not killed:
            killed.extend(client.run(os.getpid, workers=[next(iter(client.nthreads()))]).values())
            os.kill(killed[0], signal.SIGKILL)

    out = file.parent / "worker"
    swept = hedge.sweep(file, out, scheduler=client.scheduler.address, on_tally=kill)
    assert killed
    assert swept.left == 0
    assert results(out) == whole


def test_a_client_that_is_killed_goes_on_where_it_was(
    file: Path, client: Any, whole: dict[str, Any]
) -> None:
    out = file.parent / "client"
    command = [sys.executable, "-m", "hedge", "sweep", str(file), "--out", str(out)]
    process = subprocess.Popen(
        [*command, "--scheduler", client.scheduler.address],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    while process.poll() is None and not list(out.glob("tasks/compress-*")):
        time.sleep(0.05)
    process.kill()
    process.wait()
    done: list[int] = []
    hedge.sweep(
        file, out, scheduler=client.scheduler.address,
        on_tally=lambda tally: done.append(tally.done + tally.failed),
    )  # fmt: skip
    assert results(out) == whole
    hedge.sweep(file, out, workers=1, on_tally=lambda tally: done.append(-tally.left))
    assert done[-1] == 0  # no worker was started for what is done


def test_what_failed_is_done_again_when_asked(
    file: Path, client: Any, whole: dict[str, Any]
) -> None:
    """And gives the same, its inputs being the same."""
    out = file.parent / "whole"
    tallies: list[int] = []
    hedge.sweep(
        file, out, scheduler=client.scheduler.address, retry_failed=True,
        on_tally=lambda tally: tallies.append(tally.left),
    )  # fmt: skip
    assert tallies[0] == sum(cell["failed"] is not None for cell in whole.values())
    assert results(out) == whole


def timed_on_a_board() -> tuple[float, float]:
    """When a turn of the cluster began and ended."""
    with _turn_of_cluster("board"):
        begun = time.monotonic()
        time.sleep(0.2)
        return begun, time.monotonic()


def test_two_workers_never_time_on_a_board_at_once(client: Any) -> None:
    workers = list(client.nthreads())
    futures = [client.submit(timed_on_a_board, workers=[one], pure=False) for one in workers]
    (_, first), (second, _) = sorted(client.gather(futures))
    assert len(workers) == 2
    assert first <= second


def test_a_scheduler_that_ends_is_told_and_what_is_done_stays(
    file: Path, client: Any, whole: dict[str, Any]
) -> None:
    """The last one here: the others' workers end with it."""
    out = file.parent / "scheduler"

    def end(tally: Tally) -> None:
        if tally.done + tally.failed > 1:
            client.cluster.close()

    with pytest.raises(RemoteError, match="the scheduler is lost; what is done is kept"):
        hedge.sweep(file, out, scheduler=client.scheduler.address, on_tally=end)
    kept = results(out)
    assert len(kept) > 1
    assert all(whole[key] == cell for key, cell in kept.items())
