"""The finite elements that references of flows were computed with, on flows in closed form."""

from __future__ import annotations

import math

import numpy as np

from benchmarks.flow_elements import Elements, elements, newton
from hedge.problems import find_problem
from hedge.problems.biquadratic import Biquadratic


def on_box(cells: int, x: tuple[float, float], y: tuple[float, float]) -> Elements:
    lines = [np.linspace(*ends, cells + 1) for ends in (x, y)]
    return elements(lines[0], lines[1], np.ones((cells, cells), dtype=np.bool_))


def at_boundary(e: Elements) -> np.ndarray:
    x, y = e.coordinates().T
    nodes = np.flatnonzero((x == e.x[0]) | (x == e.x[-1]) | (y == e.y[0]) | (y == e.y[-1]))
    return np.concatenate([nodes, e.velocities + nodes])


def test_kovasznays_flow_is_found_to_third_order() -> None:
    problem = find_problem("kovasznay")
    x = problem.sample(500, 1)
    exact = problem.reference(x)
    off = []
    for cells in (8, 16):
        e = on_box(cells, *problem.domain.intervals)
        at_nodes = problem.reference(e.coordinates())
        fixed = at_boundary(e)
        start = np.zeros(e.size)
        start[: 2 * e.velocities] = at_nodes[:, :2].T.ravel()
        start[np.setdiff1d(np.arange(e.size), fixed)] = 0.0
        # Velocities on all sides leave the pressure's mean open: it is given in one corner.
        corner = 2 * e.velocities
        start[corner] = problem.reference(np.array([[e.x[0], e.y[0]]]))[0, 2]
        flow = newton(e, 1.0 / 40.0, start, np.append(fixed, corner))
        found = Biquadratic(e.x, e.y, e.as_values(flow)).at(x)
        off.append(np.linalg.norm(found - exact, axis=0) / np.linalg.norm(exact, axis=0))
    assert (off[1] < (2e-3, 5e-3, 2e-2)).all()
    assert (off[0] > off[1] * (6.0, 6.0, 3.0)).all()


def test_a_force_and_what_was_before_push_the_fluid() -> None:
    """One implicit step of a vortex that fades, with its own force."""
    e = on_box(12, (0.0, 1.0), (0.0, 1.0))
    x, y = e.points().transpose(2, 0, 1) * math.pi
    vortex = np.stack([np.sin(x) * np.cos(y), -np.cos(x) * np.sin(y)], axis=-1)
    nodes = e.coordinates().T * math.pi
    exact = np.append(np.sin(nodes[0]) * np.cos(nodes[1]), -np.cos(nodes[0]) * np.sin(nodes[1]))
    fixed = at_boundary(e)
    start = np.zeros(e.size)
    start[fixed] = exact[fixed]
    # w/h + w·∇w + ∇p − νΔw = before + force for p = (cos 2πx + cos 2πy)/4 and Δw = −2π² w.
    flow = newton(
        e, 0.1, start, np.append(fixed, 2 * e.velocities), 10.0, 6.0 * vortex,
        (4.0 + 0.2 * math.pi**2) * vortex,
    )  # fmt: skip
    assert np.abs(flow[: 2 * e.velocities] - exact).max() < 1e-3


def test_a_closed_cell_has_no_nodes() -> None:
    lines = np.array([0.0, 1.0, 2.0])
    e = elements(lines, lines, np.array([[True, False], [True, True]]))
    assert e.velocities == 25 - 4
    assert e.size == 2 * 21 + 8
    values = e.as_values(np.ones(e.size))
    assert (values[:2, 3:] == 0.0).all()
    assert (values[2:] == 1.0).all()
