"""Poisson's equation, inverse: −∇·(a ∇u) = f on the unit square, a function a unknown, from readings of u.

"PInv" in PINNacle (Hao et al., 2024): 2,500 readings on a grid have independent errors of a standard
deviation of 0.1, a tenth of what u is at most, and a is known on the sides. u = sin πx sin πy and
a = 1 / (1 + x² + y² + (x − 1)² + (y − 1)²) where the readings are from. f has the factors 2x − 1 and 2y − 1
that these make, where PINNacle's code has 2x + 1 and 2y + 1. Nothing is said of u on the sides.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from hedge.arrays import Array
from hedge.problems.domain import Domain
from hedge.problems.equations import Field, Math
from hedge.problems.layers import Layers
from hedge.problems.measurements import Measurements
from hedge.problems.problem import Problem
from hedge.problems.subnetworks import Subnetwork

SIDE = 50  # readings along a side of the grid
DEVIATION = 0.1
PI = math.pi


def _coefficient(x: Field, y: Field) -> Field:
    return 1.0 / (3.0 + 2.0 * (x * x + y * y - x - y))


def _source(x: Field, y: Field, math_: Math) -> Field:
    """−∇·(a ∇u) = 2π² a u − ∇a·∇u, with ∇a = −a² (4x − 2, 4y − 2)."""
    a = _coefficient(x, y)
    sines, cosines = (math_.sin(PI * x), math_.sin(PI * y)), (math_.cos(PI * x), math_.cos(PI * y))
    along = (2.0 * x - 1.0) * cosines[0] * sines[1] + (2.0 * y - 1.0) * sines[0] * cosines[1]
    return 2.0 * PI * a * (PI * sines[0] * sines[1] + a * along)


def _residual(x: Sequence[Field], d: Mapping[str, Field], math_: Math) -> Field:
    flow = d["a"] * (d["u_xx"] + d["u_yy"]) + d["a_x"] * d["u_x"] + d["a_y"] * d["u_y"]
    return flow + _source(x[0], x[1], math_)


def _sides(x: Sequence[Field], math_: Math) -> tuple[Field, Field]:
    """Nothing of u; of a what it is on the sides, blended from each to the opposite one (Coons)."""
    p, q = x
    corner = _coefficient(0.0, 0.0)  # the same at all four
    across = (1.0 - p) * _coefficient(0.0, q) + p * _coefficient(1.0, q)
    along = (1.0 - q) * _coefficient(p, 0.0) + q * _coefficient(p, 1.0)
    return 0.0, across + along - corner


def _solution(points: Array) -> Array:
    x, y = points.T
    return np.column_stack([np.sin(PI * x) * np.sin(PI * y), _coefficient(x, y)])


def poisson_coefficient_from(seed: int = 0) -> Problem:
    """The problem with readings whose errors are drawn by the seed.

    >>> len(poisson_coefficient_from(seed=1).data[0].values)
    2500
    """
    grid = np.linspace(0.0, 1.0, SIDE)
    points = np.stack(np.meshgrid(grid, grid), axis=-1).reshape(-1, 2)
    errors = np.random.default_rng(seed).normal(0.0, DEVIATION, len(points))
    readings = Measurements(points, _solution(points)[:, 0] + errors, DEVIATION, name="readings")
    return Problem(
        name="poisson-coefficient",
        title="Poisson equation with an unknown coefficient a(x, y), from readings of u",
        inputs="xy",
        fields=("u", "a"),
        domain=Domain(((0.0, 1.0), (0.0, 1.0))),
        derivatives=("a", "a_x", "a_y", "u_x", "u_y", "u_xx", "u_yy"),
        residual=_residual,
        offset=_sides,
        distance=lambda x, math_: (1.0, 16.0 * x[0] * (1.0 - x[0]) * x[1] * (1.0 - x[1])),
        reference=_solution,
        data=(readings,),
        networks=(Subnetwork(("u",)), Subnetwork(("a",))),
        layers=Layers(10, 1),
    )


poisson_coefficient = poisson_coefficient_from()
