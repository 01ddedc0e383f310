"""1D heat equation: u_t = κ u_xx on [0, 1]², u(0, t) = u(1, t) = 0 (paper, ex3, ex4)."""

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

DIFFUSIVITY = 0.1
# u(x, 0) = sin πx + ½ sin 3πx: two modes that decay at rates a factor 9 apart.
MODES = ((1, 1.0), (3, 0.5))


def _offset(x: Sequence[Field], math_: Math) -> Field:
    (k0, c0), (k1, c1) = MODES
    return c0 * math_.sin(k0 * math.pi * x[0]) + c1 * math_.sin(k1 * math.pi * x[0])


def _reference(points: Array) -> Array:
    x, t = points[:, :1], points[:, 1:]
    modes = [
        c * np.exp(-DIFFUSIVITY * (k * math.pi) ** 2 * t) * np.sin(k * math.pi * x)
        for k, c in MODES
    ]
    total: Array = np.sum(modes, axis=0)
    return total


def heat_stability(diffusivity: float) -> tuple[Stability, ...]:
    """Of the heat equation on [0, 1]² with this diffusivity κ or any larger one."""

    def largest(found: Evidence) -> float:
        """|e| ≤ δ + √(2/√(8πκ)) ‖r‖, and |e| ≤ δ + ∫ max|r(t)| dt."""
        factor = math.sqrt(2.0 / math.sqrt(8.0 * math.pi * diffusivity))
        by_square = factor * found.residual.of("L2", "xt")
        return max(found.mismatch) + min(by_square, found.residual.of_largest("t"))

    def mean_square(found: Evidence) -> float:
        """‖e‖ ≤ δ + ‖r‖/√((π/2)² + (κπ²)²)."""
        rate = math.hypot(math.pi / 2.0, diffusivity * math.pi**2)
        return max(found.mismatch) + found.residual.of("L2", "xt") / rate

    return (
        Stability("max", "", "L2", largest, "Heat equation: max"),
        Stability("L2", "xt", "L2", mean_square, "Heat equation: L2"),
    )


heat = Problem(
    name="heat",
    title="1D heat equation, x in [0, 1], t in [0, 1], diffusivity 0.1",
    inputs="xt",
    domain=Domain(((0.0, 1.0), (0.0, 1.0))),
    derivatives=("u", "u_t", "u_xx"),
    residual=lambda x, d, math_: d["u_t"] - DIFFUSIVITY * d["u_xx"],
    offset=_offset,
    distance=lambda x, math_: 4.0 * x[1] * x[0] * (1.0 - x[0]),
    reference=_reference,
    conditions=(
        Condition(Faces("t", (0,)), lambda x, d, math_: d["u"] - _offset(x, math_)),
        vanishes("u", "x", 0, 1),
    ),
    stability=heat_stability(DIFFUSIVITY),
    layers=Layers(20, 3),
)
