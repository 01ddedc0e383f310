"""Which blocks may be low rank, and how a block is cut if it is not."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product

import numpy as np

from hedge.arrays import Array
from hedge.errors import InputError
from hedge.hmatrix.checks import positive
from hedge.hmatrix.cluster import Cluster

Admissible = Callable[[Cluster, Cluster], bool]
"""(rows, columns) -> whether their block is worth a low-rank approximation."""


def weak(rows: Cluster, columns: Cluster) -> bool:
    """Every block beside the diagonal: a HODLR matrix (hierarchically off-diagonal low rank)."""
    return (rows.level, rows.number) != (columns.level, columns.number)


def strong(eta: float = 1.0) -> Admissible:
    """Blocks of boxes that are far apart for their size, min(diam X, diam Y) ≤ η dist(X, Y).

    The standard condition, under which the rank of asymptotically smooth kernels does not grow
    (Hackbusch 2015, section 5.2). Raises InputError for η ≤ 0, and where clusters have no boxes.
    """
    positive("eta", eta)

    def admissible(rows: Cluster, columns: Cluster) -> bool:
        (x_low, x_high), (y_low, y_high) = _box(rows), _box(columns)
        gaps = np.maximum(np.maximum(x_low - y_high, y_low - x_high), 0.0)
        distance = float(np.linalg.norm(gaps))
        diameter = min(float(np.linalg.norm(x_high - x_low)), float(np.linalg.norm(y_high - y_low)))
        return distance > 0 and diameter <= eta * distance

    return admissible


def _box(cluster: Cluster) -> tuple[Array, Array]:
    if cluster.lower is None or cluster.upper is None:
        raise InputError(
            "strong admissibility: a cluster tree has no coordinates; build both trees with "
            "kd_tree or bisect_geometrically, or use weak or anywhere"
        )
    return cluster.lower, cluster.upper


def anywhere(rows: Cluster, columns: Cluster) -> bool:
    """Every block: low rank is tried from the whole matrix downwards (an adaptive quadtree)."""
    return True


def cut(rows: Cluster, columns: Cluster) -> tuple[tuple[Cluster, Cluster], ...]:
    """The blocks that a block is cut into: four, two where one side is a leaf, none at leaves."""
    if not rows.children and not columns.children:
        return ()
    return tuple(product(rows.children or (rows,), columns.children or (columns,)))
