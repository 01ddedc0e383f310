"""What a process for another machine says, while it gives signs of life, and no more than fits."""

from __future__ import annotations

import os
import selectors
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from subprocess import PIPE
from typing import IO

Clock = Callable[[], float]
Process = subprocess.Popen[bytes]

LOOK_S = 0.5  # between two looks at the clock
CHUNK, TAIL = 2**16, 2**16


@dataclass(frozen=True)
class AnswerLimits:
    """Seconds until the first sign of life, between later ones, and for all; bytes that may be said."""

    whole_s: float
    first_s: float = 30.0
    silence_s: float = 120.0
    most_bytes: int = 64 * 2**20


@dataclass(frozen=True)
class Answer:
    """What was said to the end: all of standard output, the last of standard error, the exit code."""

    output: bytes
    said: bytes
    code: int


class GivenUpError(Exception):
    """A limit was passed; the message says which."""


class Patience:
    """Whether to go on listening; ``heard`` is told of every byte."""

    def __init__(self, limits: AnswerLimits, clock: Clock = time.monotonic) -> None:
        self._limits, self._clock = limits, clock
        self._started = self._last = clock()
        self._bytes = 0

    def heard(self, count: int) -> None:
        """Note a sign of life; raises GivenUpError if there are too many bytes of them."""
        self._last = self._clock()
        self._bytes += count
        if self._bytes > self._limits.most_bytes:
            raise GivenUpError(
                f"said more than {self._limits.most_bytes} bytes, far more than a result has; does its "
                "shell print without end?"
            )

    def check(self) -> None:
        """Raise GivenUpError if it was silent for too long, or takes too long."""
        now, limits = self._clock(), self._limits
        if not self._bytes and now - self._started > limits.first_s:
            raise GivenUpError(
                f"gave no sign of life in {limits.first_s:g} s; check that it runs a command over ssh"
            )
        if self._bytes and now - self._last > limits.silence_s:
            raise GivenUpError(f"has been silent for {limits.silence_s:g} s; is it still running?")
        if now - self._started > limits.whole_s:
            raise GivenUpError(
                f"was not done after {limits.whole_s:g} s; ask for fewer models, batches or seconds"
            )


def listen(process: Process, given: bytes, limits: AnswerLimits) -> Answer:
    """Give ``given`` to a process with three pipes and hear it out; its input stays open till the end.

    Raises GivenUpError, and kills the process, if it passes one of the limits.
    """
    try:
        output, said = _heard(process, memoryview(given), Patience(limits))
        return Answer(output, said, process.wait(limits.silence_s))
    except subprocess.TimeoutExpired:
        raise GivenUpError("closed its output and did not end") from None
    finally:
        process.kill()  # nothing where it has ended
        process.wait()
        for pipe in (process.stdin, process.stdout, process.stderr):
            if pipe is not None:
                with suppress(BrokenPipeError):
                    pipe.close()


def _heard(process: Process, rest: memoryview, patience: Patience) -> tuple[bytes, bytes]:
    """Standard output, and the tail of standard error."""
    source, output, said = _pipes(process)
    heard = {output: bytearray(), said: bytearray()}
    with selectors.DefaultSelector() as waiting:
        for pipe in heard:
            waiting.register(pipe, selectors.EVENT_READ)
        waiting.register(source, selectors.EVENT_WRITE)
        while heard.keys() & {key.fileobj for key in waiting.get_map().values()}:
            ready = waiting.select(LOOK_S)
            if not ready and process.poll() is not None:
                break  # a child of its own may hold the pipes open
            for key, _ in ready:
                if key.fileobj is source:
                    rest = rest[_written(source, rest) :]
                    if not rest:
                        waiting.unregister(source)
                    continue
                part = os.read(key.fd, CHUNK)
                if not part:
                    waiting.unregister(key.fileobj)
                patience.heard(len(part))
                heard[key.fileobj] += part  # type: ignore[index]
                del heard[said][:-TAIL]
            patience.check()
    return bytes(heard[output]), bytes(heard[said])


def _pipes(process: Process) -> tuple[IO[bytes], IO[bytes], IO[bytes]]:
    assert process.stdin is not None
    assert process.stdout is not None
    assert process.stderr is not None
    os.set_blocking(process.stdin.fileno(), False)
    return process.stdin, process.stdout, process.stderr


def _written(pipe: IO[bytes], rest: memoryview) -> int:
    """How many bytes went; all of them where nobody reads any more, since what was said tells why."""
    try:
        return os.write(pipe.fileno(), rest[:CHUNK])
    except BlockingIOError:
        return 0
    except BrokenPipeError:
        return len(rest)


def start(command: list[str]) -> Process:
    """The command with a pipe for each of its streams; raises OSError if there is none."""
    return subprocess.Popen(command, stdin=PIPE, stdout=PIPE, stderr=PIPE, bufsize=0)
