"""Which parts of the edges of two plane shapes are edges of what is made of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from hedge.arrays import Array
from hedge.geometry.sides import Arc, Edge, Segment

Keeps = Callable[[Array, Array], NDArray[np.bool_]]
# Of an edge; shorter parts are taken for none.
_SHORTEST = 1e-9
# Places of a part that tell, most of them, whether it is kept: at one of them another edge may just touch.
_LOOKED_AT = np.array([0.283, 0.5, 0.809])


def trimmed_edges(edges: Sequence[Edge], others: Sequence[Edge], keeps: Keeps) -> list[Edge]:
    """Those parts of the edges that ``keeps`` says yes to, by points and normals.

    They are cut wherever the line or circle of one of the others crosses them, so that each part is wholly
    kept or not.
    """
    if not edges:
        return []
    all_cuts = [_cuts(edge, others) for edge in edges]
    at = [edge.at(_looked_at(cuts)) for edge, cuts in zip(edges, all_cuts, strict=True)]
    # all at once: most of the time is that of calls
    votes = keeps(*(np.concatenate(each) for each in zip(*at, strict=True)))
    are_kept = votes.reshape(-1, len(_LOOKED_AT)).sum(axis=1) * 2 > len(_LOOKED_AT)
    kept = np.split(are_kept, np.cumsum([len(cuts) - 1 for cuts in all_cuts])[:-1])
    return [
        edge.part(begin, end)
        for edge, cuts, mine in zip(edges, all_cuts, kept, strict=True)
        for begin, end in _runs(edge, cuts, mine)
    ]


def _looked_at(cuts: Array) -> Array:
    """Places within each of the parts between cuts, (3 n, 1), one part after the other."""
    places = (1.0 - _LOOKED_AT) * cuts[:-1, None] + _LOOKED_AT * cuts[1:, None]
    return places.reshape(-1, 1)


def _cuts(edge: Edge, others: Sequence[Edge]) -> Array:
    """Places of the unit interval, 0 and 1 among them, between which nothing crosses the edge."""
    points = np.concatenate([np.zeros((0, 2)), *(_meeting(edge, other) for other in others)])
    places = np.sort(edge.place_of(points))
    places = places[(places > _SHORTEST) & (places < 1.0 - _SHORTEST)]
    cuts = np.concatenate([[0.0], places, [1.0]])
    return np.asarray(cuts[np.concatenate([[True], np.diff(cuts) > _SHORTEST])])


def _runs(edge: Edge, cuts: Array, kept: NDArray[np.bool_]) -> list[tuple[float, float]]:
    """From where to where parts in a row are kept; of a circle beyond 1, around its beginning."""
    steps = np.diff(np.concatenate([[0], kept.astype(int), [0]]))
    begins, ends = cuts[np.flatnonzero(steps > 0)], cuts[np.flatnonzero(steps < 0)]
    runs = list(zip(begins.tolist(), ends.tolist(), strict=True))
    if len(runs) > 1 and isinstance(edge, Arc) and edge.is_circle and kept[0] and kept[-1]:
        (_, end), (begin, _) = runs[0], runs[-1]
        runs = [*runs[1:-1], (begin, 1.0 + end)]
    return runs


def _meeting(one: Edge, other: Edge) -> Array:
    """Points where the lines or circles of two edges cross, and the ends of the other one, (n, 2)."""
    ends, _ = other.at(np.array([[0.0], [1.0]]))
    if isinstance(one, Segment) and isinstance(other, Segment):
        crossing = _of_lines(one, other)
    elif isinstance(one, Arc) and isinstance(other, Arc):
        crossing = _of_circles(one, other)
    elif isinstance(one, Segment) and isinstance(other, Arc):
        crossing = _of_line_and_circle(one, other)
    else:
        assert isinstance(one, Arc)
        assert isinstance(other, Segment)
        crossing = _of_line_and_circle(other, one)
    return np.concatenate([crossing, ends])


def _of_lines(one: Segment, other: Segment) -> Array:
    start, step = np.array(one.start), np.array(one.end) - one.start
    along = np.array(other.end) - other.start
    cross = step[0] * along[1] - step[1] * along[0]
    if abs(cross) <= 1e-12 * one.measure * other.measure:
        return np.zeros((0, 2))
    away = np.array(other.start) - start
    place = (away[0] * along[1] - away[1] * along[0]) / cross
    return np.asarray((start + place * step)[None])


def _of_line_and_circle(line: Segment, circle: Arc) -> Array:
    way = (np.array(line.end) - line.start) / line.measure
    to = np.array(circle.center) - line.start
    foot = np.array(line.start) + (to @ way) * way
    return _mirrored(foot, way, circle.radius**2 - float(np.sum((foot - circle.center) ** 2)))


def _of_circles(one: Arc, other: Arc) -> Array:
    between = np.array(other.center) - one.center
    apart = float(np.hypot(*between))
    if apart <= 1e-12 * max(one.radius, other.radius):
        return np.zeros((0, 2))
    along = (apart**2 + one.radius**2 - other.radius**2) / (2.0 * apart)
    foot = np.array(one.center) + along * between / apart
    across = np.array([-between[1], between[0]]) / apart
    return _mirrored(foot, across, one.radius**2 - along**2)


def _mirrored(foot: Array, way: Array, square: float) -> Array:
    """Both points at the root of ``square`` from the foot, if there are any."""
    if square < 0.0:
        return np.zeros((0, 2))
    return np.stack([foot + np.sqrt(square) * way, foot - np.sqrt(square) * way])
