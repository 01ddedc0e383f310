"""What a shape is, and shapes made of others."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from hedge.arrays import Array
from hedge.errors import InputError, quoted
from hedge.geometry.checks import BOUNDARY
from hedge.geometry.distances import distance_to_edges
from hedge.geometry.rfunctions import Field, Roots, conjunction, disjunction, joined, trimmed
from hedge.geometry.sequences import even, sobol
from hedge.geometry.sides import Arc, Edge, Face, Segment, Side, Sphere
from hedge.geometry.trimming import trimmed_edges

Truths = NDArray[np.bool_]
Op = Literal["|", "&", "-"]
# Of a shape's size: so far from a side lie the points that tell whether it is on the boundary.
_ASIDE = 1e-7
# Volumes and areas in space that have no formula are counted in so many points, a power of two.
_COUNTED = 2**14
# Work grows by the square of the sides.
MOST_PARTS, MOST_SIDES = 64, 256


class Shape(ABC):
    """A closed, bounded part of the plane or of space, its boundary made of named pieces.

    ``|``, ``&`` and ``-`` make shapes of shapes, the last one with its new boundary; names of pieces are
    kept, and pieces of one name are one. ``str`` is read back by :func:`hedge.geometry.parse_shape`.

    >>> from hedge.geometry import Disc, Rectangle
    >>> plate = Rectangle((0, 0), (1, 1)) - Disc((0.5, 0.5), 0.25, "hole")
    >>> plate.contains([[0.5, 0.5], [0.9, 0.9]])
    array([False,  True])
    >>> plate.pieces
    ('bottom', 'right', 'top', 'left', 'hole')
    >>> round(plate.volume, 4)
    0.8037
    """

    @property
    @abstractmethod
    def dimension(self) -> int:
        """2 in the plane, 3 or more in space."""

    @property
    def parts(self) -> int:
        """How many shapes it is made of."""
        return 1

    @property
    @abstractmethod
    def bounds(self) -> tuple[Array, Array]:
        """The lower and the upper corner of the box around it, (k,) each."""

    @property
    @abstractmethod
    def sides(self) -> tuple[Side, ...]:
        """What its boundary is made of; in space of others, what it is cut from."""

    @abstractmethod
    def holds(self, points: Array, *, closed: bool) -> Truths:
        """Whether points (n, k) are in it, (n,), with its boundary or without."""

    @abstractmethod
    def excludes(self, lower: Array, upper: Array) -> Truths:
        """Which of the boxes from lower to upper (b, k) surely have no point of it, (b,)."""

    @abstractmethod
    def fills(self, lower: Array, upper: Array, *, closed: bool = True) -> Truths:
        """Which of the boxes (b, k) surely lie in it, (b,); not ``closed``: off its boundary, too."""

    @abstractmethod
    def __str__(self) -> str: ...

    def __or__(self, other: Shape) -> Shape:
        return Combination("|", self, other)

    def __and__(self, other: Shape) -> Shape:
        return Combination("&", self, other)

    def __sub__(self, other: Shape) -> Shape:
        return Combination("-", self, other)

    def contains(self, points: Array | Sequence[Sequence[float]]) -> Truths:
        """Whether points (n, k) are in it or on its boundary, (n,)."""
        return self.holds(np.asarray(points, dtype=float), closed=True)

    @property
    def pieces(self) -> tuple[str, ...]:
        """The names of its boundary's pieces; "boundary" is all of it."""
        kept = (side.name for side in self.sides if self.kept(*side.at(self._even())).any())
        return tuple(dict.fromkeys(kept))

    @cached_property
    def volume(self) -> float:
        """Its area in the plane, its volume in space: within 1 % there, where no formula tells it."""
        if self.dimension == 2:
            return sum(side.flux for side in self.outline) / 2.0
        lower, upper = self.bounds
        points = lower + even(self.dimension, _COUNTED) * (upper - lower)
        return float(self.contains(points).mean() * np.prod(upper - lower))

    @property
    def outline(self) -> tuple[Edge, ...]:
        """The sides of a plane shape."""
        return tuple(side for side in self.sides if isinstance(side, Segment | Arc))

    def sides_of(self, piece: str) -> tuple[Side, ...]:
        """What a piece, or all of the boundary, is made of.

        Raises InputError for a name that no piece has.
        """
        found = tuple(side for side in self.sides if piece in (side.name, BOUNDARY))
        if not found:
            names = ", ".join(dict.fromkeys(side.name for side in self.sides))
            raise InputError(
                f"shape: {quoted(piece)} is no piece of its boundary; there are {names:.300}, and "
                f"{BOUNDARY} for all of it"
            )
        return found

    def measure(self, piece: str = BOUNDARY) -> float:
        """The length of a piece of the boundary, or in space its area (cut ones within 1 %)."""
        unit = self._even()
        return sum(
            side.measure * float(self.kept(*side.at(unit)).mean()) for side in self.sides_of(piece)
        )

    def on_piece(self, piece: str, unit: Array) -> tuple[Array, Array]:
        """Points of a piece and outward unit normals, (n, k) each, at places (n, k − 1) of the unit cube.

        Places that are spread evenly are on the piece. In space, what is cut away is not told apart:
        :meth:`kept` does.
        """
        sides = self.sides_of(piece)
        shares = np.array([side.measure for side in sides])
        ends = np.cumsum(shares) / shares.sum()
        which = np.minimum(np.searchsorted(ends, unit[:, 0], side="right"), len(sides) - 1)
        begins = np.concatenate([[0.0], ends[:-1]])
        points, normals = (np.zeros((len(unit), self.dimension)) for _ in range(2))
        for number, side in enumerate(sides):
            rows = which == number
            along = (unit[rows, 0] - begins[number]) / (ends[number] - begins[number])
            places = np.column_stack([np.clip(along, 0.0, 1.0), unit[rows, 1:]])
            points[rows], normals[rows] = side.at(places)
        return points, normals

    def sample_piece(self, piece: str, count: int, seed: int) -> tuple[Array, Array]:
        """Points spread evenly over a piece, and the outward unit normals there, (count, k) each.

        Of a hole they point into the hole. Scrambled Sobol points, the same for the same seed.
        """
        points, normals = (np.zeros((0, self.dimension)) for _ in range(2))
        for unit in sobol(self.dimension - 1, count, seed):
            more, ways = self.on_piece(piece, unit)
            kept = self.kept(more, ways)
            points = np.concatenate([points, more[kept]])
            normals = np.concatenate([normals, ways[kept]])
            if len(points) >= count:
                break
        return points[:count], normals[:count]

    def kept(self, points: Array, normals: Array) -> Truths:
        """Which points (n, k) of sides, with normals, are on the boundary."""
        return np.ones(len(points), dtype=bool)

    def parts_at(self, points: Array, normals: Array) -> Truths:
        """Where it lies behind points (n, k) and not before them, by normals that point there, (n,)."""
        step = _ASIDE * self._size * normals
        return self.contains(points - step) & ~self.contains(points + step)

    def distance(self, columns: Sequence[Field], math: Roots) -> Field:
        """A function that is zero on the boundary, positive within, with a slope of 1 off it, (n,).

        ``columns`` are those of points, of which the first k count; ``math`` has a ``sqrt``.
        """
        return self.distance_to(BOUNDARY, columns, math)

    def distance_to(self, piece: str, columns: Sequence[Field], math: Roots) -> Field:
        """A function that is zero on that piece of the boundary and elsewhere in the shape positive, (n,).

        Its slope off the piece is 1. It is smooth within the shape.
        """
        self.sides_of(piece)
        if self.dimension == 2:
            return distance_to_edges(self.outline, piece, self._size, columns, math)
        return self._distance_in_space(piece, columns, math)

    def signed(self, columns: Sequence[Field], math: Roots) -> Field:
        """Of a shape in space: positive within, negative outside, near the boundary a distance, (n,)."""
        raise InputError(f"shape: {self!s:.200} is in the plane; signed distances are of solids")

    def zero_on(self, piece: str, columns: Sequence[Field], math: Roots) -> Field:
        """Of a shape in space: zero on that piece, positive anywhere else, (n,)."""
        return joined([side.distance(columns, math) for side in self.sides_of(piece)])

    def _distance_in_space(self, piece: str, columns: Sequence[Field], math: Roots) -> Field:
        return joined([side.level(columns) for side in self.sides_of(piece)])

    @cached_property
    def _size(self) -> float:
        """Its greatest width, or more."""
        lower, upper = self.bounds
        return float((upper - lower).max())

    def _even(self) -> Array:
        """Places of the unit interval, square or cube, by which pieces are counted."""
        if self.dimension == 2:
            return np.array([[0.5]])
        return even(self.dimension - 1, _COUNTED // 4)


@dataclass(frozen=True)
class Combination(Shape):
    """The union, intersection or difference of two shapes.

    Raises InputError if they are of different dimensions, or nothing is left.
    """

    op: Op
    first: Shape
    second: Shape

    def __post_init__(self) -> None:
        one, other = self.first, self.second
        if not isinstance(other, Shape):
            raise InputError(f"shape: {other!r:.60} is none; put shapes together by |, & and -")
        if one.dimension != other.dimension:
            raise InputError(
                f"shape: {one!s:.200} is in {one.dimension} dimensions, {other!s:.200} in "
                f"{other.dimension}; put together shapes of as many"
            )
        if self.parts > MOST_PARTS or len(one.sides) + len(other.sides) > MOST_SIDES:
            raise InputError(
                f"shape: has more than {MOST_PARTS} parts or {MOST_SIDES} sides; leave out small ones"
            )
        if not self.sides or not self.volume > 0.0:
            raise InputError(f"shape: {self!s:.200} is empty; check its numbers")

    @cached_property
    def parts(self) -> int:
        """How many shapes it is made of."""
        return self.first.parts + self.second.parts

    @property
    def dimension(self) -> int:
        """That of both."""
        return self.first.dimension

    @cached_property
    def bounds(self) -> tuple[Array, Array]:
        """The lower and the upper corner of a box around it, (k,) each."""
        (a, b), (c, d) = self.first.bounds, self.second.bounds
        if self.op == "|":
            return np.minimum(a, c), np.maximum(b, d)
        lower, upper = (a, b) if self.op == "-" else (np.maximum(a, c), np.minimum(b, d))
        if self.dimension == 2 and self.outline:  # which may leave out more of it
            seen = np.concatenate([edge.extent for edge in self.outline])
            return np.maximum(lower, seen.min(axis=0)), np.minimum(upper, seen.max(axis=0))
        return lower, upper

    @cached_property
    def _size(self) -> float:
        return max(self.first._size, self.second._size)

    @cached_property
    def sides(self) -> tuple[Side, ...]:
        """Those of both that are on the boundary; in space all of them."""
        second = [each.flipped() if self.op == "-" else each for each in self.second.sides]
        if self.dimension > 2:
            return (*self.first.sides, *second)
        mine, theirs = self.first.outline, [e for e in second if isinstance(e, Segment | Arc)]
        return (
            *trimmed_edges(mine, theirs, self.parts_at),
            *trimmed_edges(theirs, mine, self._is_others),
        )

    def holds(self, points: Array, *, closed: bool) -> Truths:
        """Whether points (n, k) are in it, (n,); what a difference cuts is its boundary."""
        mine = self.first.holds(points, closed=closed)
        if self.op == "-":
            return mine & ~self.second.holds(points, closed=not closed)
        theirs = self.second.holds(points, closed=closed)
        return mine | theirs if self.op == "|" else mine & theirs

    def excludes(self, lower: Array, upper: Array) -> Truths:
        """Which of the boxes from lower to upper (b, k) surely have no point of it, (b,)."""
        mine = self.first.excludes(lower, upper)
        if self.op == "-":
            return mine | self.second.fills(lower, upper, closed=False)
        theirs = self.second.excludes(lower, upper)
        return mine & theirs if self.op == "|" else mine | theirs

    def fills(self, lower: Array, upper: Array, *, closed: bool = True) -> Truths:
        """Which of the boxes (b, k) surely lie in it, (b,)."""
        mine = self.first.fills(lower, upper, closed=closed)
        if self.op == "-":
            return mine & self.second.excludes(lower, upper)
        theirs = self.second.fills(lower, upper, closed=closed)
        return mine | theirs if self.op == "|" else mine & theirs

    def kept(self, points: Array, normals: Array) -> Truths:
        """Which points (n, k) of sides, with normals, are on the boundary."""
        if self.dimension == 2:  # edges are trimmed
            return super().kept(points, normals)
        return self.parts_at(points, normals)

    def signed(self, columns: Sequence[Field], math: Roots) -> Field:
        """By R₀ conjunction and disjunction of those of both, (n,).

        Raises InputError where both have a face in one plane, or a sphere in common: there both are zero, and
        so would this be within.
        """
        if self.op != "-" and _touch(self.first.sides, self.second.sides):
            raise InputError(
                f"shape: parts of {self!s:.200} have a face in common, where no distance can be had of them; "
                "let one reach a little further than the other"
            )
        f, g = self.first.signed(columns, math), self.second.signed(columns, math)
        if self.op == "|":
            return disjunction(f, g, math)
        return conjunction(f, g if self.op == "&" else -g, math)

    def zero_on(self, piece: str, columns: Sequence[Field], math: Roots) -> Field:
        """Those of both, trimmed by each other, (n,)."""
        found = []
        for one, other in ((self.first, self.second), (self.second, self.first)):
            if any(piece in (side.name, BOUNDARY) for side in one.sides):
                within = other.signed(columns, math)
                outside = self.op == "|" or (self.op == "-" and other is self.second)
                f = one.zero_on(piece, columns, math)
                found.append(trimmed(f, -within if outside else within, math))
        return joined(found)

    def _distance_in_space(self, piece: str, columns: Sequence[Field], math: Roots) -> Field:
        if piece == BOUNDARY:
            return self.signed(columns, math)
        return self.zero_on(piece, columns, math)

    def _is_others(self, points: Array, normals: Array) -> Truths:
        """On the boundary, and not on the first one's, too, which has it already."""
        return self.parts_at(points, normals) & ~self.first.parts_at(points, normals)

    def __str__(self) -> str:
        right = f"({self.second})" if isinstance(self.second, Combination) else str(self.second)
        same = not isinstance(self.first, Combination) or self.first.op == self.op
        left = str(self.first) if same else f"({self.first})"
        return f"{left} {self.op} {right}"


def _touch(sides: Sequence[Side], others: Sequence[Side]) -> bool:
    """Whether some of them lie on one plane or sphere."""
    places = [{_place(side) for side in each} for each in (sides, others)]
    return bool(places[0] & places[1])


def _place(side: Side) -> object:
    """The same for what lies on one plane or sphere in space."""
    if isinstance(side, Face):
        return side.axis, (side.upper if side.end > 0 else side.lower)[side.axis]
    return (side.center, side.radius) if isinstance(side, Sphere) else side
