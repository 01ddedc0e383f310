"""Functions that are zero on pieces of a plane shape's boundary, by R-equivalence of its edges."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np

from hedge.geometry.checks import BOUNDARY
from hedge.geometry.rfunctions import Field, Roots, joined
from hedge.geometry.sides import Edge

# Of a shape's size: nearer to a line or a circle is on it.
_ON = 1e-9


def distance_to_edges(
    edges: Sequence[Edge], piece: str, size: float, columns: Sequence[Field], math: Roots
) -> Field:
    """Zero on the edges of that name, all of them for "boundary", positive elsewhere in the shape, (n,)."""
    whole, cut = _functions_of(tuple(edges), piece, size)
    return joined(
        [*(edge.level(columns) for edge in whole), *(edge.distance(columns, math) for edge in cut)]
    )


@lru_cache(maxsize=256)
def _functions_of(
    edges: tuple[Edge, ...], piece: str, size: float
) -> tuple[tuple[Edge, ...], tuple[Edge, ...]]:
    """The edges whose lines or circles serve wholly, one for all that lie on one, and those to be trimmed.

    Where the shape lies on one side of a line, that is zero at no other point of the shape than its edges.
    """
    seen = [edge.seen for edge in edges]
    points, starts = np.concatenate(seen), np.cumsum([0, *map(len, seen[:-1])])
    whole, cut, covered = [], [], set[int]()
    for number, edge in enumerate(edges):
        if piece not in (edge.name, BOUNDARY) or number in covered:
            continue
        levels = np.asarray(edge.level(list(points.T)))
        on = np.flatnonzero(np.maximum.reduceat(levels, starts) <= _ON * size).tolist()
        others = [edges[k].name for k in on if piece not in (edges[k].name, BOUNDARY)]
        if levels.min() < -_ON * size or others:
            cut.append(edge)
        else:
            whole.append(edge)
            covered.update(on)
    return tuple(whole), tuple(cut)
