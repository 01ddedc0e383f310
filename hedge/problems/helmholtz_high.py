"""2D Helmholtz at a higher wavenumber: −Δu − k² u = f on the unit square, k = 4π, u = 0 on its edge.

f = k² sin kx sin ky, so u = sin kx sin ky, two waves along each side: the example of DeepXDE (Lu et al.,
2021) after Ihlenburg (1998, "Finite Element Analysis of Acoustic Scattering"). k² = 16π² lies between the
resonances 13π² and 17π².
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from hedge.arrays import Array
from hedge.problems.conditions import vanishes
from hedge.problems.domain import Domain
from hedge.problems.equations import Field, Math
from hedge.problems.problem import Problem

WAVENUMBER = 4.0 * math.pi


def _residual(x: Sequence[Field], d: Mapping[str, Field], math_: Math) -> Field:
    waves = math_.sin(WAVENUMBER * x[0]) * math_.sin(WAVENUMBER * x[1])
    return d["u_xx"] + d["u_yy"] + WAVENUMBER**2 * (d["u"] + waves)


def _reference(points: Array) -> Array:
    u: Array = np.sin(WAVENUMBER * points[:, :1]) * np.sin(WAVENUMBER * points[:, 1:])
    return u


helmholtz_high = Problem(
    name="helmholtz-high",
    title="2D Helmholtz equation on the unit square, wavenumber 4 pi, two waves along each side",
    inputs="xy",
    domain=Domain(((0.0, 1.0), (0.0, 1.0))),
    derivatives=("u", "u_xx", "u_yy"),
    residual=_residual,
    offset=None,
    distance=lambda x, math_: 16.0 * x[0] * (1.0 - x[0]) * x[1] * (1.0 - x[1]),
    reference=_reference,
    conditions=(vanishes("u", "x", 0, 1), vanishes("u", "y", 0, 1)),
)
