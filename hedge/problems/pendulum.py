"""A driven pendulum over one interval of control: u_tt + b u_t + (g/l) sin u = f.

u is the angle from hanging down at time t in [0, 0.2] s, from an angle q and a speed v on, under a torque
that is held: f = τ/(m l²), which is τ in N m for m = 1 kg and l = 1 m. Start and torque are inputs, so that
angle and speed at the end of one interval are the start of the next: a network for a controller (Antonelo et
al., 2021, "Physics-informed neural nets for control of dynamical systems"). |f| ≤ 5 is half of what holds the
pendulum level: it has to be swung up. The network reads q by its sine and cosine, so that it holds for every
number of turns.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import scipy

from hedge.arrays import Array
from hedge.problems.conditions import Condition, Faces
from hedge.problems.domain import Domain
from hedge.problems.equations import Field, Math
from hedge.problems.problem import Problem
from hedge.problems.stability import Evidence, Stability

GRAVITY = 9.81  # g/l, in 1/s²
FRICTION = 0.1  # b, in 1/s
INTERVAL = 0.2  # s
FASTEST = 8.0  # rad/s; from upright it falls to 6.3
TORQUE = 5.0
# |u_tt| stays below twice this, so that the network has values of about one.
SCALE = 8.0
PRECISION = 1e-13


def _features(x: Sequence[Field], math_: Math) -> list[Field]:
    t, q, v, f = x
    return [(2.0 / INTERVAL) * t - 1.0, math_.sin(q), math_.cos(q), v / FASTEST, f / TORQUE]


def _reference(points: Array) -> Array:
    """All points at once, each over its own time, which is scaled to [0, 1]."""
    t, q, v, f = points.T

    def rates(_: float, state: Array) -> Array:
        u, speed = state.reshape(2, -1)
        return np.concatenate([t * speed, t * (f - FRICTION * speed - GRAVITY * np.sin(u))])

    solution = scipy.integrate.solve_ivp(
        rates, (0.0, 1.0), np.concatenate([q, v]), "DOP853", rtol=PRECISION, atol=PRECISION
    )
    u: Array = solution.y[: len(points), -1:]
    return u


def _largest(found: Evidence) -> float:
    """|e| ≤ δ₀ cosh ωT + δ₁ sinh(ωT)/ω + (cosh ωT − 1)/ω² max|r|, ω² = g/l: of u and u_t at the start."""
    start, speed = found.mismatch
    rate = math.sqrt(GRAVITY)
    grown = math.cosh(rate * INTERVAL)
    missed = start * grown + speed * math.sinh(rate * INTERVAL) / rate
    return missed + (grown - 1.0) / GRAVITY * found.residual.of("max", "")


pendulum = Problem(
    name="pendulum",
    title="A pendulum for 0.2 s from every angle and speed to 8 rad/s, torques to 5 N m",
    inputs="tqvf",
    domain=Domain(((0.0, INTERVAL), (-math.pi, math.pi), (-FASTEST, FASTEST), (-TORQUE, TORQUE))),
    derivatives=("u", "u_t", "u_tt"),
    residual=lambda x, d, math_: (
        d["u_tt"] + FRICTION * d["u_t"] + GRAVITY * math_.sin(d["u"]) - x[3]
    ),
    offset=lambda x, math_: x[1] + x[2] * x[0],
    distance=lambda x, math_: SCALE * x[0] * x[0],
    reference=_reference,
    features=_features,
    conditions=(
        Condition(Faces("t", (0,)), lambda x, d, math_: d["u"] - x[1]),
        Condition(Faces("t", (0,)), lambda x, d, math_: d["u_t"] - x[2], ("u_t",)),
    ),
    stability=(Stability("max", "", "max", _largest, "Pendulum: max"),),
)
