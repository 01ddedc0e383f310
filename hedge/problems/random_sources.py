"""Random functions on a grid that hold every frequency: smooth fields, white noise, point loads."""

from __future__ import annotations

import math

import numpy as np
import scipy

from hedge.arrays import Array

# Correlation lengths of the smooth fields, in parts of the side.
LENGTHS = (0.3, 0.1, 0.03, 0.01)
LOAD_STRENGTHS = (0.5, 1.0)
KINDS = 3


def random_sources(sides: tuple[int, ...], count: int, seed: int) -> Array:
    """Independent sources at the nodes i h, h = 1 / (side + 1), of a grid: (count, nodes), float64.

    sides are the nodes along each of d axes, all alike; the nodes come row by row. In random order, a
    third each of

    - smooth Gaussian fields of unit variance, each of one of the correlation ``LENGTHS``;
    - white noise of unit intensity, which on the grid has the variance 1 / hᵈ;
    - point loads ±s δ(x − x_j), on the grid ±s / hᵈ at one node, s uniform in ``LOAD_STRENGTHS``. The
      loads visit every node before any node twice.

    So scaled, all three move a Green's function's output by about as much, on every grid, and the
    mean of f fᵀ is a multiple of the identity plus what the smooth fields add: no frequency is
    missing, none is weak.

    >>> random_sources((5,), 4, seed=0).shape
    (4, 5)
    """
    rng = np.random.default_rng(seed)
    kinds = rng.permutation(np.arange(count) % KINDS)
    smooth, noise, loads = (np.flatnonzero(kinds == kind) for kind in range(KINDS))
    nodes, cell = math.prod(sides), (1.0 / (sides[0] + 1)) ** len(sides)
    sources = np.zeros((count, nodes))
    sources[smooth] = _smooth_fields(sides, len(smooth), rng)
    sources[noise] = rng.standard_normal((len(noise), nodes)) / np.sqrt(cell)
    strengths = rng.uniform(*LOAD_STRENGTHS, len(loads)) * rng.choice([-1.0, 1.0], len(loads))
    sources[loads, _positions(nodes, len(loads), rng)] = strengths / cell
    return sources


def _smooth_fields(sides: tuple[int, ...], count: int, rng: np.random.Generator) -> Array:
    """Σ_k a_k Π cos kπx with independent a_k ~ N(0, Π exp(−(kπℓ)² / 2)), scaled to unit variance."""
    lengths = rng.choice(LENGTHS, (count, 1))
    waves = np.arange(sides[0] + 2)
    along = np.exp(-((waves * np.pi * lengths) ** 2) / 4.0)
    # cos² is 1 for the constant and 1/2 in the mean for every wave.
    variance = along[:, :1] ** 2 + 0.5 * np.sum(along[:, 1:] ** 2, axis=1, keepdims=True)
    along = along / np.sqrt(variance)
    deviations = along
    for _ in sides[1:]:
        deviations = deviations[..., None] * along.reshape(count, *[1] * (deviations.ndim - 1), -1)
    return cosine_fields(deviations, rng)


def cosine_fields(deviations: Array, rng: np.random.Generator) -> Array:
    """Σ_k a_k Π cos kπx at the inner nodes, row by row, with independent a_k ~ N(0, deviations²).

    deviations (count, m_1 + 2, …) has those of waves 0 to m + 1 along each axis.

    >>> cosine_fields(np.ones((3, 6)), np.random.default_rng(0)).shape
    (3, 4)
    """
    amplitudes = deviations * rng.standard_normal(deviations.shape)
    axes = tuple(range(1, amplitudes.ndim))
    for axis in axes:  # the transform doubles all but the first and the last
        np.moveaxis(amplitudes, axis, 0)[1:-1] /= 2.0
    inner = (slice(None), *[slice(1, -1)] * len(axes))
    return np.asarray(
        scipy.fft.dctn(amplitudes, type=1, axes=axes)[inner].reshape(len(amplitudes), -1)
    )


def _positions(sensors: int, count: int, rng: np.random.Generator) -> np.ndarray:
    rounds = [rng.permutation(sensors) for _ in range(-(-count // sensors))]
    return np.concatenate([*rounds, np.empty(0, dtype=np.int64)])[:count].astype(np.int64)
