"""Standard streams that are closed, full or of another encoding: work goes on, a lost result is told."""

from __future__ import annotations

import io
import os
import select
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, TextIO

from hedge.errors import OutputError

STDIN, STDOUT, STDERR = 0, 1, 2


class _Output(io.FileIO):
    """Standard output: what can't be written there is an error of its own."""

    def write(self, data: Any) -> int:
        """As FileIO; raises OutputError if the system refuses, BrokenPipeError if nobody reads."""
        with _lost():
            while (written := super().write(data)) is None:  # full, and set not to block
                select.select([], [self], [])
            return written


class _Messages(io.FileIO):
    """Standard error: a message that can't be written is no reason to stop the work."""

    def write(self, data: Any) -> int:
        """As FileIO, but what the system refuses is gone."""
        with suppress(OSError):
            if (written := super().write(data)) is not None:
                return written
        return len(memoryview(data))


def open_streams() -> None:
    """Make standard output and error fit to print to, whatever the caller has made of them.

    Characters that an encoding lacks become question marks. Streams that a test has put in their place are
    left alone.
    """
    _fill_closed()
    if sys.stdout is sys.__stdout__:
        sys.stdout = _text(_Output(STDOUT, "w", closefd=False), sys.stdout)
    if sys.stderr is sys.__stderr__:
        sys.stderr = _text(_Messages(STDERR, "w", closefd=False), sys.stderr)


def flush_output() -> None:
    """Write what is still buffered, so that a full disk shows now.

    Raises OutputError, or BrokenPipeError.
    """
    try:
        sys.stdout.flush()
    except (OutputError, BrokenPipeError):
        # Python flushes again at its end, where nobody could catch it.
        os.dup2(os.open(os.devnull, os.O_WRONLY), STDOUT)
        raise


def _fill_closed() -> None:
    """Take the descriptors of closed streams: the next file to be opened would get them, and messages of
    libraries would go into it."""
    for descriptor in (STDIN, STDOUT, STDERR):
        try:
            os.fstat(descriptor)
        except OSError:
            # What is printed to a closed output fails as it does elsewhere; messages just vanish.
            mode = os.O_WRONLY if descriptor == STDERR else os.O_RDONLY
            os.open(os.devnull, mode)  # the lowest one that is free


def _text(raw: io.FileIO, before: TextIO | None) -> TextIO:
    """The stream as text, with the encoding that Python found for it; UTF-8 where it was closed."""
    encoding = "utf-8" if before is None else before.encoding
    if before is not None:
        before.flush()
    buffer = io.BufferedWriter(raw)
    return io.TextIOWrapper(buffer, encoding, errors="replace", line_buffering=raw.isatty())


@contextmanager
def _lost() -> Iterator[None]:
    try:
        yield
    except BrokenPipeError:  # somebody has seen enough, which is no error
        raise
    except OSError as error:
        raise OutputError(f"standard output: can't be written: {error.strerror}") from error
