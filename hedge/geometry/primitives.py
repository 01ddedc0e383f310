"""Shapes that are made of no others: discs, balls, rectangles and cuboids."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, reduce
from math import gamma, pi

import numpy as np

from hedge.arrays import Array
from hedge.errors import InputError
from hedge.geometry.checks import check_name, checked_length, checked_point, written
from hedge.geometry.rfunctions import Field, Roots, conjunction
from hedge.geometry.shape import Shape, Truths
from hedge.geometry.sides import Arc, Face, Point, Segment, Side, Sphere, between

# Boxes are told from circles by this part of the radius, which is more than rounding takes.
_CLEAR = 1e-9
# Of more, a box around it would be next to empty.
_OF_BALLS = tuple(range(3, 9))


@dataclass(frozen=True)
class _Round(Shape):
    """All points at most ``radius`` from the center; ``name`` is that of its boundary."""

    center: Point
    radius: float
    name: str

    def __post_init__(self) -> None:
        kind = type(self).__name__.lower()
        center = checked_point(f"the center of a {kind}", self.center, self._dimensions)
        object.__setattr__(self, "center", center)
        object.__setattr__(self, "radius", checked_length(f"the radius of a {kind}", self.radius))
        check_name(self.name)

    @property
    def _dimensions(self) -> tuple[int, ...]:
        """How many coordinates a center may have."""
        return (2,)

    @property
    def dimension(self) -> int:
        """Coordinates of the center."""
        return len(self.center)

    @property
    def bounds(self) -> tuple[Array, Array]:
        """The lower and the upper corner of the box around it."""
        return np.array(self.center) - self.radius, np.array(self.center) + self.radius

    def holds(self, points: Array, *, closed: bool) -> Truths:
        """Whether points (n, k) are in it, (n,), with its boundary or without."""
        squares = np.sum((points - np.array(self.center)) ** 2, axis=1)
        return np.asarray(squares <= self.radius**2 if closed else squares < self.radius**2)

    def excludes(self, lower: Array, upper: Array) -> Truths:
        """Which of the boxes (b, k) surely have no point of it: the nearest point is too far."""
        center = np.array(self.center)
        away = np.maximum(np.maximum(lower - center, center - upper), 0.0)
        return np.asarray(np.sum(away**2, axis=1) > self.radius**2 * (1.0 + _CLEAR))

    def fills(self, lower: Array, upper: Array, *, closed: bool = True) -> Truths:
        """Which of the boxes (b, k) surely lie in it: their farthest corner does."""
        center = np.array(self.center)
        away = np.maximum(np.abs(lower - center), np.abs(upper - center))
        return np.asarray(np.sum(away**2, axis=1) < self.radius**2 * (1.0 - _CLEAR))

    def signed(self, columns: Sequence[Field], math: Roots) -> Field:
        """(r² − |x − c|²) / 2r, (n,)."""
        (side,) = self.sides
        return side.level(columns)

    def __str__(self) -> str:
        kind = type(self).__name__.lower()
        name = "" if self.name == kind else f", {self.name}"
        return f"{kind}({written(self.center)}, {written([self.radius])}{name})"


@dataclass(frozen=True)
class Disc(_Round):
    """All points of the plane at most ``radius`` from the center; ``name`` is that of its boundary.

    >>> disc = Disc((0.0, 0.0), 2.0)
    >>> points, normals = disc.sample_piece("disc", 3, seed=0)
    >>> bool(abs(points - 2.0 * normals).max() < 1e-15)
    True
    >>> str(Disc((0.5, 0.5), 0.2, "hole"))
    'disc(0.5 0.5, 0.2, hole)'
    """

    name: str = "disc"

    @cached_property
    def sides(self) -> tuple[Side, ...]:
        """Its circle."""
        return (Arc(self.name, self.center, self.radius),)


@dataclass(frozen=True)
class Ball(_Round):
    """All points of space at most ``radius`` from the center; ``name`` is that of its boundary.

    Space has three to eight dimensions.

    >>> round(Ball((0.0, 0.0, 0.0), 1.0).volume, 4)
    4.1888
    """

    name: str = "ball"

    @property
    def _dimensions(self) -> tuple[int, ...]:
        return _OF_BALLS

    @cached_property
    def sides(self) -> tuple[Side, ...]:
        """Its sphere."""
        return (Sphere(self.name, self.center, self.radius),)

    @cached_property
    def volume(self) -> float:
        """π^(k/2) r^k / Γ(k/2 + 1)."""
        half = self.dimension / 2.0
        return float(pi**half / gamma(half + 1.0) * self.radius**self.dimension)


@dataclass(frozen=True)
class Rectangle(Shape):
    """From the lower to the upper corner, along the axes; in space a cuboid.

    The pieces of its boundary are left, right, bottom and top; in space left and right (of x), front and
    back (of y), bottom and top (of z). With a ``name`` they are one piece of that name.

    >>> Rectangle((0, 0), (2, 1)).measure("top"), Rectangle((0, 0), (2, 1), "slot").measure("slot")
    (2.0, 6.0)
    """

    lower: Point
    upper: Point
    name: str | None = None

    def __post_init__(self) -> None:
        for end in ("lower", "upper"):
            point = checked_point(
                f"the {end} corner of a rectangle", getattr(self, end), self._counts(end)
            )
            object.__setattr__(self, end, point)
        for a, b in zip(self.lower, self.upper, strict=True):
            if not a < b:
                raise InputError(
                    f"shape: {self} is empty; its lower corner must be below the upper one, not {a:g} above "
                    f"{b:g}"
                )
            checked_length("the width of a rectangle", b - a)
        if self.name is not None:
            check_name(self.name)

    def _counts(self, end: str) -> tuple[int, ...]:
        return (2, 3) if end == "lower" else (len(self.lower),)

    @property
    def dimension(self) -> int:
        """2 or 3."""
        return len(self.lower)

    @property
    def bounds(self) -> tuple[Array, Array]:
        """Its corners."""
        return np.array(self.lower), np.array(self.upper)

    @cached_property
    def sides(self) -> tuple[Side, ...]:
        """Its segments, counter-clockwise, or faces."""
        if self.dimension == 3:
            names = (("left", "right"), ("front", "back"), ("bottom", "top"))
            return tuple(
                Face(self.name or names[axis][end > 0], self.lower, self.upper, axis, end)
                for axis in range(3)
                for end in (-1, 1)
            )
        (a, b), (c, d) = self.lower, self.upper
        corners = ((a, b), (c, b), (c, d), (a, d))
        return tuple(
            Segment(self.name or name, corners[k], corners[(k + 1) % 4])
            for k, name in enumerate(("bottom", "right", "top", "left"))
        )

    @cached_property
    def volume(self) -> float:
        """The product of its widths."""
        return float(np.prod(np.array(self.upper) - np.array(self.lower)))

    def holds(self, points: Array, *, closed: bool) -> Truths:
        """Whether points (n, k) are in it, (n,), with its boundary or without."""
        lower, upper = self.bounds
        if closed:
            return np.asarray(((points >= lower) & (points <= upper)).all(axis=1))
        return np.asarray(((points > lower) & (points < upper)).all(axis=1))

    def excludes(self, lower: Array, upper: Array) -> Truths:
        """Which of the boxes (b, k) have no point of it."""
        own_lower, own_upper = self.bounds
        return np.asarray(((lower > own_upper) | (upper < own_lower)).any(axis=1))

    def fills(self, lower: Array, upper: Array, *, closed: bool = True) -> Truths:
        """Which of the boxes (b, k) lie in it."""
        return self.holds(lower, closed=closed) & self.holds(upper, closed=closed)

    def signed(self, columns: Sequence[Field], math: Roots) -> Field:
        """The R₀ conjunction of what is positive between each pair of ends, (n,)."""
        ends = zip(self.lower, self.upper, columns, strict=False)
        return reduce(lambda f, g: conjunction(f, g, math), [between(*each) for each in ends])

    def __str__(self) -> str:
        name = "" if self.name is None else f", {self.name}"
        return f"rectangle({written(self.lower)}, {written(self.upper)}{name})"
