"""Heat where the diffusivity varies: the reference against its equation and fewer polynomials."""

from __future__ import annotations

from importlib import import_module

import numpy as np

from hedge.problems import find_problem
from tests.problems.differences import reference_residual

# The module, for the problem has the same name.
heat_varying = import_module("hedge.problems.heat_varying")


def test_the_diffusivity_is_of_the_kind_that_is_asked_for() -> None:
    line = np.arange(64) / 64.0
    logarithm = np.log(heat_varying.resistance(*np.meshgrid(line, line), np))
    assert abs(logarithm.mean()) < 1e-12
    assert abs(logarithm.std() - 1.0) < 1e-12
    power = np.abs(np.fft.fft2(logarithm)) ** 2
    numbers = np.fft.fftfreq(64, 1.0 / 64.0)
    squares = numbers[:, None] ** 2 + numbers**2
    assert power[squares > 16.5].max() < 1e-20 * power.max()


def test_polynomials_converge_to_the_temperature() -> None:
    x = find_problem("heat-varying").sample(500, 1)
    u = heat_varying.expansion().at(x)
    off = [
        np.linalg.norm(heat_varying.expansion(n).at(x) - u) / np.linalg.norm(u)
        for n in (16, 24, 32)
    ]
    assert off[0] < 1e-2
    assert off[1] < 3e-4
    assert off[2] < 3e-5


def test_the_temperature_solves_its_equation() -> None:
    """Terms of it are as large as 200."""
    problem = find_problem("heat-varying")
    x = problem.sample(60, 1) * 0.8 + 0.1 * problem.domain.upper
    assert np.abs(reference_residual(problem, x, 4e-3)).max() < 0.05
