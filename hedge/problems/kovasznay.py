"""Kovasznay flow: a steady laminar flow behind a grid, where Navier–Stokes has a closed solution.

(u, v) · ∇(u, v) + ∇p = Δ(u, v) / Re, u_x + v_y = 0, at Re = 40 (Kovasznay, 1948).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from hedge.arrays import Array
from hedge.problems.domain import Domain
from hedge.problems.equations import Field, Math
from hedge.problems.layers import Layers
from hedge.problems.navier_stokes import FLOW, STEADY, navier_stokes
from hedge.problems.problem import Problem

REYNOLDS = 40.0
# The root of λ² − Re λ − 4π² = 0 by which the wake decays.
RATE = REYNOLDS / 2.0 - math.hypot(REYNOLDS / 2.0, 2.0 * math.pi)
LEFT, RIGHT, LOW, HIGH = -0.5, 1.0, -0.5, 1.5
PERIOD = 2.0 * math.pi


def _reference(points: Array) -> Array:
    x, y = points.T
    decay = np.exp(RATE * x)
    u = 1.0 - decay * np.cos(PERIOD * y)
    v = RATE / PERIOD * decay * np.sin(PERIOD * y)
    return np.column_stack([u, v, 0.5 * (1.0 - decay * decay)])


def _offset(x: Sequence[Field], math_: Math) -> tuple[Field, Field, Field]:
    """The velocities at the faces, blended (transfinite interpolation), and the pressure at the outlet."""
    along = (x[0] - LEFT) / (RIGHT - LEFT)
    at_left, at_right = math.exp(RATE * LEFT), math.exp(RATE * RIGHT)
    between = at_left + (at_right - at_left) * along
    # cos 2πy is −1 and sin 2πy is 0 where y is −1/2 or 3/2.
    above = math_.exp(RATE * x[0]) - between
    u = 1.0 - between * math_.cos(PERIOD * x[1]) + above
    v = RATE / PERIOD * between * math_.sin(PERIOD * x[1])
    return u, v, 0.5 * (1.0 - at_right * at_right)


def _distance(x: Sequence[Field], math_: Math) -> tuple[Field, Field, Field]:
    walls = (x[0] - LEFT) * (RIGHT - x[0]) * (x[1] - LOW) * (HIGH - x[1])
    return walls, walls, RIGHT - x[0]


kovasznay = Problem(
    name="kovasznay",
    title="Kovasznay flow at Re 40: velocities (u, v) given on all sides, pressure p at the outlet",
    inputs="xy",
    domain=Domain(((LEFT, RIGHT), (LOW, HIGH))),
    fields=FLOW,
    derivatives=STEADY,
    residual=lambda x, d, math_: navier_stokes(d, 1.0 / REYNOLDS),
    offset=_offset,
    distance=_distance,
    reference=_reference,
    layers=Layers(20, 3),
)
