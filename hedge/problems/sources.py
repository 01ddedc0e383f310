"""Random sources on a grid of (0, 1) that hold every frequency: smooth fields, white noise, point loads."""

from __future__ import annotations

import numpy as np
from scipy import fft

from hedge.arrays import Array

# Correlation lengths of the smooth fields, in parts of the interval.
LENGTHS = (0.3, 0.1, 0.03, 0.01)
LOAD_STRENGTHS = (0.5, 1.0)
KINDS = 3


def random_sources(sensors: int, count: int, seed: int) -> Array:
    """Independent sources at the nodes x_i = i h, h = 1 / (sensors + 1): (count, sensors), float64.

    In random order, a third each of

    - smooth Gaussian fields of unit variance, each of one of the correlation ``LENGTHS``;
    - white noise of unit intensity, which on the grid has the variance 1 / h;
    - point loads ±s δ(x − x_j), on the grid ±s / h at one node, s uniform in ``LOAD_STRENGTHS``. The
      loads visit every node before any node twice.

    So scaled, all three move a Green's function's output by about as much, on every grid, and the
    mean of f fᵀ is a multiple of the identity plus what the smooth fields add: no frequency is
    missing, none is weak.

    >>> random_sources(5, 4, seed=0).shape
    (4, 5)
    """
    rng = np.random.default_rng(seed)
    kinds = rng.permutation(np.arange(count) % KINDS)
    smooth, noise, loads = (np.flatnonzero(kinds == kind) for kind in range(KINDS))
    spacing = 1.0 / (sensors + 1)
    sources = np.zeros((count, sensors))
    sources[smooth] = _smooth_fields(sensors, len(smooth), rng)
    sources[noise] = rng.standard_normal((len(noise), sensors)) / np.sqrt(spacing)
    strengths = rng.uniform(*LOAD_STRENGTHS, len(loads)) * rng.choice([-1.0, 1.0], len(loads))
    sources[loads, _positions(sensors, len(loads), rng)] = strengths / spacing
    return sources


def _smooth_fields(sensors: int, count: int, rng: np.random.Generator) -> Array:
    """Σ_k a_k cos kπx with independent a_k ~ N(0, exp(−(kπℓ)² / 2)), scaled to unit variance."""
    lengths = rng.choice(LENGTHS, (count, 1))
    waves = np.arange(sensors + 2)
    deviations = np.exp(-((waves * np.pi * lengths) ** 2) / 4.0)
    # cos² is 1 for the constant and 1/2 in the mean for every wave.
    variance = deviations[:, :1] ** 2 + 0.5 * np.sum(deviations[:, 1:] ** 2, axis=1, keepdims=True)
    amplitudes = deviations / np.sqrt(variance) * rng.standard_normal(deviations.shape)
    amplitudes[:, 1:-1] /= 2.0  # the transform doubles all but the first and the last
    return np.asarray(fft.dct(amplitudes, type=1, axis=1)[:, 1:-1])


def _positions(sensors: int, count: int, rng: np.random.Generator) -> np.ndarray:
    rounds = [rng.permutation(sensors) for _ in range(-(-count // sensors))]
    return np.concatenate([*rounds, np.empty(0, dtype=np.int64)])[:count].astype(np.int64)
