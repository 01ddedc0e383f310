"""Heat in the unit ball of five dimensions, its flux given on the sphere: u_t = Δu / 5 + f, to t = 1.

f = |x|² exp(|x|²/2 + t) / 5 is taken away, u = exp(|x|²/2) at the start and ∂u/∂n = exp(1/2 + t) on the
sphere, so u = exp(|x|²/2 + t): "HNd" in PINNacle (Hao et al., 2024). The form has the start and the flux:
what the network reads leaves the sphere without a slope.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import reduce
from operator import add

import numpy as np

from hedge.arrays import Array
from hedge.geometry import Ball
from hedge.problems.conditions import Condition, Faces, Piece
from hedge.problems.domain import Domain
from hedge.problems.equations import Field, Math
from hedge.problems.layers import Layers
from hedge.problems.problem import Problem

SPACE = "abcde"
SLOPES = tuple(f"u_{letter}" for letter in SPACE)


def _square(x: Sequence[Field]) -> Field:
    return reduce(add, (each * each for each in x[: len(SPACE)]))


def _start(x: Sequence[Field], math_: Math) -> Field:
    return math_.exp(0.5 * _square(x))


def _flux(x: Sequence[Field], math_: Math) -> Field:
    return math_.exp(0.5 + x[-1])


def _residual(x: Sequence[Field], d: Mapping[str, Field], math_: Math) -> Field:
    share = 1.0 / len(SPACE)
    square = _square(x)
    laplacian = reduce(add, (d[f"u_{letter}{letter}"] for letter in SPACE))
    return d["u_t"] - share * (laplacian - square * math_.exp(0.5 * square + x[-1]))


def _offset(x: Sequence[Field], math_: Math) -> Field:
    """The start, and a paraboloid with what the flux has grown by."""
    grown = _flux(x, math_) - math.exp(0.5)
    return _start(x, math_) + 0.5 * grown * (_square(x) - 1.0)


def _features(x: Sequence[Field], math_: Math) -> list[Field]:
    """The coordinates and the square, bent so that they have no slope across the sphere, and time."""
    square = _square(x)
    bent = [0.5 * each * (3.0 - square) for each in x[: len(SPACE)]]
    depth = (1.0 - square) * (1.0 - square)
    return [*bent, 2.0 * depth - 1.0, 2.0 * x[-1] - 1.0]


def _missed(x: Sequence[Field], d: Mapping[str, Field], math_: Math) -> Field:
    slopes = (d[f"normal_{letter}"] * d[f"u_{letter}"] for letter in SPACE)
    return reduce(add, slopes) - _flux(x, math_)


def _reference(points: Array) -> Array:
    u: Array = np.exp(0.5 * np.sum(points[:, :-1] ** 2, axis=1, keepdims=True) + points[:, -1:])
    return u


heat_ball = Problem(
    name="heat-5d",
    title="Heat equation in the unit ball of 5 dimensions, its flux given on the sphere",
    inputs=SPACE + "t",
    domain=Domain.over(Ball((0.0,) * len(SPACE), 1.0, "sphere"), (0.0, 1.0)),
    derivatives=("u_t", *(f"u_{letter}{letter}" for letter in SPACE)),
    residual=_residual,
    offset=_offset,
    distance=lambda x, math_: x[-1],
    reference=_reference,
    features=_features,
    conditions=(
        Condition(Faces("t", (0,)), lambda x, d, math_: d["u"] - _start(x, math_)),
        Condition(Piece("sphere"), _missed, SLOPES),
    ),
    layers=Layers(20, 2),
)
