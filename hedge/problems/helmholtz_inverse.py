"""Helmholtz, inverse: Δu + k² u = q on the unit square with k² unknown, from readings of u.

u = 0 on the sides. The source q is known; k² is 40 where the readings are from, between the
first resonances at 2π² and 5π².
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from hedge.arrays import Array
from hedge.problems.domain import Domain
from hedge.problems.equations import Field, Math
from hedge.problems.layers import Layers
from hedge.problems.problem import Problem
from hedge.problems.sensors import read_by_sensors
from hedge.problems.unknowns import Unknown

SQUARE = 40.0
# u = Σ a sin mπx sin nπy
MODES = ((1, 1, 1.0), (2, 1, 0.5), (2, 3, -0.25))
DOMAIN = Domain(((0.0, 1.0), (0.0, 1.0)))


def _sum(x: Sequence[Field], math_: Math, factors: Sequence[float]) -> Field:
    total: Field = 0.0
    for (m, n, amplitude), factor in zip(MODES, factors, strict=True):
        wave = math_.sin(m * math.pi * x[0]) * math_.sin(n * math.pi * x[1])
        total = total + amplitude * factor * wave
    return total


def _solution(points: Array) -> Array:
    return np.asarray(_sum(list(points.T), np, (1.0, 1.0, 1.0)))


def _residual(x: Sequence[Field], d: Mapping[str, Field], math_: Math) -> Field:
    source = _sum(x, math_, [SQUARE - (m * m + n * n) * math.pi**2 for m, n, _ in MODES])
    return d["u_xx"] + d["u_yy"] + d["k2"] * d["u"] - source


def helmholtz_inverse_from(count: int = 100, noise: float = 0.0, seed: int = 0) -> Problem:
    """The problem with so many readings, whose errors have a size relative to u's rms.

    >>> helmholtz_inverse_from(noise=0.05).unknowns[0].name
    'k2'
    """
    return Problem(
        name="helmholtz-inverse",
        title="Helmholtz equation with an unknown coefficient k2, from readings of u",
        inputs="xy",
        domain=DOMAIN,
        derivatives=("u", "u_xx", "u_yy"),
        residual=_residual,
        offset=None,
        distance=lambda x, math_: 16.0 * x[0] * (1.0 - x[0]) * x[1] * (1.0 - x[1]),
        reference=lambda points: _solution(points)[:, None],
        unknowns=(Unknown("k2", 1.0, 100.0),),
        data=(read_by_sensors(_solution, DOMAIN, count, noise, seed),),
        layers=Layers(10, 2),
    )


helmholtz_inverse = helmholtz_inverse_from()
