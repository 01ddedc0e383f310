"""The flow in a cavity against published values, finer computations and the equations themselves."""

from __future__ import annotations

import numpy as np
import pytest

from hedge.problems import Problem, find_problem, reference_of
from hedge.problems.cavity_corners import Flow, below_parabola, following, growing, leading
from hedge.problems.cavity_flow import cavity_flow
from hedge.problems.lid_cavity import _corner, cavity_problem
from tests.problems.differences import reference_residual

# Ghia, Ghia and Shin (1982) at Re 100: y and u on the line x = 1/2, x and v on y = 1/2.
GHIA_U = (
    (0.0547, -0.03717), (0.0625, -0.04192), (0.1016, -0.06434), (0.1719, -0.10150), (0.2813, -0.15662),
    (0.4531, -0.21090), (0.5, -0.20581), (0.6172, -0.13641), (0.7344, 0.00332), (0.8516, 0.23151),
    (0.9531, 0.68717), (0.9609, 0.73722), (0.9688, 0.78871), (0.9766, 0.84123),
)  # fmt: skip
GHIA_V = (
    (0.0625, 0.09233), (0.0938, 0.12317), (0.1563, 0.16077), (0.2266, 0.17507), (0.5, 0.05454),
    (0.8047, -0.24533), (0.9531, -0.08864), (0.9688, -0.05906),
)  # fmt: skip
# Of PINNacle's own file lid_driven_a4.dat, from a finite element program: x, y, u, v, p.
PINNACLES = (
    (0.0967366, 0.903263, -0.00289021, 0.153945, -0.0632816),
    (0.29804, 0.29804, -0.0880917, 0.0634628, -0.00321504),
    (0.5, 0.5, -0.178764, 0.0543862, -0.0276236),
    (0.70196, 0.798558, 0.0808924, -0.123312, -0.0585021),
    (0.903263, 0.94778, 0.201263, -0.172524, 0.220027),
    (0.798558, 0.406101, -0.105255, -0.14317, 0.00228312),
)


def on_lines(t: np.ndarray, problem: Problem | None = None) -> tuple[np.ndarray, np.ndarray]:
    """u at (1/2, t) and v at (t, 1/2)."""
    flow = reference_of(problem or find_problem("lid-cavity"))
    assert flow is not None
    middle = np.full_like(t, 0.5)
    return flow(np.column_stack([middle, t]))[:, 0], flow(np.column_stack([t, middle]))[:, 1]


def test_extrema_are_those_of_botella_and_peyret() -> None:
    """Their spectral values (1998) at Re 100, with all digits they print."""
    t = np.linspace(0.0, 1.0, 10_001)
    u, v = on_lines(t)
    assert abs(u.min() + 0.2140424) < 1e-7
    assert abs(t[u.argmin()] - 0.4581) < 1e-4
    assert abs(v.max() - 0.1795728) < 1e-7
    assert abs(t[v.argmax()] - 0.2370) < 1e-4
    assert abs(v.min() + 0.2538030) < 1e-7
    assert abs(t[v.argmin()] - 0.8104) < 1e-4


def test_extrema_at_1000_are_those_of_botella_and_peyret() -> None:
    t = np.linspace(0.0, 1.0, 10_001)
    u, v = on_lines(t, find_problem("lid-cavity-1000"))
    assert abs(u.min() + 0.3885698) < 1e-7
    assert abs(t[u.argmin()] - 0.1717) < 1e-4
    assert abs(v.max() - 0.3769447) < 1e-7
    assert abs(t[v.argmax()] - 0.1578) < 1e-4
    assert abs(v.min() + 0.5270771) < 2e-7
    assert abs(t[v.argmin()] - 0.9092) < 1e-4


def test_a_faster_flow_is_found_from_slower_ones() -> None:
    """By Reynolds numbers that double, of which none is far from the next."""
    flow = cavity_flow(400.0, 32)
    x = 0.15 + 0.7 * np.random.default_rng(3).random((100, 2))
    problem = cavity_problem("cavity-400", 400.0, lambda: flow)
    left = np.abs(reference_residual(problem, x, 3e-3)).max(axis=1)
    assert (left < (1e-3, 1e-5, 1e-7)).all()


def test_ghias_table_is_met_as_far_as_their_grid_goes() -> None:
    for table, number in ((GHIA_U, 0), (GHIA_V, 1)):
        t, published = np.array(table).T
        off = on_lines(t)[number] - published
        assert np.abs(off).max() < 9e-3
        assert np.sqrt(np.mean(off**2)) < 5e-3


def test_more_modes_change_as_little_as_stated() -> None:
    x = find_problem("lid-cavity").sample(2_000, 1)
    fine = cavity_flow(100.0, 80).at(x)
    errors = [
        np.linalg.norm(cavity_flow(100.0, modes).at(x) - fine, axis=0)
        / np.linalg.norm(fine, axis=0)
        for modes in (32, 64)
    ]
    assert (errors[1] < (5e-7, 5e-7, 4e-5)).all()
    assert (errors[0] > 8 * errors[1]).all()


