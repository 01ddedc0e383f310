"""The best of all ways to fit a matrix with so many numbers."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from hedge.hmatrix.checks import squarable_matrix
from hedge.hmatrix.cluster import ClusterTree
from hedge.hmatrix.levels import Fit, multilevel
from hedge.hmatrix.one_level import shared_bases
from hedge.hmatrix.optimum import most_accurate


def fit(
    matrix: ArrayLike,
    *,
    budget: float,
    rows: ClusterTree | None = None,
    columns: ClusterTree | None = None,
    leaf_size: int = 16,
    seed: int = 0,
) -> Fit:
    """The most accurate matrix found that keeps at most ``budget`` numbers: tiling, multilevel, shared bases.

    Raises InputError for a matrix that is not real, finite and non-empty, or a budget that is not
    positive or pays for nothing.
    """
    dense = squarable_matrix("matrix", matrix)
    tiled = most_accurate(dense, budget=budget, rows=rows, columns=columns, leaf_size=leaf_size)
    norm = max(float(np.linalg.norm(dense)), np.finfo(np.float64).tiny)
    summed = multilevel(
        dense, budget=budget, rows=rows, columns=columns, leaf_size=leaf_size, seed=seed
    )
    found = [Fit(tiled.matrix, tiled.error / norm), summed]
    if budget > sum(dense.shape):
        found.append(
            shared_bases(dense, budget=budget, rows=rows, columns=columns, leaf_size=leaf_size)
        )
    return min(found, key=lambda each: each.error)
