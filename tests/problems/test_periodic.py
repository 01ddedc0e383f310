"""Periodic references against finer computations, solitons in closed form and the equations themselves."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module

import numpy as np
import pytest
from scipy.fft import fft

from hedge.problems import find_problem
from hedge.problems.periodic import Periodic, evolved
from tests.problems.differences import reference_residual

# The modules, for the problems have the same names.
korteweg_de_vries = import_module("hedge.problems.korteweg_de_vries")
schroedinger = import_module("hedge.problems.schroedinger")
SOLUTIONS: dict[str, Callable[..., Periodic]] = {
    "kdv": korteweg_de_vries.solution,
    "schroedinger": schroedinger.solution,
}
both = pytest.mark.parametrize("name", SOLUTIONS)


@both
def test_more_modes_nodes_and_steps_change_nothing(name: str) -> None:
    x = find_problem(name).sample(1_000, 1)
    finer = SOLUTIONS[name](320, 136, 9_000)
    assert np.abs(SOLUTIONS[name]().at(x) - finer.at(x)).max() < 1e-10


@both
def test_the_steps_are_of_fourth_order(name: str) -> None:
    x = find_problem(name).sample(500, 2)
    errors = [
        np.abs(SOLUTIONS[name]().at(x) - SOLUTIONS[name](256, 96, steps).at(x)).max()
        for steps in (1000, 2000)
    ]
    assert 12 < errors[0] / errors[1] < 20


@both
def test_periodic_references_solve_their_equation(name: str) -> None:
    problem = find_problem(name)
    lower, upper = problem.domain.lower, problem.domain.upper
    x = lower + (upper - lower) * (0.1 + 0.8 * np.random.default_rng(3).random((100, 2)))
    assert np.abs(reference_residual(problem, x, 1e-3)).max() < 1e-7


def test_a_soliton_of_korteweg_and_de_vries_keeps_its_shape() -> None:
    """u = 3c sech² ½√(c/ν)(x − ct) on the line, here in a period of 40 widths."""
    nu, c = korteweg_de_vries.DISPERSION, 0.5

    def soliton(x: np.ndarray) -> np.ndarray:
        return 3.0 * c / np.cosh(0.5 * np.sqrt(c / nu) * x) ** 2

    found = evolved(
        (-3.0, 3.0), 1.0, soliton, lambda k: 1j * nu * k**3, lambda u, k: -0.5j * k * fft(u.real**2),
        modes=512, nodes=48, steps=2000,
    )  # fmt: skip
    x = np.column_stack([np.random.default_rng(4).uniform(-1, 1, 500), np.linspace(0, 1, 500)])
    off = found.at(x) - soliton(x[:, 0] - c * x[:, 1])
    assert np.abs(off).max() < 1e-8


def test_a_soliton_of_schroedinger_only_turns() -> None:
    """h = sech x exp(it/2) on the line."""
    found = evolved(
        (-25.0, 25.0), 2.0, lambda x: 1.0 / np.cosh(x), lambda k: -0.5j * k**2,
        lambda h, k: fft(1j * np.abs(h) ** 2 * h), modes=512, nodes=32, steps=1000,
    )  # fmt: skip
    x = np.column_stack([np.random.default_rng(4).uniform(-9, 9, 500), np.linspace(0, 2, 500)])
    off = found.at(x) - np.exp(0.5j * x[:, 1]) / np.cosh(x[:, 0])
    assert np.abs(off).max() < 1e-9


def test_pulses_of_schroedinger_and_those_of_a_period_away_join_smoothly() -> None:
    """Slope and curvature of h(x, 0) are the same at both ends."""
    h = 1e-4
    x = np.array([-5.0 - h, -5.0, -5.0 + h, 5.0 - h, 5.0, 5.0 + h])
    left, right = schroedinger._start(x, np).reshape(2, 3)
    np.testing.assert_allclose(left, right, atol=1e-9)


def test_a_beam_is_simply_supported_whatever_the_network() -> None:
    """u is odd about both ends, so u and u_xx vanish there."""
    beam = find_problem("beam")
    x = beam.sample(50, 6)
    for end in (0.0, 1.0):
        inner, outer = x.copy(), x.copy()
        inner[:, 0], outer[:, 0] = end - x[:, 0], end + x[:, 0]

        def form(points: np.ndarray) -> np.ndarray:
            columns = list(points.T)
            read = np.tanh(sum(beam.network_inputs(columns, np)))
            return np.asarray(beam.offset(columns, np) + beam.distance(columns, np) * read)

        np.testing.assert_allclose(form(inner), -form(outer), atol=1e-13)
