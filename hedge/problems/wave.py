"""1D wave equation: u_tt = c² u_xx on [0, 1]², c = 2, at rest at t = 0 with its ends fixed.

u(x, 0) = sin πx + ½ sin 4πx, the benchmark of Wang, Yu and Perdikaris (2022, "When and why PINNs
fail to train: a neural tangent kernel perspective").
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from hedge.arrays import Array
from hedge.problems.conditions import Condition, Faces, vanishes
from hedge.problems.domain import Domain
from hedge.problems.equations import Field, Math
from hedge.problems.layers import Layers
from hedge.problems.problem import Problem
from hedge.problems.stability import Evidence, Stability

SPEED = 2.0
MODES = ((1, 1.0), (4, 0.5))


def _offset(x: Sequence[Field], math_: Math) -> Field:
    (k0, c0), (k1, c1) = MODES
    return c0 * math_.sin(k0 * math.pi * x[0]) + c1 * math_.sin(k1 * math.pi * x[0])


def _reference(points: Array) -> Array:
    x, t = points[:, :1], points[:, 1:]
    modes = [c * np.cos(k * SPEED * math.pi * t) * np.sin(k * math.pi * x) for k, c in MODES]
    total: Array = np.sum(modes, axis=0)
    return total


def _largest(found: Evidence) -> float:
    """|e| ≤ δ₀ + δ₁/(2c) + 4 δ₂ + ∫∫|r|/(2c): of u and u_t at the start, of u at the ends."""
    start, speed, ends = found.mismatch
    by_residual = found.residual.of("L1", "xt") / (2.0 * SPEED)
    return start + speed / (2.0 * SPEED) + 4.0 * ends + by_residual


def _mean_square(found: Evidence) -> float:
    """‖e(t)‖ ≤ δ₀ + δ₁/(cπ) + 4 δ₂ + ‖r‖/(√2 cπ)."""
    start, speed, ends = found.mismatch
    by_residual = found.residual.of("L2", "xt") / (math.sqrt(2.0) * SPEED * math.pi)
    return start + speed / (SPEED * math.pi) + 4.0 * ends + by_residual


wave = Problem(
    name="wave",
    title="1D wave equation, x in [0, 1], t in [0, 1], speed 2, two standing waves",
    inputs="xt",
    domain=Domain(((0.0, 1.0), (0.0, 1.0))),
    derivatives=("u", "u_tt", "u_xx"),
    residual=lambda x, d, math_: d["u_tt"] - SPEED**2 * d["u_xx"],
    offset=_offset,
    # t², so that u_t(x, 0) = 0 for every network.
    distance=lambda x, math_: 4.0 * x[1] * x[1] * x[0] * (1.0 - x[0]),
    reference=_reference,
    conditions=(
        Condition(Faces("t", (0,)), lambda x, d, math_: d["u"] - _offset(x, math_)),
        vanishes("u_t", "t", 0),
        vanishes("u", "x", 0, 1),
    ),
    stability=(
        Stability("max", "", "L1", _largest, "Wave equation: max"),
        Stability("L2", "x", "L2", _mean_square, "Wave equation: L2 at every time"),
    ),
    layers=Layers(32, 3),
)
