"""Viscous Burgers: u_t + u u_x = ν u_xx with u(x, 0) = −sin πx, ν = 0.01/π (paper, ex1, ex5)."""

from __future__ import annotations

import math
from dataclasses import replace
from functools import partial

import numpy as np

from hedge.arrays import Array
from hedge.problems.conditions import Condition, Faces, vanishes
from hedge.problems.domain import Domain
from hedge.problems.layers import Layers
from hedge.problems.problem import Problem
from hedge.problems.stability import Evidence, Stability

VISCOSITY = 0.01 / math.pi
# Points of the trapezoidal rule. The integrand is entire and decays like a Gaussian, so the rule
# converges faster than any power; 801 points leave the error at rounding for this viscosity.
NODES = 801
CHUNK = 128  # points at a time, so that their nodes stay in the processor's caches


def cole_hopf(points: Array, viscosity: Array | float = VISCOSITY) -> Array:
    """Exact solution of Burgers' equation at ``points`` (n, 2) = (x, t); returns (n, 1).

    viscosity is one for all points or an array (n, 1) with one for each.

    Cole (1951), Hopf (1950): u = −∫ sin(πy) w dη / ∫ w dη with y = x − η and
    log w = −cos(πy)/(2πν) − η²/(4νt). Substituting η = 2√(νt) z keeps t = 0 regular, and the
    largest log w of each point is subtracted before exp, so nothing overflows.

    >>> float(cole_hopf(np.array([[0.5, 0.0]]))[0, 0])
    -1.0
    """
    # −cos varies by 1/(πν) in the exponent: beyond this z the weight is under e⁻⁴⁰ of its peak.
    unit = np.linspace(-1.0, 1.0, NODES)
    each = np.broadcast_to(viscosity, (len(points), 1))
    u = np.empty((len(points), 1))
    for start in range(0, len(points), CHUNK):
        x, t = points[start : start + CHUNK, :1], points[start : start + CHUNK, 1:]
        nu = each[start : start + CHUNK]
        z = np.sqrt(1.0 / (math.pi * nu) + 40.0) * unit
        y = x - 2.0 * np.sqrt(nu * t) * z
        log_w = -np.cos(math.pi * y) / (2.0 * math.pi * nu) - z**2
        w = np.exp(log_w - log_w.max(axis=1, keepdims=True))
        u[start : start + CHUNK, 0] = -(np.sin(math.pi * y) * w).sum(axis=1) / w.sum(axis=1)
    return u


CONDITIONS = (
    Condition(Faces("t", (0,)), lambda x, d, math_: d["u"] + math_.sin(math.pi * x[0])),
    vanishes("u", "x", 0, 1),
)


def burgers_stability(length: float, fall: float) -> Stability:
    """Of an interval of this length, on which u(x, 0) falls by ``fall`` in all; for every viscosity."""

    def in_mean(found: Evidence) -> float:
        """∫|e(t)| dx ≤ ∫∫|r| dx dt + max(δ₀, δ₁) length + δ₁ fall: of the start and of the ends."""
        start, ends = found.mismatch
        return found.residual.of("L1", "xt") + max(start, ends) * length + ends * fall

    return Stability("L1", "x", "L1", in_mean, "Burgers' equation: L1 at every time")


burgers = Problem(
    name="burgers",
    title="1D viscous Burgers, x in [-1, 1], t in [0, 1], viscosity 0.01/pi",
    inputs="xt",
    domain=Domain(((-1.0, 1.0), (0.0, 1.0))),
    derivatives=("u", "u_x", "u_t", "u_xx"),
    residual=lambda x, d, math_: d["u_t"] + d["u"] * d["u_x"] - VISCOSITY * d["u_xx"],
    offset=lambda x, math_: -math_.sin(math.pi * x[0]),
    distance=lambda x, math_: x[1] * (1.0 - x[0] * x[0]),
    reference=cole_hopf,
    conditions=CONDITIONS,
    stability=(burgers_stability(length=2.0, fall=2.0),),
    layers=Layers(30, 3),
)

# For comparison with those who take this viscosity (arXiv 2607.02194): a front three times as wide.
WIDE_VISCOSITY = 0.01
burgers_wide = replace(
    burgers,
    name="burgers-wide",
    title="1D viscous Burgers, x in [-1, 1], t in [0, 1], viscosity 0.01",
    residual=lambda x, d, math_: d["u_t"] + d["u"] * d["u_x"] - WIDE_VISCOSITY * d["u_xx"],
    reference=partial(cole_hopf, viscosity=WIDE_VISCOSITY),
    layers=Layers(24, 3),
)

# The paper's domain: by odd symmetry the right half of the usual problem, with u(0, t) = 0.
burgers_half = replace(
    burgers,
    name="burgers-half",
    title="1D viscous Burgers on the paper's half domain, x in [0, 1]",
    domain=Domain(((0.0, 1.0), (0.0, 1.0))),
    distance=lambda x, math_: 4.0 * x[1] * x[0] * (1.0 - x[0]),
    stability=(burgers_stability(length=1.0, fall=1.0),),
)
