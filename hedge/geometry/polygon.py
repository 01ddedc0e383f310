"""Polygons of the plane, convex or not."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from math import dist

import numpy as np
import shapely

from hedge.arrays import Array
from hedge.errors import InputError
from hedge.geometry.checks import check_name, checked_length, checked_point, written
from hedge.geometry.shape import Shape, Truths
from hedge.geometry.sides import Point, Segment, Side

MOST_VERTICES = 1000
# Boxes are told from edges by this part of the polygon's size, which is more than rounding takes.
_CLEAR = 1e-9


@dataclass(frozen=True)
class Polygon(Shape):
    """Within straight edges from each vertex to the next, either way around; edges don't cross.

    ``name`` is that of its boundary, or ``edges`` names each edge, the first one from the first vertex.

    >>> corner = Polygon(((0, 0), (1, 0), (1, 0.5), (0.5, 0.5), (0.5, 1), (0, 1)), name="wall")
    >>> corner.volume, corner.measure("wall")
    (0.75, 4.0)
    >>> corner.contains([[0.75, 0.25], [0.75, 0.75]])
    array([ True, False])
    """

    vertices: tuple[Point, ...]
    name: str = "polygon"
    edges: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        vertices = tuple(checked_point("a vertex of a polygon", v, (2,)) for v in self.vertices)
        object.__setattr__(self, "vertices", vertices)
        check_name(self.name)
        if not 3 <= len(vertices) <= MOST_VERTICES:
            raise InputError(
                f"shape: a polygon has {len(vertices)} vertices; give 3 to {MOST_VERTICES}"
            )
        for a, b in zip(vertices, vertices[1:] + vertices[:1], strict=True):
            if a == b:
                raise InputError(
                    f"shape: a polygon has the vertex {written(a)} twice in a row; give each one once, the "
                    "first one not again at the end"
                )
            checked_length("an edge of a polygon", dist(a, b))
        if self.edges is not None:
            object.__setattr__(self, "edges", tuple(self.edges))
            for name in self.edges:
                check_name(name)
            if len(self.edges) != len(vertices):
                raise InputError(
                    f"shape: a polygon of {len(vertices)} vertices has {len(self.edges)} names of edges; "
                    "give one for each"
                )
        if not self._area.is_valid:
            why = shapely.is_valid_reason(self._area)
            raise InputError(
                f"shape: a polygon is none ({why}); give its vertices in order, so that no edges meet"
            )

    @property
    def dimension(self) -> int:
        """2."""
        return 2

    @property
    def bounds(self) -> tuple[Array, Array]:
        """The lower and the upper corner of the box around it."""
        vertices = np.array(self.vertices)
        return vertices.min(axis=0), vertices.max(axis=0)

    @cached_property
    def sides(self) -> tuple[Side, ...]:
        """Its edges, in the order of their names."""
        names = self.edges or (self.name,) * len(self.vertices)
        ends = zip(names, self.vertices, self.vertices[1:] + self.vertices[:1], strict=True)
        edges = [Segment(name, start, end) for name, start, end in ends]
        is_left = shapely.is_ccw(self._area.exterior)
        return tuple(edge if is_left else edge.flipped() for edge in edges)

    def holds(self, points: Array, *, closed: bool) -> Truths:
        """Whether points (n, k) are in it, (n,), with its boundary or without."""
        within = shapely.intersects_xy if closed else shapely.contains_xy
        return np.asarray(within(self._area, points[:, 0], points[:, 1]))

    def excludes(self, lower: Array, upper: Array) -> Truths:
        """Which of the boxes (b, k) surely have no point of it."""
        return np.asarray(shapely.distance(self._area, _boxes(lower, upper)) > self._clear)

    def fills(self, lower: Array, upper: Array, *, closed: bool = True) -> Truths:
        """Which of the boxes (b, k) surely lie in it."""
        boxes = _boxes(lower, upper)
        apart = shapely.distance(self._area.exterior, boxes) > self._clear
        return np.asarray(shapely.contains(self._area, boxes) & apart)

    @cached_property
    def _area(self) -> shapely.Polygon:
        area = shapely.Polygon(self.vertices)
        shapely.prepare(area)
        return area

    @property
    def _clear(self) -> float:
        return _CLEAR * float(np.abs(self.vertices).max())

    def __str__(self) -> str:
        if self.edges is None:
            name = "" if self.name == "polygon" else f", {self.name}"
            return f"polygon({', '.join(written(v) for v in self.vertices)}{name})"
        each = zip(self.vertices, self.edges, strict=True)
        return f"polygon({', '.join(f'{written(v)} {name}' for v, name in each)})"


def _boxes(lower: Array, upper: Array) -> object:
    return shapely.box(lower[:, 0], lower[:, 1], upper[:, 0], upper[:, 1])
