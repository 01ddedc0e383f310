"""A client of workers, whichever way they are had, once it is sure that they compute the same."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from hedge.clusters.installed import installed
from hedge.clusters.local import local_cluster
from hedge.clusters.settings import ClusterSettings, Local, Scheduler
from hedge.clusters.versions import check_versions
from hedge.errors import RemoteError, first_line
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
    distributed = installed("distributed")
    if isinstance(settings, Scheduler):
        with _connected(distributed, settings.address) as client:
            _wait_for_workers(client, settings.address, on_progress)
            check_versions(client)
            yield client
        return
    assert isinstance(settings, Local)
    with local_cluster(settings, workers) as cluster, distributed.Client(cluster) as client:
        yield client


@contextmanager
def _connected(distributed: Any, address: str) -> Iterator[Any]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about versions; hedge looks at them itself
            client = distributed.Client(address, timeout=LONGEST_CONNECTING_S)
    except (OSError, ValueError, RuntimeError) as error:
        raise RemoteError(
            f"{address}: no Dask scheduler answers there in {LONGEST_CONNECTING_S:g} s "
            f"({first_line(error)}); start one: dask scheduler"
        ) from error
    with client:
        yield client


def _wait_for_workers(client: Any, address: str, on_progress: Progress) -> None:
    if not client.scheduler_info()["workers"]:
        on_progress(f"waiting for a worker of {address}")
    try:
        client.wait_for_workers(1, timeout=LONGEST_WAIT_S)
    except (TimeoutError, OSError) as error:
        raise RemoteError(
            f"{address}: no worker has come in {LONGEST_WAIT_S:g} s; start some: dask worker {address} "
            "--nthreads 1"
        ) from error
