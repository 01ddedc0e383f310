"""The file of a checkpoint, whatever is trained: a JSON header and tensors, with a digest of both."""

from __future__ import annotations

import hashlib
import json
import math
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Generic, TypeVar

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from hedge.errors import InputError, ModelError
from hedge.files import OwnFile, require_file

S = TypeVar("S")
R = TypeVar("R")

VERSION = 8
# A killed run loses no more seconds, unless writing so often took more than a fiftieth of the time.
INTERVAL_S, TIMES_WRITING = 10.0, 50.0
MOST = 2**53  # of anything that is counted; beyond, float64 skips whole numbers


def file_bytes(
    identity: Mapping[str, object], header: Mapping[str, object], tensors: Mapping[str, Tensor]
) -> bytes:
    """A checkpoint of the run that is told from others by ``identity``."""
    text = json.dumps({"run": {"version": VERSION, **identity}, **header})
    data: bytes = save(dict(tensors), {"hedge": text, "sha256": digest(text, tensors)})
    return data


def digest(header: str, tensors: Mapping[str, Tensor]) -> str:
    """SHA-256, in hexadecimal, of a header's text and its tensors."""
    found = hashlib.sha256(header.encode())
    for key in sorted(tensors):
        found.update(key.encode())
        found.update(np.ascontiguousarray(tensors[key].cpu().numpy()).tobytes())
    return found.hexdigest()


def read_file(
    path: Path,
    identity: Mapping[str, object],
    read: Callable[[Any, Mapping[str, Tensor]], S],
) -> S:
    """What ``read`` makes of header and tensors.

    Raises ModelError if there is no checkpoint, it is damaged, belongs to another run, or ``read`` finds a
    fault in it.
    """
    with opened(path) as (file, header):
        found = {key: header["run"].get(key) for key in identity}
        if found != dict(identity):
            differs = ", ".join(f"{k} {found[k]!s:.60}" for k in found if found[k] != identity[k])
            raise ModelError(f"{path}: is of another run, with {differs}; use that again")
        # Copies, since those of the file lie anywhere in memory and products round by alignment.
        tensors = {key: file.get_tensor(key).clone() for key in file.keys()}  # noqa: SIM118
        metadata = file.metadata()
        if digest(metadata["hedge"], tensors) != metadata["sha256"]:
            raise ValueError("the file is not as it was written")
        return read(header, tensors)


@contextmanager
def opened(path: Path) -> Iterator[tuple[Any, Any]]:
    """The file and header of a checkpoint; what is wrong with it is a ModelError, here and in the body."""
    try:
        require_file(path)
    except InputError as error:
        raise ModelError(f"{path}: there is no checkpoint to resume; leave out --resume") from error
    try:
        with safe_open(path, framework="pt") as file:
            header = json.loads(file.metadata()["hedge"])
            if header["run"]["version"] != VERSION:
                raise ModelError(
                    f"{path}: is of another version of hedge; delete it and start anew"
                )
            yield file, header
    except (
        SafetensorError,
        InputError,
        RecursionError,
        KeyError,
        ValueError,
        TypeError,
        RuntimeError,
        AttributeError,
        OverflowError,
        OSError,
    ) as error:
        raise ModelError(f"{path}: is no checkpoint of hedge; delete it and start anew") from error


def count_in(value: object) -> int:
    """A whole number from 0 on; raises ValueError for anything else in a header."""
    if type(value) is not int or not 0 <= value <= MOST:
        raise ValueError(value)
    return value


def figure_in(value: Any) -> float:
    """A number from 0 to infinity, which is a loss before the first cycle; else raises ValueError."""
    figure = float(value)
    if not figure >= 0.0:
        raise ValueError(value)
    return figure


def amount_in(value: Any) -> float:
    """A number that can be printed, and written as JSON; else raises ValueError."""
    amount = figure_in(value)
    if amount > MOST:
        raise ValueError(value)
    return amount


class Checkpointer(Generic[S, R]):
    """Writes a run's checkpoint after the first cycle, then every few seconds, and when asked to.

    as_bytes is what is written of a state; the clock gives seconds.
    """

    def __init__(
        self,
        file: OwnFile,
        as_bytes: Callable[[S], bytes],
        on_cycle: Callable[[S, R], None] | None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._file, self._as_bytes, self._on_cycle, self._clock = file, as_bytes, on_cycle, clock
        self._due = -math.inf
        self._state: S | None = None

    def __call__(self, state: S, record: R) -> None:
        """To be called after every cycle; passes it on to ``on_cycle``."""
        self._state = state
        if self._clock() >= self._due:
            self.write()
        if self._on_cycle is not None:
            self._on_cycle(state, record)

    def write(self) -> None:
        """Write the state of the last full cycle, if there is one.

        Raises OutputError if another process has written the file meanwhile, or the system refuses.
        """
        if self._state is not None:
            started = self._clock()
            self._file.write(self._as_bytes(self._state))
            now = self._clock()
            self._due = now + max(INTERVAL_S, TIMES_WRITING * (now - started))

    def remove(self) -> None:
        """Remove the file, which nobody needs any more."""
        self._file.remove()
