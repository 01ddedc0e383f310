"""2D Helmholtz: Δu + k² u = q on [−1, 1]², k = 1, u = 0 on its edge.

q is such that u = sin πx sin 4πy: the benchmark of Wang, Teng and Perdikaris (2021, "Understanding
and mitigating gradient flow pathologies in physics-informed neural networks").
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from hedge.arrays import Array
from hedge.problems.problem import Domain, Field, Math, Problem

WAVENUMBER = 1.0
A, B = 1.0, 4.0


def _residual(x: Sequence[Field], d: Mapping[str, Field], math_: Math) -> Field:
    waves = math_.sin(A * math.pi * x[0]) * math_.sin(B * math.pi * x[1])
    source = (WAVENUMBER**2 - (A * math.pi) ** 2 - (B * math.pi) ** 2) * waves
    return d["u_xx"] + d["u_yy"] + WAVENUMBER**2 * d["u"] - source


def _reference(points: Array) -> Array:
    u: Array = np.sin(A * math.pi * points[:, :1]) * np.sin(B * math.pi * points[:, 1:])
    return u


helmholtz = Problem(
    name="helmholtz",
    title="2D Helmholtz equation on [-1, 1] x [-1, 1], wavenumber 1, u = sin(pi x) sin(4 pi y)",
    inputs="xy",
    domain=Domain(((-1.0, 1.0), (-1.0, 1.0))),
    derivatives=("u", "u_xx", "u_yy"),
    residual=_residual,
    offset=None,
    distance=lambda x, math_: (1.0 - x[0] * x[0]) * (1.0 - x[1] * x[1]),
    reference=_reference,
)
