"""Reaction and diffusion: references against finer ones, and known solutions."""

from __future__ import annotations

from importlib import import_module

import numpy as np

from hedge.problems import find_problem
from tests.problems.differences import reference_residual

# The modules, for the problems have the same names.
gray_scott = import_module("hedge.problems.gray_scott")
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


def test_fewer_waves_and_steps_meet_the_ring() -> None:
    x = find_problem("gray-scott").sample(2_000, 1)
    u = gray_scott.solution(x)
    early, late = gray_scott.states(96, 1)
    fewer = np.where(x[:, 2:] < late.begin, early.at(x), late.at(x))
    off = np.linalg.norm(fewer - u, axis=0) / np.linalg.norm(u, axis=0)
    assert (off < (2e-3, 2e-2)).all()


def test_the_ring_solves_its_equation() -> None:
    """At the states and points of the grid, by differences between them."""
    _, late = gray_scott.states()
    h, values = 2.0 * gray_scott.HALF_SIDE / gray_scott.WAVES, late.values[40:47]
    weights = np.array([-1 / 60, 3 / 20, -3 / 4, 0, 3 / 4, -3 / 20, 1 / 60])
    in_time = np.tensordot(weights, values, (0, 0)) / late.apart
    seconds = np.array([1 / 90, -3 / 20, 3 / 2, -49 / 18, 3 / 2, -3 / 20, 1 / 90]) / h**2
    moved = [np.roll(values[3], k, axis) for axis in (1, 2) for k in range(-3, 4)]
    along_x, along_y = (np.tensordot(seconds, moved[7 * i : 7 * i + 7], (0, 0)) for i in (0, 1))
    (u, v), names = values[3] + np.array([1.0, 0.0])[:, None, None], ("t", "xx", "yy")
    named = {"u": u, "v": v} | {
        f"{field}_{name}": found[i]
        for name, found in zip(names, (in_time, along_x, along_y), strict=True)
        for i, field in enumerate("uv")
    }
    left = find_problem("gray-scott").residuals([0.0, 0.0, 90.0], named, np)  # of weight one
    # Terms of it are as large as 0.04.
    assert np.abs(left).max() < 4e-4


def test_trivial_solutions_are_as_near_to_the_ring_as_most_published_ones() -> None:
    """9.5e-2 of u and v together."""
    x = find_problem("gray-scott").sample(10_000, 1)
    u = gray_scott.solution(x)
    assert 0.09 < np.linalg.norm(u - [1.0, 0.0]) / np.linalg.norm(u) < 0.105
