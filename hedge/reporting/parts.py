"""What a section of the page is made of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal


@dataclass(frozen=True)
class Text:
    """A paragraph, lines of a shell, or a warning."""

    text: str
    kind: Literal["text", "code", "warning"] = "text"


@dataclass(frozen=True)
class Bar:
    """A cell that shows a part of the whole, in [0, 1], as a bar beside its text."""

    part: float
    text: str


Cell = str | Bar


@dataclass(frozen=True)
class CellTable:
    """Rows whose first cell names them; columns of ``prose`` are text, the others numbers."""

    caption: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    prose: frozenset[str] = frozenset()
    kind: ClassVar = "table"


@dataclass(frozen=True)
class Drawing:
    """A drawing (markup of one svg element, with its alternative text) and what it shows."""

    svg: str
    caption: str


@dataclass(frozen=True)
class Gallery:
    """Figures side by side where the page is wide enough, each at least ``width`` rem wide."""

    figures: tuple[Drawing, ...]
    width: int
    kind: ClassVar = "gallery"


Part = Text | CellTable | Gallery


@dataclass(frozen=True)
class Section:
    """A heading and what stands below it; ``key`` is its anchor."""

    key: str
    title: str
    parts: tuple[Part, ...]


def table(caption: str, rows: Sequence[Mapping[str, Cell]], prose: Sequence[str] = ()) -> CellTable:
    """A table of rows, each with its cells by column."""
    cells = tuple(tuple(row.values()) for row in rows)
    return CellTable(caption, tuple(rows[0]) if rows else (), cells, frozenset(prose))
