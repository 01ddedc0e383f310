"""Workers that are jobs of SLURM."""

from __future__ import annotations

import logging
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from hedge.clusters.installed import installed
from hedge.clusters.local import ONE_THREAD
from hedge.clusters.settings import Slurm
from hedge.errors import InputError

ANYWHERE = "tcp://HOST:PORT"  # where the scheduler will be, which is known once it runs


@contextmanager
def slurm_cluster(settings: Slurm) -> Iterator[Any]:
    """A SLURMCluster, its scheduler in this process: run it where jobs can reach, on a login node.

    The jobs are cancelled at the end; where this process is killed they end by themselves in a minute.
    Raises InputError where SLURM is not here, or refuses such jobs.
    """
    cluster_of = installed("dask_jobqueue").SLURMCluster
    _check_script(job_script(settings))
    with cluster_of(
        **_options(settings),
        n_workers=settings.jobs * settings.cores,
        scheduler_options={"dashboard_address": ":0"},
        silence_logs=logging.CRITICAL,
    ) as cluster:
        yield cluster


def _check_script(script: str) -> None:
    """Ask SLURM before anything is started: of a job that it refuses later Dask tells nobody."""
    try:
        done = subprocess.run(
            ["sbatch", "--test-only"], input=script, capture_output=True, text=True
        )
    except FileNotFoundError as error:
        raise InputError(
            "cluster: there is no sbatch here; run this on a login node of SLURM"
        ) from error
    if done.returncode != 0:
        said = (done.stderr.strip() or done.stdout.strip() or "it says nothing").splitlines()[0]
        raise InputError(f"cluster: SLURM refuses such jobs ({said}); change the table [cluster]")


def job_script(settings: Slurm) -> str:
    """The script of each job, as sbatch gets it but for the scheduler's address."""
    job = installed("dask_jobqueue.slurm").SLURMJob(ANYWHERE, name="hedge", **_options(settings))
    return str(job.job_script())


def _options(settings: Slurm) -> dict[str, Any]:
    return {
        "job_name": "hedge",
        "cores": settings.cores,
        "processes": settings.cores,
        "memory": settings.memory,
        "walltime": settings.walltime,
        "queue": settings.queue,
        "account": settings.account,
        "python": settings.python or sys.executable,
        "interface": settings.interface,
        "job_extra_directives": list(settings.options),
        "job_script_prologue": [
            *(f"export {name}={value}" for name, value in ONE_THREAD.items()),
            *settings.prologue,
        ],
        "log_directory": settings.logs,
    }
