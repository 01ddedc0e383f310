"""Cells of a sweep as a table for people."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from hedge.cli.console import joules, print_json, print_table, say, seconds, size, warn
from hedge.sweeping import FIGURES, Row, Store, Sweep
from hedge.sweeping.table import Unit

UNKNOWN = "–"
FORMATS: dict[Unit, Callable[[Any], str]] = {
    "error": lambda value: f"{value:.2e}",
    "count": str,
    "B": size,
    "s": seconds,
    "J": joules,
    "times": lambda value: f"{value:.3g}",
}


def print_rows(name: str, rows: Sequence[Row], cells: int) -> None:
    """A row for each cell; axes of one value are told once, those that failed below with their reasons."""
    done = [row for row in rows if row.failed is None]
    varying, told = _axes(rows)
    figures = [name for name in FIGURES if any(row.figures.get(name) is not None for row in done)]
    title = f"{name}: {len(rows)} of {cells} cells" + (f"; {told}" if told else "")
    print_table(
        title,
        [*varying, *(FIGURES[name].head for name in figures)],
        [[*_values(row, varying), *(_cell(row, name) for name in figures)] for row in done],
        prose=_of_text(rows, varying),
    )
    for row in rows:
        if row.failed is not None:
            say(f"{' '.join(_values(row, varying)) or row.key}: failed: {row.failed}")
    warn_of_unstable(rows)


def warn_of_unstable(rows: Sequence[Row]) -> None:
    """One line on times that are not to be trusted; which they are stands with each cell in JSON."""
    reasons = [
        value
        for row in rows
        for name, value in row.figures.items()
        if name.startswith("unstable") and value is not None
    ]
    if reasons:
        warn(f"{len(reasons)} measured time(s) are unstable, as one where {reasons[0]}; see --json")


def print_plan_of(sweep: Sweep, out: Path | None, *, json: bool) -> None:
    """The cells of a sweep, and what of each is there: a stage that it shares with others is named once."""
    plan = sweep.plan
    there, cells = _there(out)
    states = [
        "there" if cell.key in cells else _lacking([task.name for task in cell.tasks], there)
        for cell in plan.cells
    ]
    tasks = {task.name for cell in plan.cells for task in cell.tasks}
    if json:
        found = [
            {"cell": cell.key, **cell.axes, "state": state}
            for cell, state in zip(plan.cells, states, strict=True)
        ]
        print_json({"stages": list(plan.stages), "tasks": len(tasks), "cells": found})
        return
    rows = [Row(cell.axes, {}, None, cell.key) for cell in plan.cells]
    varying, told = _axes(rows)
    print_table(
        f"{sweep.source}: {len(rows)} cells of {' > '.join(plan.stages)}"
        + (f"; {told}" if told else ""),
        [*varying, "state"],
        [[*_values(row, varying), state] for row, state in zip(rows, states, strict=True)],
        prose=[*_of_text(rows, varying), "state"],
    )
    left, known = len(tasks - there), len(cells & {cell.key for cell in plan.cells})
    say(f"{known} cells are there; {left} of {len(tasks)} tasks to do")


def _there(out: Path | None) -> tuple[set[str], set[str]]:
    """The tasks and cells that a folder has, if it is there."""
    if out is None or not out.exists():
        return set(), set()
    store = Store(out)
    store.document()
    return store.tasks_there(), store.cells_there()


def _lacking(tasks: Sequence[str], there: set[str]) -> str:
    stages = [name.partition("-")[0] for name in tasks if name not in there]
    return f"to do: {', '.join(stages)}" if stages else "to write"


def _axes(rows: Sequence[Row]) -> tuple[list[str], str]:
    """The axes whose values differ, and the others with theirs in words."""
    names = list(dict.fromkeys(name for row in rows for name in row.axes))
    values = {name: {str(row.axes.get(name)) for row in rows} for name in names}
    varying = [name for name in names if len(values[name]) > 1]
    told = [f"{name} {_text(rows[0].axes[name])}" for name in names if name not in varying]
    return varying, ", ".join(told)


def _of_text(rows: Sequence[Row], names: Sequence[str]) -> list[str]:
    return [name for name in names if any(isinstance(row.axes.get(name), str) for row in rows)]


def _values(row: Row, names: Sequence[str]) -> list[str]:
    return [_text(row.axes.get(name)) for name in names]


def _text(value: Any) -> str:
    """Of a file its name."""
    if value is None:
        return UNKNOWN
    if isinstance(value, float):
        return f"{value:g}"
    return Path(value).name if isinstance(value, str) else str(value)


def _cell(row: Row, name: str) -> str:
    value = row.figures.get(name)
    return UNKNOWN if value is None else FORMATS[FIGURES[name].unit](value)
