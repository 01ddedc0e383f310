"""Steady Navier–Stokes behind a step that a channel widens at, at Re 100: "NS 2d-CG" in PINNacle.

(u, v) · ∇(u, v) + ∇p = Δ(u, v) / Re, u_x + v_y = 0 in [0, 4] × [0, 2] without [0, 2] × [1, 2] (Hao et al.,
2024); u = 4y(1 − y) at the inlet x = 0, velocities at walls are 0. At the outlet x = 4 theirs has p = 0 and
leaves one condition open; here p = u_x / Re and v_x = 0, as where nothing is prescribed. At the step's corner
the velocities are of order r^0.544. ``benchmarks/back_step.py`` computed the reference.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from hedge.geometry import Polygon
from hedge.problems.biquadratic import Biquadratic
from hedge.problems.conditions import Condition, Piece
from hedge.problems.domain import Domain
from hedge.problems.equations import Field, Math
from hedge.problems.navier_stokes import FLOW, STEADY, navier_stokes
from hedge.problems.problem import Problem

FILE = Path(__file__).with_suffix(".npz")
REYNOLDS, LONG, HIGH, STEP = 100.0, 4.0, 2.0, (2.0, 1.0)
# Of Stokes flow at a corner of 270°: sin(3πλ/2) = −λ sin(3π/2) (Dean and Montagnon, 1949).
POWER = 0.5444837
TINY = 1e-30  # keeps quotients and logarithms finite in the corner itself
TAMED = 0.25
# Of the flow's own functions at the corner, the least and the most.
EVEN, ODD = (0.0, 1.5261), (-1.3985, 0.9747)


@functools.cache
def _flow() -> Biquadratic:
    with np.load(FILE, allow_pickle=False) as file:
        return Biquadratic(file["x"], file["y"], file["values"].astype(np.float64))


def _from_corner(x: Sequence[Field], math_: Math) -> tuple[Field, Field, Field]:
    """Distances right of the step and below it, and that from its corner."""
    right, below = x[0] - STEP[0], STEP[1] - x[1]
    return right, below, math_.sqrt(right * right + below * below + TINY)


def _offset(x: Sequence[Field], math_: Math) -> tuple[Field, Field, Field]:
    """What flows in, faded out towards the step."""
    right, _, _ = _from_corner(x, math_)
    left = 0.5 * (math_.sqrt(right * right + TINY) - right) / STEP[0]
    return 4.0 * x[1] * (1.0 - x[1]) * left * left * left * (4.0 - 3.0 * left), 0.0, 0.0


def _distance(x: Sequence[Field], math_: Math) -> tuple[Field, Field, Field]:
    """From inlet and walls, growing as the flow does from the step's corner."""
    right, below, r = _from_corner(x, math_)
    step = (right + below + r) * math_.exp((POWER - 1.0) * math_.log(r))
    walls = 2.0 * x[0] / (1.0 + x[0]) * x[1] * (HIGH - x[1]) * step
    return walls, walls, 1.0


def _features(x: Sequence[Field], math_: Math) -> list[Field]:
    """The coordinates, and two functions that are as steep as the flow at the step's corner."""
    right, below, r = _from_corner(x, math_)
    angle = 2.0 * math_.arctan((right - below) / (math.sqrt(2.0) * r + right + below))
    size = math_.exp(POWER * math_.log(r))
    steep = [
        2.0 * (size * f(POWER * angle) - least) * (1.0 / (most - least)) - 1.0
        for f, (least, most) in ((math_.cos, EVEN), (math_.sin, ODD))
    ]
    return [0.5 * x[0] - 1.0, x[1] - 1.0, *steep]


def _residual(x: Sequence[Field], d: Mapping[str, Field], math_: Math) -> tuple[Field, ...]:
    _, _, r = _from_corner(x, math_)
    # Forces at the corner have squares without a mean.
    return navier_stokes(d, 1.0 / REYNOLDS, r / (r + TAMED))


back_step = Problem(
    name="back-step",
    title="Channel that widens at a step, at Re 100: velocities (u, v) and pressure p",
    inputs="xy",
    domain=Domain.over(
        Polygon(
            ((0.0, 0.0), (LONG, 0.0), (LONG, HIGH), (STEP[0], HIGH), STEP, (0.0, STEP[1])),
            edges=("bottom", "outlet", "top", "step", "roof", "inlet"),
        )
    ),
    fields=FLOW,
    derivatives=STEADY,
    residual=_residual,
    offset=_offset,
    distance=_distance,
    reference=lambda points: _flow().at(points),
    features=_features,
    conditions=(
        Condition(Piece("outlet"), lambda x, d, math_: d["p"] - d["u_x"] / REYNOLDS, ("p", "u_x")),
        Condition(Piece("outlet"), lambda x, d, math_: d["v_x"], ("v_x",)),
    ),
)
