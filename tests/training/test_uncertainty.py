"""Standard deviations of found constants, against least squares by hand.

All are of u′ = a + b, u(0) = 0, whose solution (a + b) x a network with a constant output is exactly.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from hedge.problems import Domain, Measurements, Problem, Unknown
from hedge.training.constants import parameters_for
from hedge.training.network import Network, new_network
from hedge.training.objective import objective_of
from hedge.training.uncertainty import standard_deviations

LIKE = torch.zeros(0, dtype=torch.float64)
X = np.array([0.1, 0.3, 0.5, 0.8, 1.0])
MISFITS = np.array([0.03, -0.02, 0.05, -0.04, 0.01])
SLOPE = float(X @ (0.7 * X + MISFITS) / (X @ X))
"""That of least squares."""


def line(*data: Measurements, **changes: Any) -> Problem:
    known: dict[str, Any] = {
        "residual": lambda x, d, math: d["u_x"] - d["a"],
        "unknowns": (Unknown("a", -2.0, 3.0),),
        "derivatives": ("u_x",),
    }
    return Problem(
        name="line",
        title="a line",
        inputs="x",
        domain=Domain(((0.0, 1.0),)),
        distance=lambda x, math: x[0],
        data=data,
        **{**known, **changes},
    )


def measured(deviations: Any = None, rows: slice = slice(None), **changes: Any) -> Measurements:
    return Measurements(X[rows, None], (0.7 * X + MISFITS)[rows], deviations, **changes)


def solved(slope: float, constants: torch.Tensor | None) -> Network:
    """The network that is ``slope`` everywhere, with no way out for its other parameters."""
    network = new_network(1, (5, 5), seed=2)
    weights = (*network.weights[:-1], torch.zeros_like(network.weights[-1]))
    biases = (*network.biases[:-1], torch.full((1,), slope, dtype=torch.float64))
    return Network(weights, biases, constants)


def deviations(problem: Problem, slope: float, **values: float) -> dict[str, float]:
    network = solved(slope, parameters_for(problem.with_values(values)))
    return dict(standard_deviations(objective_of(problem, LIKE), network, seed=0))


def test_with_known_deviations_it_is_that_of_weighted_least_squares() -> None:
    sigma = np.array([1e-3, 0.1, 1e3, 0.02, 0.5])
    slope = float((X / sigma**2) @ (0.7 * X + MISFITS) / np.sum((X / sigma) ** 2))
    found = deviations(line(measured(sigma)), slope, a=slope)
    assert found["a"] == pytest.approx(1.0 / np.linalg.norm(X / sigma), rel=1e-6)


def test_where_training_stopped_beside_the_best_value_the_way_there_counts() -> None:
    found = deviations(line(measured(0.05)), SLOPE + 0.2, a=SLOPE + 0.2)
    assert found["a"] == pytest.approx(math.hypot(0.05 / np.linalg.norm(X), 0.2), rel=1e-6)


def test_a_deviation_that_nobody_knows_is_told_from_the_misfits_and_their_freedom() -> None:
    """Its square has the mean Σ misfit² / (n − 1 − 2) a posteriori, with a prior of 1 / σ."""
    left = 0.7 * X + MISFITS - SLOPE * X
    sigma = np.linalg.norm(left) / math.sqrt(len(X) - 3)
    for slope in (SLOPE, SLOPE + 0.1):  # the misfits that count are those behind the step
        found = deviations(line(measured()), slope, a=slope)
        expected = math.hypot(sigma / np.linalg.norm(X), slope - SLOPE)
        assert found["a"] == pytest.approx(expected, rel=2e-3)


def test_from_three_measurements_of_unknown_deviation_none_is_told() -> None:
    assert deviations(line(measured(rows=slice(3))), 0.7, a=0.7) == {}
    assert deviations(line(measured(0.05, rows=slice(1))), 0.7, a=0.7).keys() == {"a"}


def test_several_sets_have_a_deviation_each() -> None:
    """An exact set decides; noise in another one does not matter."""
    exact = Measurements(X[:, None], 0.7 * X + 1e-4 * MISFITS)
    found = deviations(line(measured(), exact), 0.7, a=0.7)
    alone = deviations(line(exact), 0.7, a=0.7)
    assert found["a"] == pytest.approx(alone["a"], rel=0.1)
    assert alone["a"] < 1e-4


def test_constants_that_nothing_tells_apart_are_as_good_as_unknown() -> None:
    """However well the equation holds; their sum, a third constant's rival, is told."""
    both = line(
        measured(0.05),
        residual=lambda x, d, math: d["u_x"] - d["a"] - d["b"],
        unknowns=(Unknown("a", -2.0, 3.0), Unknown("b", -2.0, 3.0)),
    )
    found = deviations(both, SLOPE, a=0.3, b=SLOPE - 0.3)
    assert min(found.values()) > 1e5
    assert all(map(math.isfinite, found.values()))


def test_one_of_two_that_data_tell_apart_by_an_expression_is_known() -> None:
    """A measurement of a alone, σ 0.01: then b is known as the slope is."""
    own = Measurements(
        np.array([[0.5]]), np.array([0.3]), 0.01, lambda x, d, m: 0.0 * d["u"] + d["a"], ("u",)
    )
    both = line(
        measured(0.05),
        own,
        residual=lambda x, d, math: d["u_x"] - d["a"] - d["b"],
        unknowns=(Unknown("a", -2.0, 3.0), Unknown("b", -2.0, 3.0)),
    )
    found = deviations(both, SLOPE, a=0.3, b=SLOPE - 0.3)
    assert found["a"] == pytest.approx(0.01, rel=1e-6)
    assert found["b"] == pytest.approx(math.hypot(0.01, 0.05 / np.linalg.norm(X)), rel=1e-6)


def test_each_equation_is_as_tight_as_what_it_leaves_itself() -> None:
    """An equation that leaves much beside does not loosen the one that the constant stands in."""
    alone = line(measured(0.05))
    beside = replace(
        alone,
        derivatives=("u_x", "u"),
        residual=lambda x, d, m: (d["u_x"] - d["a"], d["u"] - SLOPE * x[0] + m.sin(9.0 * x[0])),
    )
    found = deviations(beside, SLOPE, a=SLOPE)
    assert found["a"] == pytest.approx(0.05 / np.linalg.norm(X), rel=1e-2)
