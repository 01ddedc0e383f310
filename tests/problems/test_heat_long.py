"""Heat for a long time: the reference against fewer sines, its symmetries and its period."""

from __future__ import annotations

from importlib import import_module

import numpy as np

from hedge.problems import find_problem
from tests.problems.differences import reference_residual

# The module, for the problem has the same name.
heat_long = import_module("hedge.problems.heat_long")


def test_fewer_sines_and_steps_meet_the_reference() -> None:
    x = find_problem("heat-long").sample(500, 1)
    u, fewer = heat_long.states().at(x), heat_long.states(8, 48, 40).at(x)
    assert np.linalg.norm(fewer - u) < 2e-2 * np.linalg.norm(u)


def test_u_repeats_itself_and_has_the_symmetries_of_its_equation() -> None:
    x = find_problem("heat-long").sample(200, 2)
    x[:, 0] *= 0.25
    u, quarter = heat_long.states().at(x), np.array([0.25, 0.0, 0.0])
    np.testing.assert_allclose(heat_long.states().at(x + quarter), -u, atol=1e-12)
    np.testing.assert_allclose(heat_long.states().at(quarter + x * [-1, 1, 1]), u, atol=1e-12)
    late = x[x[:, 2] < 92.0] + np.array([0, 0, 8.0])
    late = late[late[:, 2] > 32.0]
    np.testing.assert_allclose(
        heat_long.states().at(late), heat_long.states().at(late - np.array([0, 0, 8.0])), atol=1e-9
    )
    last, before = (heat_long.states().coefficients[-1 - k * 160] for k in (0, 1))
    assert np.linalg.norm(last - before) < 2e-3 * np.linalg.norm(last)


def test_u_solves_its_equation_before_fronts_are_steep() -> None:
    problem = find_problem("heat-long")
    x = problem.sample(60, 1) * [0.2, 0.9, 0.001] + np.array([0.02, 0.05, 0.1])
    # Terms of it are as large as five.
    assert np.abs(reference_residual(problem, x, 4e-3)).max() < 5e-2
