"""2D Helmholtz: Δu + k² u = q on [−1, 1]², k = 1, u = 0 on its edge.

q is such that u = sin πx sin 4πy: the benchmark of Wang, Teng and Perdikaris (2021, "Understanding
and mitigating gradient flow pathologies in physics-informed neural networks").
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from hedge.arrays import Array
from hedge.problems.conditions import vanishes
from hedge.problems.domain import Domain
from hedge.problems.equations import Field, Math
from hedge.problems.poisson import CATALAN
from hedge.problems.problem import Problem
from hedge.problems.stability import Evidence, Stability

WAVENUMBER = 1.0
A, B = 1.0, 4.0
# −Δ has no eigenvalue below π²/2 on this square with u = 0 on its edge, and the next of a function even
# in x and y is 5π²/2.
GAP, NEXT = math.pi**2 / 2.0 - WAVENUMBER**2, 2.5 * math.pi**2


def _residual(x: Sequence[Field], d: Mapping[str, Field], math_: Math) -> Field:
    waves = math_.sin(A * math.pi * x[0]) * math_.sin(B * math.pi * x[1])
    source = (WAVENUMBER**2 - (A * math.pi) ** 2 - (B * math.pi) ** 2) * waves
    return d["u_xx"] + d["u_yy"] + WAVENUMBER**2 * d["u"] - source


def _reference(points: Array) -> Array:
    u: Array = np.sin(A * math.pi * points[:, :1]) * np.sin(B * math.pi * points[:, 1:])
    return u


def _torsion() -> float:
    """Above the solution of −Δφ − k²φ = 1: two terms of an alternating series in cos(kπx/2), k odd."""

    def term(k: int) -> float:
        rate = (k * math.pi / 2.0) ** 2 - WAVENUMBER**2
        return 4.0 / (k * math.pi * rate * math.cosh(math.sqrt(rate)))

    return (1.0 / math.cos(WAVENUMBER) - 1.0) / WAVENUMBER**2 - term(1) + term(3)


def _green() -> float:
    """Above Green's function at the centre, in L2: the first mode, and all others as if k were 0 but for
    a factor."""
    others = CATALAN / (2.0 * math.pi**2) - 4.0 / math.pi**4
    return math.sqrt(1.0 / GAP**2 + others * (NEXT / (NEXT - WAVENUMBER**2)) ** 2)


TORSION, GREEN = _torsion(), _green()


def _without_residual(found: Evidence) -> float:
    """|e| ≤ (1 + k² max φ) δ if r = 0."""
    return (1.0 + WAVENUMBER**2 * TORSION) * max(found.mismatch)


def _largest(found: Evidence) -> float:
    """|e| ≤ that + 0.3767 max|r|, and |e| ≤ that + 0.2653 ‖r‖."""
    residual = found.residual
    return _without_residual(found) + min(
        TORSION * residual.of("max", ""), GREEN * residual.of("L2", "xy")
    )


def _mean_square(found: Evidence) -> float:
    """‖e‖ ≤ twice that + ‖r‖/(π²/2 − k²): the square has the area 4."""
    return 2.0 * _without_residual(found) + found.residual.of("L2", "xy") / GAP


helmholtz = Problem(
    name="helmholtz",
    title="2D Helmholtz equation on [-1, 1] x [-1, 1], wavenumber 1, u = sin(pi x) sin(4 pi y)",
    inputs="xy",
    domain=Domain(((-1.0, 1.0), (-1.0, 1.0))),
    derivatives=("u", "u_xx", "u_yy"),
    residual=_residual,
    offset=None,
    distance=lambda x, math_: (1.0 - x[0] * x[0]) * (1.0 - x[1] * x[1]),
    reference=_reference,
    conditions=(vanishes("u", "x", 0, 1), vanishes("u", "y", 0, 1)),
    stability=(
        Stability("max", "", "L2", _largest, "Helmholtz equation: max"),
        Stability("L2", "xy", "L2", _mean_square, "Helmholtz equation: L2"),
    ),
)
