"""The rate at which memory beyond the caches is copied."""

from __future__ import annotations

import time

import numpy as np

COPY_BYTES = 64 * 2**20


def copy_rate() -> float:
    """Bytes per second, read and written, of the fastest of some copies of 64 MiB."""
    source = np.ones(COPY_BYTES // 8)
    target = np.empty_like(source)
    times = []
    for _ in range(8):
        started = time.perf_counter()
        np.copyto(target, source)
        times.append(time.perf_counter() - started)
    return 2.0 * COPY_BYTES / min(times)
