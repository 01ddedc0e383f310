"""Darcy flow: its media, its matrix against closed forms, its reference, the steps of its network."""

from __future__ import annotations

import numpy as np
import pytest

from hedge.compression import points_of_sources
from hedge.errors import InputError
from hedge.problems import darcy_operator, find_operator
from hedge.problems.darcy_operator import HIGH, LOW, DarcySteps, Diffusion, coefficients
from hedge.problems.unrolled import OnArrays

NAMES = ("poisson2d-operator", "darcy-operator")


def nothing(rows: np.ndarray) -> np.ndarray:
    """A layer that is not asked."""
    raise AssertionError


def times(side: int, u: np.ndarray, a: np.ndarray) -> np.ndarray:
    """A(a) u."""
    diffusion, arrays = Diffusion(side), OnArrays(nothing)
    return np.asarray(diffusion.times(arrays, diffusion.stencil(arrays, a), u))


def test_media_have_two_values_and_as_much_of_each() -> None:
    a = coefficients(24, 400, seed=1)
    assert set(np.unique(a)) == {LOW, HIGH}
    assert np.mean(a == HIGH) == pytest.approx(0.5, abs=0.02)
    np.testing.assert_array_equal(a[:3], coefficients(24, 400, seed=1)[:3])
    assert not np.array_equal(a, coefficients(24, 400, seed=2))


def test_media_are_as_rough_along_both_axes_and_on_every_grid() -> None:
    """Crossings of a line through the square: some two, however fine the grid."""
    crossings = []
    for side in (16, 32, 64):
        grids = coefficients(side, 600, seed=3).reshape(-1, side, side)
        by_axis = [np.mean(np.sum(np.diff(grids, axis=axis) != 0, axis=axis)) for axis in (1, 2)]
        assert by_axis[0] == pytest.approx(by_axis[1], rel=0.05)
        crossings.append(by_axis[0])
    assert 1.0 < crossings[0] < crossings[1] < crossings[2] < 3.0


def test_a_medium_of_ones_is_the_five_point_matrix() -> None:
    u = np.random.default_rng(0).standard_normal((3, 25))
    plain = find_operator("poisson2d-operator", 25).layer
    np.testing.assert_allclose(times(5, u, np.ones((3, 25))), plain.times(u), atol=1e-12)


def test_the_matrix_is_symmetric_and_takes_means_between_nodes() -> None:
    a = np.random.default_rng(1).uniform(1.0, 9.0, (1, 9))
    matrix = np.array([times(3, e[None], a)[0] for e in np.eye(9)])
    np.testing.assert_allclose(matrix, matrix.T, atol=1e-12)
    assert matrix[0, 1] == pytest.approx(-16 * (a[0, 0] + a[0, 1]) / 2)
    assert matrix[0, 3] == pytest.approx(-16 * (a[0, 0] + a[0, 3]) / 2)
    assert matrix[2, 3] == 0.0  # the end of a row and the start of the next are no neighbours
    # what flows into the boundary has the node's own coefficient
    assert matrix[0].sum() == pytest.approx(2 * 16 * a[0, 0])


def test_the_reference_solves_its_equation_to_rounding() -> None:
    problem = darcy_operator(20 * 20)
    a = problem.sample(5, seed=0)
    u = problem.reference(a)
    assert problem.residual is not None
    assert np.abs(problem.residual(u, a)).max() < 1e-10
    assert u.min() > 0.0


def test_a_smooth_medium_is_solved_at_second_order() -> None:
    """Errors against a finer grid, read at common nodes, fall fourfold a halving."""

    def solved(side: int) -> np.ndarray:
        x = np.arange(1, side + 1) / (side + 1)
        return Diffusion(side).solve(np.repeat(1.0 + x, side)[None]).reshape(side, side)

    exact = solved(127)
    coarse, fine = (
        np.abs(solved(side) - exact[step - 1 :: step, step - 1 :: step]).max()
        for side, step in ((15, 8), (31, 4))
    )
    assert coarse / fine == pytest.approx(4, rel=0.15)
    assert fine < 3e-3 * exact.max()


@pytest.mark.parametrize("bad", [0.0, -3.0])
def test_a_medium_that_is_not_positive_is_refused(bad: float) -> None:
    problem = darcy_operator(9)
    a = np.full((2, 9), 3.0)
    a[1, 4] = bad
    with pytest.raises(InputError, match="a coefficient of darcy-operator is not above zero"):
        problem.reference(a)


@pytest.mark.parametrize("side", [2, 3, 8, 24])
def test_ten_steps_with_the_exact_matrix_leave_little(side: int) -> None:
    problem = darcy_operator(side**2)
    steps = DarcySteps(Diffusion(side))
    numbers = steps.settle(problem.layer.solve)
    a = problem.sample(64, seed=5)
    found = steps(OnArrays(problem.layer.solve), a, numbers)
    exact = problem.reference(a)
    assert np.linalg.norm(found - exact) < 2e-5 * np.linalg.norm(exact)


def test_of_many_steps_fewer_media_are_fitted_so_that_memory_lasts() -> None:
    line, many = (points_of_sources(find_operator(name, 64**2), 64**2, 0) for name in NAMES)
    assert len(line.fit) == 6144
    assert len(many.fit) == 2**29 // (64**2 * 240)


def test_an_error_of_the_matrix_costs_convergence_not_accuracy() -> None:
    """A matrix that is 3 % off still solves to far less than that."""
    problem, steps = darcy_operator(144), DarcySteps(Diffusion(12))
    exact = problem.layer.solve(np.eye(144))
    noise = np.random.default_rng(0).standard_normal(exact.shape)
    rough = (
        exact + 0.03 * np.linalg.norm(exact) / np.linalg.norm(noise) * (noise + noise.T) / 2**0.5
    )
    numbers = steps.settle(problem.layer.solve)
    a = problem.sample(32, seed=1)
    found = steps(OnArrays(lambda rows: rows @ rough), a, numbers)
    error = np.linalg.norm(found - problem.reference(a)) / np.linalg.norm(found)
    assert error < 3e-3
