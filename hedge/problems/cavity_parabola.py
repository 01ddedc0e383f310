"""Steady Navier–Stokes in the unit square whose upper side moves with speed 4x(1 − x), at Re 100.

(u, v) · ∇(u, v) + ∇p = Δ(u, v) / Re, u_x + v_y = 0; other velocities at walls are 0, p = 0 at (0, 0): "NS
2d-C" in PINNacle (Hao et al., 2024). The velocity is continuous where lid and wall meet, but its slopes are
not, and the pressure is like log r. The solution's form holds that.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from hedge.arrays import Array
from hedge.problems.cavity_corners import below_parabola
from hedge.problems.cavity_flow import cavity_flow
from hedge.problems.domain import Domain
from hedge.problems.equations import Field, Math
from hedge.problems.layers import Layers
from hedge.problems.navier_stokes import FLOW, STEADY, navier_stokes
from hedge.problems.problem import Problem

REYNOLDS = 100.0
TINY = 1e-30  # keeps quotients and logarithms finite in the corners themselves


def _reference(points: Array) -> Array:
    return cavity_flow(REYNOLDS, corners_in=below_parabola).at(points)


def _corner(x: Field, y: Field, math_: Math) -> tuple[Field, Field, Field]:
    """The flow at distances x from the wall and y from a lid of speed 4x there: ψ_x, ψ_y and p.

    Faded out by cubics that are zero, as their slopes are, at the other two walls.
    """
    square = x * x + y * y + TINY
    theta = math.pi / 4.0 + math_.arctan((y - x) / (x + y + TINY))
    psi = -2.0 * (theta * square + x * y - 0.5 * math.pi * y * y)
    psi_x, psi_y = -4.0 * x * theta, -4.0 * (x + y * (theta - 0.5 * math.pi))
    a, b = ((1.0 - t) * (1.0 - t) * (1.0 + 2.0 * t) for t in (x, y))
    a_slope, b_slope = (-6.0 * t * (1.0 - t) for t in (x, y))
    return (
        b * (a * psi_x + a_slope * psi),
        a * (b * psi_y + b_slope * psi),
        4.0 / REYNOLDS * a * b * math_.log(square),
    )


def _offset(x: Sequence[Field], math_: Math) -> tuple[Field, Field, Field]:
    """The flow of both corners, and below it one that moves with the lid by what is left of its speed."""
    along, up = x[0], x[1]
    left_x, left_y, left_p = _corner(along, 1.0 - up, math_)
    right_x, right_y, right_p = _corner(1.0 - along, 1.0 - up, math_)
    # 4x(1 − x) less the speed of the faded corners is −16 x² (1 − x)².
    square = along * along * (1.0 - along) * (1.0 - along)
    slope = 2.0 * along * (1.0 - along) * (1.0 - 2.0 * along)
    return (
        -left_y - right_y - 16.0 * square * up * (3.0 * up - 2.0),
        right_x - left_x + 16.0 * slope * up * up * (up - 1.0),
        left_p - right_p,
    )


def _distance(x: Sequence[Field], math_: Math) -> tuple[Field, Field, Field]:
    """Like the distance from the walls; of p that from (0, 0)."""
    walls = 16.0 * x[0] * (1.0 - x[0]) * x[1] * (1.0 - x[1])
    return walls, walls, 0.5 * (x[0] + x[1])


cavity_parabola = Problem(
    name="cavity-parabola",
    title="Cavity at Re 100 below a lid of speed 4x(1 - x): velocities (u, v) and pressure p",
    inputs="xy",
    domain=Domain(((0.0, 1.0), (0.0, 1.0))),
    fields=FLOW,
    derivatives=STEADY,
    residual=lambda x, d, math_: navier_stokes(d, 1.0 / REYNOLDS),
    offset=_offset,
    distance=_distance,
    reference=_reference,
    layers=Layers(20, 3),
)
