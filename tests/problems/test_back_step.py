"""The flow behind a step: what is stored against conservation, its equations and PINNacle's own file."""

from __future__ import annotations

import numpy as np
import pytest

from hedge.problems import find_problem
from hedge.problems.biquadratic import Biquadratic

NODES, WEIGHTS = np.polynomial.legendre.leggauss(80)
# Of PINNacle's file ns_0_obstacle.dat, from a finite element program: x, y, u, v.
PINNACLES = (
    (0.529106, 0.50617, 0.999085, 0.001619),
    (1.8102, 0.707216, 0.857626, 0.0268326),
    (2.29897, 1.21737, 0.0090095, -0.0504956),
    (2.8158, 1.70441, -0.0794675, -0.0191755),
)


def across(x: float, low: float, high: float) -> tuple[np.ndarray, np.ndarray]:
    """Points of a section (n, 2), and weights to integrate over it."""
    y = low + (high - low) * (NODES + 1.0) / 2.0
    return np.column_stack([np.full_like(y, x), y]), WEIGHTS * (high - low) / 2.0


def test_values_between_lines_are_quadratic_each_way() -> None:
    lines, at = np.array([0.0, 0.3, 1.0]), np.linspace(0.0, 1.0, 21)
    nodes = np.array([0.0, 0.15, 0.3, 0.65, 1.0])
    x, y = np.meshgrid(nodes, 2.0 * nodes, indexing="ij")

    def function(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        return np.stack([1.0 + x * x * y * y - 3.0 * x * y, y * y], axis=-1)

    found = Biquadratic(lines, 2.0 * lines, function(x, y)).at(
        np.column_stack([at, 2.0 * at[::-1]])
    )
    np.testing.assert_allclose(found, function(at, 2.0 * at[::-1]), atol=1e-14)


@pytest.mark.parametrize(("x", "high"), [(0.7, 1.0), (1.9, 1.0), (2.2, 2.0), (4.0, 2.0)])
def test_what_flows_in_flows_through_every_section(x: float, high: float) -> None:
    points, weights = across(x, 0.0, high)
    flow = find_problem("back-step").reference(points)[:, 0]
    assert abs(weights @ flow - 2.0 / 3.0) < 2e-5


def test_momentum_is_conserved_between_inlet_and_outlet() -> None:
    """What u carries and p pushes through the ends, less the walls' shear and the step's push."""
    reference = find_problem("back-step").reference
    h, total = 1e-3, 0.0
    for x, high, sign in ((0.5, 1.0, 1.0), (3.5, 2.0, -1.0)):
        points, weights = across(x, 0.0, high)
        u, _, p = reference(points).T
        u_x = (reference(points + np.array([h, 0.0])) - reference(points - np.array([h, 0.0])))[
            :, 0
        ] / (2.0 * h)
        total += sign * float(weights @ (u * u + p - u_x / 100.0))
    # The face of the step pushes with its pressure.
    points, weights = across(2.0, 1.0, 2.0)
    total += float(weights @ reference(points)[:, 2])
    for low, start, end, sign in ((0.0, 0.5, 3.5, 1), (1.0, 0.5, 2.0, -1), (2.0, 2.0, 3.5, -1)):
        points, weights = across(low, start, end)
        points = points[:, ::-1]
        near, far = (reference(points + np.array([0.0, sign * k * h]))[:, 0] for k in (1, 2))
        total -= float(weights @ (4.0 * near - far) / (2.0 * h)) / 100.0
    assert abs(total) < 1e-3


def test_the_flow_is_pinnacles_but_near_the_outlet() -> None:
    """Theirs lets nothing flow back through it, which is felt up to a length of one from it."""
    theirs = np.array(PINNACLES)
    found = find_problem("back-step").reference(theirs[:, :2])[:, :2]
    assert np.abs(found - theirs[:, 2:]).max() < 5e-3


def test_the_form_meets_walls_and_inlet() -> None:
    problem = find_problem("back-step")
    for piece in ("bottom", "top", "step", "roof", "inlet"):
        x, _ = problem.domain.sample_piece(piece, 100, 1)
        columns = list(x.T)
        inflow = 4.0 * x[:, 1] * (1.0 - x[:, 1]) if piece == "inlet" else 0.0
        u, v, _ = problem.offsets(columns, np)
        np.testing.assert_allclose(u, inflow, atol=1e-12)
        assert v == 0.0
        for distance in problem.distances(columns, np)[:2]:
            assert np.abs(distance).max() < 1e-12
