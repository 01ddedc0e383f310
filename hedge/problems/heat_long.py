"""Heat with a source that swings, for a long time: u_t = Δu / 1000 + 5 sin u² (1 + 2 sin πt/4) sin 4πx sin
2πy, to t = 100.

u = sin 4πx sin 3πy at the start and 0 on the sides of the unit square: "Heat 2d-LT" in PINNacle (Hao et
al., 2024). u rises to ±√π, where the source ends, with steep fronts between, and falls back once in eight
units of time. As u(x + 1/4, y) = −u(x, y) and u is even about x = 1/8, the reference has sines of 4πx,
12πx, … and steps by ETDRK4; from t = 24 on it has the period 8.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import scipy

from hedge.arrays import Array
from hedge.problems.conditions import Condition, Faces, vanishes
from hedge.problems.domain import Domain
from hedge.problems.equations import Field, Math
from hedge.problems.etdrk4 import at_times
from hedge.problems.lagrange import shares
from hedge.problems.layers import Layers
from hedge.problems.problem import Problem

DIFFUSIVITY, STRENGTH, PERIOD, END = 1e-3, 5.0, 8.0, 100.0
SETTLED = 4.0 * PERIOD  # from here on it repeats itself
ALONG, ACROSS = 12, 96  # sines of odd multiples of 4πx, and of multiples of πy
STEPS, SAVED = 80, 20  # of a unit of time: steps, and states that are kept
READ = 6  # states that a value is read from
SOON, LATE = 0.2, 3.0


@dataclass(frozen=True, eq=False)
class States:
    """Coefficients of sines (s, ALONG, ACROSS) at times (s,), evenly apart, to where u repeats itself."""

    times: Array
    coefficients: Array

    def at(self, points: Array) -> Array:
        """u at points (n, 3) = (x, y, t): (n, 1)."""
        x, y, t = points.T
        late = np.maximum(t - (SETTLED - PERIOD), 0.0)
        t = np.minimum(t, SETTLED - PERIOD) + late % PERIOD
        _, along, across = self.coefficients.shape
        in_x = np.sin(4.0 * math.pi * np.outer(x, 2.0 * np.arange(along) + 1.0))
        in_y = np.sin(math.pi * np.outer(y, np.arange(1, across + 1)))
        first = np.floor(t * SAVED).astype(int) - (READ // 2 - 1)
        first = np.clip(first, 0, len(self.times) - READ)
        parts = shares(t * SAVED - first, READ)
        found = np.zeros(len(points))
        for k in np.unique(first):
            rows = first == k
            states = np.tensordot(in_x[rows], self.coefficients[k : k + READ], (1, 1))
            found[rows] = np.einsum("nsj,ns,nj->n", states, parts[rows], in_y[rows])
        return found[:, None]


@functools.cache
def states(along: int = ALONG, across: int = ACROSS, steps: int = STEPS) -> States:
    """u in so many sines and steps; relative L2 error of those taken: 5e-4."""
    numbers = [2.0 * np.arange(along) + 1.0, np.arange(1.0, across + 1.0)]
    rates = -DIFFUSIVITY * math.pi**2 * (16.0 * numbers[0][:, None] ** 2 + numbers[1] ** 2).ravel()
    x = (np.arange(along) + 1.0) / (8.0 * along)
    y = (np.arange(across) + 1.0) / (across + 1.0)
    source = STRENGTH * np.outer(np.sin(4.0 * math.pi * x), np.sin(2.0 * math.pi * y))

    def rest(w: Array, t: float) -> Array:
        values = scipy.fft.dst(scipy.fft.dst(w.reshape(along, across), 2, axis=0), 1, axis=1) / 4.0
        return _coefficients(source * np.sin(values * values) * _swing(t, np)).ravel()

    start = np.zeros((along, across))
    start[0, 2] = 1.0
    times = np.arange(round(SETTLED * SAVED) + 1) / SAVED
    found = at_times(start.ravel(), times, rates, rest, steps)
    return States(times, np.stack(found).reshape(-1, along, across))


def _coefficients(values: Array) -> Array:
    return np.asarray(4.0 * scipy.fft.idst(scipy.fft.idst(values, 2, axis=0), 1, axis=1))


def _swing(t: Field, math_: Math) -> Field:
    return 1.0 + 2.0 * math_.sin(2.0 * math.pi / PERIOD * t)


def _residual(x: Sequence[Field], d: Mapping[str, Field], math_: Math) -> Field:
    waves = math_.sin(4.0 * math.pi * x[0]) * math_.sin(2.0 * math.pi * x[1])
    source = STRENGTH * math_.sin(d["u"] * d["u"]) * _swing(x[2], math_) * waves
    return d["u_t"] - DIFFUSIVITY * (d["u_xx"] + d["u_yy"]) - source


def _offset(x: Sequence[Field], math_: Math) -> Field:
    """The start, and what the source makes of it: u of its sign, that rises and falls after it."""
    fading = math_.exp(-2.0 * x[2])
    level = 1.0 + 0.8 * math_.cos(2.0 * math.pi / PERIOD * (x[2] - LATE))
    waves = (
        math_.sin(3.0 * math.pi * x[1]) * fading
        + math_.sin(2.0 * math.pi * x[1]) * (1.0 - fading) * level
    )
    return math_.sin(4.0 * math.pi * x[0]) * waves


def _distance(x: Sequence[Field], math_: Math) -> Field:
    sides = math_.sin(4.0 * math.pi * x[0]) * 4.0 * x[1] * (1.0 - x[1])
    return sides * x[2] / (x[2] + SOON)


def _features(x: Sequence[Field], math_: Math) -> list[Field]:
    """A wave with the symmetries of u along x, y, the source's phase, and a clock that stops."""
    phase = 2.0 * math.pi / PERIOD * x[2]
    fading = 2.0 * math_.exp(-x[2]) - 1.0
    wave = math_.cos(8.0 * math.pi * x[0])
    return [wave, 2.0 * x[1] - 1.0, math_.sin(phase), math_.cos(phase), fading]


heat_long = Problem(
    name="heat-long",
    title="2D heat equation with a source that swings and saturates, t in [0, 100]",
    inputs="xyt",
    domain=Domain(((0.0, 1.0), (0.0, 1.0), (0.0, END))),
    derivatives=("u", "u_t", "u_xx", "u_yy"),
    residual=_residual,
    offset=_offset,
    distance=_distance,
    reference=lambda points: states().at(points),
    features=_features,
    conditions=(
        Condition(Faces("t", (0,)), lambda x, d, math_: d["u"] - _offset(x, math_)),
        vanishes("u", "x", 0, 1),
        vanishes("u", "y", 0, 1),
    ),
    layers=Layers(32, 3),
)
