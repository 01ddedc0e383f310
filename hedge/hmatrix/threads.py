"""One BLAS thread for work made of many small products."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def one_blas_thread() -> Iterator[None]:
    """Inside, BLAS uses one thread, if threadpoolctl is installed to tell it so.

    On blocks of 64 × 64 a second thread gains nothing, and where another process needs the core, the two
    wait for each other at every product: builds were seen to take ten times as long.
    """
    try:
        from threadpoolctl import threadpool_limits
    except ImportError:
        yield
        return
    with threadpool_limits(1, user_api="blas"):
        yield
