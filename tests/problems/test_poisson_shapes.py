"""Poisson's equation in an L and beside holes: what the series leave on the boundary bounds their errors."""

from __future__ import annotations

from importlib import import_module

import numpy as np
import pytest

from hedge.problems import find_problem
from tests.problems.differences import reference_residual

# The modules, for the problems have the same names.
poisson_holes = import_module("hedge.problems.poisson_holes")
poisson_l = import_module("hedge.problems.poisson_l")
poisson_boltzmann = import_module("hedge.problems.poisson_boltzmann")


def test_values_on_the_sides_of_the_l_bound_its_error() -> None:
    z = poisson_l.sides(777)
    assert np.abs(poisson_l.solution().at(np.column_stack([z.real, z.imag]))).max() < 2e-13


def test_values_on_rims_and_sides_bound_the_error_beside_holes() -> None:
    z, is_rim = poisson_holes.boundary(333, 333)
    u = poisson_holes.solution().at(np.column_stack([z.real, z.imag]))
    assert np.abs(u - np.where(is_rim, 0.0, 1.0)).max() < 1e-11


def test_values_on_rims_and_sides_bound_the_error_of_the_screened_potential() -> None:
    """With f = 0 no solution is larger inside than on the boundary."""
    z, values = poisson_boltzmann.boundary(333, 401)
    u = poisson_boltzmann.solution(np.column_stack([z.real, z.imag]))
    assert np.abs(u - values).max() < 1e-8


def test_the_screened_potential_solves_its_equation() -> None:
    problem = find_problem("poisson-boltzmann")
    x = problem.domain.sample(100, 1)
    away = np.hypot(*(1.0 - np.abs(x.T))) > 0.2  # from the corners
    assert np.abs(reference_residual(problem, x[away], 2e-3)).max() < 1e-4


@pytest.mark.parametrize("name", ["poisson-l", "poisson-holes"])
def test_the_series_solve_the_equation(name: str) -> None:
    problem = find_problem(name)
    x = problem.domain.sample(400, 1)
    # So far from singularities that differences see none.
    away = np.hypot(*x.T) > 0.1 if name == "poisson-l" else problem.reference(x)[:, 0] > 0.3
    assert np.abs(reference_residual(problem, x[away], 2e-3)).max() < 2e-6


def test_right_angles_ask_for_logarithms_of_the_known_size() -> None:
    """−y²/2 − Im(z² log z)/π is zero on both sides of one."""
    five = poisson_l.solution().coefficients[-5:]
    np.testing.assert_allclose(five, -1.0 / np.pi, rtol=1e-6)


def test_the_l_is_met_by_finite_differences() -> None:
    """Of second order on a grid; the corner makes the error one of order h^(4/3)."""
    errors = []
    for count in (16, 32):
        line = np.linspace(-1.0, 1.0, 2 * count + 1)
        x, y = np.meshgrid(line, line, indexing="ij")
        is_free = (np.abs(x) < 1) & (np.abs(y) < 1) & ~((x > -1e-9) & (y > -1e-9))
        number = np.full(x.shape, -1)
        number[is_free] = np.arange(is_free.sum())
        matrix = 4.0 * np.eye(is_free.sum())
        for shift in ((0, 1), (1, 0), (0, -1), (-1, 0)):
            beside = np.roll(number, shift, (0, 1))[is_free]
            rows = np.flatnonzero(beside >= 0)
            matrix[rows, beside[rows]] = -1.0
        u = np.linalg.solve(matrix, np.full(is_free.sum(), 1.0 / count**2))
        exact = poisson_l.solution().at(np.column_stack([x[is_free], y[is_free]]))
        errors.append(np.sqrt(np.mean((u - exact) ** 2)))
    assert errors[1] < 1e-3
    assert errors[1] < 0.5 * errors[0]
