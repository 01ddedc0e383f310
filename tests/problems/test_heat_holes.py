"""Heat from holes: linear elements against closed forms and coarser ones."""

from __future__ import annotations

from importlib import import_module

import numpy as np
from scipy.spatial import Delaunay

from hedge.problems import find_problem
from hedge.problems.triangles import Mesh, edge_mass, fading, outer_edges, stiffness_and_mass

# The module, for the problem has the same name.
heat_holes = import_module("hedge.problems.heat_holes")


def square(count: int) -> Mesh:
    line = np.linspace(0.0, 1.0, count)
    points = np.column_stack([each.ravel() for each in np.meshgrid(line, line)])
    triangles = Delaunay(points)
    return Mesh(points, triangles, triangles.simplices.astype(np.int64))


def test_elements_know_areas_lengths_and_linear_functions() -> None:
    mesh = square(6)
    stiffness, mass = stiffness_and_mass(mesh)
    one, x = np.ones(len(mesh.points)), mesh.points[:, 0]
    rim = edge_mass(mesh, outer_edges(mesh.corners))
    np.testing.assert_allclose([one @ (mass @ one), x @ (mass @ x)], [1.0, 1.0 / 3.0])
    np.testing.assert_allclose([x @ (stiffness @ x), one @ (rim @ one)], [1.0, 4.0])
    where = np.random.default_rng(0).random((50, 2))
    np.testing.assert_allclose(mesh.read(mesh.points, where), where, atol=1e-14)


def test_a_start_fades_as_its_modes_do() -> None:
    """Without flux cos πx + cos 2πy loses its parts at rates π² and 4π²."""
    mesh = square(41)
    x, y = mesh.points.T
    parts, rates = fading(
        *stiffness_and_mass(mesh), np.cos(np.pi * x) + np.cos(2 * np.pi * y), 0.05, 12
    )
    for t in (0.0, 0.01, 0.1):
        exact = np.exp(-(np.pi**2) * t) * np.cos(np.pi * x)
        exact += np.exp(-4.0 * np.pi**2 * t) * np.cos(2 * np.pi * y)
        assert np.abs(parts @ np.exp(-rates * t) - exact).max() < 3e-3


def test_the_plate_is_met_by_a_coarser_mesh() -> None:
    x = find_problem("heat-holes").sample(1000, 1)
    u = heat_holes.warming().at(x)
    off = [
        np.linalg.norm(heat_holes.warming(*mesh).at(x) - u) / np.linalg.norm(u)
        for mesh in ((48, 0.32), (96, 0.16))
    ]
    assert off[0] < 8e-3
    assert off[1] < 0.4 * off[0]


def test_the_plate_starts_cold_and_its_quarters_are_mirrored() -> None:
    problem = find_problem("heat-holes")
    x = problem.sample(200, 2)
    np.testing.assert_array_equal(problem.reference(x), problem.reference(x * [-1.0, 1.0, 1.0]))
    x[:, 2] = 0.0
    assert np.abs(problem.reference(x)).max() < 1e-9
