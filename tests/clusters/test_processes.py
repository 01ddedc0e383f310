"""Processes of this machine, and their end."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from hedge.clusters import spread_over
from hedge.errors import HedgeError
from tests.conftest import ROOT
from tests.sshd import wait_until

# Says which processes work for it, and waits for them.
WAITING = """
import os, sys, time
from pathlib import Path
from hedge.clusters import Local, open_cluster, spread_over

def wait(number):
    (Path(sys.argv[2]) / str(os.getpid())).touch()
    time.sleep(300)

if __name__ == "__main__":
    if sys.argv[1] == "processes":
        with spread_over(2) as spread, spread(wait) as each:
            list(each([1, 2]))
    else:
        with open_cluster(Local(), 2) as client:
            client.gather(client.map(wait, [1, 2]))
"""


def test_results_come_in_order_and_a_process_that_dies_is_told() -> None:
    with spread_over(2) as spread, spread(lambda number: number + 1) as each:
        assert list(each(range(5))) == [1, 2, 3, 4, 5]
        assert list(each([])) == []
    with (
        pytest.raises(HedgeError, match="a worker ended"),
        spread_over(2) as spread,
        spread(os._exit) as each,
    ):
        list(each([1, 1]))


@pytest.mark.parametrize(
    ("workers", "how"),
    [("processes", signal.SIGKILL), ("processes", signal.SIGINT), ("dask", signal.SIGKILL)],
)
def test_none_is_left_when_the_one_that_started_them_ends(
    workers: str, how: signal.Signals, tmp_path: Path
) -> None:
    pids = tmp_path / "pids"
    pids.mkdir()
    program = tmp_path / "waiting.py"
    program.write_text(WAITING)
    process = subprocess.Popen(
        [sys.executable, program, workers, pids],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stderr=subprocess.DEVNULL,
        # where the suite runs in the background, interrupts are ignored, and children inherit that
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    wait_until(lambda: len(list(pids.iterdir())) == 2)
    time.sleep(0.1)
    process.send_signal(how)
    process.wait()
    for pid in pids.iterdir():
        wait_until(lambda pid=pid: not Path("/proc", pid.name).exists())
