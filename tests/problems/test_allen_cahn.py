"""The Allen–Cahn reference against finer computations, another method and the equation itself."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.integrate import solve_ivp
from scipy.special import erf

from hedge.problems import Domain, find_problem
from hedge.problems.allen_cahn import evaluate, expansion, spread
from tests.problems.differences import reference_residual

PROBLEM = find_problem("allen-cahn")


def probes() -> np.ndarray:
    """Points everywhere, at the start, and crowded around the kink at x = ±1."""
    rng = np.random.default_rng(0)
    everywhere = PROBLEM.domain.sample(2000, 1)
    start = np.column_stack([rng.uniform(-1, 1, 500), np.zeros(500)])
    kink = np.column_stack([1 - 10 ** rng.uniform(-4, -1, 1500), 10 ** rng.uniform(-6, 0, 1500)])
    return np.vstack([everywhere, start, kink, kink * [-1, 1]])


def test_the_kink_is_spread_as_heat_spreads_it() -> None:
    """Against its closed form, and its second derivative against that of the form, 2 e^(−z²) / √π."""
    z, width = np.linspace(0.0, 30.0, 30_001), 0.01
    found = spread(width * z, width**2, np) / width
    exact = z * erf(z) + np.exp(-(z**2)) / np.sqrt(np.pi)
    assert np.abs(found - exact).max() < 2.5e-6
    step = z[1] - z[0]
    curvature = (found[2:] - 2.0 * found[1:-1] + found[:-2]) / step**2
    assert np.abs(curvature - 2.0 / np.sqrt(np.pi) * np.exp(-(z[1:-1] ** 2))).max() < 4.5e-5


def test_more_modes_nodes_and_steps_change_nothing() -> None:
    x = probes()
    finer = evaluate(expansion(modes=2560, nodes=72, steps=3072), x)
    assert np.abs(PROBLEM.reference(x) - finer).max() < 1e-10


def test_the_steps_are_of_fourth_order() -> None:
    x = PROBLEM.domain.sample(500, 2)
    errors = [
        np.abs(PROBLEM.reference(x) - evaluate(expansion(512, 48, steps), x)).max()
        for steps in (256, 512)
    ]
    assert 12 < errors[0] / errors[1] < 20


def by_finite_differences(cells: int, times: np.ndarray) -> np.ndarray:
    """u on [0, 1] with zero slope at both ends, central differences and LSODA: (cells + 1, times)."""
    x = np.linspace(0, 1, cells + 1)

    def rate(t: float, u: np.ndarray) -> np.ndarray:
        ghosts = np.concatenate([u[1:2], u, u[-2:-1]])
        curvature = (ghosts[2:] - 2 * u + ghosts[:-2]) * cells**2
        return 1e-4 * curvature + 5 * u - 5 * u**3

    solution = solve_ivp(
        rate, (0, 1), x**2 * np.cos(np.pi * x), "LSODA", times,
        lband=1, uband=1, rtol=1e-9, atol=1e-11,
    )  # fmt: skip
    return solution.y


def test_extrapolated_finite_differences_agree() -> None:
    times = np.linspace(0.1, 1, 4)
    coarse, fine = (by_finite_differences(cells, times) for cells in (1000, 2000))
    extrapolated = (4 * fine[::2] - coarse) / 3
    x = np.linspace(0, 1, 1001)
    for t, expected in zip(times, extrapolated.T, strict=True):
        found = PROBLEM.reference(np.column_stack([x, np.full_like(x, t)]))[:, 0]
        assert np.abs(found - expected).max() < 2e-7


@pytest.mark.parametrize("interval", [(-0.9, 0.9), (0.98, 1.02)])
def test_the_reference_solves_its_equation(interval: tuple[float, float]) -> None:
    """Inside, and across the end of the period, where the reference is folded back."""
    x = Domain((interval, (0.2, 0.9))).sample(300, 3)
    x[:, 0] = (x[:, 0] + 1) % 2 - 1
    assert np.abs(reference_residual(PROBLEM, x, 5e-4)).max() < 1e-5


def test_the_reference_is_even() -> None:
    x = PROBLEM.domain.sample(200, 4)
    np.testing.assert_allclose(PROBLEM.reference(x), PROBLEM.reference(x * [-1, 1]), atol=1e-13)
