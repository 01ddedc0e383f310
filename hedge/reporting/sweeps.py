"""Sweeps: fronts of error against cost for each model, maps over two axes, and what failed."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import chain
from typing import Any

from hedge.reporting.axes import Axis, draw_below, draw_left, log_axis
from hedge.reporting.contents import Contents
from hedge.reporting.numbers import count, error, quantity, size
from hedge.reporting.parts import Cell, Drawing, Gallery, Part, Section, Text, table
from hedge.reporting.runs import SweepFile, label_of
from hedge.reporting.svg import (
    SHAPES,
    WIDTH,
    drawing,
    line,
    mark,
    markup,
    path,
    rectangle,
    text,
    titled,
)
from hedge.sweeping import COSTS, FIGURES, Cost, Row, best_first, cost_of, front, fronts

MOST_ROWS, MOST_DRAWINGS, MOST_PLACES = 40, 24, 12
LETTER = 5.8
LEFT, RIGHT, LEGEND_AT, STEP = 42.0, WIDTH - 10.0, 14.0, 15.0
HEIGHT, BELOW = 180.0, 32.0
NAMES: dict[Cost, str] = {
    "latency": "latency of a call",
    "bytes": "bytes of weights",
    "energy": "energy of a call",
}
UNITS: dict[Cost, str] = {"latency": "s", "bytes": "B", "energy": "J"}
SOLVED = ("model", "problem", "batch")


def sweeps(contents: Contents) -> Section | None:
    """Of every sweep the cells that are worth having, drawings of all of them, and what failed."""
    parts = [part for sweep in contents.sweeps for part in _parts(sweep)]
    return Section("sweeps", "Sweeps", tuple(parts)) if parts else None


def _parts(sweep: SweepFile) -> list[Part]:
    done = [row for row in sweep.rows if row.failed is None]
    failed = Counter(row.failed for row in sweep.rows if row.failed is not None)
    parts: list[Part] = [
        Text(
            f"{sweep.origin.label}: of {count(sweep.cells)} cells {count(len(done))} are done, "
            f"{count(failed.total())} failed."
        )
    ]
    parts += _worth_having(done)
    drawn = list(chain(_fronts(done), _maps(done)))
    if drawn:
        parts.append(Gallery(tuple(drawn[:MOST_DRAWINGS]), width=24))
    if len(drawn) > MOST_DRAWINGS:
        parts.append(Text(f"{len(drawn) - MOST_DRAWINGS} further drawings are left out."))
    if failed:
        rows = [{"reason": why, "cells": count(n)} for why, n in failed.most_common(MOST_ROWS)]
        parts.append(table("What failed", rows, ["reason"]))
    return parts


def _worth_having(rows: Sequence[Row]) -> list[Part]:
    """A table of the fronts, of the first cost that there is."""
    cost = next((cost for cost in COSTS if front(rows, cost)), None)
    if cost is None:
        return []
    kept = front(rows, cost)
    axes = _varying(rows)
    figures = [name for name in FIGURES if any(row.figures.get(name) is not None for row in kept)]
    left_out = f"; the first {MOST_ROWS} of {len(kept)}" if len(kept) > MOST_ROWS else ""
    return [
        table(
            f"What no other cell of its model and device beats in both error and {cost}{left_out}",
            [
                {name: _text(row.axes.get(name)) for name in axes}
                | {FIGURES[name].head: _figure(row, name) for name in figures}
                for row in kept[:MOST_ROWS]
            ],
            [name for name in axes if any(isinstance(row.axes.get(name), str) for row in kept)],
        )
    ]


def _figure(row: Row, name: str) -> Cell:
    value, unit = row.figures.get(name), FIGURES[name].unit
    if unit == "B":
        return size(value) if value is not None else "–"
    if unit == "error":
        return error(value)
    return quantity(value, unit) if unit in ("s", "J") else _text(value)


def _text(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.3g}"
    return "–" if value is None else label_of(str(value).rpartition("/")[2])


def _varying(rows: Sequence[Row]) -> list[str]:
    """The axes whose values differ; the first one where none does."""
    names = list(dict.fromkeys(name for row in rows for name in row.axes))
    found = [name for name in names if len({str(row.axes.get(name)) for row in rows}) > 1]
    return found or names[:1]


def _groups(rows: Sequence[Row]) -> dict[str, list[Row]]:
    """The rows of each solution: errors of others don't compare."""
    found: dict[str, list[Row]] = {}
    for row in rows:
        names = [_text(row.axes[name]) for name in SOLVED if name in row.axes]
        found.setdefault(", batch ".join(names) or "all", []).append(row)
    return found


def _fronts(rows: Sequence[Row]) -> list[Drawing]:
    return [
        _front(name, group, cost)
        for cost in COSTS
        for name, group in _groups(rows).items()
        if front(group, cost)
    ]


