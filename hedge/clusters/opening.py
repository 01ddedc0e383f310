"""A client of workers, whichever way they are had, once it is sure that they compute the same."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

from hedge.clusters.installed import installed
from hedge.clusters.local import local_cluster
from hedge.clusters.quiet import without_dasks_log
from hedge.clusters.settings import ClusterSettings, Local, Scheduler, Slurm, Ssh
from hedge.clusters.slurm import slurm_cluster
from hedge.clusters.ssh import ssh_cluster
from hedge.clusters.versions import check_versions
from hedge.errors import InputError, RemoteError, first_line
from hedge.progress import Progress, silent

LONGEST_CONNECTING_S = 5.0
LONGEST_WAIT_S = 60.0  # for the first worker of a scheduler that answers


@contextmanager
def open_cluster(
    settings: ClusterSettings, workers: int | None = None, *, on_progress: Progress = silent
) -> Iterator[Any]:
    """A ``distributed.Client`` of workers with one thread each; at the end they are gone.

    So many ``workers`` are started, as many as this machine has cores if that is not said; those of a
    scheduler that runs are its own, and stay. Raises InputError where Dask is not installed, RemoteError if
    the scheduler can't be reached, has no workers, or they compute with another hedge.
    """
    if workers is not None and workers < 1:
        raise InputError(f"workers: {workers} is too small; at least 1")
    if workers is not None and not isinstance(settings, Local):
        raise InputError(
            f"workers: kind {settings.kind!r} of the cluster says itself how many there are; leave them out"
        )
    installed("distributed")  # which makes its loggers
    with without_dasks_log(), _clients[type(settings)](settings, workers, on_progress) as client:
        if not isinstance(settings, Local):
            check_versions(client)
        yield client


@contextmanager
def _local(settings: Local, workers: int | None, on_progress: Progress) -> Iterator[Any]:
    with local_cluster(settings, workers) as cluster, _connected(cluster) as client:
        yield client


@contextmanager
def _of_scheduler(settings: Scheduler, workers: None, on_progress: Progress) -> Iterator[Any]:
    with _connected(settings.address) as client:
        if not client.scheduler_info()["workers"]:
            on_progress(f"waiting for a worker of {settings.address}")
        _wait_for_workers(client, 1, settings.address)
        yield client


@contextmanager
def _by_ssh(settings: Ssh, workers: None, on_progress: Progress) -> Iterator[Any]:
    on_progress(f"starting workers on {', '.join(dict.fromkeys(settings.hosts))}")
    with ssh_cluster(settings) as cluster, _connected(cluster) as client:
        _wait_for_workers(client, len(settings.hosts) * settings.workers_each, settings.hosts[0])
        yield client


@contextmanager
def _by_slurm(settings: Slurm, workers: None, on_progress: Progress) -> Iterator[Any]:
    with slurm_cluster(settings) as cluster, _connected(cluster) as client:
        on_progress(f"waiting for the first of {settings.jobs} job(s) of SLURM to start")
        client.wait_for_workers(1)
        yield client


_clients: dict[type, Callable[..., AbstractContextManager[Any]]] = {
    Local: _local,
    Scheduler: _of_scheduler,
    Ssh: _by_ssh,
    Slurm: _by_slurm,
}


@contextmanager
def _connected(cluster: Any) -> Iterator[Any]:
    """A client of a cluster of Dask's, or of the scheduler at an address."""
    distributed = installed("distributed")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about versions; hedge looks at them itself
            client = distributed.Client(cluster, timeout=LONGEST_CONNECTING_S)
    except TypeError as error:  # of Dask, for a way to connect that is not set up
        raise RemoteError(
            f"{cluster}: Dask can't connect in this way here ({first_line(error)}); tls:// needs "
            "certificates in Dask's configuration; without them take tcp://"
        ) from error
    except (OSError, ValueError, RuntimeError) as error:
        raise RemoteError(
            f"{cluster}: no Dask scheduler answers there in {LONGEST_CONNECTING_S:g} s "
            f"({first_line(error)}); start one: dask scheduler"
        ) from error
    with client:
        yield client


def _wait_for_workers(client: Any, count: int, where: str) -> None:
    try:
        client.wait_for_workers(count, timeout=LONGEST_WAIT_S)
    except (TimeoutError, OSError) as error:
        address, found = client.scheduler.address, len(client.scheduler_info()["workers"])
        raise RemoteError(
            f"{where}: {found} of {count} worker(s) have come in {LONGEST_WAIT_S:g} s; can they reach "
            f"{address}? dask worker {address} --nthreads 1 starts one"
        ) from error
