"""Operators on grids: the order in which rows and columns leave blocks of low rank is found and used."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from onnx import helper

from hedge.compression import (
    Request,
    Source,
    check_grid,
    compress,
    load_compressed,
    points,
    points_of_domain,
    prepare,
    save_compressed,
)
from hedge.compression.hierarchies import hierarchy_fits, may_have_hierarchy
from hedge.compression.orders import Weighed, best_orders
from hedge.compression.seen import Seen
from hedge.devices import find_profile
from hedge.errors import InputError
from hedge.graph import Hierarchy, as_order, grid_order, grids, run_float32, split
from hedge.problems import Domain
from tests.conftest import make_model

SIDE = 32


def green(side: int) -> np.ndarray:
    """The inverse of the five-point Laplacian on a grid that comes row by row, by sine modes."""
    i = np.arange(1, side + 1)
    modes = np.sqrt(2 / (side + 1)) * np.sin(np.pi * np.outer(i, i) / (side + 1))
    values = (2 * (side + 1) * np.sin(np.pi * i / (2 * (side + 1)))) ** 2
    both = np.kron(modes, modes)
    return np.asarray((both / np.add.outer(values, values).ravel()) @ both)


GREEN = green(SIDE)
SHUFFLED = np.random.default_rng(3).permutation(SIDE * SIDE)


def test_the_grid_is_found_from_its_number_of_points() -> None:
    found = best_orders(Weighed.evenly(GREEN), 1e-3)
    assert found is not None
    assert found.name == "32x32 grid"
    np.testing.assert_array_equal(found.rows, grid_order((SIDE, SIDE)))
    np.testing.assert_array_equal(found.columns, found.rows)


def test_an_oblong_grid_is_found_too() -> None:
    x, y = np.divmod(np.arange(16 * 96), 96)
    kernel = 1 / (1 + np.hypot(x[:, None] - x, y[:, None] - y))
    found = best_orders(Weighed.evenly(kernel), 1e-3)
    assert found is not None
    assert found.name == "16x96 grid"


def test_an_operator_between_two_grids_has_an_order_for_each() -> None:
    x, y = (axis / SIDE for axis in np.divmod(np.arange(SIDE * SIDE), SIDE))
    v, w = (axis / 40 for axis in np.divmod(np.arange(40 * 40), 40))
    kernel = 1 / (0.1 + np.hypot(x[:, None] - v, y[:, None] - w))
    found = best_orders(Weighed.evenly(kernel), 1e-3)
    assert found is not None
    assert found.name == "32x32 by 40x40 grids"
    assert (len(found.rows), len(found.columns)) == kernel.shape


def test_a_grid_that_is_told_is_the_only_one_tried() -> None:
    found = best_orders(Weighed.evenly(GREEN), 1e-3, (16, 64))
    assert found is None or found.name == "16x64 grid"  # worse, but what was asked for
    told = best_orders(Weighed.evenly(GREEN), 1e-3, (SIDE, SIDE))
    assert told is not None
    assert told.name == "32x32 grid"
    line = best_orders(Weighed.evenly(GREEN), 1e-3, (40, 40))  # that of another matrix
    assert line is not None
    assert line.name == "32x32 grid"


def test_a_grid_of_oblong_sides_that_nobody_would_look_for_can_be_told() -> None:
    x, y = np.divmod(np.arange(7 * 180), 180)
    kernel = 1 / (1 + np.hypot(x[:, None] - x, y[:, None] - y))
    told = best_orders(Weighed.evenly(kernel), 1e-3, (7, 180))
    assert told is not None
    np.testing.assert_array_equal(told.rows, grid_order((7, 180)))


def test_a_grid_of_three_axes_can_be_told() -> None:
    points = np.stack(np.unravel_index(np.arange(8 * 10 * 14), (8, 10, 14)), axis=1)
    kernel = 1 / (1 + np.linalg.norm(points[:, None] - points, axis=2))
    told = best_orders(Weighed.evenly(kernel), 3e-2, (8, 10, 14))
    assert told is not None
    assert told.name == "8x10x14 grid"


def test_a_grid_may_be_that_of_rows_or_columns_alone() -> None:
    x, y = (axis / SIDE for axis in np.divmod(np.arange(SIDE * SIDE), SIDE))
    line = np.arange(1100) / 1100
    kernel = 1 / (0.1 + np.hypot(x[:, None] - line, y[:, None] - line))
    for matrix, ordered in ((kernel, "rows"), (kernel.T, "columns")):
        told = best_orders(Weighed.evenly(matrix), 1e-3, (SIDE, SIDE))
        assert told is not None
        np.testing.assert_array_equal(getattr(told, ordered), grid_order((SIDE, SIDE)))


@pytest.mark.parametrize("grid", ["48 by 48", "48", "1x2304", "6x6x6x6", "٣x3", "0x5", (), (48,)])
def test_what_is_no_grid_is_refused(grid: str | tuple[int, ...]) -> None:
    with pytest.raises(InputError, match="is no grid of two or three sides"):
        Request(grid=grid)


def test_a_grid_that_no_matrix_is_on_is_refused() -> None:
    gemm = helper.make_node("Gemm", ["x", "g"], ["u"], transB=1)
    for matrix, told in ((GREEN, "have 1024 rows or columns"), (GREEN[:64, :64], "no matrix here")):
        size = len(matrix)
        model = make_model([gemm], {"g": matrix}, inputs=size, outputs=size)
        with pytest.raises(InputError, match=f"grid: 48x48 has 2304 points, and .*{told}"):
            check_grid((48, 48), split(model))


def test_points_in_no_order_are_put_together_by_likeness() -> None:
    found = best_orders(Weighed.evenly(GREEN[np.ix_(SHUFFLED, SHUFFLED)]), 1e-3)
    assert found is not None
    assert found.name.startswith("similar rows")
    assert found.kept < 0.4  # 0.33 in the order of the grid, all as it is


def test_sensors_on_a_line_keep_their_order() -> None:
    x = np.linspace(0, 1, 1024)
    found = best_orders(Weighed.evenly(np.minimum.outer(x, x) - np.outer(x, x)), 1e-4)
    assert found is not None
    assert found.name == "given"


@pytest.mark.parametrize(
    ("rows", "columns", "told"),
    [
        (grid_order((8, 16)), grid_order((8, 16)), " in the order of a 8x16 grid"),
        (grid_order((8, 8)), grid_order((16, 8)), " in the orders of 8x8 and 16x8 grids"),
        (grid_order((8, 16)), np.arange(128)[::-1], " in another order"),
        (grid_order((8, 16)), (), " in another order"),
        ((), (), ""),
    ],
)
def test_the_grid_of_an_order_is_told(
    rows: Sequence[int], columns: Sequence[int], told: str
) -> None:
    outputs, inputs = len(rows) or 64, len(columns) or 64
    tree = ((0, outputs, 0, inputs, None),)
    found = Hierarchy(outputs, inputs, tree, as_order(rows), as_order(columns))
    assert found.label == f"1 blocks{told}"


def test_noise_has_no_order() -> None:
    noise = np.random.default_rng(0).standard_normal((1024, 1100))
    assert best_orders(Weighed.evenly(noise), 1e-2) is None
    assert not may_have_hierarchy(noise, np.ones(1024), np.ones(1100), 1e-3)


def test_a_prime_number_of_points_is_no_grid() -> None:
    assert grids(1031) == []
    noise = np.random.default_rng(0).standard_normal((1031, 1031))
    assert best_orders(Weighed.evenly(noise), 1e-2) is None


def test_candidates_have_the_errors_that_are_told_of_them() -> None:
    """White sources, so that the error is the relative Frobenius norm, but for sampling."""
    probes = np.random.default_rng(0).standard_normal((512, SIDE * SIDE))
    metric = np.eye(SIDE * SIDE) / np.linalg.norm(GREEN) ** 2
    found = list(hierarchy_fits(Seen(GREEN, probes), metric, 1e-8))
    assert len(found) == 6
    for matrix, error_squared in found:
        off = np.linalg.norm(matrix.dense() - GREEN) / np.linalg.norm(GREEN)
        assert np.sqrt(error_squared) == pytest.approx(off, rel=0.1)
        assert off < 9.5e-4
        assert matrix.structure.numbers < 0.45 * GREEN.size


def test_weights_that_are_felt_and_varied_unevenly_are_undone() -> None:
    rng = np.random.default_rng(1)
    above, beside = (10.0 ** rng.uniform(-3, 3, SIDE * SIDE) for _ in range(2))
    weight = GREEN / above[:, None] / beside
    probes = rng.standard_normal((256, SIDE * SIDE)) * beside
    metric = np.diag(above**2) / np.linalg.norm(GREEN) ** 2
    matrix, error_squared = next(hierarchy_fits(Seen(weight, probes), metric, enough=1e-8))
    off = above[:, None] * (matrix.dense() - weight) * beside
    assert np.sqrt(error_squared) == pytest.approx(
        np.linalg.norm(off) / np.linalg.norm(GREEN), rel=0.1
    )


def test_a_greens_function_of_someone_elses_grid_is_compressed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Row by row, as one Gemm, without a word about the grid; and what is exported computes it."""
    monkeypatch.setattr(points, "MOST_FIT_POINTS", 2048)
    monkeypatch.setattr(points, "FRESH_NUMBERS", 2**21)
    monkeypatch.setattr(points, "VALIDATION_NUMBERS", 2**20)
    size = SIDE * SIDE
    gemm = helper.make_node("Gemm", ["x", "g"], ["u"], transB=1)
    model = make_model([gemm], {"g": GREEN}, inputs=size, outputs=size)
    sets = points_of_domain(Domain(((-1.0, 1.0),) * size), size, size, seed=0)
    case = prepare(
        model, find_profile("raspberry-pi-4b"), sets, Request(tolerance=3e-3), Source("m", "")
    )
    small = compress(case)
    (site,) = small.plan.sites
    assert isinstance(site.structure, Hierarchy)
    assert site.structure.row_order == tuple(grid_order((SIDE, SIDE)))
    told = "blocks of rows and columns in the order of a 32x32 grid cost least"
    assert told in site.reason
    assert small.plan.bytes < small.plan.dense_bytes / 2.5
    assert site.frobenius_error is not None
    assert site.frobenius_bound is not None
    assert site.frobenius_error <= site.frobenius_bound < 0.02 * np.linalg.norm(GREEN)
    save_compressed(small, tmp_path / "green.hedge.safetensors")
    again = load_compressed(tmp_path / "green.hedge.safetensors")
    assert again.plan == small.plan
    x = np.random.default_rng(9).uniform(-1, 1, (100, size))
    got, wanted = run_float32(again.to_onnx(), x), x @ GREEN.T
    assert np.linalg.norm(got - wanted) < 3e-3 * np.linalg.norm(wanted)
