"""Sides of grids as users write them: 48x48."""

from __future__ import annotations

from collections.abc import Iterable

MOST_DIGITS = 9


def sides_in(text: str) -> tuple[int, ...] | None:
    """The numbers that ``text`` has between its x; None for anything else.

    >>> sides_in("48x48"), sides_in("1024"), sides_in("48 by 48")
    ((48, 48), (1024,), None)
    """
    sides = [side.strip() for side in text.lower().split("x")]
    if not all(side.isascii() and side.isdigit() and len(side) <= MOST_DIGITS for side in sides):
        return None
    return tuple(map(int, sides))


def in_words(sides: Iterable[int]) -> str:
    """The same as text.

    >>> in_words((48, 64))
    '48x64'
    """
    return "x".join(map(str, sides))
