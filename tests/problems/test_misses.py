"""What a function misses conditions and measurements by, against closed forms."""

from __future__ import annotations

import math

import numpy as np
import pytest

from hedge.geometry import Disc
from hedge.problems import (
    At,
    Condition,
    Domain,
    Faces,
    Inside,
    Measurements,
    Period,
    Piece,
    Problem,
    Unknown,
)
from hedge.problems.misses import misfits, missed_conditions

# u = x² y on (0, 2) × (0, 1).
CONDITIONS = {
    "u is y at the right, and 4 y": (
        Faces("x", (1,)),
        lambda x, d, m: d["u"] - x[1],
        False,
        math.sqrt(3.0),
    ),
    "its slope at both sides, 0 and 4 y": (
        Faces("x"),
        lambda x, d, m: d["u_x"] / x[1],
        False,
        math.sqrt(8.0),
    ),
    "from side to side it grows by 4 y": (
        Period("x"),
        lambda x, d, m: d["u"] / x[1],
        False,
        4.0,
    ),
    "its mean over all is 2/3": (Inside(), lambda x, d, m: d["u"] - 1.0, True, 1.0 / 3.0),
    "its mean over x is 4 y / 3": (
        Inside(),
        lambda x, d, m: d["u"] - 4.0 * x[1] / 3.0,
        "x",
        0.0,
    ),
    "at a point it is 1/2": (
        At(np.array([[1.0, 0.5]])),
        lambda x, d, m: d["u"] - d["k"],
        False,
        0.25,
    ),
}


def square(x: np.ndarray) -> np.ndarray:
    return x[:, :1] ** 2 * x[:, 1:]


@pytest.mark.parametrize("which", CONDITIONS)
def test_conditions_are_missed_by_what_a_function_leaves_of_them(which: str) -> None:
    on, mismatch, mean, expected = CONDITIONS[which]
    problem = Problem(
        name="own",
        title="own",
        inputs="xy",
        domain=Domain(((0.0, 2.0), (0.0, 1.0))),
        derivatives=("u_xx",),
        residual=lambda x, d, m: d["u_xx"] * d["k"],
        conditions=(Condition(on, mismatch, ("u", "u_x"), mean),),
        unknowns=(Unknown("k", 0.0, 1.0, 0.25),),
    )
    (found,) = missed_conditions(problem, square, 0).values()
    assert found == pytest.approx(expected, rel=0.05, abs=1e-3)


def test_normals_are_those_of_the_piece() -> None:
    """On a circle of radius 2 the slope of x² + y² along the normal is 4."""
    problem = Problem(
        name="own",
        title="own",
        inputs="xy",
        domain=Domain.over(Disc((0.0, 0.0), 2.0, "rim")),
        derivatives=("u_xx",),
        residual=lambda x, d, m: d["u_xx"],
        conditions=(
            Condition(
                Piece("rim"),
                lambda x, d, m: d["u_x"] * d["normal_x"] + d["u_y"] * d["normal_y"] - 3.0,
                ("u_x", "u_y"),
            ),
        ),
    )
    missed = missed_conditions(problem, lambda x: (x**2).sum(axis=1, keepdims=True), 0)
    assert missed == {"condition 1 (piece rim)": pytest.approx(1.0, rel=1e-6)}


def test_misfits_are_in_deviations_or_in_the_values_size() -> None:
    points = np.array([[1.0, 0.5], [2.0, 1.0]])
    values = np.array([0.5, 5.0])  # x² y and 0, 1 more
    problem = Problem(
        name="own",
        title="own",
        inputs="xy",
        domain=Domain(((0.0, 2.0), (0.0, 1.0))),
        derivatives=("u_xx",),
        residual=lambda x, d, m: d["u_xx"],
        data=(
            Measurements(points, values, 0.1, name="a"),
            Measurements(points, values, name="b"),
            Measurements(points, 2.0 * points[:, 0] * points[:, 1], 0.1, "u_x", name="c"),
        ),
    )
    a, b, c = misfits(problem, square)
    assert (a.rms, a.known, a.is_large) == (pytest.approx(math.sqrt(50.0)), True, True)
    assert (b.rms, b.known) == (pytest.approx(math.sqrt(0.5) / math.sqrt(25.25 / 2)), False)
    assert c.rms == pytest.approx(0.0, abs=1e-6)
