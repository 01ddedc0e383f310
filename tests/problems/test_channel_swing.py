"""A flow to and fro through a channel: what is stored against conservation and its conditions."""

from __future__ import annotations

from importlib import import_module

import numpy as np

from hedge.problems import find_problem

# The module, for the problem has the same name.
channel_swing = import_module("hedge.problems.channel_swing")

NODES, WEIGHTS = np.polynomial.legendre.leggauss(100)
TIMES = (0.3, 0.85, 2.1, 3.95)


def along(x: np.ndarray | float, y: np.ndarray | float, t: float) -> np.ndarray:
    """u, v and p on a line of points, (n, 3)."""
    return channel_swing.channel_flow().at(np.column_stack(np.broadcast_arrays(x, y, t)))


def test_what_flows_in_flows_through_every_section() -> None:
    y = (NODES + 1.0) / 2.0
    for t in TIMES:
        flow = 2.0 / np.pi * channel_swing.inflow(t, np)
        for x in (0.4, 1.3, 2.0):
            assert abs(WEIGHTS / 2.0 @ along(x, y, t)[:, 0] - flow) < 5e-4


def test_forces_and_fluxes_at_the_ends_change_the_momentum() -> None:
    """In x: by pressure, by what is carried in and out, and by shear at the walls."""
    y, w, h = (NODES + 1.0) / 2.0, WEIGHTS / 2.0, 1e-3
    for t in TIMES:
        total = 0.0
        for x, sign in ((0.25, 1.0), (1.75, -1.0)):
            u, _, p = along(x, y, t).T
            slopes = (along(x + h, y, t) - along(x - h, y, t))[:, 0] / (2.0 * h)
            total += sign * float(w @ (p + u * u - 0.01 * slopes))
        for wall, sign in ((0.0, 1.0), (1.0, -1.0)):
            near, far = (along(1.5 * y + 0.25, wall + sign * k * h, t)[:, 0] for k in (1, 2))
            total -= 0.01 * 1.5 * float(w @ (4.0 * near - far)) / (2.0 * h)
        later, before = (channel_swing.inflow(t + s * 1e-4, np) for s in (1, -1))
        assert abs(total - 1.5 * 2.0 / np.pi * (later - before) / 2e-4) < 0.05


def test_the_outlet_has_neither_pressure_nor_sideways_flow() -> None:
    y = np.linspace(0.05, 0.95, 20)
    for t in TIMES:
        at_outlet = along(2.0, y, t)
        assert np.abs(at_outlet[:, 1]).max() < 1e-4
        # It vanishes in the mean over an element.
        assert np.abs(at_outlet[:, 2]).max() < 0.1


def test_the_fluid_is_at_rest_first() -> None:
    x = find_problem("channel-swing").sample(200, 1) * (1.0, 1.0, 0.0)
    assert np.abs(channel_swing.channel_flow().at(x)[:, :2]).max() < 2e-3


def test_the_form_meets_inlet_walls_outlet_and_start() -> None:
    problem = find_problem("channel-swing")
    prescribed = {
        0: ((0, 0.0), (1, 0.0), (1, 1.0), (2, 0.0)),
        1: ((0, 0.0), (0, 2.0), (1, 0.0), (1, 1.0), (2, 0.0)),
        2: ((0, 2.0),),
    }
    for field, faces in prescribed.items():
        for axis, value in faces:
            x = problem.sample(100, 2)
            x[:, axis] = value
            columns = list(x.T)
            assert np.abs(problem.distances(columns, np)[field]).max() < 1e-12
            expected = 0.0
            if (field, axis) == (0, 0):
                expected = np.sin(np.pi * x[:, 1]) * channel_swing.inflow(x[:, 2], np)
            np.testing.assert_allclose(problem.offsets(columns, np)[field], expected, atol=1e-13)
