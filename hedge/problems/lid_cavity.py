"""The lid-driven cavity: steady Navier–Stokes in the unit square whose upper side moves, at Re 100 and 1000.

(u, v) · ∇(u, v) + ∇p = Δ(u, v) / Re, u_x + v_y = 0; u = 1 at the lid, other velocities at walls are 0, p = 0
at (0, 0). Where lid and wall meet the velocity has no limit and the pressure no bound. The solution's form
holds Taylor's flow of these corners; what a network learns beside it is of order r in the velocities.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np

from hedge.problems.cavity_corners import ACROSS, ALONG, LIFT, in_cavity
from hedge.problems.cavity_flow import CavityFlow, cavity_flow
from hedge.problems.domain import Domain
from hedge.problems.equations import Field, Math
from hedge.problems.layers import Layers
from hedge.problems.navier_stokes import FLOW, STEADY, navier_stokes
from hedge.problems.problem import Problem

FILE = Path(__file__).with_suffix(".npz")
RATE = 12.0  # of layers at walls
LAYERS = Layers(20, 3)
TINY = 1e-30  # keeps quotients finite in the corners themselves


@functools.cache
def _at_1000() -> CavityFlow:
    """What ``benchmarks/lid_cavity.py`` computed: half a minute's work."""
    with np.load(FILE, allow_pickle=False) as file:
        return CavityFlow(1e-3, in_cavity, file["coefficients"], file["pressure"])


def _corner(x: Field, y: Field, reynolds: float, math_: Math) -> tuple[Field, Field, Field, Field]:
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
        -2.0 / reynolds * a * b * across,
    )


def _offset(x: Sequence[Field], reynolds: float, math_: Math) -> tuple[Field, Field, Field]:
    below = 1.0 - x[1]
    _, left_x, left_y, left_p = _corner(x[0], below, reynolds, math_)
    _, right_x, right_y, right_p = _corner(1.0 - x[0], below, reynolds, math_)
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


def _layered(x: Sequence[Field], math_: Math) -> list[Field]:
    """Layers along the walls beside them, as thin as a fast flow's."""
    away = (x[0], 1.0 - x[0], x[1], 1.0 - x[1])
    return [*_features(x, math_), *(2.0 * math_.exp(-RATE * each) - 1.0 for each in away)]


def _residual(
    x: Sequence[Field], d: Mapping[str, Field], reynolds: float, weight: float
) -> tuple[Field, ...]:
    below = 1.0 - x[1]
    # The forces are of order 1/r, whose squares have no mean.
    tamed = weight * (x[0] + below) * (1.0 - x[0] + below)
    return navier_stokes(d, 1.0 / reynolds, tamed)


def cavity_problem(
    name: str,
    reynolds: float,
    flow: Callable[[], CavityFlow],
    features: Callable[[Sequence[Field], Math], Sequence[Field]] = _features,
    weight: float = 1.0,
    layers: Layers = LAYERS,
) -> Problem:
    """Below a lid of speed one, at a Reynolds number.

    ``flow`` is its reference, ``weight`` that of forces beside continuity.
    """
    return Problem(
        name=name,
        title=f"Lid-driven cavity at Re {reynolds:.0f}: velocities (u, v) and pressure p below a moving lid",
        inputs="xy",
        domain=Domain(((0.0, 1.0), (0.0, 1.0))),
        fields=FLOW,
        derivatives=STEADY,
        residual=lambda x, d, math_: _residual(x, d, reynolds, weight),
        offset=lambda x, math_: _offset(x, reynolds, math_),
        distance=_distance,
        reference=lambda points: flow().at(points),
        features=features,
        layers=layers,
    )


lid_cavity = cavity_problem("lid-cavity", 100.0, cavity_flow)
# The faster the flow, the smaller the forces that turn its core.
lid_cavity_1000 = cavity_problem("lid-cavity-1000", 1000.0, _at_1000, _layered, 3.0, Layers(30, 3))
