"""Conditions, unknowns and measurements that make no sense, or contradict each other, are told in a line."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from hedge.errors import InputError
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
    vanishes,
)
from hedge.training import TrainingRun, train
from hedge.training.objective import objective_of
from tests.training.test_terms import LIKE, soft


@pytest.mark.parametrize(
    ("problem", "message"),
    [
        (
            soft(
                vanishes("u", "x", 0), Condition(Faces("x", (0, 1)), lambda x, d, m: 2 * d["u"] - 1)
            ),
            r"conditions 1 and 2 contradict each other on the lower end of x: one asks for 0 where the "
            "other asks for 0.5",
        ),
        (
            soft(vanishes("u", "x", 0), distance=lambda x, m: x[0], offset=lambda x, m: 2.0),
            r"condition 1 \(lower end of x\) is missed by up to 2 whatever the network is",
        ),
        (
            soft(Condition(Faces("x"), lambda x, d, m: x[1])),
            r"condition 1 .* whatever the network is",
        ),
        (
            soft(Condition(Faces("x"), lambda x, d, m: d["u_x"])),
            r"condition 1 .* reads 'u_x'; name it in derivatives",
        ),
        (
            soft(Condition(Faces("x"), lambda x, d, m: m.log(0.0 * d["u"] - 1.0))),
            "condition 1 .* is not finite",
        ),
        (
            soft(vanishes("u", "x", 0), unknowns=(Unknown("k", 0.0, 1.0),)),
            "nothing depends on its unknown k",
        ),
    ],
)
def test_conditions_and_unknowns_that_make_no_sense_are_told(
    problem: Problem, message: str
) -> None:
    with pytest.raises(InputError, match=message):
        train(TrainingRun(problem, 4, 1), max_steps=2)


@pytest.mark.parametrize(
    "conditions",
    [
        # What an unknown asks for is not known.
        (
            Condition(Faces("x", (0,)), lambda x, d, m: d["k"] * d["u"] - 1.0),
            Condition(Faces("x", (0,)), lambda x, d, m: d["u"] - 1.5),
        ),
        # Two parts of one condition are not compared.
        (
            Condition(Faces("x"), lambda x, d, m: (d["u"], d["u_x"]), ("u", "u_x")),
            Condition(Faces("x"), lambda x, d, m: d["u"] - d["k"]),
        ),
    ],
)
def test_conditions_that_may_hold_together_are_not_refused(
    conditions: tuple[Condition, ...],
) -> None:
    problem = soft(*conditions, unknowns=(Unknown("k", 0.0, 1.0),))
    assert objective_of(problem, LIKE).trained == (0, 1)


POINT = np.array([[0.5, 0.5]])


@pytest.mark.parametrize(
    ("conditions", "message"),
    [
        (
            (Condition(Period("x"), lambda x, d, m: d["u"] * d["u"]),),
            r"condition 1 \(period of x\) is not linear in what it reads",
        ),
        (
            (
                Condition(At(POINT), lambda x, d, m: d["u"]),
                Condition(At(POINT.copy()), lambda x, d, m: d["u"] - 1.0),
            ),
            r"contradict each other on the 1 given point\(s\): one asks for 0 where the other asks for 1",
        ),
        (
            (
                Condition(Faces("x"), lambda x, d, m: 1.0),
                Condition(Faces("x"), lambda x, d, m: None),
            ),
            "condition 1 .* returned float",
        ),
    ],
)
def test_conditions_that_say_something_else_than_was_meant_are_told(
    conditions: tuple[Condition, ...], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        objective_of(soft(*conditions), LIKE)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Unknown("u k", 0.0, 1.0), "is no name"),
        (lambda: Unknown("k", 1.0, 1.0), "hold nothing"),
        (lambda: Unknown("k", 0.0, math.inf), "hold nothing"),
        (lambda: soft(unknowns=(Unknown("u", 0.0, 1.0),)), "name of an input, a field"),
        (lambda: soft(unknowns=(Unknown("normal_x", 0.0, 1.0),)), "name of an input, a field"),
        (lambda: soft(unknowns=(Unknown("k", 0.0, 1.0),) * 2), "'k' twice"),
        (
            lambda: Unknown("k", 0.1, 1.0, -1.0),
            "its value -1.0 is not between its bounds 0.1 and 1",
        ),
        (lambda: Unknown("k", 0.1, 1.0, math.nan), "its value nan is not between"),
        (lambda: Unknown("k", "0", "1"), "hold nothing"),  # type: ignore[arg-type]
        (lambda: soft(vanishes("u", "z", 0)), "ends of 'z'"),
        (lambda: soft(conditions=vanishes("u", "x", 0)), "must be a tuple of Condition"),
        (lambda: soft(conditions=(1,)), "must be a tuple of Condition"),
        (lambda: soft(unknowns=("k",)), "must be a tuple of Unknown"),
        (
            lambda: soft(data=(Measurements(POINT, np.ones(1)), 3)),
            "must be a tuple of Measurements",
        ),
        (lambda: soft(Condition("x", lambda x, d, m: d["u"])), "on 'x', which is no place"),  # type: ignore[arg-type]
        (lambda: soft(Condition(Faces("x", 0), lambda x, d, m: d["u"])), "has the ends 0"),  # type: ignore[arg-type]
        (
            lambda: soft(Condition(Faces("x"), lambda x, d, m: d["u_x"], "u_x")),  # type: ignore[arg-type]
            "condition 1: derivatives 'u_x' must be a tuple of names",
        ),
        (lambda: Measurements(POINT, ["a"]), "its values are no numbers"),  # type: ignore[arg-type]
        (lambda: Measurements([[1, 2], [3]], [1, 2]), "its points are no numbers"),  # type: ignore[arg-type,list-item]
        (lambda: Measurements(POINT, np.array([1.0 + 1j])), "its values are no numbers"),
        (lambda: Measurements(POINT, np.ones(1), 1e-300), "must be positive and finite"),
        (lambda: soft(data=(Measurements(POINT, np.ones(1), of=3),)), "must be a tuple of names"),  # type: ignore[arg-type]
        (lambda: soft(Condition(Piece("hole"), lambda x, d, m: d["u"])), "none, as it is a box"),
        (
            lambda: soft(vanishes("u", "x", 0), domain=Domain.over(Disc((0.0, 0.0), 1.0))),
            "name a piece of its boundary: disc, boundary",
        ),
        (lambda: soft(Condition(At(np.zeros((0, 2))), lambda x, d, m: d["u"])), "n ≥ 1"),
        (
            lambda: soft(Condition(At(np.full((1, 2), 3.0)), lambda x, d, m: d["u"])),
            "of the domain",
        ),
        (lambda: soft(data=(Measurements(np.zeros((2, 3)), np.zeros(2)),)), "3 coordinates"),
        (
            lambda: soft(data=(Measurements(np.array([[0.5, 0.5], [0.5, 1.5]]), np.zeros(2)),)),
            r"1 of its 2 points lie outside the domain 0:1,0:1, first point 2 at \(0.5, 1.5\)",
        ),
        (lambda: Measurements(np.zeros((2, 2)), np.zeros(3)), "2 points and 3 values"),
        (lambda: Measurements(np.zeros((1, 2)), np.array([math.nan])), "are not all finite"),
        (
            lambda: Measurements(np.zeros((2, 2)), np.ones(2), np.array([0.0, 0.1])),
            "must be positive and finite, .* or all 0, if there are no errors",
        ),
        (
            lambda: Measurements(np.zeros((1, 2)), np.ones(1), of=lambda x, d, m: 0.0),
            "give derivatives",
        ),
        (
            lambda: soft(data=(Measurements(np.zeros((1, 2)), np.ones(1), of="w"),)),
            "'w' is unknown",
        ),
    ],
)
def test_pieces_that_do_not_fit_are_refused_where_they_are_made(make: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        make()


@pytest.mark.parametrize(
    ("on", "mean", "message"),
    [
        (Faces("x"), "xy", "condition 1 is on means over 'xy', .*; name some but not all of y"),
        (Inside(), "q", "condition 1 is on means over 'q', .* x, y, or write mean=True"),
        (
            Period("x"),
            "y",
            "means over 'y' of the period of x; these are for Faces, Piece or Inside",
        ),
        (Inside(), 0.5, "condition 1 has the mean 0.5; write True, or inputs such as 'x'"),
    ],
)
def test_means_over_what_is_no_part_of_a_place_are_told(on: Any, mean: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        soft(Condition(on, lambda x, d, m: d["u"], mean=mean))
