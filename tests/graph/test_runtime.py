"""How sessions of onnxruntime are made."""

from __future__ import annotations

import time

import pytest

from hedge.clusters import spread_over
from hedge.graph.runtime import quiet_options


@pytest.mark.parametrize(
    ("said", "threads"),
    [("1", 1), ("4", 4), ("3,2", 3), ("99999999999", 8), ("", 0), ("many", 0), (None, 0)],
)
def test_sessions_take_as_many_threads_as_omp_num_threads_says(
    said: str | None, threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.cpu_count", lambda: 8)
    if said is None:
        monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    else:
        monkeypatch.setenv("OMP_NUM_THREADS", said)
    assert quiet_options().intra_op_num_threads == threads


def threads_of_sessions(number: int) -> int:
    time.sleep(0.001)  # else one process has done all when the other one hears of it
    return int(quiet_options().intra_op_num_threads)


def test_another_process_takes_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    with spread_over(2) as spread, spread(threads_of_sessions) as each:
        found: set[int] = set()
        while 1 not in found:
            found.update(each(range(50)))
    assert found == {1, 2}
