"""Memory that is kept between steps."""

from __future__ import annotations

import ctypes
import sys
from functools import cache

# mallopt's names for how much that is free is given back to the system, and for the size above which
# memory comes straight from it (malloc.h).
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
KEPT_BYTES = 2**30


@cache
def keep_freed_memory() -> None:
    """Let glibc reuse freed memory: fresh pages cost as much as the arithmetic done in them."""
    if sys.platform == "linux":
        mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
        if mallopt is not None:
            mallopt(M_MMAP_THRESHOLD, KEPT_BYTES)
            mallopt(M_TRIM_THRESHOLD, KEPT_BYTES)
