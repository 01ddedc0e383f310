"""Waves in a square whose speed varies: u_tt = a Δu on [−1, 1]², no flux through its sides, to t = 5.

"Wave 2d-CG" in PINNacle (Hao et al., 2024), where a is 12 and 1 at random, after the sign of a Gaussian field
whose power falls as |k|⁻⁴, in a file of 256 × 256 values. This one is of such a field by a seed, of up to
five half waves each way, and goes from 1 to 12 smoothly. A bump that is at rest starts beside the left side;
here it has mirror images beyond the sides, so that its flux through them is zero, too. The reference is a
cosine series, exact in time.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from hedge.arrays import Array
from hedge.problems.conditions import Condition, Inside, vanishes
from hedge.problems.domain import Domain
from hedge.problems.equations import Field, Math
from hedge.problems.layers import Layers
from hedge.problems.problem import Problem

SEED, LONGEST = 0, 5
SLOW, FAST, SHARPNESS = (
    1.0,
    12.0,
    3.0,
)  # squares of the speed, and how fast it goes from one to the other
CENTRE, WIDTH = (-0.5, 0.0), 0.3
END = 5.0
MODES, NODES, CHUNK = 40, 144, 4_000


def _waves() -> tuple[tuple[int, int, float], ...]:
    """The field as a sum of (k, n, amplitude): amplitude cos(kπ(x + 1)/2) cos(nπ(y + 1)/2)."""
    half_waves = range(LONGEST + 1)
    numbers = [(k, n) for k in half_waves for n in half_waves if 0 < k * k + n * n <= LONGEST**2]
    parts = np.random.default_rng(SEED).standard_normal(len(numbers))
    parts /= np.sum(np.square(numbers), axis=1)
    shares = np.mean(np.square(parts) / 2.0 ** np.count_nonzero(numbers, axis=1))
    parts /= math.sqrt(len(numbers) * float(shares))  # the variance is 1
    return tuple((k, n, part) for (k, n), part in zip(numbers, parts.tolist(), strict=True))


WAVES = _waves()


def slowness(x: Field, y: Field, math_: Math) -> Field:
    """1/a at x, y: the square of the time that a unit of length takes."""
    field: Field = 0.0
    for k, n, amplitude in WAVES:
        along = math_.cos(math.pi / 2.0 * k * (x + 1.0))
        across = math_.cos(math.pi / 2.0 * n * (y + 1.0))
        field = field + amplitude * along * across
    return 1.0 / FAST + (1.0 / SLOW - 1.0 / FAST) / (1.0 + math_.exp(SHARPNESS * field))


def _bump(x: Field, y: Field, math_: Math) -> Field:
    """u at t = 0: products of the bump's profiles and their nearest mirror images."""
    product: Field = 1.0
    for along, centre in zip((x, y), CENTRE, strict=True):
        total: Field = 0.0
        for image in (centre, -2.0 - centre, 2.0 - centre):
            away = (along - image) / WIDTH
            total = total + math_.exp(-0.5 * away * away)
        product = product * total
    return product


@dataclass(frozen=True, eq=False)
class Series:
    """u = Σ c T_i(2t/END − 1) cos(j π(x + 1)/2) cos(k π(y + 1)/2), coefficients c (i, j, k)."""

    coefficients: Array

    def at(self, points: Array) -> Array:
        """u at points (n, 3) = (x, y, t): (n, 1)."""
        parts = [points[k : k + CHUNK] for k in range(0, max(len(points), 1), CHUNK)]
        return np.concatenate([self._at(*part.T) for part in parts])[:, None]

    def _at(self, x: Array, y: Array, t: Array) -> Array:
        nodes, modes, _ = self.coefficients.shape
        angle = np.arccos(np.clip(2.0 * t / END - 1.0, -1.0, 1.0))
        in_time = np.cos(np.outer(angle, np.arange(nodes)))
        in_x, in_y = (np.cos(math.pi / 2.0 * np.outer(c + 1.0, np.arange(modes))) for c in (x, y))
        states = (in_time @ self.coefficients.reshape(nodes, -1)).reshape(len(x), modes, modes)
        return np.asarray(np.einsum("njk,nj,nk->n", states, in_x, in_y, optimize=True))


