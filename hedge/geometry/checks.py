"""What the numbers and names of shapes must be."""

from __future__ import annotations

import re
from collections.abc import Sequence
from math import isfinite

from hedge.errors import InputError, quoted
from hedge.geometry.sides import Point

BOUNDARY = "boundary"
"""The name of all of a boundary."""
LARGEST_COORDINATE = 1e9
NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*")


def checked_point(what: str, point: Sequence[float], dimensions: tuple[int, ...]) -> Point:
    """The coordinates as floats. Raises InputError for too few, too many, or ones that are none."""
    try:
        found = tuple(float(each) for each in point)
    except (TypeError, ValueError):
        found = ()
    if len(found) not in dimensions:
        needed = " or ".join(str(each) for each in dimensions)
        raise InputError(f"shape: {what} {quoted(point)} is no point; give {needed} numbers")
    for each in found:
        if not (isfinite(each) and abs(each) <= LARGEST_COORDINATE):
            raise InputError(
                f"shape: {what} has the coordinate {each:g}; give one within {LARGEST_COORDINATE:g}"
            )
    return found


def checked_length(what: str, length: float) -> float:
    """As a float. Raises InputError unless it is positive and finite."""
    try:
        found = float(length)
    except (TypeError, ValueError):
        found = 0.0
    if not 1e-9 <= found <= LARGEST_COORDINATE:
        raise InputError(f"shape: {what} is {length!s:.60}; give one from 1e-9 to 1e9")
    return found


def check_name(name: object) -> None:
    """Raise InputError for what can't be the name of a piece."""
    if not isinstance(name, str) or not NAME.fullmatch(name) or len(name) > 60:
        raise InputError(
            f"shape: piece {quoted(str(name)[:60])} is no name; write letters, digits and _, a letter first"
        )
    if name == BOUNDARY:
        raise InputError(
            f"shape: a piece is called {BOUNDARY}, as all of them are; call it otherwise"
        )


def written(point: Sequence[float]) -> str:
    """Every digit of its coordinates: they are read back.

    >>> written((0.0, 0.1))
    '0 0.1'
    """
    return " ".join(repr(float(each)).removesuffix(".0") for each in point)
