"""Timing alone: one at a time on a machine, on one of its cores."""

from __future__ import annotations

import fcntl
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def alone_on_this_machine() -> Iterator[None]:
    """Inside, no other sweep of this user times anything on this machine, and this thread keeps to one core.

    The system gives the turn on when a process dies.
    """
    place = Path(tempfile.gettempdir()) / f"hedge-timing-{os.geteuid()}.lock"
    descriptor = os.open(place, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        with _on_one_core():
            yield
    finally:
        os.close(descriptor)


@contextmanager
def _on_one_core() -> Iterator[None]:
    """Where the system can be told so."""
    if not hasattr(os, "sched_getaffinity"):
        yield
        return
    allowed = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(allowed)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, allowed)