@pytest.mark.parametrize("name", ["lid-cavity", "cavity-parabola", "lid-cavity-1000"])
def test_the_flow_solves_its_equations(name: str) -> None:
    problem = find_problem(name)
    x = 0.1 + 0.8 * np.random.default_rng(3).random((200, 2))
    # The pressure is integrated along y.
    left = np.abs(reference_residual(problem, x, 3e-3)).max(axis=1)
    assert (left < (2e-4, 2e-6, 1e-7)).all()


@pytest.mark.parametrize("angle", [0.2, 0.8, 1.4])
def test_what_both_orders_leave_of_the_forces_is_bounded_in_the_corner(angle: float) -> None:
    """Each alone grows like 1/r² and 1/r."""
    viscosity = 0.01
    left = []
    for r in (1e-3, 1e-5):
        x, y = np.array([r * np.cos(angle)]), np.array([r * np.sin(angle)])
        flow = leading(x, y, viscosity) + following(x, y, viscosity)
        u, v = -flow.y, flow.x
        left.append(flow.p_x + viscosity * flow.h_y - u * flow.xy - v * flow.yy)
        left.append(flow.p_y - viscosity * flow.h_x + u * flow.xx + v * flow.xy)
    assert np.abs(left).max() < 5.0


def test_the_form_holds_taylors_flow() -> None:
    x, y = 1e-4 + 1e-3 * np.random.default_rng(4).random((2, 50))
    found, exact = _corner(x, y, 100.0, np), leading(x, y, 0.01)
    for mine, theirs in zip(found, (exact.psi, exact.x, exact.y, exact.p), strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=1e-5, atol=1e-5)


def test_the_corners_themselves_have_finite_values() -> None:
    problem = find_problem("lid-cavity")
    corners = np.array([[0.0, 1.0], [1.0, 1.0], [0.0, 0.0], [1.0, 0.0]])
    columns = list(corners.T)
    assert np.isfinite(problem.reference(corners)).all()
    for fields in (problem.offsets, problem.distances, problem.network_inputs):
        assert np.isfinite(np.array(fields(columns, np))).all()


def below_a_parabola(x: np.ndarray) -> Flow:
    return below_parabola(x[:, 0], x[:, 1], 0.01)


def test_the_flow_below_a_parabola_has_its_lids_speed_and_is_at_rest_at_walls() -> None:
    t, zero = np.linspace(0.0, 1.0, 21), np.zeros(21)
    lid = below_parabola(t, zero + 1.0, 0.01)
    np.testing.assert_allclose(lid.y, 4.0 * t * (1.0 - t), atol=1e-13)
    walls = [below_parabola(*each, 0.01) for each in ((t, zero), (zero, t), (zero + 1.0, t))]
    for flow in walls:
        assert np.abs([flow.psi, flow.x, flow.y]).max() < 1e-13


def test_derivatives_of_the_flow_below_a_parabola_are_those_of_its_stream_function() -> None:
    x, h = 0.05 + 0.9 * np.random.default_rng(5).random((100, 2)), 1e-5
    flow = below_a_parabola(x)
    right, left = (below_a_parabola(x + s * np.array([h, 0.0])) for s in (1, -1))
    up, down = (below_a_parabola(x + s * np.array([0.0, h])) for s in (1, -1))
    for found, plus, minus in (
        (flow.x, right.psi, left.psi), (flow.y, up.psi, down.psi), (flow.xx, right.x, left.x),
        (flow.xy, up.x, down.x), (flow.yy, up.y, down.y), (flow.p_x, right.p, left.p),
        (flow.h_x, right.xx + right.yy, left.xx + left.yy), (flow.p_y, up.p, down.p),
        (flow.h_y, up.xx + up.yy, down.xx + down.yy),
    ):  # fmt: skip
        np.testing.assert_allclose((plus - minus) / (2.0 * h), found, atol=1e-5)


def test_below_a_parabola_half_the_modes_change_little() -> None:
    x = find_problem("cavity-parabola").sample(1_000, 1)
    flow, fine = (cavity_flow(100.0, modes, below_parabola).at(x) for modes in (32, 64))
    errors = np.linalg.norm(flow - fine, axis=0) / np.linalg.norm(fine, axis=0)
    assert (errors < (6e-7, 6e-7, 5e-5)).all()


def test_the_flow_below_a_parabola_is_that_of_pinnacle() -> None:
    theirs = np.array(PINNACLES)
    found = find_problem("cavity-parabola").reference(theirs[:, :2])
    assert np.abs(found - theirs[:, 2:]).max() < 1e-3


def test_the_flow_near_a_lid_that_speeds_up_is_without_force() -> None:
    """Without inertia: the pressure's slope is the vorticity's, turned."""
    x, y = 0.1 + np.random.default_rng(6).random((2, 50))
    flow = growing(x, y, 0.01)
    np.testing.assert_allclose(flow.p_x, -0.01 * flow.h_y, rtol=1e-12)
    np.testing.assert_allclose(flow.p_y, 0.01 * flow.h_x, rtol=1e-12)


def test_the_form_below_a_parabola_holds_both_corners() -> None:
    """Its offset is the flow that the reference begins with."""
    problem = find_problem("cavity-parabola")
    x = problem.sample(200, 1)
    u, v, p = problem.offsets(list(x.T), np)
    flow = below_a_parabola(x)
    for mine, theirs in ((u, flow.y), (v, -flow.x), (p, flow.p)):
        np.testing.assert_allclose(mine, theirs, atol=1e-12)
