"""One BLAS thread, for results and times that don't hang on how many there are and who needs them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


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
