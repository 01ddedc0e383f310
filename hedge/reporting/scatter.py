"""Drawings of costs against errors, both logarithmic, with the tolerance as a line."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from xml.etree.ElementTree import Element

from hedge.reporting.axes import draw_below, draw_left, log_axis
from hedge.reporting.marks import SHAPES, mark
from hedge.reporting.parts import Drawing
from hedge.reporting.svg import WIDTH, add_shape, drawing, line, markup, text, titled

LEFT, RIGHT, TOP, BOTTOM = 42.0, WIDTH - 10.0, 46.0, 226.0
LEGEND_AT, LETTER = LEFT + 90.0, 6.2


@dataclass(frozen=True)
class Point:
    """Something with a cost and an error; ``words`` stand beside it, a pointer shows ``title``."""

    cost: float
    error: float
    title: str
    words: str = ""


@dataclass(frozen=True)
class CostAxis:
    """What the horizontal axis shows; unit is empty for a count."""

    name: str
    unit: str = ""


def scatter(
    series: Mapping[str, Sequence[Point]],
    chosen: Point | None,
    tolerance: float,
    cost: CostAxis,
    caption: str,
) -> Drawing:
    """The points of every series, each with a shape of its own, and a ring around the chosen one.

    Points without a cost or an error have no place on logarithmic axes and are left out.
    """
    points = {
        name: [p for p in found if min(p.cost, p.error) > 0] for name, found in series.items()
    }
    every = [p for found in points.values() for p in found] + ([chosen] if chosen else [])
    across = log_axis([p.cost for p in every] or [1.0], LEFT + 6, RIGHT, cost.unit)
    up = log_axis([tolerance, *(p.error for p in every)], BOTTOM, TOP, "")
    drawn = drawing(BOTTOM + 32, caption)
    draw_below(drawn, across, TOP, BOTTOM, cost.name)
    draw_left(drawn, up, LEFT, RIGHT, "relative L2 error")
    y = up.at(tolerance)
    line(drawn, LEFT, y, RIGHT, y, "tolerance")
    text(drawn, RIGHT, y - 4, f"tolerance {tolerance:g}", "tick", "end")
    x = LEGEND_AT
    for i, (name, found) in enumerate(points.items()):
        shape, kind = SHAPES[i % len(SHAPES)], f"series{i % 6}"
        mark(drawn, x, TOP - 33, shape, name, kind)
        text(drawn, x + 9, TOP - 29.5, name, "tick")
        x += 26 + LETTER * len(name)
        for p in found:
            mark(drawn, across.at(p.cost), up.at(p.error), shape, p.title, kind)
            if p.words:
                text(drawn, across.at(p.cost) + 7, up.at(p.error) - 4, p.words, "tick")
    if chosen is not None:
        _ring(drawn, across.at(chosen.cost), up.at(chosen.error), chosen)
    return Drawing(markup(drawn), caption)


def _ring(parent: Element, x: float, y: float, chosen: Point) -> None:
    titled(add_shape(parent, "circle", "ring", cx=x, cy=y, r=8.0), chosen.title)
    text(parent, x, y + 20, chosen.words, "row", "middle")
