"""Poisson in d dimensions: −Δu = f on the unit cube, fixed on two faces, insulated on the others.

u = 0 where the first coordinate is 0 or 1, and ∂u/∂n = 0 on the 2(d − 1) other faces, so the
solution is unique. The network reads cos πx_i for i ≥ 2, whose normal derivatives vanish on those
faces: every condition holds exactly, and nothing is known of the solution beforehand. f is such that

    u = sin(πx₁) exp(−s²),  s = (cos πx₂ + … + cos πx_d) / √(d − 1),

which couples every pair of coordinates and varies as much in 100 dimensions as in 5.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from hedge.arrays import Array
from hedge.problems.conditions import vanishes
from hedge.problems.coupled import LETTERS, coupled, coupled_values, total
from hedge.problems.domain import Domain
from hedge.problems.equations import Field, Math
from hedge.problems.layers import Layers
from hedge.problems.problem import Problem
from hedge.problems.stability import Evidence, Stability

MOST_PROVED = 10


def _residual(x: Sequence[Field], d: Mapping[str, Field], math_: Math) -> Field:
    w, laplacian = coupled(x[1:], math_)
    source = math.pi**2 * math_.sin(math.pi * x[0]) * w * (1.0 - laplacian)
    return total([value for name, value in d.items() if name != "u"]) + source


def _reference(points: Array) -> Array:
    return np.asarray(np.sin(math.pi * points[:, :1]) * coupled_values(points[:, 1:]))


def _without_residual(found: Evidence) -> float:
    """|e| ≤ δ + ½ (η₂ + … + η_d) if r = 0, where ∂u/∂x_i misses 0 by η_i on its faces."""
    value, *slopes = found.mismatch
    return value + sum(slopes) / 2.0


def _largest(found: Evidence) -> float:
    """|e| ≤ that + max|r|/8."""
    return _without_residual(found) + found.residual.of("max", "") / 8.0


def _poisson_cube(dimension: int) -> Problem:
    """The problem in ``dimension`` dimensions, 2 to 100.

    Up to ten each second derivative has a name, conditions are listed, and it is proved how far a small
    residual is from the solution.

    >>> _poisson_cube(3).derivatives, _poisson_cube(11).derivatives
    (('u', 'u_aa', 'u_bb', 'u_cc'), ('u', 'u_laplacian'))
    """
    letters = LETTERS[:dimension]
    is_proved = dimension <= MOST_PROVED
    seconds = tuple(f"u_{letter}{letter}" for letter in letters)

    def mean_square(found: Evidence) -> float:
        return _without_residual(found) + found.residual.of("L2", letters) / math.pi**2

    return Problem(
        name=f"poisson-{dimension}d",
        title=f"Poisson equation on the unit cube of {dimension} dimensions, two faces at zero",
        inputs=letters,
        domain=Domain(((0.0, 1.0),) * dimension),
        derivatives=("u", *(seconds if is_proved else ("u_laplacian",))),
        residual=_residual,
        offset=None,
        distance=lambda x, math_: 4.0 * x[0] * (1.0 - x[0]),
        reference=_reference,
        features=lambda x, math_: [2.0 * x[0] - 1.0, *(math_.cos(math.pi * c) for c in x[1:])],
        conditions=(
            vanishes("u", "a", 0, 1),
            *(vanishes(f"u_{letter}", letter, 0, 1) for letter in letters[1:]),
        )
        if is_proved
        else (),
        stability=(
            Stability("max", "", "max", _largest, "Poisson's equation on a cube: max"),
            Stability("L2", letters, "L2", mean_square, "Poisson's equation on a cube: L2"),
        )
        if is_proved
        else (),
        layers=Layers(24 if is_proved else 10, 2),
    )


poisson_5d = _poisson_cube(5)
poisson_10d = _poisson_cube(10)
poisson_100d = _poisson_cube(100)
