"""Axes of drawings: where a value lies, and which values are marked."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from xml.etree.ElementTree import Element

from matplotlib.ticker import LogLocator, MaxNLocator

from hedge.reporting.numbers import MINUS, plain, round_quantity
from hedge.reporting.svg import line, text

LEAST_TICKS = 3
LEAST, LARGEST = 1e-30, 1e30  # no time, count or error is beyond


@dataclass(frozen=True)
class Axis:
    """Values from low to high on coordinates from start to stop; in ``unit``, logarithmic or not."""

    low: float
    high: float
    start: float
    stop: float
    unit: str
    logarithmic: bool

    def at(self, value: float) -> float:
        """The coordinate of a value; one outside lies on the edge."""
        low, high = self._scaled(self.low), self._scaled(self.high)
        part = (self._scaled(value) - low) / (high - low)
        return self.start + min(max(part, 0.0), 1.0) * (self.stop - self.start)

    def ticks(self) -> list[float]:
        """Round values between the ends, three to seven of them where there are so many."""
        linear = MaxNLocator(nbins=4, steps=[1, 2, 5, 10]).tick_values(self.low, self.high)
        if not self.logarithmic:
            return self._inside(linear)
        decades = self._inside(LogLocator(numticks=7).tick_values(self.low, self.high))
        if len(decades) >= LEAST_TICKS:
            return decades
        finer = self._inside(LogLocator(subs=(1.0, 2.0, 5.0)).tick_values(self.low, self.high))
        return finer if len(finer) >= LEAST_TICKS else self._inside(linear)

    def label(self, tick: float) -> str:
        """A tick in words."""
        if self.unit:
            return round_quantity(tick, self.unit)
        return _power(tick) if self.logarithmic else plain(tick)

    def _inside(self, ticks: Iterable[float]) -> list[float]:
        return [float(tick) for tick in ticks if self.low <= tick <= self.high]

    def _scaled(self, value: float) -> float:
        return math.log10(max(value, 1e-300)) if self.logarithmic else value


def log_axis(values: Iterable[float], start: float, stop: float, unit: str) -> Axis:
    """A logarithmic axis around all positive values, with a margin of 8 %."""
    found = [min(max(value, LEAST), LARGEST) for value in values if value > 0.0] or [1.0]
    low, high = min(found), max(found)
    margin = max(high / low, 1.5) ** 0.08
    return Axis(low / margin, high * margin, start, stop, unit, logarithmic=True)


def draw_below(parent: Element, axis: Axis, top: float, bottom: float, name: str = "") -> None:
    """Ticks of a horizontal axis: fine lines from top to bottom, values below, then its name."""
    for tick in axis.ticks():
        x = axis.at(tick)
        line(parent, x, top, x, bottom, "grid")
        text(parent, x, bottom + 13, axis.label(tick), "tick", "middle")
    if name:
        text(parent, (axis.start + axis.stop) / 2, bottom + 27, name, "name", "middle")


def draw_left(parent: Element, axis: Axis, left: float, right: float, name: str = "") -> None:
    """Ticks of a vertical axis: fine lines from left to right, values at their left, its name above."""
    for tick in axis.ticks():
        y = axis.at(tick)
        line(parent, left, y, right, y, "grid")
        text(parent, left - 5, y + 3.5, axis.label(tick), "tick", "end")
    if name:
        text(parent, 0, min(axis.start, axis.stop) - 9, name, "name")


def _power(value: float) -> str:
    """A small multiple of a power of ten, and whole numbers as they are.

    >>> _power(1e-3), _power(0.05), _power(2000.0)
    ('1e−3', '5e−2', '2,000')
    """
    if value >= 1.0:
        return f"{value:,.0f}"
    exponent = math.floor(math.log10(value) + 1e-9)
    return f"{value / 10.0**exponent:g}e{exponent}".replace("-", MINUS)
