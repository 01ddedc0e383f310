"""How errors of what a site writes are felt: B (n, n), symmetric, or its diagonal (n,) where that is all.

Columns that are outputs themselves feel each for itself, and a layer of thousands of them has no matrix.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from hedge.arrays import Array


def times_metric(rows: Array, metric: Array) -> Array:
    """Rows (N, n) times B."""
    return np.asarray(rows * metric if metric.ndim == 1 else rows @ metric)


def part_of_metric(metric: Array, at: slice | NDArray[Any]) -> Array:
    """B of these indices alone, in the form it has.

    >>> part_of_metric(np.array([1.0, 2.0, 3.0]), slice(1, 3))
    array([2., 3.])
    """
    return metric[at] if metric.ndim == 1 else metric[at][:, at]


def whole_metric(metric: Array) -> Array:
    """B as a matrix (n, n)."""
    return np.diag(metric) if metric.ndim == 1 else metric


def diagonal_of_metric(metric: Array) -> Array:
    """The diagonal (n,)."""
    return metric if metric.ndim == 1 else metric.diagonal()


def mean_square(rows: Array, metric: Array) -> float:
    """E[vᵀ B v] over rows v (N, n).

    >>> mean_square(np.array([[1.0, 2.0]]), np.array([1.0, 10.0]))
    41.0
    """
    return float(np.vdot(times_metric(rows, metric), rows)) / len(rows)
