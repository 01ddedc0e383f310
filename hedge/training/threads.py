"""Chunks of points on threads: torch's own wait for each other at every operation, these at the end only."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import TypeVar

import torch

Part = TypeVar("Part")
Found = TypeVar("Found")


def of_each(function: Callable[[Part], Found], parts: Sequence[Part]) -> list[Found]:
    """``function`` of each of the parts, in order, on as many threads as torch has.

    Inside every operation of torch runs on one thread, so that what is found hangs on how the work is
    parted, not on the number of threads; and where other programs need the cores nobody waits, busy, for
    a thread that has none.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        if threads == 1 or len(parts) == 1:
            return [function(part) for part in parts]
        return list(_pool(threads, os.getpid()).map(function, parts))
    finally:
        torch.set_num_threads(threads)


@cache
def _pool(threads: int, process: int) -> ThreadPoolExecutor:
    """Of a process: in one that was forked threads of the other do not run."""
    return ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,))
