"""2D Poisson: −Δu = 2π² sin πx sin πy on the unit square, u = 0 on its edge (paper, ex2)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from hedge.arrays import Array
from hedge.problems.problem import Domain, Field, Math, Problem


def _residual(x: Sequence[Field], d: Mapping[str, Field], math_: Math) -> Field:
    source = 2.0 * math.pi**2 * math_.sin(math.pi * x[0]) * math_.sin(math.pi * x[1])
    return d["u_xx"] + d["u_yy"] + source


def _reference(points: Array) -> Array:
    u: Array = np.sin(math.pi * points[:, :1]) * np.sin(math.pi * points[:, 1:])
    return u


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
)
