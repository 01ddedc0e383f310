"""Numbers that several commands read the same way."""

from __future__ import annotations

from hedge.errors import InputError, quoted

LONGEST_TIMING_S = 3600.0


def batches_of(text: str) -> list[int]:
    """Batches separated by commas.

    Raises InputError if one is not a whole number.

    >>> batches_of("1,1024")
    [1, 1024]
    """
    try:
        return [int(part) for part in text.split(",")]
    except ValueError:
        raise InputError(
            f"batch: {quoted(text)} is not whole numbers; write for example 1,1024"
        ) from None


def timed_seconds(value: float) -> float:
    """The seconds to time a model for, if they are between 0 and an hour; else raises InputError."""
    if not 0.0 < value <= LONGEST_TIMING_S:
        raise InputError(f"seconds: {value:g} is not between 0 and {LONGEST_TIMING_S:g}")
    return value
