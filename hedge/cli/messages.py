"""Messages for people, safe to print."""

from __future__ import annotations

import struct
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import typer

from hedge.errors import OtherProblemWarning, RoundingWarning, UnstableProfileWarning, first_line

MOST_CHARACTERS = 1000  # the names of two files, and some; names in damaged files have any length


def error_line(text: str) -> str:
    """The one line that tells an error: names in damaged files can hold breaks and control characters.

    One that is too long to be read loses its middle, not the file and what to do.

    >>> error_line("a" + chr(10) + "b: is gone" + chr(7))
    'hedge: a b: is gone?'
    """
    joined = " ".join(text.split())
    plain = "".join(c if c.isprintable() else "?" for c in joined)
    if len(plain) > MOST_CHARACTERS:
        plain = f"{plain[: MOST_CHARACTERS // 2]} ... {plain[-MOST_CHARACTERS // 2 :]}"
    return f"hedge: {plain}"


def missing_package(error: ImportError) -> str:
    """What to do about a package that hedge needs; raises the error again if the module is hedge's own.

    >>> missing_package(ModuleNotFoundError("No module named 'onnxruntime'", name="onnxruntime"))[:63]
    "onnxruntime can't be imported by this 64-bit Python (No module "
    """
    name = (error.name or "").partition(".")[0]
    if name in ("", "hedge"):
        raise error
    bits = 8 * struct.calcsize("P")
    way = (
        "install hedge again, in an environment of its own (python3 -m venv)"
        if bits == 64
        else "onnxruntime is made for 64-bit systems only: take one"
    )
    return f"{name} can't be imported by this {bits}-bit Python ({first_line(error)}); {way}"


@contextmanager
def warnings_as_lines() -> Iterator[None]:
    """Print hedge's own warnings as one line on stderr each, others as Python does."""
    with warnings.catch_warnings():
        usual = warnings.showwarning

        def show(message: Warning | str, category: type[Warning], *place: Any) -> None:
            if issubclass(category, OtherProblemWarning | UnstableProfileWarning | RoundingWarning):
                print(error_line(f"warning: {message}"), file=sys.stderr)
            else:
                usual(message, category, *place)

        warnings.showwarning = show  # type: ignore[assignment]
        yield


def report(problems: Sequence[str]) -> None:
    """A line each on stderr, and exit code 1 if there is one."""
    for problem in problems:
        print(error_line(problem), file=sys.stderr)
    if problems:
        raise typer.Exit(1)
