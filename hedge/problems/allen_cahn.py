"""Allen–Cahn: u_t = 10⁻⁴ u_xx + 5u − 5u³ with u(x, 0) = x² cos πx, periodic in x.

The benchmark of Raissi, Perdikaris and Karniadakis (2019). The derivative of u(x, 0) jumps by 4
from x = 1 to x = −1; for t > 0 the solution is smooth there.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from hedge.problems.allen_cahn_reference import DIFFUSIVITY, RATE, allen_cahn_solution
from hedge.problems.problem import Domain, Field, Math, Problem


def _residual(x: Sequence[Field], d: Mapping[str, Field], math_: Math) -> Field:
    u = d["u"]
    return d["u_t"] - DIFFUSIVITY * d["u_xx"] - RATE * (u - u * u * u)


def _offset(x: Sequence[Field], math_: Math) -> Field:
    """x² cos πx at t = 0, with its kink rounded off for t > 0.

    x² cos πx alone would keep its kink for all time, since a periodic network has none to cancel it:
    the equation then holds between −1 and 1 for another solution, 3.5e-4 away in relative L2. With
    c = cos(πx/2), the distance to the kink, (4/π) c has the same kink; √(c² + πνt) has none, and is
    as high over the kink as the heat kernel would make it.
    """
    c = math_.cos(math.pi / 2.0 * x[0])
    rounded = math_.exp(0.5 * math_.log(c * c + math.pi * DIFFUSIVITY * x[1]))
    return x[0] * x[0] * math_.cos(math.pi * x[0]) + 4.0 / math.pi * (rounded - c)


def _distance(x: Sequence[Field], math_: Math) -> Field:
    return x[1]


def _features(x: Sequence[Field], math_: Math) -> list[Field]:
    return [math_.cos(math.pi * x[0]), math_.sin(math.pi * x[0]), 2.0 * x[1] - 1.0]


allen_cahn = Problem(
    name="allen-cahn",
    title="1D Allen-Cahn, x in [-1, 1] periodic, t in [0, 1], diffusivity 1e-4, reaction 5u - 5u^3",
    inputs="xt",
    domain=Domain(((-1.0, 1.0), (0.0, 1.0))),
    derivatives=("u", "u_t", "u_xx"),
    residual=_residual,
    offset=_offset,
    distance=_distance,
    reference=allen_cahn_solution,
    features=_features,
)