def _front(name: str, rows: Sequence[Row], cost: Cost) -> Drawing:
    """Every cell by cost and error; lines join those of a device that nothing beats."""
    series: dict[str, list[Row]] = {}
    for row in rows:
        series.setdefault(_text(row.axes.get("device", row.axes.get("host"))), []).append(row)
    places = {device: _places(group, cost) for device, group in series.items()}
    every = [place for found in places.values() for place in found.values()]
    top = LEGEND_AT + STEP * ((len(series) + 1) // 2) + 14
    bottom = top + HEIGHT
    across = log_axis([x for x, _ in every], LEFT + 6, RIGHT, UNITS[cost])
    up = log_axis([y for _, y in every], bottom, top, "")
    drawn = drawing(bottom + BELOW, f"{name}: error against {NAMES[cost]}")
    draw_below(drawn, across, top, bottom, f"{NAMES[cost]}, {_kind(rows, cost)}")
    draw_left(drawn, up, LEFT, RIGHT, "relative L2 error")
    for i, (device, found) in enumerate(places.items()):
        shape, kind = SHAPES[i % len(SHAPES)], f"series{i % 6}"
        x, y = LEFT + 150 * (i % 2), LEGEND_AT + STEP * (i // 2)
        mark(drawn, x, y - 3.5, shape, device, kind)
        text(drawn, x + 9, y, shortened(device, 135), "tick")
        best = chain(*fronts(series[device], cost).values())
        kept = [found[id(row)] for row in best if id(row) in found]
        corners = [(across.at(x), up.at(y)) for x, y in kept]
        if len(corners) > 1:
            path(drawn, corners, f"curve stroke{i % 6} dash{i % 6}", closed=False)
        for row in series[device]:
            if (place := found.get(id(row))) is not None:
                mark(drawn, across.at(place[0]), up.at(place[1]), shape, _told(row), kind)
    return Drawing(
        markup(drawn),
        f"{name}: every cell by its error and {NAMES[cost]}. Lines join what nothing else beats in both.",
    )


def _kind(rows: Sequence[Row], cost: Cost) -> str:
    named = cost_of(rows, cost) or COSTS[cost][-1]
    return "measured" if named.startswith("measured") else "of the file" if "file" in named else (
        "predicted" if cost != "bytes" else "as stored"
    )  # fmt: skip


def _places(rows: Sequence[Row], cost: Cost) -> dict[int, tuple[float, float]]:
    """Cost and error of the rows that have both; what is zero has no place on logarithmic axes."""
    name = cost_of(rows, cost)
    found = {}
    for row in rows:
        price = row.figures.get(name) if name is not None else None
        if price and row.error:
            found[id(row)] = (float(price), row.error)
    return found


def _told(row: Row) -> str:
    return ", ".join(f"{name} {_text(value)}" for name, value in row.axes.items())


def _maps(rows: Sequence[Row]) -> list[Drawing]:
    """Of each model the smallest cost over two axes: tolerance and device, or those with the most values."""
    values = {
        name: _in_order([row.axes.get(name) for row in rows])
        for name in _varying(rows)
        if name not in SOLVED
    }
    names = sorted(
        values, key=lambda name: (name not in ("tolerance", "device"), -len(values[name]))
    )
    names = [name for name in names if len(values[name]) > 1][:2]
    if len(names) < 2:
        return []
    # names stand at the left, where there is room for them
    across, down = sorted(names, key=lambda name: any(isinstance(v, str) for v in values[name]))
    return [
        _map(label, group, cost, {name: values[name][:MOST_PLACES] for name in (across, down)})
        for cost in COSTS
        for label, group in _groups(rows).items()
        if cost_of(group, cost) is not None
    ]


def _in_order(values: Sequence[Any]) -> list[Any]:
    """Each value once: numbers by size, others as they come."""
    found = list(dict.fromkeys(value for value in values if value.__hash__ is not None))
    numbers = all(isinstance(value, int | float) for value in found)
    return sorted(found) if numbers else found


def _map(name: str, rows: Sequence[Row], cost: Cost, axes: Mapping[str, Sequence[Any]]) -> Drawing:
    (across, columns), (down, lines) = axes.items()
    figure = cost_of(rows, cost) or ""
    best: dict[tuple[Any, Any], Row] = {}
    for row in best_first([row for row in rows if figure in row.figures], figure):
        best.setdefault((row.axes.get(across), row.axes.get(down)), row)
    costs = [float(row.figures[figure]) for row in best.values()]
    shade = log_axis(costs, 0.06, 0.9, "")
    left, top = 124.0, 22.0
    width, height = (RIGHT - left) / len(columns), 26.0
    drawn = drawing(
        top + height * len(lines) + 34, f"{name}: {NAMES[cost]} over {across} and {down}"
    )
    text(drawn, 0, 12, down, "name")
    for j, value in enumerate(lines):
        words = shortened(_text(value), left - 6)
        text(drawn, left - 6, top + height * (j + 0.62), words, "tick", "end")
        for i, other in enumerate(columns):
            if (kept := best.get((other, value))) is not None:
                _place(
                    drawn, left + width * i, top + height * j, width, height, kept, figure, shade
                )
    bottom = top + height * len(lines)
    for i, value in enumerate(columns):
        words = shortened(_text(value), width)
        text(drawn, left + width * (i + 0.5), bottom + 13, words, "tick", "middle")
    text(drawn, (left + RIGHT) / 2, bottom + 28, across, "name", "middle")
    line(drawn, left, bottom, RIGHT, bottom, "base")
    return Drawing(
        markup(drawn),
        f"{name}: the smallest {NAMES[cost]} of cells with this {across} and {down}; darker is more.",
    )


def shortened(words: str, width: float) -> str:
    """As many letters as fit.

    >>> shortened("raspberry-pi-3b-plus", 50.0)
    'raspber…'
    """
    most = max(2, int(width / LETTER))
    return words if len(words) <= most else f"{words[: most - 1]}…"


def _place(
    drawn: Any, x: float, y: float, width: float, height: float, row: Row, figure: str, shade: Axis
) -> None:
    """A place of a map with its figure: not the shade alone tells it."""
    value = float(row.figures[figure])
    rectangle(drawn, x, y, width - 1, height - 1, "dense")
    box = drawn[-1]
    box.set("fill-opacity", f"{shade.at(value):.2f}" if math.isfinite(value) else "0")
    titled(box, _told(row))
    unit = FIGURES[figure].unit
    words = size(value) if unit == "B" else quantity(value, unit)
    text(drawn, x + width / 2, y + height * 0.62, words, "tick", "middle")
