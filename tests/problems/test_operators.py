"""Operators: their references against closed forms and each other, their sources against mathematics."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import fft, linalg

from hedge.errors import InputError
from hedge.problems import (
    OPERATORS,
    OperatorProblem,
    cubic_operator,
    find_operator,
    heat_operator,
    poisson_operator,
    sensors_of,
)
from hedge.problems.five_point import FivePoint
from hedge.problems.implicit_steps import DIFFUSIVITY, FINAL_TIME
from hedge.problems.operators import SQUARE
from hedge.problems.random_sources import random_sources


def loads(problem: OperatorProblem) -> np.ndarray:
    """A unit point load at every node."""
    return (problem.sensors + 1) * np.eye(problem.sensors)


def kinds_of(sources: np.ndarray) -> dict[str, np.ndarray]:
    """Rows by kind: one node only, or the variance of noise, or that of smooth fields."""
    single = (sources != 0).sum(axis=1) == 1
    rough = np.mean(sources**2, axis=1) > 0.5 * sources.shape[1]
    return {
        "load": np.flatnonzero(single),
        "noise": np.flatnonzero(~single & rough),
        "smooth": np.flatnonzero(~single & ~rough),
    }


@pytest.mark.parametrize("sensors", [2, 3, 64, 257, 1024, 4096])
def test_point_loads_give_the_green_function_at_the_nodes(sensors: int) -> None:
    """G(x, y) = x (1 − y) for x ≤ y: linear finite elements are exact at the nodes in 1D."""
    problem = poisson_operator(sensors)
    chosen = np.unique(np.linspace(0, sensors - 1, 5).astype(int))
    x, y = problem.grid[None], problem.grid[chosen, None]
    exact = np.where(x <= y, x * (1 - y), y * (1 - x))
    forces = np.zeros((len(chosen), sensors))
    forces[np.arange(len(chosen)), chosen] = sensors + 1
    np.testing.assert_allclose(problem.reference(forces), exact, rtol=1e-9)


def test_poisson_converges_to_the_equation_at_second_order() -> None:
    errors = []
    for sensors in (31, 63, 127, 1023):
        problem = poisson_operator(sensors)
        x = problem.grid
        u = problem.reference((4 * np.pi**2 * np.sin(2 * np.pi * x) + np.exp(x))[None])[0]
        exact = np.sin(2 * np.pi * x) + 1 + (np.e - 1) * x - np.exp(x)
        errors.append(np.abs(u - exact).max())
    assert errors[0] / errors[1] == pytest.approx(4, rel=0.02)
    assert errors[1] / errors[2] == pytest.approx(4, rel=0.02)
    assert errors[-1] < 1e-5


def test_heat_takes_sine_modes_down_at_their_rates() -> None:
    problem = heat_operator(1023)
    for mode, tolerance in ((1, 1e-7), (3, 1e-6), (8, 3e-5)):
        state = np.sin(mode * np.pi * problem.grid[None])
        exact = np.exp(-DIFFUSIVITY * FINAL_TIME * (mode * np.pi) ** 2) * state
        np.testing.assert_allclose(problem.reference(state), exact, atol=tolerance)


def test_heat_is_the_matrix_exponential_and_its_series_agrees() -> None:
    problem = heat_operator(96)
    stiffness = poisson_operator(96).layer.times(np.eye(96))
    exact = linalg.expm(-DIFFUSIVITY * FINAL_TIME * stiffness)
    np.testing.assert_allclose(problem.reference(np.eye(96)), exact, atol=1e-13)
    assert problem.series is not None
    step = problem.layer.solve(np.eye(96))
    values, vectors = np.linalg.eigh(step)
    series = np.polynomial.chebyshev.chebval(2 * values - 1, problem.series)
    assert np.linalg.norm((vectors * series) @ vectors.T - exact, 2) < 1e-7


def test_a_manufactured_cubic_solution_is_found_at_second_order() -> None:
    errors = []
    for sensors in (63, 127, 511):
        problem = cubic_operator(sensors)
        exact = 1.3 * np.sin(np.pi * problem.grid)
        u = problem.reference((np.pi**2 * exact + exact**3)[None])[0]
        errors.append(np.abs(u - exact).max())
    assert errors[0] / errors[1] == pytest.approx(4, rel=0.02)
    assert errors[-1] < 1e-5


def test_the_cubic_reference_solves_its_discrete_equation_to_rounding() -> None:
    problem = cubic_operator(200)
    f = problem.sample(50, seed=3)
    u = problem.reference(f)
    again = poisson_operator(200).reference(f - u**3)
    assert np.abs(again - u).max() < 1e-12 * np.abs(u).max()
    linear = poisson_operator(200).reference(f)
    assert np.linalg.norm(linear - u) > 0.01 * np.linalg.norm(u)  # the cube matters


def test_very_large_cubic_sources_still_converge() -> None:
    problem = cubic_operator(64)
    f = 1e6 * problem.sample(6, seed=0)
    u = problem.reference(f)
    assert problem.residual is not None
    assert np.abs(problem.residual(u, f)).max() < 1e-9 * np.abs(f).max()


@pytest.mark.parametrize("name", ["poisson-operator", "cubic-operator"])
def test_residuals_are_zero_for_solutions_and_only_there(name: str) -> None:
    problem = find_operator(name, 100)
    f = problem.sample(30, seed=1)
    u = problem.reference(f)
    assert problem.residual is not None
    assert np.abs(problem.residual(u, f)).max() < 1e-9 * np.abs(f).max()
    assert np.linalg.norm(problem.residual(1.01 * u, f)) > 5e-3 * np.linalg.norm(f)


def test_a_third_of_the_sources_each_is_smooth_noise_and_loads_at_every_node() -> None:
    sources = random_sources((64,), 300, seed=5)
    kinds = kinds_of(sources)
    assert {kind: len(rows) for kind, rows in kinds.items()} == {
        "load": 100, "noise": 100, "smooth": 100,
    }  # fmt: skip
    assert set(np.nonzero(sources[kinds["load"]])[1]) == set(range(64))
    strengths = np.abs(sources[kinds["load"]]).max(axis=1) / 65
    assert strengths.min() >= 0.5
    assert strengths.max() <= 1.0
    assert sources[kinds["noise"]].std() == pytest.approx(np.sqrt(65), rel=0.03)


def test_smooth_sources_have_unit_variance_and_are_free_at_the_ends() -> None:
    sources = random_sources((100,), 12_000, seed=0)
    variance = sources[kinds_of(sources)["smooth"]].var(axis=0)
    assert variance[20:80].mean() == pytest.approx(1.0, rel=0.1)
    assert variance[[0, -1]].min() > 0.5


def test_every_frequency_is_in_the_sources_and_none_dominates() -> None:
    """The second moment has full rank, with a condition of some tens at every size."""
    for sensors in (32, 128, 512):
        sources = random_sources((sensors,), 4 * sensors, seed=2)
        eigenvalues = np.linalg.eigvalsh(sources.T @ sources / len(sources)) / (sensors + 1)
        assert eigenvalues[0] > 0.05
        assert eigenvalues[-1] < 5.0
        power = np.mean(fft.dst(sources, type=1, axis=1, norm="ortho") ** 2, axis=0)
        assert power.min() > 0.3 * (sensors + 1)


def test_all_kinds_of_sources_move_the_output_alike() -> None:
    for sensors in (64, 1024):
        problem = poisson_operator(sensors)
        sources = problem.sample(600, seed=4)
        solutions = problem.reference(sources)
        sizes = [np.sqrt(np.mean(solutions[rows] ** 2)) for rows in kinds_of(sources).values()]
        assert max(sizes) < 4 * min(sizes)


def test_sources_follow_their_seed() -> None:
    problem = cubic_operator(20)
    np.testing.assert_array_equal(problem.sample(9, 1), problem.sample(9, 1))
    assert not np.array_equal(problem.sample(9, 1), problem.sample(9, 2))
    assert problem.sample(1, 0).shape == (1, 20)


@pytest.mark.parametrize("factory", OPERATORS.values(), ids=OPERATORS)
@pytest.mark.parametrize("sensors", [-1, 0, 1, 16385, 20_000])
def test_grids_out_of_range_are_refused(factory: object, sensors: int) -> None:
    with pytest.raises(InputError, match="sensors"):
        factory(sensors)  # type: ignore[operator]


def test_bad_arguments_are_refused() -> None:
    problem = find_operator("poisson-operator", 8)
    with pytest.raises(InputError, match="heat-operator"):
        find_operator("wave-operator", 8)
    with pytest.raises(InputError, match="sources: 0"):
        problem.sample(0, 0)
    with pytest.raises(InputError, match="seed"):
        problem.sample(1, -1)
    with pytest.raises(InputError, match="shape"):
        problem.reference(np.ones((2, 7)))
    for bad in (np.nan, np.inf, 1e300):
        with pytest.raises(InputError, match="NaN"):
            problem.reference(np.full((1, 8), bad))


@pytest.mark.parametrize("name", OPERATORS)
def test_the_smallest_grid_works(name: str) -> None:
    problem = find_operator(name, 4 if name in SQUARE else 2)
    assert np.isfinite(problem.reference(problem.sample(5, 0))).all()
    assert problem.name == name


def test_the_five_point_matrix_is_that_of_both_axes() -> None:
    matrix = FivePoint(5, 4.5, -0.9)
    line = np.diag(np.full(5, 2.25)) - 0.9 * (np.eye(5, k=1) + np.eye(5, k=-1))
    dense = np.kron(line, np.eye(5)) + np.kron(np.eye(5), line)
    np.testing.assert_array_equal(matrix.sparse().toarray(), dense)
    rows = np.random.default_rng(0).standard_normal((3, 25))
    np.testing.assert_allclose(matrix.times(rows), rows @ dense, atol=1e-12)
    np.testing.assert_allclose(matrix.solve(rows) @ dense, rows, atol=1e-12)


def test_poisson_on_the_square_converges_at_second_order() -> None:
    errors = []
    for side in (15, 31, 63):
        problem = find_operator("poisson2d-operator", side**2)
        x, y = np.meshgrid(problem.grid, problem.grid, indexing="ij")
        exact = np.sin(np.pi * x) * y * (1 - y) * np.exp(y)
        second = np.exp(y) * (-3 * y - y**2)  # of y (1 − y) eʸ
        f = np.sin(np.pi * x) * (np.pi**2 * y * (1 - y) * np.exp(y) - second)
        u = problem.reference(f.reshape(1, -1))[0]
        errors.append(np.abs(u - exact.ravel()).max())
    assert errors[0] / errors[1] == pytest.approx(4, rel=0.03)
    assert errors[1] / errors[2] == pytest.approx(4, rel=0.03)


def test_heat_on_the_square_is_the_matrix_exponential_and_its_series_agrees() -> None:
    problem = find_operator("heat2d-operator", 64)
    stiffness = find_operator("poisson2d-operator", 64).layer.times(np.eye(64))
    exact = linalg.expm(-DIFFUSIVITY * FINAL_TIME * stiffness)
    np.testing.assert_allclose(problem.reference(np.eye(64)), exact, atol=1e-13)
    assert problem.series is not None
    values, vectors = np.linalg.eigh(problem.layer.solve(np.eye(64)))
    series = np.polynomial.chebyshev.chebval(2 * values - 1, problem.series)
    assert np.linalg.norm((vectors * series) @ vectors.T - exact, 2) < 1e-7


def test_sources_on_a_square_are_of_three_kinds_and_as_strong_as_on_a_line() -> None:
    sources = random_sources((20, 20), 6000, seed=0)
    kinds = kinds_of(sources)
    assert [len(kinds[kind]) for kind in ("load", "noise", "smooth")] == [2000] * 3
    assert np.var(sources[kinds["smooth"]]) == pytest.approx(1.0, rel=0.1)
    assert np.var(sources[kinds["noise"]]) == pytest.approx(21**2, rel=0.01)
    assert {int(row.argmax()) for row in np.abs(sources[kinds["load"]])} == set(range(400))
    fields = sources[kinds["smooth"]].reshape(-1, 20, 20)
    steps = [np.mean(np.diff(fields, axis=axis) ** 2) for axis in (1, 2)]
    assert steps[0] == pytest.approx(steps[1], rel=0.1)  # neither axis is rougher


@pytest.mark.parametrize("name", SQUARE)
@pytest.mark.parametrize("sensors", [2, 12, 4095, 129**2])
def test_what_is_no_square_grid_is_refused(name: str, sensors: int) -> None:
    with pytest.raises(InputError, match=f"sensors: {name} is on a square grid, and {sensors} "):
        find_operator(name, sensors)


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("poisson2d-operator", "32x48", "no square"),
        ("poisson-operator", "32x32", "on a line"),
        ("poisson-operator", "many", "no number and no grid"),
        ("poisson2d-operator", "8x8x8", "no number and no grid"),
        ("poisson2d-operator", "-4x-4", "no number and no grid"),
        ("poisson2d-operator", "٣x3", "no number and no grid"),
        ("poisson-operator", "٣", "no number and no grid"),
    ],
)
def test_grids_that_make_no_sense_are_refused(name: str, text: str, told: str) -> None:
    with pytest.raises(InputError, match=f"sensors: .*{told}"):
        sensors_of(name, text)
