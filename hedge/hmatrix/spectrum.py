"""Low-rank approximation of a matrix in a weighted Frobenius norm."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy import linalg

from hedge.arrays import Array, rows_times

# This part of a metric's largest diagonal entry is added to its diagonal: a direction that no sample
# excites gets a small weight, not none, and the metric has a Cholesky factor.
METRIC_FLOOR = 1e-12
# The smaller side from which leading singular vectors are found by random projection.
RANDOM_ABOVE = 200
# Binary digits by which the sizes of two factors may differ.
MOST_APART = 100


@dataclass(frozen=True)
class Spectrum:
    """The singular values of Lᵀ W R, B = L Lᵀ and C = R Rᵀ, with what is needed to truncate.

    values (r,) descending; left (n_out, r) holds L⁻ᵀ times the left singular vectors, right (r,
    n_in) the transposed left singular vectors times Lᵀ W, so that W ≈ left[:, :k] @ right[:k].
    rest_squared is the sum of the squares of the singular values that were not computed.
    """

    values: Array
    left: Array
    right: Array
    rest_squared: float = 0.0

    def truncate(self, rank: int) -> tuple[Array, Array]:
        """The best rank-``rank`` factors (n_out, k) and (k, n_in) in the weighted norm."""
        return self.left[:, :rank], self.right[:rank]

    def tail_squared(self) -> Array:
        """Squared weighted error of every rank 0 … r, shape (r + 1,)."""
        return tails_squared(self.values) + self.rest_squared


def tails_squared(values: Array) -> Array:
    """Squared error (r + 1,) of cutting singular values (r,) after rank 0 … r.

    >>> tails_squared(np.array([2.0, 1.0]))
    array([5., 1., 0.])
    """
    return np.append(np.cumsum((values**2)[::-1])[::-1], 0.0)


def weighted_spectrum(
    matrix: Array, left_metric: Array, right_metric: Array | None = None, *, most: int | None = None
) -> Spectrum:
    """Decompose ``matrix`` W (n_out, n_in) for truncation in the norm ‖Lᵀ (W − H) R‖_F.

    left_metric B = L Lᵀ (n_out, n_out) and right_metric C = R Rᵀ (n_in, n_in) are symmetric positive
    semidefinite, C the identity where it is left out; the norm, ‖B^½ (W − H) C^½‖_F, does not depend on
    which factors are taken. By
    Eckart–Young the best H of rank k is L⁻ᵀ [Lᵀ W R]_k R⁻¹; written as a projection from the left,
    L⁻ᵀ U_k U_kᵀ Lᵀ W, it needs no inverse of R, which is near singular for activations that span
    few directions (docs/mathematics.md). With ``most`` only about so many singular values
    are computed, the largest.

    >>> s = weighted_spectrum(np.diag([2.0, 1.0]), np.eye(2), np.diag([1.0, 9.0]))
    >>> s.values.round(6)
    array([3., 2.])
    """
    left = _cholesky(left_metric)
    weighted = _times(left.T, matrix)
    both = weighted if right_metric is None else weighted @ _cholesky(right_metric)
    rest = 0.0
    if most is None:
        u, values, _ = linalg.svd(both, full_matrices=False)
    else:
        u, values, _ = leading(both, most, np.random.default_rng(0))
        rest = max(float(np.vdot(both, both) - np.vdot(values, values)), 0.0)
    outward = linalg.solve_triangular(left, u, lower=True, trans="T")
    return Spectrum(values, *_within_float32(outward, u.T @ weighted), rest)


def sampled_spectrum(matrix: Array, metric: Array, written: Array, most: int) -> Spectrum:
    """The same where few values are asked for, about ``most``, and C is known by samples alone.

    written (N, n_out) is what W makes of samples a, about their mean, so that C is E[a aᵀ] over these; metric
    is B (n_out, n_out), or its diagonal (n_out,). No matrix but W has more than N rows or columns.

    >>> w, a = np.diag([2.0, 1.0]), np.array([[1.0, 0.0], [-1.0, 0.0], [0.0, 3.0], [0.0, -3.0]])
    >>> sampled_spectrum(w, np.ones(2), a @ w, 2).values.round(6)
    array([2.12132 , 1.414214])
    """
    root = _sqrt_floored(metric) if metric.ndim == 1 else _cholesky(metric)
    both = (written * root if metric.ndim == 1 else written @ root) / np.sqrt(len(written))
    _, values, vt = leading(both, most, np.random.default_rng(0))
    rest = max(float(np.vdot(both, both) - np.vdot(values, values)), 0.0)
    if metric.ndim == 1:
        outward, inward = vt.T / root[:, None], root[:, None] * vt.T
    else:
        outward = linalg.solve_triangular(root, vt.T, lower=True, trans="T")
        inward = root @ vt.T
    right = rows_times(np.ascontiguousarray(inward.T), matrix.T)
    return Spectrum(values, *_within_float32(outward, right), rest)


def _sqrt_floored(diagonal: Array) -> Array:
    """The root of a diagonal metric, floored; ones if nothing is weighted at all."""
    largest = float(diagonal.max())
    return np.sqrt(diagonal + METRIC_FLOOR * largest) if largest > 0.0 else np.ones_like(diagonal)


def _times(factor: Array, columns: Array) -> Array:
    """The product; of a diagonal factor without any."""
    diagonal = factor.diagonal()
    if np.count_nonzero(factor) == np.count_nonzero(diagonal):
        return np.asarray(diagonal[:, None] * columns)
    return np.asarray(factor @ columns)


def _within_float32(left: Array, right: Array) -> tuple[Array, Array]:
    """The factors with a power of two moved from one to the other, where float32 could not hold both.

    That happens where a metric is far from one: weights or outputs of 1e-42, or of 1e38.
    """
    up, down = (math.frexp(float(np.abs(factor).max(initial=0.0)))[1] for factor in (left, right))
    if abs(up - down) <= MOST_APART:
        return left, right
    moved = (up - down) // 2
    return np.ldexp(left, -moved), np.ldexp(right, moved)


def plain_spectrum(matrix: Array) -> Spectrum:
    """The same for the plain Frobenius norm: the truncated SVD (paper, section III.A)."""
    u, values, vt = linalg.svd(np.asarray(matrix, dtype=np.float64), full_matrices=False)
    return Spectrum(values, u, values[:, None] * vt)


def leading(matrix: Array, count: int, rng: np.random.Generator) -> tuple[Array, Array, Array]:
    """At least ``count`` leading singular triplets, where there are that many.

    (m, k), (k,), (k, n); by random projection with two power iterations (Halko, Martinsson, Tropp,
    2011) where that is less work.
    """
    if min(matrix.shape) <= max(RANDOM_ABOVE, 2 * count):
        u, s, vt = np.linalg.svd(matrix, full_matrices=False)
        return u, s, vt
    basis = matrix @ rng.standard_normal((matrix.shape[1], count))
    for _ in range(2):
        basis = matrix @ (matrix.T @ np.linalg.qr(basis)[0])
    basis = np.linalg.qr(basis)[0]
    u, s, vt = np.linalg.svd(basis.T @ matrix, full_matrices=False)
    return basis @ u, s, vt


def _cholesky(metric: Array) -> Array:
    """Lower L with L Lᵀ = the metric, floored; the identity if nothing is weighted at all."""
    largest = float(metric.diagonal().max())
    if largest <= 0.0:
        return np.eye(len(metric))
    floored = metric.copy()
    floored[np.diag_indices_from(floored)] += METRIC_FLOOR * largest
    if np.count_nonzero(metric) == np.count_nonzero(metric.diagonal()):
        return np.sqrt(floored)
    return np.asarray(linalg.cholesky(floored, lower=True, overwrite_a=True))
