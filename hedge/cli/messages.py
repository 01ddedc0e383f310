"""Messages for people, safe to print."""

from __future__ import annotations

import sys
from collections.abc import Sequence

import typer


def error_line(text: str) -> str:
    """The one line that tells an error: names in damaged files can hold breaks and control characters.

    >>> error_line("a" + chr(10) + "b: is gone" + chr(7))
    'hedge: a b: is gone?'
    """
    joined = " ".join(text.split())
    return f"hedge: {''.join(c if c.isprintable() else '?' for c in joined)}"


def report(problems: Sequence[str]) -> None:
    """A line each on stderr, and exit code 1 if there is one."""
    for problem in problems:
        print(error_line(problem), file=sys.stderr)
    if problems:
        raise typer.Exit(1)
