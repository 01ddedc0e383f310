"""Heat that conducts along y 250,000 times better than along x: u_t = a u_xx + b u_yy on a square, to t = 5.

a = 1/(500π)², b = 1/π², u(x, y, 0) = sin 20πx sin πy and 0 on the sides: "Heat 2d-MS" in PINNacle (Hao et
al., 2024).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from hedge.arrays import Array
from hedge.problems.conditions import Condition, Faces, vanishes
from hedge.problems.domain import Domain
from hedge.problems.equations import Field, Math
from hedge.problems.layers import Layers
from hedge.problems.problem import Problem

ALONG_X, ALONG_Y = 1.0 / (500.0 * math.pi) ** 2, 1.0 / math.pi**2
WAVES = 20.0 * math.pi
DECAY = ALONG_X * WAVES**2 + ALONG_Y * math.pi**2
END = 5.0


def _residual(x: Sequence[Field], d: Mapping[str, Field], math_: Math) -> Field:
    return d["u_t"] - ALONG_X * d["u_xx"] - ALONG_Y * d["u_yy"]


def _offset(x: Sequence[Field], math_: Math) -> Field:
    return math_.sin(WAVES * x[0]) * math_.sin(math.pi * x[1])


def _distance(x: Sequence[Field], math_: Math) -> Field:
    return 16.0 / END * x[2] * x[0] * (1.0 - x[0]) * x[1] * (1.0 - x[1])


def _features(x: Sequence[Field], math_: Math) -> list[Field]:
    """The coordinates, and waves as long as those that it starts with."""
    waves = [math_.sin(WAVES * x[0]), math_.cos(WAVES * x[0])]
    return [2.0 * x[0] - 1.0, 2.0 * x[1] - 1.0, 2.0 / END * x[2] - 1.0, *waves]


def _reference(points: Array) -> Array:
    x, y, t = (points[:, i : i + 1] for i in range(3))
    u: Array = np.sin(WAVES * x) * np.sin(math.pi * y) * np.exp(-DECAY * t)
    return u


heat_multiscale = Problem(
    name="heat-multiscale",
    title="2D heat equation on two scales: twenty half waves along x, diffusivities 4e-7 and 0.1",
    inputs="xyt",
    domain=Domain(((0.0, 1.0), (0.0, 1.0), (0.0, END))),
    derivatives=("u", "u_t", "u_xx", "u_yy"),
    residual=_residual,
    offset=_offset,
    distance=_distance,
    reference=_reference,
    features=_features,
    conditions=(
        Condition(Faces("t", (0,)), lambda x, d, math_: d["u"] - _offset(x, math_)),
        vanishes("u", "x", 0, 1),
        vanishes("u", "y", 0, 1),
    ),
    layers=Layers(20, 3),
)
