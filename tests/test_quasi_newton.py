"""Self-scaled quasi-Newton steps: known minima, the secant equation, factors against the matrix."""

from __future__ import annotations

import itertools
import math
from typing import get_args

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hedge.arrays import Array
from hedge.quasi_newton import (
    KEPT_UPDATES,
    MEMORY,
    DenseUpdate,
    InverseHessian,
    RecentSteps,
    Update,
    _scaling,
    _strong_wolfe,
    advance,
    from_dense,
    start,
)

UPDATES, DENSE = get_args(Update), get_args(DenseUpdate)


def quadratic(condition: float, n: int) -> tuple[Array, Array]:
    """A (n, n) with eigenvalues from 1 to the condition number, and the minimiser of its parabola."""
    rng = np.random.default_rng(0)
    q, _ = np.linalg.qr(rng.standard_normal((n, n)))
    values = np.geomspace(1.0, condition, n)
    return (q * values) @ q.T, rng.standard_normal(n)


def rosenbrock(x: Array) -> tuple[float, Array]:
    before, after = x[:-1], x[1:]
    bend = after - before**2
    gradient = np.zeros_like(x)
    gradient[1:] += 200.0 * bend
    gradient[:-1] += -400.0 * bend * before - 2.0 * (1.0 - before)
    return float(np.sum(100.0 * bend**2 + (1.0 - before) ** 2)), gradient


@pytest.mark.parametrize("update", UPDATES)
def test_a_quadratic_of_condition_1e4_is_solved(update: Update) -> None:
    a, solution = quadratic(1e4, 12)

    def objective(x: Array) -> tuple[float, Array]:
        e = x - solution
        return float(0.5 * e @ a @ e), a @ e

    at = start(objective, np.zeros(12))
    for _ in range(120):
        at = advance(objective, at, update)
    assert np.linalg.norm(at.x - solution) < 1e-6


@pytest.mark.parametrize("update", UPDATES)
def test_rosenbrocks_valley_is_followed_to_its_end(update: Update) -> None:
    at = start(rosenbrock, np.array([-1.2, 1.0, -1.2, 1.0]))
    losses = [at.loss]
    for _ in range(200):
        at = advance(rosenbrock, at, update)
        losses.append(at.loss)
    assert all(after <= before for before, after in itertools.pairwise(losses))
    np.testing.assert_allclose(at.x, np.ones(4), rtol=0.0, atol=1e-6)


@pytest.mark.parametrize("update", DENSE)
def test_the_inverse_meets_the_secant_equation_and_stays_positive(update: Update) -> None:
    at = start(rosenbrock, np.array([-1.2, 1.0, 0.5]))
    for _ in range(3 * KEPT_UPDATES):
        before, at = at, advance(rosenbrock, at, update)
        if at.stuck or at.loss < 1e-20:
            break
        assert isinstance(at.inverse, InverseHessian)
        h = at.inverse.dense()
        s, y = at.x - before.x, at.gradient - before.gradient
        np.testing.assert_allclose(h @ y, s, rtol=1e-6, atol=1e-9 * float(np.linalg.norm(s)))
        np.testing.assert_array_equal(h, h.T)
        assert np.linalg.eigvalsh(h)[0] > 0
        np.testing.assert_allclose(at.direction, -(h @ at.gradient), rtol=1e-6, atol=1e-12)


def test_recent_steps_multiply_as_the_bfgs_matrix_of_these_steps() -> None:
    """H ← (1 − ρ s yᵀ) H (1 − ρ y sᵀ) + ρ s sᵀ from γ 1 on, written out."""
    rng = np.random.default_rng(5)
    a, _ = quadratic(10.0, 6)
    steps = rng.standard_normal((MEMORY + 7, 6))
    changes = steps @ a
    found = RecentSteps(steps[:1], changes[:1])
    for s, y in zip(steps[1:], changes[1:], strict=True):
        found = found.after(s, y)
    assert len(found.steps) == MEMORY
    s, y = steps[-1], changes[-1]
    dense = np.eye(6) * (s @ y) / (y @ y)
    for s, y in zip(steps[-MEMORY:], changes[-MEMORY:], strict=True):
        left = np.eye(6) - np.outer(s, y) / (s @ y)
        dense = left @ dense @ left.T + np.outer(s, s) / (s @ y)
    v = rng.standard_normal(6)
    np.testing.assert_allclose(found @ v, dense @ v, rtol=1e-9)


