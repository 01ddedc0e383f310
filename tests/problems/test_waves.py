"""Waves: what starts at rest, and closed forms that are solutions, or not."""

from __future__ import annotations

import math
from importlib import import_module

import numpy as np
import pytest

from hedge.problems import find_problem
from tests.problems.differences import reference_residual

# The module, for the problem has the same name.
wave_varying = import_module("hedge.problems.wave_varying")


@pytest.mark.parametrize("name", ["wave", "wave-long", "wave-varying"])
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


def test_the_speed_is_of_the_kind_that_is_asked_for() -> None:
    line = (np.arange(64) + 0.5) / 32.0 - 1.0
    squares = 1.0 / wave_varying.slowness(*np.meshgrid(line, line), np)
    assert 1.0 < squares.min() < 1.1
    assert 11.0 < squares.max() < 12.0
    odds = np.log((12.0 - squares) / (squares - 1.0) / 12.0)  # of the slow one
    field = -odds / wave_varying.SHARPNESS
    assert abs(field.mean()) < 1e-12
    assert abs(field.std() - 1.0) < 1e-12


def test_cosines_converge_to_the_wave_in_the_square() -> None:
    x = find_problem("wave-varying").sample(300, 1)
    u = wave_varying.series(48, 160).at(x)
    off = [
        np.linalg.norm(wave_varying.series(*size).at(x) - u) / np.linalg.norm(u)
        for size in ((24, 144), (40, 144))
    ]
    assert off[0] < 3e-3
    assert off[1] < 2e-4


def test_the_wave_in_the_square_solves_its_equation_and_keeps_its_mean() -> None:
    problem = find_problem("wave-varying")
    x = problem.sample(40, 1) * 0.9 + np.array([0.0, 0.0, 0.2])
    # Its second derivatives are as large as ten.
    assert np.abs(reference_residual(problem, x, 1e-2)).max() < 0.05
    line = (np.arange(48) + 0.5) / 24.0 - 1.0
    squares = np.meshgrid(line, line)
    means = []
    for t in (0.0, 2.0, 5.0):
        points = np.column_stack([*(c.ravel() for c in squares), np.full(48 * 48, t)])
        u = problem.reference(points)[:, 0]
        means.append(np.mean(wave_varying.slowness(*points.T[:2], np) * u))
    np.testing.assert_allclose(means, means[0], rtol=1e-3)
