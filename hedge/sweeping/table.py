"""Cells as rows: what their figures are, best first, and which no other beats in error and cost."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from typing import Any, Literal

from hedge.errors import InputError, quoted, suggestion
from hedge.sweeping.store import Record, Store

Unit = Literal["error", "count", "B", "s", "J", "times"]
Cost = Literal["latency", "bytes", "energy"]


@dataclass(frozen=True)
class Figure:
    """A figure of a row: how a table calls it, its unit, and whether more of it is better."""

    head: str
    unit: Unit
    more_is_better: bool = False


FIGURES: dict[str, Figure] = {
    "train_error": Figure("error trained", "error"),
    "error": Figure("error", "error"),
    "proved_error": Figure("proved", "error"),
    "proved_to_solution": Figure("to solution", "error"),
    "parameters": Figure("parameters", "count"),
    "bytes": Figure("bytes", "B"),
    "file_bytes": Figure("file", "B"),
    "predicted_s": Figure("predicted", "s"),
    "measured_s": Figure("measured", "s"),
    "speedup": Figure("faster", "times", more_is_better=True),
    "energy_j": Figure("energy", "J"),
    "measured_j": Figure("energy measured", "J"),
}
"""Those of tables; the others are in Parquet and JSON."""

# What is measured counts before what is predicted; the error is that of the compression, if there is one.
ERRORS = ("error", "train_error")
COSTS: dict[Cost, tuple[str, ...]] = {
    "latency": ("measured_s", "predicted_s"),
    "bytes": ("bytes", "file_bytes"),
    "energy": ("measured_j", "energy_j"),
}
# Errors of different solutions don't compare, nor do costs on different devices.
APART = ("device", "host", "model", "problem", "batch")


@dataclass(frozen=True)
class Row:
    """A cell, or a measurement: values of its axes, its figures and times, and why it failed if it did."""

    axes: Mapping[str, Any]
    figures: Mapping[str, Any]
    failed: str | None = None
    key: str = ""

    def value(self, name: str) -> Any:
        """That of an axis or a figure; None where there is none."""
        return self.axes.get(name, self.figures.get(name))

    def first_of(self, names: Iterable[str]) -> float | None:
        """The first of some figures that it has."""
        found = (self.figures.get(name) for name in names)
        return next((float(value) for value in found if value is not None), None)

    @property
    def error(self) -> float | None:
        """That of the compression, else that of the training; None where neither is known."""
        return self.first_of(ERRORS)

    def as_document(self) -> dict[str, Any]:
        """For JSON."""
        return {"cell": self.key, **self.axes, **self.figures, "failed": self.failed}


def row_of(record: Record) -> Row:
    """A cell's record as a row; of what tables show, numbers only."""
    figures = {
        name: value
        for name, value in {**record.figures, **record.timed}.items()
        if name not in FIGURES or _is_number(value)
    }
    return Row(record.axes, figures, record.failed, record.key)


def _is_number(value: Any) -> bool:
    return type(value) in (int, float) and isfinite(value)


def rows_of(store: Store) -> tuple[list[Row], int]:
    """The rows of all cells of a sweep that are done or failed, in its order, and how many cells it has.

    Raises InputError if its folder is none of a sweep, or damaged.
    """
    order = {key: place for place, key in enumerate(store.document()["keys"])}
    records = [record for record in store.records() if record.key in order]
    records.sort(key=lambda record: order[record.key])
    return [row_of(record) for record in records], len(order)


def columns_of(rows: Sequence[Row]) -> list[str]:
    """The names of all axes and figures, in the order in which rows have them."""
    return list(dict.fromkeys(name for row in rows for name in (*row.axes, *row.figures)))


def best_first(rows: Sequence[Row], by: str) -> list[Row]:
    """The rows in the order of a figure or an axis; those without it are last.

    Raises InputError for one that no row has.

    >>> rows = [Row({"seed": 0}, {"error": 0.2}), Row({"seed": 1}, {"error": 0.1})]
    >>> [row.axes["seed"] for row in best_first(rows, "error")]
    [1, 0]
    """
    known = columns_of(rows)
    if by not in known:
        way = suggestion(by, known, f"take {' or '.join(known)}")
        raise InputError(f"by: no cell has {quoted(by)}; {way}")
    having = [row for row in rows if row.value(by) is not None]
    others = [row for row in rows if row.value(by) is None]
    numbers = all(isinstance(row.value(by), int | float) for row in having)
    figure = FIGURES.get(by)
    downwards = by.startswith("speedup") or (figure is not None and figure.more_is_better)
    having.sort(key=lambda row: row.value(by) if numbers else str(row.value(by)), reverse=downwards)
    return having + others


def front(rows: Sequence[Row], cost: Cost) -> list[Row]:
    """Of each device and model the rows that no other one beats in both error and cost, cheapest first.

    >>> rows = [Row({"seed": i}, {"error": e, "bytes": b})
    ...     for i, (e, b) in enumerate([(0.1, 10), (0.2, 10), (0.05, 20)])]
    >>> [row.axes["seed"] for row in front(rows, "bytes")]
    [0, 2]
    """
    return [row for group in fronts(rows, cost).values() for row in group]


def fronts(rows: Sequence[Row], cost: Cost) -> dict[tuple[Any, ...], list[Row]]:
    """The same by device and model, as their axes have them."""
    groups: dict[tuple[Any, ...], list[Row]] = defaultdict(list)
    for row in rows:
        if row.failed is None:
            groups[tuple(row.axes.get(name) for name in APART)].append(row)
    return {apart: _front(group, cost) for apart, group in groups.items()}


def _front(rows: Sequence[Row], cost: Cost) -> list[Row]:
    name = cost_of(rows, cost)
    points = [
        (float(row.figures[name]), error, row)
        for row in rows
        if name is not None and (error := row.error) is not None
    ]
    kept: list[Row] = []
    lowest = float("inf")
    for _, error, row in sorted(points, key=lambda point: point[:2]):
        if error < lowest:
            kept.append(row)
            lowest = error
    return kept


def cost_of(rows: Sequence[Row], cost: Cost) -> str | None:
    """The figure that all of the rows have of a cost: what was measured, else what is predicted."""
    having = (
        name for name in COSTS[cost] if all(row.figures.get(name) is not None for row in rows)
    )
    return next(having, None)
