"""Low-rank approximation of a matrix in a weighted Frobenius norm."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import linalg

Array = NDArray[np.float64]

# Eigenvalues of a metric below this part of the largest are raised to it: a direction that no
# sample excites gets a small weight, not none, and the metric stays invertible.
METRIC_FLOOR = 1e-12


@dataclass(frozen=True)
class Spectrum:
    """The singular values of B^½ W C^½ with what is needed to truncate at any rank.

    values (r,) descending; left (n_out, r) holds B^−½ times the left singular vectors, right (r,
    n_in) the transposed left singular vectors times B^½ W, so that W ≈ left[:, :k] @ right[:k].
    """

    values: Array
    left: Array
    right: Array

    def truncate(self, rank: int) -> tuple[Array, Array]:
        """The best rank-``rank`` factors (n_out, k) and (k, n_in) in the weighted norm."""
        return self.left[:, :rank], self.right[:rank]

    def tail_squared(self) -> Array:
        """Squared weighted error of every rank 0 … r, shape (r + 1,)."""
        return np.append(np.cumsum((self.values**2)[::-1])[::-1], 0.0)


def weighted_spectrum(matrix: Array, left_metric: Array, right_metric: Array) -> Spectrum:
    """Decompose ``matrix`` W (n_out, n_in) for truncation in the norm ‖B^½ (W − H) C^½‖_F.

    left_metric B (n_out, n_out) and right_metric C (n_in, n_in) are symmetric positive
    semidefinite. By Eckart–Young the best H of rank k is B^−½ [B^½ W C^½]_k C^−½; written as a
    projection from the left, B^−½ U_k U_kᵀ B^½ W, it needs no inverse of C, which is singular for
    activations that span few directions (DESIGN, output-weighted error).

    >>> s = weighted_spectrum(np.diag([2.0, 1.0]), np.eye(2), np.diag([1.0, 9.0]))
    >>> s.values
    array([3., 2.])
    """
    root, inverse_root = _roots(left_metric)
    right_root, _ = _roots(right_metric)
    u, values, _ = linalg.svd(root @ matrix @ right_root, full_matrices=False)
    return Spectrum(values, inverse_root @ u, u.T @ root @ matrix)


def plain_spectrum(matrix: Array) -> Spectrum:
    """The same for the plain Frobenius norm: the truncated SVD (paper, section III.A)."""
    u, values, vt = linalg.svd(matrix, full_matrices=False)
    return Spectrum(values, u, values[:, None] * vt)


def _roots(metric: Array) -> tuple[Array, Array]:
    """Symmetric square root of a metric, and its inverse."""
    eigenvalues, vectors = linalg.eigh(metric)
    largest = eigenvalues[-1]
    if largest <= 0.0:  # nothing is weighted: any truncation is as good as any other
        return np.eye(len(metric)), np.eye(len(metric))
    roots = np.sqrt(np.maximum(eigenvalues, METRIC_FLOOR * largest))
    return (vectors * roots) @ vectors.T, (vectors / roots) @ vectors.T
