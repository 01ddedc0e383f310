"""Self-scaled quasi-Newton steps: known minima, the secant equation, factors against the matrix."""

from __future__ import annotations

import itertools
import math
from typing import get_args

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from hedge.training.quasi_newton import (
    KEPT_UPDATES,
    InverseHessian,
    Update,
    _scaling,
    _strong_wolfe,
    advance,
    from_dense,
    start,
)

UPDATES = get_args(Update)


def quadratic(condition: float, n: int) -> tuple[Tensor, Tensor]:
    """A (n, n) with eigenvalues from 1 to the condition number, and the minimiser of its parabola."""
    generator = torch.Generator().manual_seed(0)
    q, _ = torch.linalg.qr(torch.randn(n, n, generator=generator, dtype=torch.float64))
    values = torch.logspace(0, math.log10(condition), n, dtype=torch.float64)
    return (q * values) @ q.T, torch.randn(n, generator=generator, dtype=torch.float64)


def rosenbrock(x: Tensor) -> tuple[float, Tensor]:
    with torch.enable_grad():
        v = x.clone().requires_grad_()
        loss = (100.0 * (v[1:] - v[:-1] ** 2) ** 2 + (1.0 - v[:-1]) ** 2).sum()
        (gradient,) = torch.autograd.grad(loss, v)
    return float(loss.detach()), gradient


@pytest.mark.parametrize("update", UPDATES)
def test_a_quadratic_of_condition_1e4_is_solved(update: Update) -> None:
    a, solution = quadratic(1e4, 12)

    def objective(x: Tensor) -> tuple[float, Tensor]:
        e = x - solution
        return float(0.5 * e @ a @ e), a @ e

    at = start(objective, torch.zeros(12, dtype=torch.float64))
    for _ in range(120):
        at = advance(objective, at, update)
    assert (at.x - solution).norm() < 1e-6


@pytest.mark.parametrize("update", UPDATES)
def test_rosenbrocks_valley_is_followed_to_its_end(update: Update) -> None:
    at = start(rosenbrock, torch.tensor([-1.2, 1.0, -1.2, 1.0], dtype=torch.float64))
    losses = [at.loss]
    for _ in range(200):
        at = advance(rosenbrock, at, update)
        losses.append(at.loss)
    assert all(after <= before for before, after in itertools.pairwise(losses))
    torch.testing.assert_close(at.x, torch.ones(4, dtype=torch.float64), rtol=0.0, atol=1e-6)


@pytest.mark.parametrize("update", UPDATES)
def test_the_inverse_meets_the_secant_equation_and_stays_positive(update: Update) -> None:
    at = start(rosenbrock, torch.tensor([-1.2, 1.0, 0.5], dtype=torch.float64))
    for _ in range(3 * KEPT_UPDATES):
        before, at = at, advance(rosenbrock, at, update)
        if at.stuck or at.loss < 1e-20:
            break
        assert at.inverse is not None
        h = at.inverse.dense()
        s, y = at.x - before.x, at.gradient - before.gradient
        torch.testing.assert_close(h @ y, s, rtol=1e-6, atol=1e-9 * float(s.norm()))
        torch.testing.assert_close(h, h.T, rtol=1e-7, atol=1e-9 * float(h.abs().max()))
        assert torch.linalg.eigvalsh((h + h.T) / 2)[0] > 0
        torch.testing.assert_close(at.direction, -(h @ at.gradient), rtol=1e-6, atol=1e-12)


def test_factors_multiply_as_their_matrix_does() -> None:
    generator = torch.Generator().manual_seed(3)

    def random(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    h = from_dense(random(7, 7))
    dense = h.base
    for step in range(2 * KEPT_UPDATES):
        w, middle, tau = random(7, 2), random(2, 2), 0.9 + 0.01 * step
        h, dense = h.updated(tau, w, middle), dense / tau + w @ middle @ w.T
        v = random(7)
        torch.testing.assert_close(h @ v, dense @ v, rtol=1e-9, atol=1e-9)
        assert isinstance(h, InverseHessian)
        assert len(h.middle) < 2 * KEPT_UPDATES
    torch.testing.assert_close(h.dense(), dense, rtol=1e-9, atol=1e-9)


def test_the_line_search_meets_the_strong_wolfe_conditions() -> None:
    at = start(rosenbrock, torch.tensor([-1.2, 1.0], dtype=torch.float64))
    found = _strong_wolfe(rosenbrock, at)
    assert found is not None
    slope, new_slope = float(at.direction @ at.gradient), float(at.direction @ found.gradient)
    length = float((found.x - at.x).norm() / at.direction.norm())
    assert found.loss <= at.loss + 1e-4 * length * slope
    assert abs(new_slope) <= 0.9 * abs(slope)


def test_a_failed_search_restarts_from_the_gradient() -> None:
    """An inverse that is negative definite points uphill; the step is taken all the same."""
    x = torch.tensor([-1.2, 1.0], dtype=torch.float64)
    at = start(rosenbrock, x, -torch.eye(2, dtype=torch.float64))
    after = advance(rosenbrock, at, "ssbroyden")
    assert not after.stuck
    assert after.loss < at.loss


def test_at_a_minimum_it_is_stuck_and_stays() -> None:
    at = start(rosenbrock, torch.ones(3, dtype=torch.float64))
    after = advance(rosenbrock, at, "ssbfgs")
    assert after.stuck
    assert torch.equal(after.x, at.x)


def test_values_that_are_not_finite_are_stepped_around() -> None:
    def walled(x: Tensor) -> tuple[float, Tensor]:
        """(x − 1)², NaN from 1.5 on: the first steps run into the wall."""
        value = float(x[0])
        return ((value - 1.0) ** 2, 2.0 * (x - 1.0)) if value < 1.5 else (math.nan, x * math.nan)

    at = start(walled, torch.tensor([-40.0], dtype=torch.float64))
    for _ in range(80):
        at = advance(walled, at, "bfgs")
    assert abs(float(at.x[0]) - 1.0) < 1e-6


@given(b=st.floats(1e-3, 1e3), excess=st.floats(0.0, 1e3), n=st.integers(1, 5000))
def test_scaling_keeps_the_update_positive_definite(b: float, excess: float, n: int) -> None:
    h = (1.0 + excess) / b  # Cauchy and Schwarz: b h ≥ 1
    for update in UPDATES:
        tau, phi = _scaling(b, h, n, update)
        assert 0.0 < tau <= 1.0 + 1e-12
        # Broyden's inverse family is positive definite for φ > 1 / (1 − b h).
        if excess > 1e-9:
            assert phi > -1.0 / excess
