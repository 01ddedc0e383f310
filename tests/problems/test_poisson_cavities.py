"""The screened potential in a cube with cavities: what is stored against its equation and its walls."""

from __future__ import annotations

from importlib import import_module

import numpy as np

from hedge.problems import find_problem
from tests.problems.differences import reference_residual

# The module, for the problem has the same name.
poisson_cavities = import_module("hedge.problems.poisson_cavities")


def test_what_is_stored_solves_its_equation() -> None:
    problem = find_problem("poisson-cavities")
    x = problem.sample(600, 1)
    clear = problem.domain.fills(x - 0.07, x + 0.07) & (np.abs(x[:, 2] - 0.5) > 0.06)
    source = poisson_cavities.source(*x[clear].T, np)
    missed = reference_residual(problem, x[clear], 1e-2)
    assert np.linalg.norm(missed) < 7e-3 * np.linalg.norm(source)


def test_no_flux_passes_walls_and_balls() -> None:
    """By differences inside, of functions that change by about as much as they are over a tenth."""
    problem, h = find_problem("poisson-cavities"), 0.005
    for piece, most in (("walls", 2e-3), ("balls", 6e-2)):
        x, normals = problem.domain.sample_piece(piece, 500, 1)
        at, near, far = (problem.reference(x - k * h * normals) for k in range(3))
        slopes = (3.0 * at - 4.0 * near + far) / (2.0 * h)
        assert np.sqrt(np.mean(slopes**2)) < most
