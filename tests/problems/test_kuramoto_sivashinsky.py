"""Kuramoto–Sivashinsky: the reference against its equation, coarser ones and another integrator."""

from __future__ import annotations

from importlib import import_module

import numpy as np
from scipy.fft import fft, fftfreq, ifft
from scipy.integrate import solve_ivp

from hedge.problems import find_problem
from tests.problems.differences import reference_residual

# The module, for the problem has the same name.
kuramoto_sivashinsky = import_module("hedge.problems.kuramoto_sivashinsky")
PROBLEM = find_problem("kuramoto-sivashinsky")


def test_coarser_series_differ_by_what_chaos_makes_of_rounding() -> None:
    x = PROBLEM.sample(500, 1)
    u = PROBLEM.reference(x)[:, 0]
    off = np.abs(kuramoto_sivashinsky.solution(160, 320, 4_000).at(x).real - u)
    assert off.max() < 3e-4
    assert off[x[:, 1] < 0.3].max() < 1e-5


def test_the_reference_solves_its_equation() -> None:
    x = PROBLEM.sample(4, 2) * [0.9, 0.9] + np.array([0.3, 0.05])
    terms = np.abs(PROBLEM.reference(x)).max() * 100.0
    assert np.abs(reference_residual(PROBLEM, x, 2e-3)).max() < 1e-4 * terms


def test_another_integrator_meets_it() -> None:
    """In the variables of Kassam and Trefethen (2005), by implicit steps of values on a grid."""
    n, end = 128, 30.0
    x = np.arange(n) / n * 32.0 * np.pi
    k = fftfreq(n, 1.0 / n) / 16.0
    matrix = ifft((k**2 - k**4)[:, None] * fft(np.eye(n), axis=0), axis=0).real
    slope = ifft(1j * k[:, None] * fft(np.eye(n), axis=0), axis=0).real

    def rate(t: float, u: np.ndarray) -> np.ndarray:
        return np.asarray(matrix @ u - slope @ (u * u) / 2.0)

    start = np.cos(x / 16.0) * (1.0 + np.sin(x / 16.0))
    found = solve_ivp(
        rate, (0.0, end), start, "BDF", rtol=1e-7, atol=1e-9, jac=lambda t, u: matrix - slope * u
    ).y[:, -1]
    u = PROBLEM.reference(np.column_stack([x / 16.0, np.full(n, end / 100.0)]))[:, 0]
    assert np.abs(found - u).max() < 1e-4
