"""Matrices that an H-matrix library must get right, the easy and the nasty."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from hedge.arrays import Array
from hedge.hmatrix import Entries, HMatrix


def line(size: int) -> Array:
    """Points on a line (n, 1), for the geometric trees."""
    return np.linspace(0.0, 1.0, size)[:, None]


def smooth(m: int, n: int) -> Array:
    return np.asarray(np.exp(-4.0 * (line(m) - line(n).T) ** 2))


def kinked(m: int, n: int) -> Array:
    """Smooth away from the diagonal only."""
    return np.asarray(1.0 / (1.0 + 5.0 * abs(line(m) - line(n).T)))


def oscillatory(m: int, n: int) -> Array:
    return np.asarray(np.cos(60.0 * line(m) * line(n).T))


def exact_rank(m: int, n: int, rank: int = 3, seed: int = 0) -> Array:
    rng = np.random.default_rng(seed)
    return rng.standard_normal((m, rank)) @ rng.standard_normal((rank, n))


def noise(m: int, n: int, seed: int = 0) -> Array:
    return np.random.default_rng(seed).standard_normal((m, n))


def badly_scaled(m: int, n: int) -> Array:
    return np.logspace(-8, 8, m)[:, None] * kinked(m, n) * np.logspace(8, -8, n)


def separate_parts(m: int, n: int) -> Array:
    """Two dense parts in opposite corners: a cross in one says nothing of the other."""
    matrix = np.zeros((m, n))
    matrix[: m // 3, : n // 3] = smooth(m // 3, n // 3)
    matrix[m // 2 :, n // 2 :] = exact_rank(m - m // 2, n - n // 2)
    return matrix


def spike(background: Array, row: int, column: int, height: float = 1e6) -> Array:
    matrix = background.copy()
    matrix[row, column] = height
    return matrix


# Above 64 × 64 entries ACA samples. The isolated entries are in smaller matrices, as no method that
# samples can know of one entry in thousands.
GALLERY: dict[str, Array] = {
    "smooth": smooth(72, 72),
    "kinked": kinked(72, 72),
    "oscillatory": oscillatory(72, 72),
    "exact rank": exact_rank(72, 70),
    "zero": np.zeros((72, 72)),
    "single row": noise(1, 60),
    "single column": noise(60, 1),
    "1 × 1": np.array([[-2.5]]),
    "noise": noise(72, 72),
    "badly scaled": badly_scaled(72, 72),
    "separate parts": separate_parts(72, 72),
    "spike in smooth": spike(smooth(60, 60), 41, 7),
    "spike in zero": spike(np.zeros((60, 60)), 13, 57),
    "constant": np.full((72, 72), 7.0),
    "odd sizes": kinked(37, 91),
}


def entries_of(matrix: Array) -> Entries:
    """The same matrix, known by its entries only."""
    return Entries(matrix.shape, lambda i, j: matrix[np.ix_(i, j)])


def coverage(h: HMatrix) -> NDArray[np.int_]:
    """How many leaves hold each entry."""
    count = np.zeros(h.shape, dtype=int)
    for leaf in h.leaves:
        assert leaf.shape == (leaf.bottom - leaf.top, leaf.stop - leaf.start)
        assert leaf.values().shape == leaf.shape
        count[leaf.top : leaf.bottom, leaf.start : leaf.stop] += 1
    return count


def root(metric: Array) -> Array:
    """The symmetric square root of a positive semidefinite matrix."""
    values, vectors = np.linalg.eigh((metric + metric.T) / 2)
    return np.asarray((vectors * np.sqrt(np.maximum(values, 0.0))) @ vectors.T)
