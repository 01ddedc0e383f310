"""Reaction and diffusion: references against finer ones, and known solutions."""

from __future__ import annotations

from importlib import import_module

import numpy as np

from hedge.problems import find_problem
from tests.problems.differences import reference_residual

# The module, for the problem has the same name.
reaction_diffusion = import_module("hedge.problems.reaction_diffusion")


def test_finer_series_of_the_bump_change_nothing() -> None:
    x = find_problem("reaction-diffusion").sample(500, 1)
    u = reaction_diffusion.solution().at(x)
    assert np.abs(u - reaction_diffusion.solution(96, 96, 4000).at(x)).max() < 1e-10


def test_the_bump_solves_its_equation_and_grows_to_one() -> None:
    problem = find_problem("reaction-diffusion")
    x = problem.sample(100, 2) * [0.9, 0.8] + np.array([0.3, 0.1])
    assert np.abs(reference_residual(problem, x, 2e-3)).max() < 1e-7
    end = problem.reference(np.column_stack([x[:, 0], np.ones(100)]))
    assert 0.9 < end.min() < end.max() < 1.0


def test_the_bump_starts_as_published_but_for_its_neighbours() -> None:
    x = np.linspace(0.0, 2.0 * np.pi, 101)
    off = reaction_diffusion._start(x, np) - np.exp(-8.0 * (x / np.pi - 1.0) ** 2)
    assert off[0] > 3e-4
    assert 0.0 <= off.min() < off.max() < 3.4e-4
