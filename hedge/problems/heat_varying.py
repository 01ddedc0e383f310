"""Heat in a square whose diffusivity varies hundredfold: u_t = a Δu + 200 sin πx sin 5πy sin πt, to t = 5.

"Heat 2d-VC" in PINNacle (Hao et al., 2024), where log a is a Gaussian random field of mean 0 and variance 1
whose power falls as |k|⁻⁴. Theirs is a file of 256 × 256 values; this one is of the same kind, of waves |k|
≤ 4, by a seed. The reference expands u in polynomials, diagonalises what they make of Δ and a, and is exact
in time.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.polynomial import legendre
from scipy import linalg

from hedge.arrays import Array
from hedge.problems.conditions import vanishes
from hedge.problems.domain import Domain
from hedge.problems.equations import Field, Math
from hedge.problems.problem import Problem

SEED, LONGEST = 0, 4
STRENGTH, END = 200.0, 5.0
MODES, NODES, CHUNK = 40, 80, 2_000
# Of what fades away after the start, parts smaller than this are left out.
SMALLEST = 1e-11


def _waves() -> tuple[tuple[int, int, float, float], ...]:
    """log a as a sum of (k, n, amplitude, phase): amplitude cos(2π(kx + ny) + phase)."""
    numbers = [
        (k, n)
        for k in range(LONGEST + 1)
        for n in range(-LONGEST, LONGEST + 1)
        if 0 < k * k + n * n <= LONGEST**2 and (k > 0 or n > 0)
    ]
    parts = np.random.default_rng(SEED).standard_normal((len(numbers), 2))
    parts /= np.sum(np.square(numbers), axis=1)[:, None]
    parts /= math.sqrt(float(np.sum(parts**2)) / 2.0)  # the variance is 1
    return tuple(
        (k, n, math.hypot(p, q), math.atan2(q, p))
        for (k, n), (p, q) in zip(numbers, parts.tolist(), strict=True)
    )


WAVES = _waves()


def resistance(x: Field, y: Field, math_: Math) -> Field:
    """1/a at x, y."""
    total: Field = 0.0
    for k, n, amplitude, phase in WAVES:
        total = total + amplitude * math_.cos(2.0 * math.pi * (k * x + n * y) + phase)
    return math_.exp(-total)


@dataclass(frozen=True, eq=False)
class Expansion:
    """u = steady(x, y) · (sin πt, cos πt) + Σ fading_i(x, y) exp(−rate_i t), of polynomials in x and y.

    shapes   (K + 2, K) polynomials that are zero at 0 and 1, by Legendre polynomials
    steady   (K², 2) products of them
    fading   (K², n)
    rates    (n,)
    """

    shapes: Array
    steady: Array
    fading: Array
    rates: Array

    def at(self, points: Array) -> Array:
        """u at points (n, 3) = (x, y, t): (n, 1)."""
        parts = [points[k : k + CHUNK] for k in range(0, max(len(points), 1), CHUNK)]
        return np.concatenate([self._at(*part.T) for part in parts])[:, None]

    def _at(self, x: Array, y: Array, t: Array) -> Array:
        along, across = (_values(self.shapes, each) for each in (x, y))
        shapes = (along[:, :, None] * across[:, None, :]).reshape(len(x), -1)
        swings = np.column_stack([np.sin(math.pi * t), np.cos(math.pi * t)])
        found: Array = np.sum(shapes @ self.steady * swings, axis=1)
        found += np.sum(shapes @ self.fading * np.exp(-np.outer(t, self.rates)), axis=1)
        return found


@functools.cache
def expansion(modes: int = MODES) -> Expansion:
    """u in polynomials of degree modes + 1 each way; relative L2 error of those taken: 5e-7."""
    shapes, masses = _shapes(modes)
    stiffness = np.sqrt(masses[:, None] + masses).ravel()  # square root of it
    nodes, weights = legendre.leggauss(NODES)
    x = (nodes + 1.0) / 2.0
    values = _values(shapes, x)
    weighed = resistance(x[:, None], x[None, :], np) * np.outer(weights, weights) / 4.0
    drive = STRENGTH * np.einsum(
        "qk,qr,rl->kl",
        values * np.sin(math.pi * x)[:, None],
        weighed,
        values * np.sin(5.0 * math.pi * x)[:, None],
        optimize=True,
    )
    pairs = (values[:, :, None] * values[:, None, :]).reshape(len(x), -1)
    mass = (pairs.T @ weighed @ pairs).reshape(4 * (modes,)).transpose(0, 2, 1, 3)
    mass = mass.reshape(modes * modes, -1) / np.outer(stiffness, stiffness)
    shares, vectors = linalg.eigh(mass)
    # q' = rate (force sin πt − q), q(0) = 0, for each eigenvector.
    rates, force = 1.0 / shares, vectors.T @ (drive.ravel() / stiffness)
    size = force * rates / (rates**2 + math.pi**2)
    back = vectors / stiffness[:, None]
    steady = np.column_stack([back @ (size * rates), back @ (-math.pi * size)])
    is_kept = np.abs(size) > SMALLEST
    return Expansion(shapes, steady, math.pi * (back * size)[:, is_kept], rates[is_kept])


def _shapes(modes: int) -> tuple[Array, Array]:
    """Polynomials with ∫ f'g' = 1 for f = g and 0 else, and ∫ f² of each, while other ∫ fg are 0."""
    k = np.arange(modes)
    shapes = np.zeros((modes + 2, modes))
    shapes[k, k], shapes[k + 2, k] = 1.0, -1.0
    shapes /= np.sqrt(8.0 * k + 12.0)
    masses, turn = linalg.eigh(shapes.T @ (shapes / (2.0 * np.arange(modes + 2) + 1.0)[:, None]))
    return shapes @ turn, masses


def _values(shapes: Array, x: Array) -> Array:
    """Of each at x (n,) in [0, 1], (n, K)."""
    return np.asarray(legendre.legvander(2.0 * x - 1.0, len(shapes) - 1) @ shapes)


def _residual(x: Sequence[Field], d: Mapping[str, Field], math_: Math) -> Field:
    """Over a: where that is small, u is large."""
    waves = math_.sin(math.pi * x[0]) * math_.sin(5.0 * math.pi * x[1])
    source = STRENGTH * waves * math_.sin(math.pi * x[2])
    return resistance(x[0], x[1], math_) * (d["u_t"] - source) - d["u_xx"] - d["u_yy"]


def _distance(x: Sequence[Field], math_: Math) -> Field:
    return 16.0 * x[0] * (1.0 - x[0]) * x[1] * (1.0 - x[1]) * x[2] / (x[2] + 0.5)


def _features(x: Sequence[Field], math_: Math) -> list[Field]:
    """The coordinates, and the phase of the source."""
    phase = math.pi * x[2]
    return [
        2.0 * x[0] - 1.0, 2.0 * x[1] - 1.0, 2.0 / END * x[2] - 1.0, math_.sin(phase), math_.cos(phase)
    ]  # fmt: skip


heat_varying = Problem(
    name="heat-varying",
    title="2D heat equation with a source and a diffusivity that varies hundredfold",
    inputs="xyt",
    domain=Domain(((0.0, 1.0), (0.0, 1.0), (0.0, END))),
    derivatives=("u_t", "u_xx", "u_yy"),
    residual=_residual,
    distance=_distance,
    reference=lambda points: expansion().at(points),
    features=_features,
    conditions=(vanishes("u", "t", 0), vanishes("u", "x", 0, 1), vanishes("u", "y", 0, 1)),
)
