"""Shapes for tests, and the same by shapely."""

from __future__ import annotations

import shapely
from hypothesis import strategies as st

from hedge.errors import InputError
from hedge.geometry import Ball, Combination, Disc, Polygon, Rectangle, Shape

PLATE = Rectangle((0, 0), (1, 1)) - Disc((0.5, 0.5), 0.2, "hole")
L_SHAPE = Polygon(((0, 0), (2, 0), (2, 1), (1, 1), (1, 2), (0, 2)), edges=tuple("abcdef"))
SHAPES: tuple[Shape, ...] = (
    Disc((0.3, -0.2), 0.7),
    Rectangle((0, 0), (2, 1)),
    PLATE,
    L_SHAPE,
    Rectangle((0, 0), (2, 1)) | Rectangle((0, 0), (1, 2)),  # edges that lie on each other
    Rectangle((0, 0), (1, 1)) | Rectangle((1, 0), (2, 1)),  # and one that is none of the union's
    Rectangle((0, 0), (1, 1)) - Rectangle((0, 0), (0.5, 0.5), "notch"),
    Disc((0, 0), 1) | (Disc((0, 0), 3) - Disc((0, 0), 2, "inner")),  # two parts
    Disc((0, 0), 1, "moon") - Disc((1, 0), 1, "shadow"),
    (Disc((0, 0), 1) & Rectangle((0, 0), (2, 2))) - Polygon(((0, 0), (0.3, 0.1), (0.1, 0.3))),
)
SOLIDS: tuple[Shape, ...] = (
    Ball((0, 0, 0), 1),
    Rectangle((0, 0, 0), (1, 2, 3)),
    Rectangle((0, 0, 0), (1, 1, 1)) - Ball((0.5, 0.5, 0.5), 0.3, "hole"),
    Ball((0, 0, 0), 1) | Ball((1, 0, 0), 1, "other"),
    Rectangle((0, 0, 0), (1, 1, 1)) - Rectangle((0.5, 0.5, -1), (2, 2, 2), "notch"),
    Ball((0, 0, 0), 1) & Rectangle((0, 0, 0), (2, 2, 2)),
    Ball((0, 0, 0, 0, 0), 1),
    Ball((0, 0, 0, 0), 1) - Ball((0.2, 0, 0, 0), 0.5, "hole"),
)

_numbers = st.integers(-8, 8).map(lambda n: n / 4)
_points = st.tuples(_numbers, _numbers)
_discs = st.builds(Disc, _points, st.integers(1, 6).map(lambda n: n / 4))


@st.composite
def _rectangles(draw: st.DrawFn) -> Rectangle:
    (a, b), width, height = draw(_points), draw(st.integers(1, 8)), draw(st.integers(1, 8))
    return Rectangle((a, b), (a + width / 4, b + height / 4))


@st.composite
def _polygons(draw: st.DrawFn) -> Polygon:
    vertices = draw(st.lists(_points, min_size=3, max_size=7, unique=True))
    try:
        return Polygon(tuple(vertices))
    except InputError:
        return Polygon(((0, 0), (1, 0), (0.2, 0.2), (0, 1)))


@st.composite
def shapes(draw: st.DrawFn) -> Shape:
    """Of one to four parts."""
    parts = draw(st.lists(st.one_of(_discs, _rectangles(), _polygons()), min_size=1, max_size=4))
    shape: Shape = parts[0]
    for part in parts[1:]:
        try:
            shape = Combination(draw(st.sampled_from("|&-")), shape, part)
        except InputError:  # nothing was left
            return shape
    return shape


def by_shapely(shape: Shape) -> shapely.Geometry:
    """The same shape; circles are polygons of 1,024 edges."""
    if isinstance(shape, Combination):
        one, other = by_shapely(shape.first), by_shapely(shape.second)
        how = {"|": shapely.union, "&": shapely.intersection, "-": shapely.difference}
        parts = shapely.get_parts(how[shape.op](one, other))  # and lines, where edges touch
        return shapely.union_all([part for part in parts if part.geom_type == "Polygon"])
    if isinstance(shape, Disc):
        return shapely.Point(shape.center).buffer(shape.radius, quad_segs=256)
    if isinstance(shape, Rectangle):
        return shapely.box(*shape.lower, *shape.upper)
    assert isinstance(shape, Polygon)
    return shapely.Polygon(shape.vertices)
