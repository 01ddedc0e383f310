"""The lid-driven cavity: steady Navier–Stokes in the unit square whose upper side moves, at Re 100.

(u, v) · ∇(u, v) + ∇p = Δ(u, v) / Re, u_x + v_y = 0; u = 1 at the lid, other velocities at walls are 0, p = 0
at (0, 0). Where lid and wall meet the velocity has no limit and the pressure no bound. The solution's form
holds Taylor's flow of these corners; what a network learns beside it is of order r in the velocities.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from hedge.arrays import Array
from hedge.problems.cavity_corners import ACROSS, ALONG, LIFT
from hedge.problems.cavity_flow import cavity_flow
from hedge.problems.domain import Domain
from hedge.problems.equations import Field, Math
from hedge.problems.layers import Layers
from hedge.problems.problem import Problem

REYNOLDS = 100.0
TINY = 1e-30  # keeps quotients finite in the corners themselves


def _reference(points: Array) -> Array:
    return cavity_flow(REYNOLDS).at(points)


def _corner(x: Field, y: Field, math_: Math) -> tuple[Field, Field, Field, Field]:
    """Taylor's flow at distances x from the wall and y from the lid: ψ, ψ_x, ψ_y and p.

    Faded out by cubics that are zero, as their slopes are, at the other two walls.
    """
    square = x * x + y * y + TINY
    theta = math.pi / 4.0 + math_.arctan((y - x) / (x + y + TINY))
    line = ALONG * x + ACROSS * y
    psi, across = LIFT * y + theta * line, line / square
    psi_x, psi_y = ALONG * theta - y * across, LIFT + ACROSS * theta + x * across
    a, b = ((1.0 - t) * (1.0 - t) * (1.0 + 2.0 * t) for t in (x, y))
    a_slope, b_slope = (-6.0 * t * (1.0 - t) for t in (x, y))
    return (
        a * b * psi,
        b * (a * psi_x + a_slope * psi),
        a * (b * psi_y + b_slope * psi),
        -2.0 / REYNOLDS * a * b * across,
    )


def _offset(x: Sequence[Field], math_: Math) -> tuple[Field, Field, Field]:
    below = 1.0 - x[1]
    _, left_x, left_y, left_p = _corner(x[0], below, math_)
    _, right_x, right_y, right_p = _corner(1.0 - x[0], below, math_)
    return -left_y - right_y, right_x - left_x, left_p - right_p


def _distance(x: Sequence[Field], math_: Math) -> tuple[Field, Field, Field]:
    """Like the distance from the walls, of order r in the lid's corners, too; of p that from (0, 0)."""
    left, right, below = x[0], 1.0 - x[0], 1.0 - x[1]
    walls = 4.0 * left * right * x[1] * below
    for side in (left, right):
        walls = walls * (side + below) / (side * side + below * below + TINY)
    return walls, walls, 0.5 * (x[0] + x[1])


def _features(x: Sequence[Field], math_: Math) -> list[Field]:
    """The coordinates, and the directions seen from the lid's corners."""
    below = 1.0 - x[1]
    seen = [(side - below) / (side + below + TINY) for side in (x[0], 1.0 - x[0])]
    return [2.0 * x[0] - 1.0, 2.0 * x[1] - 1.0, *seen]


def _residual(x: Sequence[Field], d: Mapping[str, Field], math_: Math) -> tuple[Field, ...]:
    u, v, below = d["u"], d["v"], 1.0 - x[1]
    # The forces are of order 1/r, whose squares have no mean.
    tamed = (x[0] + below) * (1.0 - x[0] + below)
    return (
        tamed * (u * d["u_x"] + v * d["u_y"] + d["p_x"] - (d["u_xx"] + d["u_yy"]) / REYNOLDS),
        tamed * (u * d["v_x"] + v * d["v_y"] + d["p_y"] - (d["v_xx"] + d["v_yy"]) / REYNOLDS),
        d["u_x"] + d["v_y"],
    )


lid_cavity = Problem(
    name="lid-cavity",
    title="Lid-driven cavity at Re 100: velocities (u, v) and pressure p below a moving lid",
    inputs="xy",
    domain=Domain(((0.0, 1.0), (0.0, 1.0))),
    fields=("u", "v", "p"),
    derivatives=(
        "u", "v", "u_x", "u_y", "v_x", "v_y", "p_x", "p_y", "u_xx", "u_yy", "v_xx", "v_yy",
    ),
    residual=_residual,
    offset=_offset,
    distance=_distance,
    reference=_reference,
    features=_features,
    layers=Layers(20, 3),
)  # fmt: skip
