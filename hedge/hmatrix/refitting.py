"""Refitting the leaves of an H-matrix to each other: the sound form of cross-block dependencies.

With a row metric B and a column metric C (docs/mathematics.md, the error that matters) the error of W ≈ H is
‖B^½ (W − H) C^½‖_F, and leaves are coupled through the parts of B and C outside the diagonal. With all
others fixed, the best leaf at rows I and columns J is a weighted truncation of
H_IJ + B_II⁻¹ [B (W − H) C]_IJ C_JJ⁻¹ in the metrics B_II and C_JJ. Taking leaf after leaf never
increases the error. Algorithm 2 of the paper means to do this; see ``paper.dependency_adjusted``.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hedge.arrays import Array
from hedge.errors import InputError
from hedge.hmatrix.checks import positive_integer, real_matrix, squarable_matrix
from hedge.hmatrix.hmatrix import HMatrix
from hedge.hmatrix.leaf import Leaf
from hedge.hmatrix.spectrum import METRIC_FLOOR, weighted_spectrum

STALLED = 1e-6  # a sweep that lowers the squared error by less than this part is the last


@dataclass(frozen=True, eq=False)
class Refit:
    """The refitted matrix, and the weighted error before and after each sweep."""

    matrix: HMatrix
    errors: tuple[float, ...]


def refit(
    matrix: ArrayLike,
    h: HMatrix,
    *,
    row_metric: ArrayLike | None = None,
    column_metric: ArrayLike | None = None,
    sweeps: int = 20,
) -> Refit:
    """Alternate over the leaves of H, ranks and places unchanged, until the error stands still.

    matrix is W (m, n), row_metric B (m, m) and column_metric C (n, n), symmetric positive
    semidefinite, in the original order; without one the plain Frobenius norm counts on that side.
    Raises InputError for shapes that do not fit, metrics that are not symmetric positive
    semidefinite, and sweeps below 1.

    >>> from hedge.hmatrix import build
    >>> rng = np.random.default_rng(0)
    >>> w, c = rng.standard_normal((64, 64)), np.cov(rng.standard_normal((64, 90)).cumsum(axis=0))
    >>> errors = refit(w, build(w, tolerance=0.5), column_metric=c).errors
    >>> errors[-1] <= errors[0]
    True
    """
    w = squarable_matrix("matrix", matrix)
    positive_integer("sweeps", sweeps)
    if w.shape != h.shape:
        raise InputError(f"matrix: has shape {w.shape}, the H-matrix {h.shape}")
    b = _metric("row_metric", row_metric, h.row_order)
    c = _metric("column_metric", column_metric, h.column_order)
    difference = (w - h.to_dense())[np.ix_(h.row_order, h.column_order)]
    leaves = list(h.leaves)
    errors = [_weighted(difference, b, c)]
    for _ in range(sweeps):
        for i, leaf in enumerate(leaves):
            rows, columns = slice(leaf.top, leaf.bottom), slice(leaf.start, leaf.stop)
            pull = b[rows] @ difference @ c[:, columns]
            fitted = _best(leaf, pull, b[rows, rows], c[columns, columns])
            change = fitted.values() - leaf.values()
            trial = difference[rows, columns] - change
            # a leaf is only taken if it does lower the error: near singular metrics round badly
            gain = 2.0 * np.vdot(pull, change) - np.vdot(
                b[rows, rows] @ change @ c[columns, columns], change
            )
            if gain > 0:
                difference[rows, columns] = trial
                leaves[i] = fitted
        errors.append(_weighted(difference, b, c))
        if errors[-1] ** 2 >= errors[-2] ** 2 * (1 - STALLED):
            break
    return Refit(replace(h, leaves=tuple(leaves)), tuple(errors))


def _best(leaf: Leaf, pull: Array, b: Array, c: Array) -> Leaf:
    """The leaf that minimises the error with all others fixed."""
    target = leaf.values() + _unweighted(pull, b, c)
    if leaf.is_dense:
        return replace(leaf, factors=(target,))
    left, right = weighted_spectrum(target, b, c).truncate(leaf.rank)
    return replace(leaf, factors=(left, right))


def _unweighted(pull: Array, b: Array, c: Array) -> Array:
    """B⁻¹ pull C⁻¹, but for directions of next to no weight, where it would be rounding, enlarged."""
    (row_weights, q), (column_weights, p) = np.linalg.eigh(b), np.linalg.eigh(c)
    weights = np.outer(np.maximum(row_weights, 0.0), np.maximum(column_weights, 0.0))
    counts = weights > METRIC_FLOOR * weights.max()
    return np.asarray(q @ np.divide(q.T @ pull @ p, weights, out=0 * pull, where=counts) @ p.T)


def _weighted(difference: Array, b: Array, c: Array) -> float:
    return math.sqrt(max(float(np.vdot(difference, b @ difference @ c)), 0.0))


def _metric(name: str, values: ArrayLike | None, order: NDArray[np.intp]) -> Array:
    if values is None:
        return np.eye(len(order))
    metric = real_matrix(name, values)
    if metric.shape != (len(order), len(order)):
        raise InputError(f"{name}: has shape {metric.shape}; give ({len(order)}, {len(order)})")
    size = float(np.abs(metric).max())
    values, vectors = np.linalg.eigh((metric + metric.T) / 2)
    if np.abs(metric - metric.T).max() > 1e-8 * size or values[0] < -1e-8 * size:
        raise InputError(f"{name}: is not symmetric positive semidefinite; give a covariance")
    if values[0] < -METRIC_FLOOR / 2 * size:  # by rounding, but the floor would not make up for it
        metric = (vectors * np.maximum(values, 0.0)) @ vectors.T
    return metric[np.ix_(order, order)]
