"""Problems with unknown coefficients: what their readings are, and that training finds the coefficient."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from importlib import import_module

import numpy as np
import pytest

from hedge.errors import InputError
from hedge.problems import Problem, find_problem
from hedge.training import TrainingRun, train
from tests.problems.differences import reference_residual

# The modules, for the problems have the same names.
heat_inverse = import_module("hedge.problems.heat_inverse")
helmholtz_inverse = import_module("hedge.problems.helmholtz_inverse")
TRUE = {
    "heat-inverse": heat_inverse.CONDUCTIVITY,
    "helmholtz-inverse": helmholtz_inverse.SQUARE,
}
MAKERS: dict[str, Callable[..., Problem]] = {
    "heat-inverse": heat_inverse.heat_inverse_from,
    "helmholtz-inverse": helmholtz_inverse.helmholtz_inverse_from,
}
each = pytest.mark.parametrize("name", MAKERS)


@each
def test_the_reference_solves_the_equation_with_the_true_coefficient(name: str) -> None:
    problem = find_problem(name)
    known = replace(problem, unknowns=(replace(problem.unknowns[0], value=TRUE[name]),))
    x = 0.1 + 0.8 * np.random.default_rng(1).random((200, 2))
    assert np.abs(reference_residual(known, x, 2e-3)).max() < 1e-6


@each
def test_readings_are_off_by_the_noise_asked_for(name: str) -> None:
    clean, noisy = (MAKERS[name](4000, noise, seed=3).data[0] for noise in (0.0, 0.05))
    exact = find_problem(name).reference(clean.points)[:, 0]
    np.testing.assert_array_equal(clean.values, exact)
    assert clean.are_exact
    size = np.sqrt(np.mean(exact**2))
    np.testing.assert_allclose(noisy.deviations, 0.05 * size)
    off = noisy.values - exact
    assert abs(off.std() / (0.05 * size) - 1.0) < 0.05
    assert abs(off.mean()) < 0.003 * size
    again, other = (MAKERS[name](4000, 0.05, seed).data[0].values for seed in (3, 4))
    np.testing.assert_array_equal(noisy.values, again)
    assert not np.array_equal(noisy.values, other)


@pytest.mark.parametrize("name", ["poisson-coefficient", "heat-coefficient"])
def test_readings_of_a_problem_whose_coefficient_is_a_function(name: str) -> None:
    """Its two fields solve the equation, and errors are of 0.1."""
    problem = find_problem(name)
    x = problem.domain.lower + (
        0.1 + 0.8 * np.random.default_rng(1).random((200, 3))[:, : problem.dimension]
    ) * (problem.domain.upper - problem.domain.lower)
    assert np.abs(reference_residual(problem, x, 1e-3)).max() < 1e-5
    (readings,) = problem.data
    off = readings.values - problem.reference(readings.points)[:, 0]
    assert len(off) == 2500
    assert abs(off.std() / 0.1 - 1.0) < 0.05
    np.testing.assert_array_equal(readings.deviations, 0.1)


def test_a_coefficient_that_is_a_function_is_found_from_noisy_readings() -> None:
    result = train(TrainingRun(find_problem("poisson-coefficient")), max_steps=250)
    assert result.by_field["a"] < 0.05
    assert not result.misfits[0].is_large


@pytest.mark.parametrize(
    ("given", "message"), [({"count": 0}, "count: 0"), ({"noise": -1.0}, "noise")]
)
def test_no_readings_and_negative_noise_are_refused(given: dict[str, float], message: str) -> None:
    with pytest.raises(InputError, match=message):
        heat_inverse.heat_inverse_from(**given)


def test_a_conductivity_is_found_from_clean_and_from_noisy_readings() -> None:
    clean = train(TrainingRun(heat_inverse.heat_inverse_from(), 12, 2), max_steps=300)
    assert abs(clean.found["kappa"].value / 0.1 - 1.0) < 2e-3
    noisy = train(TrainingRun(heat_inverse.heat_inverse_from(noise=0.05), 12, 2), max_steps=200)
    found = noisy.found["kappa"]
    assert 3e-4 < found.deviation < 3e-3
    assert abs(found.value - 0.1) < 3.0 * found.deviation
