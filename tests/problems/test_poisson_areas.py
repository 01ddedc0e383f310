"""Poisson's equation in areas of other conductivities: the reference against its equation and its lines."""

from __future__ import annotations

from importlib import import_module

import numpy as np

from hedge.problems import find_problem

# The module, for the problem has the same name.
poisson_areas = import_module("hedge.problems.poisson_areas")


def test_constants_are_of_the_kind_that_is_asked_for() -> None:
    a = poisson_areas.CONDUCTIVITY
    assert a.shape == (5, 5)
    assert 0.1 <= a.min() < 0.2
    assert 50.0 < a.max() <= 100.0
    assert max(np.abs(poisson_areas.EVEN).max(), np.abs(poisson_areas.BUMP).max()) <= 1.0


def test_half_the_elements_change_little() -> None:
    x = 20.0 * np.random.default_rng(0).random((3_000, 2))
    coarse, u = (poisson_areas.areas(cells).at(x) for cells in (6, 12))
    assert np.linalg.norm(coarse - u) < 3e-3 * np.linalg.norm(u)


def test_what_the_areas_make_leaves_through_the_outer_sides() -> None:
    """∫ f = ∮ a u, for a ∂u/∂n = −a u."""
    at, weights = np.polynomial.legendre.leggauss(20)
    along, w = 2.0 * (at + 1.0), 2.0 * weights
    a = poisson_areas.CONDUCTIVITY
    made = 16.0 * float(np.sum(poisson_areas.EVEN + 4.0 / np.pi**2 * poisson_areas.BUMP))
    left = 0.0
    for k in range(5):
        for end, area in ((0.0, 0), (20.0, 4)):
            side = np.column_stack([np.full(20, end), 4.0 * k + along])
            u = [poisson_areas.areas().at(x)[:, 0] for x in (side, side[:, ::-1])]
            left += a[area, k] * float(w @ u[0]) + a[k, area] * float(w @ u[1])
    assert abs(left - made) < 2e-4 * np.abs(made)


def test_fields_are_the_areas_folded_onto_one() -> None:
    x = np.array([[0.3, 0.1]])
    fields = find_problem("poisson-areas").reference(x)[0]
    plane = poisson_areas.areas().at
    assert fields[0] == plane(np.array([[1.2, 0.4]]))[0, 0]
    assert fields[1] == plane(np.array([[4.0 + 4.0 * 0.7, 0.4]]))[0, 0]
    assert fields[5] == plane(np.array([[1.2, 4.0 + 4.0 * 0.9]]))[0, 0]
    assert fields[24] == plane(np.array([[17.2, 16.4]]))[0, 0]


def test_the_equation_is_met_in_each_area() -> None:
    """a ∫ u Δw = −∫ f w for a w that is zero at the sides, as its slopes are."""
    at, weights = np.polynomial.legendre.leggauss(40)
    x, y = (each.ravel() for each in np.meshgrid(*2 * [(at + 1.0) / 2.0], indexing="ij"))
    w = np.outer(weights, weights).ravel() / 4.0
    hill, bend = ([f(t) for t in (x, y)] for f in (
        lambda t: np.sin(np.pi * t) ** 2, lambda t: 2.0 * np.pi**2 * np.cos(2.0 * np.pi * t)
    ))  # fmt: skip
    u = find_problem("poisson-areas").reference(np.column_stack([x, y]))
    bump = np.sin(np.pi * x) * np.sin(np.pi * y)
    for k, place in enumerate(poisson_areas._places()):
        found = (w * (bend[0] * hill[1] + hill[0] * bend[1])) @ u[:, k]
        source = poisson_areas.EVEN[place] + poisson_areas.BUMP[place] * bump
        expected = -16.0 * (w * hill[0] * hill[1]) @ source / poisson_areas.CONDUCTIVITY[place]
        assert abs(found - expected) < 1e-3 * np.abs(u[:, k]).max()


def test_conditions_hold_for_the_reference() -> None:
    """Values and fluxes at the lines, from differences on either side of a fold."""
    problem = find_problem("poisson-areas")
    t = np.linspace(0.15, 0.85, 30)
    h = 2e-3
    for condition in problem.conditions:
        axis, end = "xy".index(condition.on.letter), condition.on.ends[0]
        x = np.empty((len(t), 2))
        x[:, axis], x[:, 1 - axis] = end, t
        into = np.zeros(2)
        into[axis] = h * (1 - 2 * end)
        at, near, far = (problem.reference(x + k * into) for k in range(3))
        slopes = (4.0 * near - 3.0 * at - far) / (2.0 * into[axis])
        read = {}
        for k, name in enumerate(problem.fields):
            read[name], read[f"{name}_{condition.on.letter}"] = at[:, k], slopes[:, k]
        missed = condition.mismatch(list(x.T), read, np)
        sizes = np.sqrt(sum(np.mean(read[name] ** 2) for name in condition.derivatives))
        assert np.sqrt(np.mean(missed**2)) < 3e-2 * sizes
