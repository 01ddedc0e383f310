"""Waves for a long time: u_tt = u_xx + 2 u_yy on the unit square, to t = 100, driven at two sides.

u = (sin 3πx sinh 2πy + sinh πx sin πy) cos πt at the start, where it rests, and on the sides: "Wave 2d-MS" in
PINNacle (Hao et al., 2024), but that sin and sinh have changed places. As it stands there, sin πx sinh πy +
sinh 3πx sin 2πy, its closed form is no solution (it leaves 2π² u in the equation).
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

ACROSS = 2.0  # square of the speed along y; along x it is 1
END = 100.0
TOP, RIGHT = math.sinh(2.0 * math.pi), math.sinh(math.pi)


def _sinh(z: Field, math_: Math) -> Field:
    grown = math_.exp(z)
    return 0.5 * (grown - 1.0 / grown)


def _shape(x: Field, y: Field, math_: Math) -> Field:
    """u at t = 0."""
    return math_.sin(3.0 * math.pi * x) * _sinh(2.0 * math.pi * y, math_) + _sinh(
        math.pi * x, math_
    ) * math_.sin(math.pi * y)


def _sides(x: Field, y: Field, math_: Math) -> Field:
    """As large as that on the sides, and straight between them."""
    return TOP * math_.sin(3.0 * math.pi * x) * y + RIGHT * x * math_.sin(math.pi * y)


def _fading(t: Field) -> Field:
    return 1.0 / (1.0 + t * t)


def _offset(x: Sequence[Field], math_: Math) -> Field:
    """The start, which goes over into what swings with the sides."""
    sides, fading = _sides(x[0], x[1], math_), _fading(x[2])
    start = _shape(x[0], x[1], math_) - sides
    return sides * math_.cos(math.pi * x[2]) + start * fading


def _distance(x: Sequence[Field], math_: Math) -> Field:
    """With t² in it: u_t is 0 at the start."""
    sides = 16.0 * x[0] * (1.0 - x[0]) * x[1] * (1.0 - x[1])
    return TOP * sides * (1.0 - _fading(x[2]))


def _features(x: Sequence[Field], math_: Math) -> list[Field]:
    """The coordinates, the phase of the sides, and a clock that stops."""
    phase = math.pi * x[2]
    clock = 2.0 * _fading(x[2]) - 1.0
    return [2.0 * x[0] - 1.0, 2.0 * x[1] - 1.0, math_.cos(phase), math_.sin(phase), clock]


def _residual(x: Sequence[Field], d: Mapping[str, Field], math_: Math) -> Field:
    return d["u_tt"] - d["u_xx"] - ACROSS * d["u_yy"]


def _reference(points: Array) -> Array:
    x, y, t = (points[:, i : i + 1] for i in range(3))
    return np.asarray(_shape(x, y, np) * np.cos(math.pi * t))


wave_long = Problem(
    name="wave-long",
    title="2D wave equation, t in [0, 100], driven at two sides at one frequency and of many sizes",
    inputs="xyt",
    domain=Domain(((0.0, 1.0), (0.0, 1.0), (0.0, END))),
    derivatives=("u_tt", "u_xx", "u_yy"),
    residual=_residual,
    offset=_offset,
    distance=_distance,
    reference=_reference,
    features=_features,
    conditions=(
        Condition(Faces("t", (0,)), lambda x, d, math_: d["u"] - _shape(x[0], x[1], math_)),
        vanishes("u_t", "t", 0),
    ),
    layers=Layers(20, 3),
)
