"""What commands print: tables and messages for people, one JSON document for programs."""

from __future__ import annotations

import json
import math
import re
import sys
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

from rich import box
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

from hedge.names import as_text
from hedge.progress import Progress

T = TypeVar("T")

# Piped output has no width of its own; a table should then not be folded.
PIPED_WIDTH = 200
# A longer table has no frame on a terminal either: it would take a minute.
MOST_FRAMED = 1000
# Escaped in JSON, so that it arrives in any encoding.
BEYOND_ASCII = re.compile(r"[^\x00-\x7f]+")


def _out() -> Console:
    return Console(width=None if sys.stdout.isatty() else PIPED_WIDTH, highlight=False)


def err() -> Console:
    """Standard error, for progress and warnings."""
    return Console(stderr=True, width=None if sys.stderr.isatty() else PIPED_WIDTH, highlight=False)


def print_json(document: Any) -> None:
    """One JSON document on standard output, and nothing else there."""
    text = as_text(json.dumps(document, indent=2, allow_nan=False, ensure_ascii=False))
    print(BEYOND_ASCII.sub(lambda found: json.dumps(found[0])[1:-1], text))


def say(text: str) -> None:
    """Lines on standard output, whole ones in a pipe."""
    console = _out()
    for line in text.splitlines():
        console.print(_plain(line), soft_wrap=True)


def warn(message: str) -> None:
    """A line on standard error."""
    err().print(_plain(f"hedge: warning: {message}"))


@contextmanager
def progress() -> Iterator[Progress]:
    """A function that shows what is being done: a spinner on a terminal, plain lines in a pipe."""
    console = err()
    if not console.is_terminal:
        yield lambda message: console.print(_plain(message))
        return
    with console.status("starting") as status:
        yield lambda message: status.update(_plain(message))


def print_table(
    title: str, columns: Sequence[str], rows: Sequence[Sequence[str]], prose: Collection[str] = ()
) -> None:
    """A table; the first column and those named in ``prose`` are text, the others right-aligned.

    A terminal too narrow for it folds cells and loses no digit; a pipe gets plain columns.
    """
    are_left = [position == 0 or column in prose for position, column in enumerate(columns)]
    console = _out()
    console.print(_plain(title), style="bold")  # not as the table's title, which folds to its width
    if not sys.stdout.isatty() or len(rows) > MOST_FRAMED:
        cells = [columns, *(list(map(_printable, row)) for row in rows)]
        for line in _lines(cells, are_left):
            print(line)
        return
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for column, left in zip(columns, are_left, strict=True):
        table.add_column(column, justify="left" if left else "right", overflow="fold")
    for row in rows:
        table.add_row(*map(_plain, row))
    console.print(table)


def _lines(rows: Sequence[Sequence[str]], are_left: Sequence[bool]) -> Iterator[str]:
    """Columns as wide as what is in them, each on its side; ten thousand rows take a moment."""
    widths = [max(map(cell_len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        parts = []
        for cell, width, left in zip(row, widths, are_left, strict=True):
            space = " " * (width - cell_len(cell))
            parts.append(cell + space if left else space + cell)
        yield " ".join(parts).rstrip()


def print_records(
    title: str,
    found: Sequence[T],
    columns: Mapping[str, Callable[[T], str]],
    prose: Collection[str] = (),
) -> None:
    """A table with a row for each of ``found``; columns are functions of it, by their heads."""
    print_table(
        title, list(columns), [[cell(one) for cell in columns.values()] for one in found], prose
    )


def _plain(text: str) -> Text:
    """Text as it is: names from files are no markup and have no control characters."""
    return Text(_printable(text))


def _printable(text: str) -> str:
    return text if text.isprintable() else "".join(c if c.isprintable() else "?" for c in text)


def seconds(value: float | None) -> str:
    """A duration with a unit that suits it; a dash for none.

    >>> seconds(0.00001234)
    '12.3 us'
    """
    return "-" if value is None else _with_prefix(value, "s")


def joules(value: float) -> str:
    """An energy with a unit that suits it."""
    return _with_prefix(value, "J")


def size(value: float) -> str:
    """Bytes in powers of 1024."""
    for unit, step in (("MiB", 2**20), ("KiB", 2**10)):
        if value >= step:
            return f"{_three_digits(value / step)} {unit}"
    return f"{value:.0f} B"


def _with_prefix(value: float, unit: str) -> str:
    for prefix, size in (("", 1.0), ("m", 1e-3), ("u", 1e-6)):
        if value >= size:
            return f"{_three_digits(value / size)} {prefix}{unit}"
    return f"{_three_digits(value / 1e-9)} n{unit}"


def _three_digits(value: float) -> str:
    if value <= 0:
        return "0"
    decimals = max(0, 2 - math.floor(math.log10(value)))
    return f"{value:.{min(decimals, 3)}f}"
