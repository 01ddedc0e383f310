"""Workers that are processes of this machine."""

from __future__ import annotations

import logging
import os
import signal
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from multiprocessing import resource_tracker
from typing import Any

from hedge.clusters.installed import installed
from hedge.clusters.settings import Local

# Sums are rounded by how they are cut: with one thread each they are the same on any number of workers.
ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
# Dask looks at each worker's stack every 10 ms, at clocks, memory and disks some times a second; what it
# sees is for its dashboard, and the cores are those that workers compute on.
UNWATCHED = {
    "distributed.worker.profile.enabled": False,
    "distributed.admin.tick.interval": "1s",
    "distributed.admin.system-monitor.interval": "5s",
    "distributed.admin.system-monitor.disk": False,
    "distributed.worker.memory.monitor-interval": "250ms",
}


@contextmanager
def local_cluster(settings: Local, workers: int | None) -> Iterator[Any]:
    """A LocalCluster: a process for each worker, one thread in each, all gone at the end.

    Each worker has its nanny in this process: where this one is killed, they end by themselves.
    """
    distributed, config = installed("distributed"), installed("dask.config")
    with ExitStack() as stack:
        with _unheard_by_children(), config.set(UNWATCHED):
            cluster = distributed.LocalCluster(
                n_workers=workers or cores(),
                threads_per_worker=1,
                processes=True,
                memory_limit=settings.memory or "auto",
                host="127.0.0.1",
                dashboard_address="127.0.0.1:0",
                silence_logs=logging.CRITICAL,
            )
            stack.enter_context(cluster)
        yield cluster


@contextmanager
def _unheard_by_children() -> Iterator[None]:
    """Threads that begin inside, and processes that these start, hear no Ctrl-C, which reaches all at once.

    This process hears it at the end, and ends them in order.
    """
    resource_tracker.ensure_running()  # which lets signals through again in the thread that starts it
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def cores() -> int:
    """Cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
