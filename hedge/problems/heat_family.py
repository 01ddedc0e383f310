"""1D heat equations as one problem: diffusivity κ and two amplitudes are inputs.

u_t = κ u_xx on [0, 1]² with u(0, t) = u(1, t) = 0 and u(x, 0) = a sin πx + b sin 2πx, for κ in
[0.02, 0.2] and a, b in [−1, 1]. The second mode makes the profile lopsided; it decays 4 times as
fast as the first.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from hedge.arrays import Array
from hedge.problems.conditions import Condition, Faces, vanishes
from hedge.problems.domain import Domain
from hedge.problems.equations import Field, Math
from hedge.problems.heat import heat_stability
from hedge.problems.layers import Layers
from hedge.problems.problem import Problem

SLOWEST, FASTEST = 0.02, 0.2


def _offset(x: Sequence[Field], math_: Math) -> Field:
    return x[3] * math_.sin(math.pi * x[0]) + x[4] * math_.sin(2.0 * math.pi * x[0])


def _features(x: Sequence[Field], math_: Math) -> list[Field]:
    scale = 2.0 / math.log(FASTEST / SLOWEST)
    rate = scale * (math_.log(x[2]) - math.log(SLOWEST)) - 1.0
    return [2.0 * x[0] - 1.0, 2.0 * x[1] - 1.0, rate, x[3], x[4]]


def _reference(points: Array) -> Array:
    x, t, kappa, a, b = (points[:, i : i + 1] for i in range(5))
    decay = np.exp(-kappa * math.pi**2 * t)
    u: Array = a * decay * np.sin(math.pi * x) + b * decay**4 * np.sin(2.0 * math.pi * x)
    return u


heat_family = Problem(
    name="heat-family",
    title="1D heat equation for diffusivity in [0.02, 0.2] and two amplitudes in [-1, 1]",
    inputs="xtkab",
    domain=Domain(((0.0, 1.0), (0.0, 1.0), (SLOWEST, FASTEST), (-1.0, 1.0), (-1.0, 1.0))),
    derivatives=("u", "u_t", "u_xx"),
    residual=lambda x, d, math_: d["u_t"] - x[2] * d["u_xx"],
    offset=_offset,
    distance=lambda x, math_: 4.0 * x[1] * x[0] * (1.0 - x[0]),
    reference=_reference,
    features=_features,
    conditions=(
        Condition(Faces("t", (0,)), lambda x, d, math_: d["u"] - _offset(x, math_)),
        vanishes("u", "x", 0, 1),
    ),
    stability=heat_stability(SLOWEST),
    layers=Layers(20, 3),
)
