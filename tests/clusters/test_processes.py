"""Processes of this machine, and their end."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from hedge.clusters import spread_over
from hedge.errors import HedgeError, InputError
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

def main():
    if sys.argv[1] == "processes":
        with spread_over(3) as spread, spread(wait) as each:
            list(each([1, 2, 3]))
    else:
        with open_cluster(Local(), 2) as client:
            client.gather(client.map(wait, [1, 2]))

if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(130)
"""


def test_results_come_in_order_of_this_process_and_another() -> None:
    def add(number: int) -> tuple[int, int]:
        time.sleep(0.001)  # else this process has done all when the other one hears of it
        return number + 1, os.getpid()

    with spread_over(2) as spread, spread(add) as each:
        wait_until(lambda: len({pid for _, pid in each(range(50))}) == 2)
        assert [number for number, _ in each(range(5))] == [1, 2, 3, 4, 5]
        assert list(each([])) == []


def test_a_process_that_dies_is_told_and_so_is_a_refusal_of_either() -> None:
    here = os.getpid()

    def die(number: int) -> None:
        if os.getpid() != here:
            os._exit(number)
        time.sleep(0.01)

    with (
        pytest.raises(HedgeError, match="a worker ended"),
        spread_over(2) as spread,
        spread(die) as each,
    ):
        list(each([1] * 1000))

    def refuse(number: int) -> int:
        if number == 3:
            raise InputError(f"number: {number} is refused")
        return number

    with (
        pytest.raises(InputError, match=r"^number: 3 is refused"),
        spread_over(2) as spread,
        spread(refuse) as each,
    ):
        list(each(range(9)))


@pytest.mark.parametrize(
    ("workers", "end"),
    [
        ("processes", lambda pid: os.kill(pid, signal.SIGKILL)),
        ("dask", lambda pid: os.kill(pid, signal.SIGKILL)),
        # as terminals send Ctrl-C, to all of them
        ("processes", lambda pid: os.killpg(pid, signal.SIGINT)),
        ("dask", lambda pid: os.killpg(pid, signal.SIGINT)),
    ],
    ids=["processes, killed", "dask, killed", "processes, Ctrl-C", "dask, Ctrl-C"],
)
def test_none_is_left_when_the_one_that_started_them_ends(
    workers: str, end: Callable[[int], None], tmp_path: Path
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
        start_new_session=True,
        # where the suite runs in the background, interrupts are ignored, and children inherit that
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )

    def others() -> list[str]:
        return [pid.name for pid in pids.iterdir() if pid.name != str(process.pid)]

    wait_until(lambda: len(others()) == 2)
    time.sleep(0.1)
    assert not any(hears_ctrl_c(pid) for pid in others())
    end(process.pid)
    assert process.wait() in (-signal.SIGKILL, 130)
    for pid in others():
        wait_until(lambda pid=pid: not Path("/proc", pid).exists())


def hears_ctrl_c(pid: str) -> bool:
    """Whether a process neither blocks nor ignores what a terminal sends to all."""
    status = Path("/proc", pid, "status").read_text()
    masks = [int(mask, 16) for mask in re.findall(r"^Sig(?:Blk|Ign):\s*(\w+)$", status, re.M)]
    return not any(mask >> (signal.SIGINT - 1) & 1 for mask in masks)


def test_what_takes_long_to_import_waits_until_it_is_used() -> None:
    """Every worker, and every command, would wait for it first."""
    late = {"cluster", "fft", "integrate", "interpolate", "ndimage", "optimize", "spatial", "stats"}
    code = "import sys, hedge.api; print(*sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(run.stdout.split())
    assert "scipy.linalg" in loaded
    assert not {f"scipy.{name}" for name in late} & loaded
