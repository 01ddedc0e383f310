"""Which boxes have no point of a shape, and which lie in it, by code of its own.

Of a shape its numbers are read, and how it is made of others. A box of the first k variables is [l, u], and
[l', u'] ⊇ [l, u] ∩ domain as computed, see ``corners``.

disc, ball   Σ max(l' − c, c − u', 0)² > r²: no point. Σ max(|l' − c|, |u' − c|)² < r²: within. Differences
             err by a unit, squares and sums of three of them by five more; NEAR is more.
rectangle    Comparisons, which are exact.
polygon      No edge meets the box if all are apart from it: their own box is, or all corners of the box lie
             on one side of the edge's line. A cross product of differences errs by less than five units of
             the sum of the sizes of both its terms. Then the box lies on one side of the boundary with its
             centre, for which is counted how many edges a ray to the right meets: of those whose ends are on
             both sides of the ray's line the ones that have the centre to their left, looking upwards, which
             the cross product tells.
A | B        no point of either; in one of them. A & B: no point of one; in both.
A − B        no point of A, or off the boundary of B and within it; in A, and no point of B.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from hedge.arrays import Array
from hedge.certifying.checking.polynomials import UNIT
from hedge.certifying.checking.tiling import Whole
from hedge.errors import InputError
from hedge.geometry import Ball, Combination, Disc, Polygon, Rectangle, Shape

Truths = NDArray[np.bool_]
NEAR = 16.0 * UNIT


class Places(NamedTuple):
    """Of boxes (B,) those that surely have no point of a shape, lie in it, and so off its boundary."""

    outside: Truths
    inside: Truths
    within: Truths


def places_of(shape: Shape | None, domain: Array, levels: Whole, places: Whole) -> Places:
    """Of boxes (B, d) of a domain (d, 2), whose first variables are the shape's; without one all are inside.

    Raises InputError for a shape of a kind that this code does not know.
    """
    if shape is None:
        every = np.ones(len(levels), dtype=bool)
        return Places(~every, every, every)
    k = shape.dimension
    return _of(shape, *corners(domain[:k], levels[:, :k], places[:, :k]))


def corners(domain: Array, levels: Whole, places: Whole) -> tuple[Array, Array]:
    """Lower and upper ends of boxes (B, k), outwards by more than the roundings of four operations."""
    lower, upper = domain[:, 0], domain[:, 1]
    off = 8.0 * UNIT * np.maximum(np.abs(lower), np.abs(upper))
    width = upper - lower
    below = lower + width * np.ldexp(1.0 * places, -levels) - off
    above = lower + width * np.ldexp(places + 1.0, -levels) + off
    return np.maximum(below, lower), np.minimum(above, upper)


def _of(shape: Shape, lower: Array, upper: Array) -> Places:
    if isinstance(shape, Combination):
        one, other = _of(shape.first, lower, upper), _of(shape.second, lower, upper)
        if shape.op == "|":
            return Places(
                one.outside & other.outside, one.inside | other.inside, one.within | other.within
            )
        if shape.op == "&":
            return Places(
                one.outside | other.outside, one.inside & other.inside, one.within & other.within
            )
        return Places(
            one.outside | other.within, one.inside & other.outside, one.within & other.outside
        )
    if isinstance(shape, Disc | Ball):
        return _of_round(np.array(shape.center), shape.radius, lower, upper)
    if isinstance(shape, Rectangle):
        return _of_rectangle(np.array(shape.lower), np.array(shape.upper), lower, upper)
    if isinstance(shape, Polygon):
        return _of_polygon(np.array(shape.vertices), lower, upper)
    raise InputError(f"shape: a {type(shape).__name__} can't be checked")


def _of_round(center: Array, radius: float, lower: Array, upper: Array) -> Places:
    nearest = np.maximum(np.maximum(lower - center, center - upper), 0.0)
    farthest = np.maximum(np.abs(lower - center), np.abs(upper - center))
    outside = (nearest**2).sum(axis=1) > radius**2 * (1.0 + NEAR)
    within = (farthest**2).sum(axis=1) < radius**2 * (1.0 - NEAR)
    return Places(outside, within, within)


def _of_rectangle(least: Array, most: Array, lower: Array, upper: Array) -> Places:
    outside = ((lower > most) | (upper < least)).any(axis=1)
    inside = ((lower >= least) & (upper <= most)).all(axis=1)
    within = ((lower > least) & (upper < most)).all(axis=1)
    return Places(np.asarray(outside), np.asarray(inside), np.asarray(within))


def _of_polygon(vertices: Array, lower: Array, upper: Array) -> Places:
    centre = lower + (upper - lower) / 2.0
    centre = np.clip(centre, lower, upper)
    ends = [
        lower,
        upper,
        np.stack([lower[:, 0], upper[:, 1]], 1),
        np.stack([upper[:, 0], lower[:, 1]], 1),
    ]
    apart: Truths = np.ones(len(lower), dtype=bool)
    met: Truths = np.zeros(len(lower), dtype=bool)
    for a, b in zip(vertices, np.roll(vertices, -1, axis=0), strict=True):
        beyond = ((lower > np.maximum(a, b)) | (upper < np.minimum(a, b))).any(axis=1)
        sides = np.stack([_side(a, b, end) for end in ends])
        apart &= beyond | (sides > 0).all(axis=0) | (sides < 0).all(axis=0)
        crosses = (a[1] > centre[:, 1]) != (b[1] > centre[:, 1])
        side = _side(a, b, centre) if b[1] > a[1] else _side(b, a, centre)
        met ^= crosses & (side > 0)
        apart &= ~crosses | (side != 0)
    inside = np.asarray(apart & met)
    return Places(np.asarray(apart & ~met), inside, inside)


def _side(a: Array, b: Array, points: Array) -> NDArray[np.int8]:
    """1 where points (B, 2) are surely to the left of the way from a to b, −1 to the right, else 0."""
    way, to = b - a, points - a
    one, other = way[0] * to[:, 1], way[1] * to[:, 0]
    cross, off = one - other, NEAR * (np.abs(one) + np.abs(other))
    return np.where(cross > off, 1, np.where(cross < -off, -1, 0)).astype(np.int8)
