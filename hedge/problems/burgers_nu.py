"""Viscous Burgers with the viscosity as an input: u_t + u u_x = ν u_xx, ν in [0.003, 0.03].

u(x, 0) = −sin πx and u(±1, t) = 0, as in the problem of one viscosity. The front at x = 0 is ten
times as steep at one end of the family as at the other.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from hedge.problems.burgers import CONDITIONS, burgers_stability, cole_hopf
from hedge.problems.domain import Domain
from hedge.problems.equations import Field, Math
from hedge.problems.layers import Layers
from hedge.problems.problem import Problem

LEAST, MOST = 0.003, 0.03


def _features(x: Sequence[Field], math_: Math) -> list[Field]:
    scale = 2.0 / math.log(MOST / LEAST)
    return [x[0], 2.0 * x[1] - 1.0, scale * (math_.log(x[2]) - math.log(LEAST)) - 1.0]


burgers_nu = Problem(
    name="burgers-nu",
    title="1D viscous Burgers for every viscosity in [0.003, 0.03]",
    inputs="xtn",
    domain=Domain(((-1.0, 1.0), (0.0, 1.0), (LEAST, MOST))),
    derivatives=("u", "u_x", "u_t", "u_xx"),
    residual=lambda x, d, math_: d["u_t"] + d["u"] * d["u_x"] - x[2] * d["u_xx"],
    offset=lambda x, math_: -math_.sin(math.pi * x[0]),
    distance=lambda x, math_: x[1] * (1.0 - x[0] * x[0]),
    reference=lambda points: cole_hopf(points[:, :2], viscosity=points[:, 2:]),
    features=_features,
    conditions=CONDITIONS,
    stability=(burgers_stability(length=2.0, fall=2.0),),
    layers=Layers(32, 3),
)
