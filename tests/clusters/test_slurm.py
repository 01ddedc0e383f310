"""Jobs of SLURM, with a stand-in for sbatch that runs the script here."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from hedge.clusters import cluster_settings, on_cluster, open_cluster
from hedge.errors import InputError
from tests.conftest import ROOT
from tests.sshd import script, wait_until

JOBS = cluster_settings({"kind": "slurm", "cores": 1, "memory": "2 GiB", "jobs": 1})
SBATCH = """#!/bin/sh
if [ "$1" = --test-only ]; then bash -n; exit; fi
cp "$1" {folder}/job.sh
setsid bash {folder}/job.sh >/dev/null 2>&1 &
echo $! > {folder}/pid
echo Submitted batch job 7
"""
SCANCEL = "#!/bin/sh\nkill -- -$(cat {folder}/pid)\n"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    return tmp_path


def test_jobs_compute_and_are_cancelled_at_the_end(folder: Path) -> None:
    script(folder / "bin/sbatch", SBATCH.format(folder=folder))
    script(folder / "bin/scancel", SCANCEL.format(folder=folder))
    told: list[str] = []
    with open_cluster(JOBS, on_progress=told.append) as client:
        with on_cluster(client)(os.getenv) as each:
            assert list(each(["OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"])) == ["1", "1"]
        pid = (folder / "pid").read_text().strip()
        assert Path("/proc", pid).exists()
    wait_until(lambda: not Path("/proc", pid).exists())
    assert told == ["waiting for the first of 1 job(s) of SLURM to start"]


def test_a_job_that_is_refused_and_a_machine_without_slurm(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script(folder / "bin/sbatch", "#!/bin/sh\necho 'sbatch: error: invalid account' >&2\nexit 1\n")
    with (
        pytest.raises(InputError, match=r"refuses such jobs \(sbatch: error: invalid account\)"),
        open_cluster(JOBS),
    ):
        pass
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    with pytest.raises(InputError, match="there is no sbatch here"), open_cluster(JOBS):
        pass