@functools.cache
def series(modes: int = MODES, nodes: int = NODES) -> Series:
    """u in so many cosines each way; relative L2 error of those taken: 1e-4.

    cos(t √A) of A = −a Δ is a sum of Bessel functions of t and Chebyshev polynomials of A (Tal-Ezer, 1986).
    """
    from scipy.fft import dct, dctn, idctn
    from scipy.special import jv

    middle = (2.0 * np.arange(modes) + 1.0) / modes - 1.0
    x, y = middle[:, None], middle[None, :]
    speed = 1.0 / slowness(x, y, np)
    squares = (math.pi / 2.0 * np.arange(modes)) ** 2
    stiffness = squares[:, None] + squares
    largest = math.sqrt(float(speed.max() * stiffness.max()))  # of √A

    def shifted(values: Array) -> Array:
        """2A/largest² − 1, whose spectrum is in [−1, 1]."""
        bent = idctn(stiffness * dctn(values, 2), 2)
        return np.asarray(2.0 / largest**2 * speed * bent - values)

    times = END * (1.0 - np.cos(math.pi * np.arange(nodes + 1) / nodes)) / 2.0
    terms = int(END * largest / 2.0) + 40
    orders = np.arange(terms)
    weights = 2.0 * (-1.0) ** orders * jv(2.0 * orders, largest * times[:, None])
    weights[:, 0] /= 2.0
    before = np.asarray(_bump(x, y, np))
    found, now = [before], shifted(before)
    for _ in range(terms - 1):
        found.append(now)
        before, now = now, 2.0 * shifted(now) - before
    states = (weights @ np.reshape(found, (terms, -1))).reshape(-1, modes, modes)
    states = dctn(states, 2, axes=(1, 2)) / modes**2
    states[:, 0, :] /= 2.0
    states[:, :, 0] /= 2.0
    coefficients = dct(states[::-1], 1, axis=0) / nodes
    coefficients[[0, -1]] /= 2.0
    return Series(coefficients)


def _residual(x: Sequence[Field], d: Mapping[str, Field], math_: Math) -> Field:
    return slowness(x[0], x[1], math_) * d["u_tt"] - d["u_xx"] - d["u_yy"]


def _features(x: Sequence[Field], math_: Math) -> list[Field]:
    """Waves that no flux goes with through the sides, the time, and waves in it as long as those of u."""
    waves = [math_.cos(math.pi / 2.0 * k * (along + 1.0)) for along in x[:2] for k in range(1, 5)]
    turns = [math.pi / END * k * x[2] for k in (3, 6)]
    swings = [f(turn) for turn in turns for f in (math_.cos, math_.sin)]
    return [*waves, 2.0 / END * x[2] - 1.0, *swings]


def _missing(x: Sequence[Field], d: Mapping[str, Field], math_: Math) -> Field:
    """Its mean over the square is 0 at all times, as the equation has it without flux through the sides.

    Of all that the equation says this is what a small residual misses most: it grows as the square of time.
    """
    return slowness(x[0], x[1], math_) * (d["u"] - _bump(x[0], x[1], math_))


wave_varying = Problem(
    name="wave-varying",
    title="2D wave equation with a speed that varies threefold, no flux through the sides",
    inputs="xyt",
    domain=Domain(((-1.0, 1.0), (-1.0, 1.0), (0.0, END))),
    derivatives=("u_tt", "u_xx", "u_yy"),
    residual=_residual,
    offset=lambda x, math_: _bump(x[0], x[1], math_),
    # t², so that it starts at rest.
    distance=lambda x, math_: x[2] * x[2] / (x[2] * x[2] + 0.25),
    reference=lambda points: series().at(points),
    features=_features,
    conditions=(
        vanishes("u_t", "t", 0),
        vanishes("u_x", "x", 0, 1),
        vanishes("u_y", "y", 0, 1),
        Condition(Inside(), _missing, ("u",), mean="xy"),
    ),
    layers=Layers(40, 2),
)
