"""Timing alone: one at a time on a machine, and on one of its cores."""

from __future__ import annotations

import fcntl
import hashlib
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hedge.clusters.installed import installed


@contextmanager
def alone_on_this_machine() -> Iterator[None]:
    """Inside, no other sweep of this user times anything on this machine, and this thread keeps to one core.

    The system gives the turn on when a process dies.
    """
    with _turn("this machine"), _on_one_core():
        yield


@contextmanager
def alone_on_board(host: str) -> Iterator[None]:
    """Inside, no other worker of this cluster times anything on a board, nor a sweep from this machine."""
    with _turn(host), _turn_of_cluster(host):
        yield


@contextmanager
def _turn(of: str) -> Iterator[None]:
    name = hashlib.sha256(of.encode()).hexdigest()[:16]
    place = Path(tempfile.gettempdir()) / f"hedge-timing-{os.geteuid()}-{name}.lock"
    descriptor = os.open(place, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


@contextmanager
def _turn_of_cluster(of: str) -> Iterator[None]:
    """Where this is a worker; the scheduler gives the turn on when it dies."""
    distributed = installed("distributed")
    try:
        distributed.get_client()
    except ValueError:  # nobody else's worker
        yield
        return
    with distributed.Lock(f"hedge-timing-{of}"):
        yield


@contextmanager
def _on_one_core() -> Iterator[None]:
    """Where the system can be told so."""
    if not hasattr(os, "sched_getaffinity"):
        yield
        return
    allowed = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {max(allowed)})  # the first one takes most of the system's interrupts
    try:
        yield
    finally:
        os.sched_setaffinity(0, allowed)
