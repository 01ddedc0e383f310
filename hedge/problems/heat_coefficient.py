"""Heat conduction, inverse: u_t = ∇·(a ∇u) + f in a square, a function a(x, y) unknown, from readings of u.

"HInv" in PINNacle (Hao et al., 2024): 2,500 readings at random points of [−1, 1]² × [0, 1] have independent
errors of a standard deviation of 0.1, a tenth of what u is at most, and a is 2 on the sides.
u = exp(−t) sin πx sin πy and a = 2 + sin πx sin πy where the readings are from. Nothing is said of u at the
start or on the sides.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from hedge.arrays import Array
from hedge.problems.domain import Domain
from hedge.problems.equations import Field, Math
from hedge.problems.layers import Layers
from hedge.problems.measurements import Measurements
from hedge.problems.problem import Problem
from hedge.problems.subnetworks import Subnetwork

READINGS = 2_500
DEVIATION = 0.1
PI = math.pi
DOMAIN = Domain(((-1.0, 1.0), (-1.0, 1.0), (0.0, 1.0)))


def _waves(x: Sequence[Field], math_: Math) -> tuple[Field, Field]:
    """s = sin πx sin πy, and |∇s|² / π²."""
    (p, q), (r, t) = ((math_.sin(PI * c), math_.cos(PI * c)) for c in x[:2])
    return p * r, (q * r) * (q * r) + (p * t) * (p * t)


def _residual(x: Sequence[Field], d: Mapping[str, Field], math_: Math) -> Field:
    """With u = exp(−t) s and a = 2 + s, f = exp(−t) (−s + 2π² (2 + s) s − |∇s|²)."""
    s, slope = _waves(x, math_)
    source = math_.exp(-x[2]) * (PI**2 * (2.0 * (2.0 + s) * s - slope) - s)
    flow = d["a"] * (d["u_xx"] + d["u_yy"]) + d["a_x"] * d["u_x"] + d["a_y"] * d["u_y"]
    return d["u_t"] - flow - source


def _solution(points: Array) -> Array:
    s = np.sin(PI * points[:, 0]) * np.sin(PI * points[:, 1])
    return np.column_stack([np.exp(-points[:, 2]) * s, 2.0 + s])


def heat_coefficient_from(seed: int = 0) -> Problem:
    """The problem with readings whose places and errors are drawn by the seed.

    >>> len(heat_coefficient_from(seed=1).data[0].values)
    2500
    """
    points = DOMAIN.sample(READINGS, seed)
    # A stream of its own: the seed alone would repeat the numbers that made the points.
    errors = np.random.default_rng((seed, 1)).normal(0.0, DEVIATION, READINGS)
    readings = Measurements(points, _solution(points)[:, 0] + errors, DEVIATION, name="readings")
    return Problem(
        name="heat-coefficient",
        title="2D heat equation with an unknown coefficient a(x, y), from readings of u",
        inputs="xyt",
        fields=("u", "a"),
        domain=DOMAIN,
        derivatives=("a", "a_x", "a_y", "u_t", "u_x", "u_y", "u_xx", "u_yy"),
        residual=_residual,
        offset=lambda x, math_: (0.0, 2.0),
        distance=lambda x, math_: (1.0, (1.0 - x[0] * x[0]) * (1.0 - x[1] * x[1])),
        reference=_solution,
        data=(readings,),
        networks=(Subnetwork(("u",)), Subnetwork(("a",), reads="xy")),
        layers=Layers(8, 2),
    )


heat_coefficient = heat_coefficient_from()
