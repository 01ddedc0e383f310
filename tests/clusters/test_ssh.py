"""Workers by ssh, through a real sshd on loopback."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hedge.clusters import Ssh, cluster_settings, on_cluster, open_cluster
from hedge.errors import RemoteError
from tests.conftest import ROOT
from tests.sshd import running_sshd, script, wait_until


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    """The home of whoever may go to ``loopback``, and a Python there that has the hedge of this checkout."""
    with running_sshd() as found, pytest.MonkeyPatch.context() as patch:
        (found / ".ssh").mkdir()
        (found / ".ssh/config").symlink_to(found / "ssh_config")
        patch.setenv("HOME", str(found))
        script(
            found / "bin/hedges-python",
            f'#!/bin/sh\nPYTHONPATH={ROOT} exec {sys.executable} "$@"\n',
        )
        yield found


def settings(folder: Path, **more: Any) -> Any:
    return cluster_settings(
        {"kind": "ssh", "hosts": ["loopback"], "python": f"{folder}/bin/hedges-python", **more}
    )


def processes_of(scheduler: str) -> list[str]:
    """Those that name the scheduler on their command line."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = path.read_bytes().decode(errors="replace")
        except OSError:
            continue
        if scheduler in words and "dask_spec" in words:
            found.append(words)
    return found


def test_workers_compute_there_and_end_with_their_client(folder: Path) -> None:
    told: list[str] = []
    with open_cluster(settings(folder), on_progress=told.append) as client:
        scheduler = client.scheduler.address
        with on_cluster(client)(os.getenv) as each:
            threads, home = each(["OMP_NUM_THREADS", "HOME"])
        assert threads == "1"
        assert home != str(folder)
        assert processes_of(scheduler)
    assert told == ["starting workers on loopback"]
    wait_until(lambda: not processes_of(scheduler))


def test_hosts_that_cannot_take_part_are_told_before_anything_starts(folder: Path) -> None:
    script(
        folder / "bin/bare", f'#!/bin/sh\ncd /; unset PYTHONPATH; exec {sys.executable} -S "$@"\n'
    )
    script(folder / "bin/chatty", "#!/bin/sh\necho welcome\n")
    for python, said in {
        "/no/python": "loopback: there is no Python '/no/python'",
        f"{folder}/bin/bare": "loopback: hedge or Dask is not there .*No module named 'hedge'",
        f"{folder}/bin/chatty": "loopback: says 'welcome",
    }.items():
        with pytest.raises(RemoteError, match=said), open_cluster(settings(folder, python=python)):
            pass
    nowhere = Ssh(kind="ssh", hosts=("loopback", "no-such-host.invalid"), python="/no/python")
    with pytest.raises(RemoteError, match="there is no Python"), open_cluster(nowhere):
        pass
    known = (folder / "known_hosts").read_text()
    try:
        (folder / "known_hosts").write_text("")
        with (
            pytest.raises(RemoteError, match=r"^loopback: can't be reached by ssh \(Host key"),
            open_cluster(settings(folder)),
        ):
            pass
    finally:
        (folder / "known_hosts").write_text(known)


def test_a_scheduler_ends_when_its_client_has_gone(tmp_path: Path) -> None:
    """What is loaded into those by ssh; here with less patience."""
    program = (
        "import hedge.clusters.ending as ending; ending.LONGEST_FIRST_S = 0.2\n"
        "import asyncio; from distributed import Scheduler\n"
        "async def run():\n"
        "    async with Scheduler(port=0, host='127.0.0.1', dashboard_address='127.0.0.1:0',\n"
        "            preload='hedge.clusters.ending') as scheduler:\n"
        "        await scheduler.finished()\n"
        "asyncio.run(run())\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, timeout=100, capture_output=True
    )
    assert done.returncode == 0, done.stderr
