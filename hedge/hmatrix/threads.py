"""Threads: one for BLAS, as many as there are cores for what is cut into pieces beforehand."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import cache
from typing import Any


@contextmanager
def one_blas_thread() -> Iterator[None]:
    """Inside, BLAS uses one thread, if threadpoolctl is installed to tell it so.

    On products of a network's layers a second thread gains little, and where another process needs the
    core, the two wait for each other at every product: 1.5 s were seen to become 15. Sums are also rounded
    by how they are cut, so that results were another machine's with as many threads.
    """
    try:
        from threadpoolctl import threadpool_limits
    except ImportError:
        yield
        return
    with threadpool_limits(1, user_api="blas"):
        yield


@cache
def _blas_of_numpy() -> Any:
    """What tells numpy's BLAS how many threads to use, found once; None without threadpoolctl."""
    try:
        from threadpoolctl import ThreadpoolController
    except ImportError:
        return None
    return ThreadpoolController()


def one_blas_thread_of_numpy() -> AbstractContextManager[Any]:
    """The same in some microseconds, for BLAS that was loaded with numpy only."""
    blas = _blas_of_numpy()
    return nullcontext() if blas is None else blas.limit(limits=1, user_api="blas")


@contextmanager
def each_in_threads() -> Iterator[Callable[..., Iterator[Any]]]:
    """What stands in for ``map`` inside: one thread for each core this process may use.

    Results come in order, and hang on how the work is cut into pieces only. On one core it is ``map``.
    """
    cores = _cores()
    if cores == 1:
        yield map
        return
    pool = ThreadPoolExecutor(cores)
    try:
        yield pool.map
    finally:  # after an error what has not begun is left
        pool.shutdown(cancel_futures=True)


def _cores() -> int:
    """Cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
