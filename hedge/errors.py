"""What hedge raises: one line that names the thing and says what to do."""

from __future__ import annotations

import reprlib
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from difflib import get_close_matches
from itertools import chain
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")
SHORT = reprlib.Repr()
SHORT.maxstring = SHORT.maxlong = SHORT.maxother = 80


class HedgeError(Exception):
    """Base of every error a user can cause; the command line prints it and exits with 1."""


class ModelError(HedgeError):
    """A model file is missing, damaged, unsafe or of a kind hedge can't work on."""


class ProfileError(HedgeError):
    """A device profile is missing or one of its figures is wrong."""


class InputError(HedgeError):
    """An argument is out of its range, or two arguments contradict each other."""


class RoomError(InputError):
    """What is exported takes more flash or RAM than it may: so much, and so many bytes too many."""

    def __init__(self, taken: str, excess: int, advice: str) -> None:
        super().__init__(taken, excess, advice)
        self.taken, self.excess, self.advice = taken, excess, advice

    def __str__(
        self,
    ) -> str:  # args stay those of __init__, by which processes send it to each other
        return f"{self.taken}; {self.advice}"


class OutputError(HedgeError):
    """A result can't be written."""


class MeterError(HedgeError):
    """Energy can't be measured: no meter, no permission, or it stopped."""


class RemoteError(HedgeError):
    """Another machine can't be reached, lacks hedge, or its hedge failed."""


class ToleranceError(HedgeError):
    """The tolerance asked for can't be met; the message says what was reached."""


class UnstableProfileWarning(UserWarning):
    """Predictions come from a device profile that did not pass its check."""


class OtherProblemWarning(UserWarning):
    """A model is held against another problem than the one that it says it solves."""


class RoundingWarning(UserWarning):
    """A model in double precision is worked on in float32; the message says what that changes."""


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Put the file's name before the message of any ModelError raised inside."""
    try:
        yield
    except ModelError as error:
        if str(error).startswith(str(path)):
            raise
        raise ModelError(f"{path}: {error}") from error


@contextmanager
def read_again() -> Iterator[None]:
    """What would be refused when it is read again is not written: an OutputError in place of a ModelError."""
    try:
        yield
    except ModelError as error:
        raise OutputError(
            f"nothing is written, for hedge could not read it again ({error}): a fault of hedge, "
            "please report it"
        ) from error


def first_line(error: BaseException) -> str:
    """What another library's exception says, without its further lines."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def quoted(value: object) -> str:
    """A name or value from elsewhere for a message, cut where it is long.

    >>> quoted("x" * 100)
    "'xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx...xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx'"
    """
    return SHORT.repr(value)


def once(*entries: Iterable[tuple[str, T]]) -> dict[str, T]:
    """A table of entries (key, value); raises ValueError if one key has two, of which the last would win."""
    pairs = list(chain(*entries))
    found = dict(pairs)
    if len(found) < len(pairs):
        counts = Counter(key for key, _ in pairs)
        raise ValueError(f"key {quoted(counts.most_common(1)[0][0])} stands more than once")
    return found


def suggestion(name: str, known: Iterable[str], otherwise: str) -> str:
    """What to take for a misspelt name, of long lists at most three; ``otherwise`` where none is like it.

    >>> suggestion("heet", ["heat", "heat-5d", "wave"], "hedge problems lists all")
    'take heat or heat-5d'
    """
    near = get_close_matches(name, list(known), n=3, cutoff=0.5)
    return f"take {' or '.join(near)}" if near else otherwise
