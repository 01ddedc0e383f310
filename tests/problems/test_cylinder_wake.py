"""The wake of a cylinder: the stored flow against its equations, its symmetry and published values."""

from __future__ import annotations

from dataclasses import replace
from importlib import import_module

import numpy as np

from hedge.problems import find_problem
from tests.problems.differences import reference_residual

# The module, for the problem has the same name.
cylinder_wake = import_module("hedge.problems.cylinder_wake")


def inner_points(count: int, seed: int) -> np.ndarray:
    unit = 0.05 + 0.9 * np.random.default_rng(seed).random((count, 3))
    lower, upper = cylinder_wake.DOMAIN.lower, cylinder_wake.DOMAIN.upper
    return np.asarray(lower + (upper - lower) * unit)


def test_the_flow_solves_its_equations_with_the_true_viscosity() -> None:
    problem = find_problem("cylinder-wake")
    (nu,) = problem.unknowns
    known = replace(problem, unknowns=(replace(nu, value=cylinder_wake.VISCOSITY),))
    left = reference_residual(known, inner_points(100, 1), 0.03)
    assert np.sqrt(np.mean(left**2)) < 5e-4


def test_half_a_period_later_the_flow_is_its_mirror_image() -> None:
    x = inner_points(300, 2)
    x[:, 2] *= 0.45
    mirrored = x * (1.0, -1.0, 1.0) + (0.0, 0.0, cylinder_wake.PERIOD / 2.0)
    flow, image = cylinder_wake.wake().at(x), cylinder_wake.wake().at(mirrored)
    np.testing.assert_allclose(flow, image * (1.0, -1.0, 1.0), atol=2e-5)


def test_the_flow_is_periodic_and_its_pressure_zero_in_the_mean() -> None:
    x = inner_points(100, 3)
    start, end = x * (1.0, 1.0, 0.0), x * (1.0, 1.0, 0.0) + (0.0, 0.0, cylinder_wake.PERIOD)
    wake = cylinder_wake.wake()
    np.testing.assert_allclose(wake.at(start), wake.at(end), atol=1e-12)
    along, across = (np.polynomial.legendre.leggauss(count) for count in (30, 20))
    x_, y_ = np.meshgrid(4.5 + 3.5 * along[0], 2.0 * across[0], indexing="ij")
    for t in (0.0, 1.0, 2.5):
        p = wake.at(np.column_stack([x_.ravel(), y_.ravel(), np.full(600, t)]))[:, 2]
        assert abs(along[1] @ p.reshape(30, 20) @ across[1]) < 1e-4


def test_the_street_is_shed_as_often_as_in_experiments() -> None:
    """Williamson (1989): a Strouhal number of 0.1816 − 3.3265/Re + 1.6e-4 Re."""
    measured = 0.1816 - 3.3265 / 100.0 + 1.6e-4 * 100.0
    assert abs(1.0 / cylinder_wake.PERIOD / measured - 1.0) < 0.02


def test_readings_of_the_gallery_are_those_of_the_flow() -> None:
    of_gallery = find_problem("cylinder-wake").data
    made = cylinder_wake.cylinder_wake_from().data
    for stored, read in zip(of_gallery, made, strict=True):
        np.testing.assert_array_equal(stored.points, read.points)
        np.testing.assert_allclose(stored.values, read.values, atol=1e-6)
