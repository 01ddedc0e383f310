"""Telling what is being done, for whoever waits."""

from __future__ import annotations

from collections.abc import Callable

Progress = Callable[[str], None]


def silent(message: str) -> None:
    """Progress that nobody looks at."""
