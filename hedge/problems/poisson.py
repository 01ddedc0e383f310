"""2D Poisson: −Δu = 2π² sin πx sin πy on the unit square, u = 0 on its edge (paper, ex2)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from hedge.arrays import Array
from hedge.problems.conditions import vanishes
from hedge.problems.domain import Domain
from hedge.problems.equations import Field, Math
from hedge.problems.layers import Layers
from hedge.problems.problem import Problem
from hedge.problems.stability import Evidence, Stability

CATALAN = 0.915965594177219
# The largest value of the solution of −Δφ = 1 is below: two terms of an alternating series.
TORSION = 0.125 - 4.0 / math.pi**3 * (
    1.0 / math.cosh(math.pi / 2.0) - 1.0 / (27.0 * math.cosh(1.5 * math.pi))
)
# Green's function at the centre, in L2.
GREEN = math.sqrt(CATALAN / 8.0) / math.pi


def _residual(x: Sequence[Field], d: Mapping[str, Field], math_: Math) -> Field:
    source = 2.0 * math.pi**2 * math_.sin(math.pi * x[0]) * math_.sin(math.pi * x[1])
    return d["u_xx"] + d["u_yy"] + source


def _reference(points: Array) -> Array:
    u: Array = np.sin(math.pi * points[:, :1]) * np.sin(math.pi * points[:, 1:])
    return u


def _largest(found: Evidence) -> float:
    """|e| ≤ δ + 0.07368 max|r|, and |e| ≤ δ + 0.1078 ‖r‖."""
    residual = found.residual
    return max(found.mismatch) + min(
        TORSION * residual.of("max", ""), GREEN * residual.of("L2", "xy")
    )


def _mean_square(found: Evidence) -> float:
    """‖e‖ ≤ δ + ‖r‖/(2π²)."""
    return max(found.mismatch) + found.residual.of("L2", "xy") / (2.0 * math.pi**2)


poisson = Problem(
    name="poisson",
    title="2D Poisson equation on the unit square, source 2 pi^2 sin(pi x) sin(pi y)",
    inputs="xy",
    domain=Domain(((0.0, 1.0), (0.0, 1.0))),
    derivatives=("u", "u_xx", "u_yy"),
    residual=_residual,
    offset=None,
    distance=lambda x, math_: 16.0 * x[0] * (1.0 - x[0]) * x[1] * (1.0 - x[1]),
    reference=_reference,
    conditions=(vanishes("u", "x", 0, 1), vanishes("u", "y", 0, 1)),
    stability=(
        Stability("max", "", "L2", _largest, "Poisson's equation on a square: max"),
        Stability("L2", "xy", "L2", _mean_square, "Poisson's equation on a square: L2"),
    ),
    layers=Layers(20, 3),
)
