"""Waves: what starts at rest, and closed forms that are solutions, or not."""

from __future__ import annotations

import math

import numpy as np
import pytest

from hedge.problems import find_problem


@pytest.mark.parametrize("name", ["wave", "wave-long"])
def test_waves_start_at_rest(name: str) -> None:
    problem = find_problem(name)
    start = problem.sample(100, 3)
    start[:, -1] = 0.0
    early = start.copy()
    early[:, -1] = 1e-7

    def form(x: np.ndarray) -> np.ndarray:
        columns = list(x.T)
        read = np.tanh(sum(problem.network_inputs(columns, np)))
        return np.asarray(
            problem.offsets(columns, np)[0] + problem.distances(columns, np)[0] * read
        )

    size = np.abs(form(start)).max()
    assert np.abs(form(early) - form(start)).max() < 1e-12 * size


def test_sin_and_sinh_of_the_long_wave_can_not_change_places() -> None:
    """As PINNacle writes its Wave 2d-MS, u_tt is −π² u and u_xx + 2 u_yy is π² u."""
    pi, (x, y, t) = math.pi, find_problem("wave-long").sample(50, 1).T
    first = np.sin(pi * x) * np.sinh(pi * y) * np.cos(pi * t)
    second = np.sinh(3 * pi * x) * np.sin(2 * pi * y) * np.cos(pi * t)
    named = {
        "u_tt": -(pi**2) * (first + second),
        "u_xx": pi**2 * (9 * second - first),
        "u_yy": pi**2 * (first - 4 * second),
    }
    (left,) = find_problem("wave-long").residuals([x, y, t], named, np)
    np.testing.assert_allclose(left, -2 * pi**2 * (first + second), rtol=1e-9, atol=1e-9)
