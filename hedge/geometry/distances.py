"""Functions that are zero on pieces of a plane shape's boundary, by R-equivalence of its edges."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from hedge.geometry.rfunctions import Field, Roots, joined
from hedge.geometry.sides import Edge

# Of a shape's size: nearer to a line or a circle is on it.
_ON = 1e-9


def distance_to_edges(
    edges: Sequence[Edge], piece: str, size: float, columns: Sequence[Field], math: Roots
) -> Field:
    """Zero on the edges of that name, all of them for "boundary", positive elsewhere in the shape, (n,)."""
    wanted = [edge for edge in edges if piece in (edge.name, "boundary")]
    others = [edge for edge in edges if edge not in wanted]
    functions, covered = [], set[Edge]()
    for edge in wanted:
        if edge in covered:
            continue
        on = _edges_on(edge, edges, size)
        if on is None or any(other in on for other in others):
            functions.append(edge.distance(columns, math))
        else:
            functions.append(edge.level(columns))
            covered.update(on)
    return joined(functions)


def _edges_on(edge: Edge, edges: Sequence[Edge], size: float) -> list[Edge] | None:
    """The edges on the same line or circle; None if the shape lies on both sides of that.

    Where it lies on one, the level of the edge needs no trimming: it is zero at no other point of the shape.
    """
    found = []
    for other in edges:
        levels = np.asarray(edge.level(list(other.seen.T)))
        if levels.min() < -_ON * size:
            return None
        if levels.max() <= _ON * size:
            found.append(other)
    return found
