"""The Levenberg–Marquardt step: its Jacobian, its two forms, and that it descends."""

from __future__ import annotations

import pytest
import torch

from hedge.problems import find_problem
from hedge.training import levenberg
from hedge.training.levenberg import (
    INITIAL_DAMPING,
    apply_transpose,
    jacobian,
    linearise,
    loss_of,
    parameters_of,
    step,
    tangent_kernel,
    with_parameters,
)
from hedge.training.sampling import residual_based_points, uniform_points
from hedge.training.taylor import new_network, propagate, residual

BURGERS = find_problem("burgers")


def test_jacobian_and_its_products_agree_with_autograd() -> None:
    network = new_network(BURGERS, width=7, depth=2, seed=0)
    points = uniform_points(BURGERS, 12, seed=0)

    def residual_of(parameters: torch.Tensor) -> torch.Tensor:
        moved = with_parameters(network, parameters)
        return residual(BURGERS, propagate(moved, points.x, points.axes), points)

    expected = torch.autograd.functional.jacobian(residual_of, parameters_of(network))
    lin = linearise(BURGERS, network, points)
    j = jacobian(lin)
    torch.testing.assert_close(j, expected, rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(tangent_kernel(lin), j @ j.T, rtol=1e-10, atol=1e-10)
    v = torch.linspace(-1, 1, 12, dtype=torch.float64)
    torch.testing.assert_close(apply_transpose(lin, v), j.T @ v, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("count", [20, 400])
def test_both_forms_solve_the_same_damped_system(count: int) -> None:
    network = new_network(BURGERS, width=6, depth=2, seed=0)
    lin = linearise(BURGERS, network, uniform_points(BURGERS, count, seed=0))
    j, r = jacobian(lin), lin.residual
    damped = j.T @ j + count * 1e-3 * torch.eye(j.shape[1], dtype=j.dtype)
    change = levenberg._step_solver(lin)(1e-3)
    torch.testing.assert_close(change, -torch.linalg.solve(damped, j.T @ r), rtol=1e-7, atol=1e-9)


def test_an_accepted_step_lowers_the_loss_and_a_failed_one_keeps_the_network() -> None:
    network = new_network(BURGERS, width=8, depth=2, seed=0)
    points = uniform_points(BURGERS, 200, seed=0)
    outcome = step(BURGERS, network, points, INITIAL_DAMPING)
    assert outcome.accepted
    assert outcome.loss < loss_of(BURGERS, network, points)
    assert outcome.loss == loss_of(BURGERS, outcome.network, points)
    failed = step(BURGERS, network, points, INITIAL_DAMPING, attempts=0)
    assert not failed.accepted
    assert failed.network is network


def test_points_gather_where_the_residual_is_large() -> None:
    network = new_network(BURGERS, width=8, depth=2, seed=0)
    drawn = residual_based_points(BURGERS, network, 4000, seed=0)
    uniform = uniform_points(BURGERS, 4000, seed=0)
    assert loss_of(BURGERS, network, drawn) > 1.1 * loss_of(BURGERS, network, uniform)
