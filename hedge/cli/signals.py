"""Signals that end a command."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn

TERMINATED = 128 + signal.SIGTERM  # as shells have it


@contextmanager
def ending_in_order() -> Iterator[None]:
    """A signal to terminate ends what is done as an error would: temporary files go.

    A handler of the caller's stays, and outside the main thread there can be none.
    """
    try:
        ours = signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
        if ours:
            signal.signal(signal.SIGTERM, _terminate)
    except ValueError:
        ours = False
    try:
        yield
    finally:
        if ours:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _terminate(*_: object) -> NoReturn:
    sys.exit(TERMINATED)
