"""Advection: u_t + 50 u_x = 0 from u(x, 0) = sin x, periodic in x.

β = 50 of Krishnapriyan et al. (2021, "Characterizing possible failure modes in physics-informed neural
networks"), where networks that read x and t fail. What is periodic in x and moves at one speed is periodic in
t, too, so the network reads waves of that period, as those of Wang et al. (2023) do, who learn it.
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

SPEED = 50.0


def _distance(x: Sequence[Field], math_: Math) -> Field:
    """As steep at the start as u may be."""
    return 1.0 - math_.exp(-SPEED * x[1])


def _features(x: Sequence[Field], math_: Math) -> list[Field]:
    """Waves in x and in t, and the distance."""
    turn = SPEED * x[1]
    waves = [f(angle) for angle in (x[0], turn) for f in (math_.cos, math_.sin)]
    return [*waves, (2.0 * _distance(x, math_) - 1.0)]


def _reference(points: Array) -> Array:
    u: Array = np.sin(points[:, :1] - SPEED * points[:, 1:])
    return u


advection = Problem(
    name="advection",
    title="Advection of a wave at speed 50, x in [0, 2 pi] periodic, t in [0, 1]",
    inputs="xt",
    domain=Domain(((0.0, 2.0 * math.pi), (0.0, 1.0))),
    derivatives=("u_x", "u_t"),
    residual=lambda x, d, math_: d["u_t"] + SPEED * d["u_x"],
    offset=lambda x, math_: math_.sin(x[0]),
    distance=_distance,
    reference=_reference,
    features=_features,
    layers=Layers(16, 2),
)