def test_factors_multiply_as_their_matrix_does() -> None:
    rng = np.random.default_rng(3)

    def symmetric(n: int) -> Array:
        a = rng.standard_normal((n, n))
        return a + a.T

    dense = symmetric(7)
    h = from_dense(dense)
    for step in range(2 * KEPT_UPDATES):
        w, middle, tau = rng.standard_normal((2, 7)), symmetric(2), 0.9 + 0.01 * step
        before, was = h, h.dense()
        h, dense = h.updated(tau, w, middle), dense / tau + w.T @ middle @ w
        v = rng.standard_normal(7)
        np.testing.assert_allclose(h @ v, dense @ v, rtol=1e-9, atol=1e-9)
        assert isinstance(h, InverseHessian)
        assert len(h.middle) < 2 * KEPT_UPDATES
        np.testing.assert_array_equal(before.dense(), was)  # a value: not written over
    np.testing.assert_allclose(h.dense(), dense, rtol=1e-9, atol=1e-9)


def test_a_matrix_comes_back_as_it_was_given() -> None:
    a, _ = quadratic(1e4, 9)
    a = (a + a.T) / 2
    back = from_dense(a).dense()
    assert back.flags.c_contiguous  # as a checkpoint stores it
    np.testing.assert_array_equal(back, a)


def test_the_line_search_meets_the_strong_wolfe_conditions() -> None:
    at = start(rosenbrock, np.array([-1.2, 1.0]))
    found = _strong_wolfe(rosenbrock, at)
    assert found is not None
    slope, new_slope = float(at.direction @ at.gradient), float(at.direction @ found.gradient)
    length = float(np.linalg.norm(found.x - at.x) / np.linalg.norm(at.direction))
    assert found.loss <= at.loss + 1e-4 * length * slope
    assert abs(new_slope) <= 0.9 * abs(slope)


def test_a_failed_search_restarts_from_the_gradient() -> None:
    """An inverse that is negative definite points uphill; the step is taken all the same."""
    at = start(rosenbrock, np.array([-1.2, 1.0]), from_dense(-np.eye(2)))
    after = advance(rosenbrock, at, "ssbroyden")
    assert not after.stuck
    assert after.loss < at.loss


def test_at_a_minimum_it_is_stuck_and_stays() -> None:
    at = start(rosenbrock, np.ones(3))
    after = advance(rosenbrock, at, "ssbfgs")
    assert after.stuck
    np.testing.assert_array_equal(after.x, at.x)


def test_values_that_are_not_finite_are_stepped_around() -> None:
    def walled(x: Array) -> tuple[float, Array]:
        """(x − 1)², NaN from 1.5 on: the first steps run into the wall."""
        value = float(x[0])
        return ((value - 1.0) ** 2, 2.0 * (x - 1.0)) if value < 1.5 else (math.nan, x * math.nan)

    at = start(walled, np.array([-40.0]))
    for _ in range(80):
        at = advance(walled, at, "bfgs")
    assert abs(float(at.x[0]) - 1.0) < 1e-6


@given(b=st.floats(1e-3, 1e3), excess=st.floats(0.0, 1e3), n=st.integers(1, 5000))
def test_scaling_keeps_the_update_positive_definite(b: float, excess: float, n: int) -> None:
    h = (1.0 + excess) / b  # Cauchy and Schwarz: b h ≥ 1
    for update in DENSE:
        tau, phi = _scaling(b, h, n, update)
        assert 0.0 < tau <= 1.0 + 1e-12
        # Broyden's inverse family is positive definite for φ > 1 / (1 − b h).
        if excess > 1e-9:
            assert phi > -1.0 / excess
