"""Heat conduction, inverse: u_t = κ u_xx on [0, 1]² with κ unknown, from sensors; u = 0 at both ends.

The start is known, sin πx + sin 3πx / 2; κ is 0.1 where the sensors' values are from.
"""

from __future__ import annotations

import math

import numpy as np

from hedge.arrays import Array
from hedge.problems.domain import Domain
from hedge.problems.layers import Layers
from hedge.problems.problem import Problem
from hedge.problems.sensors import read_by_sensors
from hedge.problems.unknowns import Unknown

CONDUCTIVITY = 0.1
MODES = ((1, 1.0), (3, 0.5))
DOMAIN = Domain(((0.0, 1.0), (0.0, 1.0)))


def _solution(points: Array) -> Array:
    x, t = points.T
    found: Array = sum(
        (
            a * np.exp(-CONDUCTIVITY * (n * math.pi) ** 2 * t) * np.sin(n * math.pi * x)
            for n, a in MODES
        ),
        np.zeros_like(x),
    )
    return found


def heat_inverse_from(count: int = 100, noise: float = 0.0, seed: int = 0) -> Problem:
    """The problem with so many readings, whose errors have a size relative to u's rms.

    >>> len(heat_inverse_from(count=20, noise=0.05).data[0].values)
    20
    """
    return Problem(
        name="heat-inverse",
        title="Heat equation with an unknown conductivity kappa, from readings of u",
        inputs="xt",
        domain=DOMAIN,
        derivatives=("u_t", "u_xx"),
        residual=lambda x, d, math_: d["u_t"] - d["kappa"] * d["u_xx"],
        offset=lambda x, math_: math_.sin(math.pi * x[0]) + 0.5 * math_.sin(3.0 * math.pi * x[0]),
        distance=lambda x, math_: 4.0 * x[0] * (1.0 - x[0]) * x[1],
        reference=lambda points: _solution(points)[:, None],
        unknowns=(Unknown("kappa", 0.01, 1.0),),
        data=(read_by_sensors(_solution, DOMAIN, count, noise, seed),),
        layers=Layers(10, 2),
    )


heat_inverse = heat_inverse_from()
