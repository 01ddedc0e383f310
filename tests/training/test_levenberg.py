"""The Levenberg–Marquardt step: its Jacobian, its two forms, and that it descends."""

from __future__ import annotations

import pytest
import torch

from hedge.problems import find_problem
from hedge.training import levenberg
from hedge.training.levenberg import INITIAL_DAMPING, step
from hedge.training.loss import (
    apply_transpose,
    jacobian,
    linearise,
    loss_and_gradient,
    mean_square,
    tangent_kernel,
)
from hedge.training.network import new_network, parameters_of, with_parameters
from hedge.training.points import Points
from hedge.training.sampling import sobol_points
from hedge.training.terms import Term

BURGERS = find_problem("burgers")
FLOAT64 = torch.zeros(0, dtype=torch.float64)


def points_of(count: int) -> Points:
    return sobol_points(BURGERS, count, 0, FLOAT64)


def test_jacobian_and_its_products_agree_with_autograd() -> None:
    network = new_network(2, (7, 7), seed=0)
    points = points_of(12)

    def residual_of(parameters: torch.Tensor) -> torch.Tensor:
        """By nested reverse mode, with nothing of the code under test but the network's value."""
        moved = with_parameters(network, parameters)
        x = points.x.clone().requires_grad_()
        columns = x.unbind(1)
        inputs = torch.stack([columns[0], 2.0 * columns[1] - 1.0], dim=1)
        u = BURGERS.offset(columns, torch) + BURGERS.distance(columns, torch) * moved(inputs)[:, 0]
        (first,) = torch.autograd.grad(u.sum(), x, create_graph=True)
        (second,) = torch.autograd.grad(first[:, 0].sum(), x, create_graph=True)
        named = {"u": u, "u_x": first[:, 0], "u_t": first[:, 1], "u_xx": second[:, 0]}
        return BURGERS.residual(columns, named, torch)

    expected = torch.autograd.functional.jacobian(residual_of, parameters_of(network))
    weights = torch.linspace(0.5, 2.0, 12, dtype=torch.float64)
    loss, gradient = loss_and_gradient(BURGERS, network, [Term(points, weights=weights)])
    r = residual_of(parameters_of(network)).detach()
    assert abs(loss - float(weights @ r**2) / 12) < 1e-10 * loss
    torch.testing.assert_close(gradient, expected.T @ (weights * r) / 6, rtol=1e-10, atol=1e-10)
    lin = linearise(BURGERS, network, [Term(points)])
    j = jacobian(lin)
    torch.testing.assert_close(j, expected, rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(tangent_kernel(lin), j @ j.T, rtol=1e-10, atol=1e-10)
    v = torch.linspace(-1, 1, 12, dtype=torch.float64)
    torch.testing.assert_close(apply_transpose(lin, v), j.T @ v, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("count", [20, 400])
def test_both_forms_solve_the_same_damped_system(count: int) -> None:
    network = new_network(2, (6, 6), seed=0)
    lin = linearise(BURGERS, network, [Term(points_of(count))])
    j, r = jacobian(lin), lin.residual
    damped = j.T @ j + count * 1e-3 * torch.eye(j.shape[1], dtype=j.dtype)
    change = levenberg._step_solver(lin, j.shape[1])(1e-3)
    torch.testing.assert_close(change, -torch.linalg.solve(damped, j.T @ r), rtol=1e-7, atol=1e-9)


def test_an_accepted_step_lowers_the_loss_and_a_failed_one_keeps_the_network() -> None:
    network = new_network(2, (8, 8), seed=0)
    points = points_of(200)
    outcome = step(BURGERS, network, [Term(points)], INITIAL_DAMPING)
    assert outcome.accepted
    assert outcome.loss < mean_square(BURGERS, network, [Term(points)])
    assert outcome.loss == mean_square(BURGERS, outcome.network, [Term(points)])
    failed = step(BURGERS, network, [Term(points)], INITIAL_DAMPING, attempts=0)
    assert not failed.accepted
    assert failed.network is network


def test_chunks_of_points_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    network, points = new_network(2, (8, 8), seed=0), points_of(500)
    whole = loss_and_gradient(BURGERS, network, [Term(points)])
    monkeypatch.setattr("hedge.training.loss.CHUNK_NUMBERS", 1000)
    loss, gradient = loss_and_gradient(BURGERS, network, [Term(points)])
    assert abs(loss - whole[0]) < 1e-13 * loss
    torch.testing.assert_close(gradient, whole[1], rtol=1e-11, atol=1e-13)
