"""What boundaries are made of: segments and arcs in the plane, spheres and flat faces in space.

Each has a name, a ``measure`` (its length or area), and places ``at`` numbers of the unit interval or
square, where they are spread evenly. ``level`` is a function that is zero on the whole line, circle, sphere
or plane, with a derivative of 1 across it, and positive on the side that the shape lies on.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import cos, dist, gamma, hypot, pi, prod, sin
from typing import Any

import numpy as np
from scipy.special import betaincinv

from hedge.arrays import Array
from hedge.geometry.rfunctions import Field, Roots, conjunction, trimmed

Point = tuple[float, ...]
# An arc that lacks less of a whole turn is a circle.
_WHOLE = 2.0 * pi - 1e-9
# On arcs so many points tell on which side of a line or a circle they lie.
_SEEN_ON_ARC = 1025


@dataclass(frozen=True)
class Segment:
    """From start to end, with the shape to its left."""

    name: str
    start: Point
    end: Point

    @property
    def measure(self) -> float:
        """Its length."""
        return dist(self.start, self.end)

    @property
    def normal(self) -> Point:
        """The outward unit normal."""
        (a, b), (c, d) = self.start, self.end
        length = hypot(c - a, d - b)
        return (d - b) / length, (a - c) / length

    @property
    def flux(self) -> float:
        """The integral of x · n over it."""
        return self.measure * sum(n * x for n, x in zip(self.normal, self.start, strict=True))

    @property
    def seen(self) -> Array:
        """Points that tell on which side of a line or a circle it lies, (3, 2)."""
        return self.at(np.array([[0.0], [0.5], [1.0]]))[0]

    def at(self, unit: Array) -> tuple[Array, Array]:
        """Points and outward unit normals, (n, 2) each, at places (n, 1) of the unit interval."""
        start, end = np.array(self.start), np.array(self.end)
        return (1.0 - unit) * start + unit * end, np.tile(self.normal, (len(unit), 1))

    @property
    def extent(self) -> Array:
        """Points whose box is its box, (2, 2)."""
        return np.array([self.start, self.end])

    def place_of(self, points: Array) -> Array:
        """Where of the unit interval these points (n, 2) of its line are, (n,)."""
        step = np.array(self.end) - self.start
        return np.asarray((points - self.start) @ step / (step @ step))

    def part(self, begin: float, end: float) -> Segment:
        """From one place of the unit interval to another."""
        (a, b), _ = self.at(np.array([[begin], [end]]))
        return replace(self, start=tuple(a.tolist()), end=tuple(b.tolist()))

    def flipped(self) -> Segment:
        """With the shape on the other side."""
        return replace(self, start=self.end, end=self.start)

    def level(self, columns: Sequence[Field]) -> Field:
        """The distance to its line, (n,)."""
        return flat(self.normal, self.start, columns)

    def distance(self, columns: Sequence[Field], math: Roots) -> Field:
        """Zero on it, positive elsewhere, (n,); trimmed by the circle around it."""
        middle = [(a + b) / 2.0 for a, b in zip(self.start, self.end, strict=True)]
        around = round_(middle, self.measure / 2.0, columns)
        return trimmed(self.level(columns), around, math)


@dataclass(frozen=True)
class Arc:
    """Counter-clockwise from the angle ``begin`` by ``turn``; the shape is within if ``outward``."""

    name: str
    center: Point
    radius: float
    begin: float = 0.0
    turn: float = 2.0 * pi
    outward: bool = True

    @property
    def is_circle(self) -> bool:
        """Whether it has no ends."""
        return self.turn >= _WHOLE

    @property
    def measure(self) -> float:
        """Its length."""
        return self.radius * self.turn

    @property
    def flux(self) -> float:
        """The integral of x · n over it."""
        ends = self.begin, self.begin + self.turn
        across = [sin(ends[1]) - sin(ends[0]), cos(ends[0]) - cos(ends[1])]
        moved = sum(c * each for c, each in zip(self.center, across, strict=True))
        return (1.0 if self.outward else -1.0) * self.radius * (moved + self.measure)

    @property
    def seen(self) -> Array:
        """Points that tell on which side of a line or a circle it lies, (n, 2)."""
        return self.at(np.linspace(0.0, 1.0, _SEEN_ON_ARC)[:, None])[0]

    def at(self, unit: Array) -> tuple[Array, Array]:
        """Points and outward unit normals, (n, 2) each, at places (n, 1) of the unit interval."""
        angles = self.begin + self.turn * unit[:, 0]
        rays = np.stack([np.cos(angles), np.sin(angles)], axis=1)
        return np.array(self.center) + self.radius * rays, rays if self.outward else -rays

    @property
    def extent(self) -> Array:
        """Points whose box is its box: its ends, and where it is farthest along an axis, (n, 2)."""
        quarters = np.array([(1.0, 0.0), (0.0, 1.0), (-1.0, 0.0), (0.0, -1.0)])
        farthest = np.array(self.center) + self.radius * quarters
        ends, _ = self.at(np.array([[0.0], [1.0]]))
        return np.concatenate([ends, farthest[self.place_of(farthest) <= 1.0]])

    def place_of(self, points: Array) -> Array:
        """Where of the unit interval these points (n, 2) of its circle are, (n,); beyond 1 for no place."""
        rays = points - np.array(self.center)
        angles = np.arctan2(rays[:, 1], rays[:, 0]) - self.begin
        return np.asarray(np.mod(angles, 2.0 * pi) / self.turn)

    def part(self, begin: float, end: float) -> Arc:
        """From one place of the unit interval to another."""
        return replace(self, begin=self.begin + begin * self.turn, turn=(end - begin) * self.turn)

    def flipped(self) -> Arc:
        """With the shape on the other side."""
        return replace(self, outward=not self.outward)

    def level(self, columns: Sequence[Field]) -> Field:
        """Zero on its circle, (n,)."""
        return round_(self.center, self.radius if self.outward else -self.radius, columns)

    def distance(self, columns: Sequence[Field], math: Roots) -> Field:
        """Zero on it, positive elsewhere, (n,); trimmed by its chord."""
        level = self.level(columns)
        if self.is_circle:
            return math.sqrt(level * level)
        middle = self.begin + self.turn / 2.0
        ray = (cos(middle), sin(middle))
        reach = self.radius * cos(self.turn / 2.0)
        chord = [c + reach * each for c, each in zip(self.center, ray, strict=True)]
        return trimmed(level, flat([-each for each in ray], chord, columns), math)


@dataclass(frozen=True)
class Sphere:
    """A whole sphere in space; the shape is within if ``outward``."""

    name: str
    center: Point
    radius: float
    outward: bool = True

    @property
    def measure(self) -> float:
        """Its area."""
        half = len(self.center) / 2.0
        return float(2.0 * pi**half / gamma(half) * self.radius ** (len(self.center) - 1))

    def at(self, unit: Array) -> tuple[Array, Array]:
        """Points and outward unit normals, (n, k) each, at places (n, k − 1) of the unit cube."""
        angles = 2.0 * pi * unit[:, 0]
        rays = np.stack([np.cos(angles), np.sin(angles)], axis=1)
        for k in range(2, len(self.center)):
            # On a sphere a coordinate is spread as a beta distribution is, evenly in three dimensions.
            height = 2.0 * betaincinv(k / 2.0, k / 2.0, unit[:, k - 1 : k]) - 1.0
            rays = np.hstack([np.sqrt(1.0 - height**2) * rays, height])
        return np.array(self.center) + self.radius * rays, rays if self.outward else -rays

    def flipped(self) -> Sphere:
        """With the shape on the other side."""
        return replace(self, outward=not self.outward)

    def level(self, columns: Sequence[Field]) -> Field:
        """Zero on it, (n,)."""
        return round_(self.center, self.radius if self.outward else -self.radius, columns)

    def distance(self, columns: Sequence[Field], math: Roots) -> Field:
        """Zero on it, positive elsewhere, (n,)."""
        level = self.level(columns)
        return math.sqrt(level * level)


@dataclass(frozen=True)
class Face:
    """The face of a cuboid at the lower (−1) or upper (1) end of an axis; outward is that way, or not."""

    name: str
    lower: Point
    upper: Point
    axis: int
    end: int
    outward: bool = True

    @property
    def measure(self) -> float:
        """Its area."""
        return prod(b - a for k, (a, b) in enumerate(self._sides) if k != self.axis)

    @property
    def normal(self) -> Point:
        """The outward unit normal."""
        way = float(self.end if self.outward else -self.end)
        return tuple(way if k == self.axis else 0.0 for k in range(len(self.lower)))

    @property
    def _sides(self) -> list[tuple[float, float]]:
        return list(zip(self.lower, self.upper, strict=True))

    def at(self, unit: Array) -> tuple[Array, Array]:
        """Points and outward unit normals, (n, 3) each, at places (n, 2) of the unit square."""
        there = np.full(len(unit), float(self.end > 0))
        places = np.insert(unit, self.axis, there, axis=1)
        points = (1.0 - places) * np.array(self.lower) + places * np.array(self.upper)
        return points, np.tile(self.normal, (len(unit), 1))

    def flipped(self) -> Face:
        """With the shape on the other side."""
        return replace(self, outward=not self.outward)

    def level(self, columns: Sequence[Field]) -> Field:
        """The distance to its plane, (n,)."""
        return flat(self.normal, self.upper if self.end > 0 else self.lower, columns)

    def distance(self, columns: Sequence[Field], math: Roots) -> Field:
        """Zero on it, positive elsewhere, (n,); trimmed by its four edges."""
        one, other = (
            between(a, b, x)
            for k, ((a, b), x) in enumerate(zip(self._sides, columns, strict=False))
            if k != self.axis
        )
        return trimmed(self.level(columns), conjunction(one, other, math), math)


Edge = Segment | Arc
Side = Segment | Arc | Sphere | Face


def flat(normal: Sequence[float], at: Sequence[float], columns: Sequence[Field]) -> Field:
    """The distance against the normal to the plane through a point: Σ n (a − x), (n,)."""
    terms = [n * (a - x) for n, a, x in zip(normal, at, columns, strict=False) if n != 0.0]
    return _sum(terms)


def round_(center: Sequence[float], radius: float, columns: Sequence[Field]) -> Field:
    """(r² − |x − c|²) / 2r, (n,): positive within the circle or sphere, with r < 0 outside."""
    squares = [(x - c) * (x - c) for c, x in zip(center, columns, strict=False)]
    return (radius * radius - _sum(squares)) * (0.5 / radius)


def between(lower: float, upper: float, x: Field) -> Field:
    """Positive between both ends, with a slope of 1 at each, (n,)."""
    return (x - lower) * (upper - x) * (1.0 / (upper - lower))


def _sum(terms: list[Any]) -> Field:
    found = terms[0]
    for term in terms[1:]:
        found = found + term
    return found
