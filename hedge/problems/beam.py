"""Euler–Bernoulli beam: u_tt + u_xxxx / π² = 0 on [0, 1]², simply supported, at rest at first.

u and u_xx vanish at both ends, u(x, 0) is a sum of two modes, u_t(x, 0) = 0.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from hedge.arrays import Array
from hedge.problems.domain import Domain
from hedge.problems.equations import Field, Math
from hedge.problems.layers import Layers
from hedge.problems.problem import Problem

STIFFNESS = 1.0 / math.pi**2
# u(x, 0) = sin πx + ½ sin 2πx: mode k swings as cos k²πt, half a time and twice.
MODES = ((1, 1.0), (2, 0.5))


def _offset(x: Sequence[Field], math_: Math) -> Field:
    (k0, c0), (k1, c1) = MODES
    return c0 * math_.sin(k0 * math.pi * x[0]) + c1 * math_.sin(k1 * math.pi * x[0])


def _reference(points: Array) -> Array:
    x, t = points[:, :1], points[:, 1:]
    modes = [c * np.sin(k * math.pi * x) * np.cos(k * k * math.pi * t) for k, c in MODES]
    total: Array = np.sum(modes, axis=0)
    return total


beam = Problem(
    name="beam",
    title="Vibrating Euler-Bernoulli beam, simply supported, x in [0, 1], t in [0, 1], two modes",
    inputs="xt",
    domain=Domain(((0.0, 1.0), (0.0, 1.0))),
    derivatives=("u_tt", "u_xxxx"),
    residual=lambda x, d, math_: d["u_tt"] + STIFFNESS * d["u_xxxx"],
    offset=_offset,
    # Functions of cos πx are even about both ends, times sin πx they are odd: u and u_xx vanish there.
    distance=lambda x, math_: x[1] * x[1] * math_.sin(math.pi * x[0]),
    reference=_reference,
    features=lambda x, math_: [math_.cos(math.pi * x[0]), 2.0 * x[1] - 1.0],
    layers=Layers(20, 3),
)
