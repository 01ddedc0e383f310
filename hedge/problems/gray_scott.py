"""Gray–Scott: u_t = ε Δu + b (1 − u) − u v², v_t = ε Δv / 2 − d v + u v² on [−1, 1]², to t = 200.

ε = 1e-5, b = 0.04 and d = 0.1, from a hole in u = 1 and a bump of v beside it: "GS" in PINNacle (Hao et al.,
2024). They become a ring that grows slowly. All around it u is 1 and v is 0, so it does not matter what they
meet at the sides. The reference has waves on a smaller square, and steps by ETDRK4.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import scipy

from hedge.arrays import Array
from hedge.problems.domain import Domain
from hedge.problems.equations import Field, Math
from hedge.problems.etdrk4 import at_times
from hedge.problems.lagrange import shares
from hedge.problems.periodic import Waves
from hedge.problems.problem import Problem

DIFFUSIVITIES, FEED, DECAY = (1e-5, 5e-6), 0.04, 0.1
# The middle of v's bump; that of 1 − u is on the other side of the origin.
BUMP, SHARPNESS = (0.05, 0.02), 80.0
# The middle of the ring, on the line through both, about which u and v are even.
RING = (0.07, 0.028)
END = 200.0
SOON, WEIGHT = 10.0, 100.0  # the time that a change takes, and the weight that equations have then
HALF_SIDE, WAVES, STEPS = 0.6, 160, 2
# When changes become slow; how far apart states are before and after.
SETTLED, EARLY, LATE = 16.0, 0.4, 2.0
READ = 6  # states, and points each way, that a value is read from


@dataclass(frozen=True, eq=False)
class States:
    """u − 1 and v (s, 2, n, n) at times ``apart`` from ``begin`` on, on a grid of the square of HALF_SIDE."""

    begin: float
    apart: float
    values: Array

    def at(self, points: Array) -> Array:
        """u and v at points (n, 3) = (x, y, t): (n, 2). Beyond the square they are 1 and 0."""
        count, _, across, _ = self.values.shape
        cells = (points[:, :2] / HALF_SIDE + 1.0) * across / 2.0
        inside = ((cells >= 0.0) & (cells <= across - 1.0)).all(axis=1)
        found = np.zeros((len(points), 2))
        times = (points[inside, 2] - self.begin) / self.apart
        where = np.column_stack([times, cells[inside]])
        found[inside] = _interpolated(self.values, where, (count, across, across))
        return np.asarray(found + np.array([1.0, 0.0]))


def solution(points: Array) -> Array:
    """u and v at points (n, 3) = (x, y, t): (n, 2).

    Relative L2 error, measured against doubled waves and steps, and twice as many states: u 3e-5, v 8e-4.
    """
    early, late = states()
    return np.where(points[:, 2:] < late.begin, early.at(points), late.at(points))


def _interpolated(values: Array, where: Array, sizes: tuple[int, ...]) -> Array:
    """Between the READ nearest each way, at (n, 3) = time, x and y counted in states and cells: (n, 2)."""
    first = np.floor(where).astype(int) - (READ // 2 - 1)
    first = np.clip(first, 0, np.array(sizes) - READ)
    parts = [shares(where[:, i] - first[:, i], READ) for i in range(3)]
    found = np.zeros((len(where), 2))
    for i, j, k in np.ndindex(READ, READ, READ):
        read = values[first[:, 0] + i, :, first[:, 1] + j, first[:, 2] + k]
        found += (parts[0][:, i] * parts[1][:, j] * parts[2][:, k])[:, None] * read
    return found


@functools.cache
def states(waves: int = WAVES, steps: int = STEPS) -> tuple[States, States]:
    """Early and late ones, in so many waves each way and steps a unit of time, at the least."""
    line = HALF_SIDE * (2.0 * np.arange(waves) / waves - 1.0)
    x = [line[:, None], line[None, :]]
    numbers = math.pi / HALF_SIDE * np.fft.fftfreq(waves, 1.0 / waves)
    squares = numbers[:, None] ** 2 + numbers[: waves // 2 + 1] ** 2
    fading = zip(DIFFUSIVITIES, (FEED, DECAY), strict=True)
    rates = -np.stack([diffusivity * squares + rate for diffusivity, rate in fading])

    def values(w: Waves) -> Array:
        """u − 1 and v on the grid, (2, n, n)."""
        return np.asarray(scipy.fft.irfft2(w.reshape(2, waves, -1), (waves, waves)))

    def rest(w: Waves, t: float) -> Waves:
        missing, v = values(w)
        made: Waves = scipy.fft.rfft2((1.0 + missing) * v * v).ravel()
        return np.concatenate([-made, made])

    start = scipy.fft.rfft2(np.stack([-_bump(x, -1.0, np), _bump(x, 1.0, np)]))

    def from_to(w: Waves, begin: float, end: float, apart: float) -> tuple[States, Waves]:
        times = np.arange(begin, end + apart / 2.0, apart)
        found = at_times(w, times, rates.ravel().astype(np.complex128), rest, steps)
        return States(begin, apart, np.stack([values(each) for each in found])), found[-1]

    early, w = from_to(start.ravel(), 0.0, SETTLED, EARLY)
    late, _ = from_to(w, SETTLED, END, LATE)
    return early, late


def _from(x: Sequence[Field], middle: tuple[float, float]) -> tuple[Field, Field, Field]:
    """Along x, along y, and the square of the distance."""
    a, b = x[0] - middle[0], x[1] - middle[1]
    return a, b, a * a + b * b


def _bump(x: Sequence[Field], side: float, math_: Math) -> Field:
    *_, square = _from(x, (side * BUMP[0], side * BUMP[1]))
    return math_.exp(-SHARPNESS * square)


def _residual(x: Sequence[Field], d: Mapping[str, Field], math_: Math) -> tuple[Field, Field]:
    """Weighed by 1/(t + 10): what is missed early grows."""
    u, v = d["u"], d["v"]
    made, weight = u * v * v, WEIGHT / (x[2] + SOON)
    u_spread, v_spread = (
        diffusivity * (d[f"{f}_xx"] + d[f"{f}_yy"])
        for f, diffusivity in zip("uv", DIFFUSIVITIES, strict=True)
    )
    of_u = d["u_t"] - u_spread - FEED * (1.0 - u) + made
    of_v = d["v_t"] - v_spread + DECAY * v - made
    return weight * of_u, weight * of_v


def _passed(t: Field) -> Field:
    """From 0 at the start towards 1."""
    return t / (t + SOON)


def _distance(x: Sequence[Field], math_: Math) -> tuple[Field, Field]:
    """None at the start, and next to none away from the ring."""
    *_, square = _from(x, RING)
    near = math_.exp(-12.0 * square) * _passed(x[2])
    return near, near


def _features(x: Sequence[Field], math_: Math) -> list[Field]:
    """Where a point is along the bumps and around the ring, and the time, stretched where u and v change."""
    a, b, square = _from(x, RING)
    along = (BUMP[0] * a + BUMP[1] * b) / math.hypot(*BUMP)
    near = 2.0 / (1.0 + 16.0 * square) - 1.0
    times = [2.0 / END * x[2] - 1.0, 2.1 * _passed(x[2]) - 1.0]
    return [along / math_.sqrt(1.0 / 16.0 + square), near, *times]


gray_scott = Problem(
    name="gray-scott",
    title="Gray-Scott reaction of u and v that spreads as a ring, t in [0, 200]",
    inputs="xyt",
    fields=("u", "v"),
    domain=Domain(((-1.0, 1.0), (-1.0, 1.0), (0.0, END))),
    derivatives=("u", "v", "u_t", "v_t", "u_xx", "u_yy", "v_xx", "v_yy"),
    residual=_residual,
    offset=lambda x, math_: (1.0 - _bump(x, -1.0, math_), _bump(x, 1.0, math_)),
    distance=_distance,
    reference=solution,
    features=_features,
)
