from __future__ import annotations

import math
from itertools import pairwise, product
from pathlib import Path

import numpy as np
import pytest
from onnx import numpy_helper
from scipy.interpolate import BSpline

from hedge.compression import points_of_file
from hedge.graph import graph_work, load_model, run_float32
from hedge.methods import Absent, Candidate, cubic_table, table
from hedge.methods.table import fit, table_to_onnx
from hedge.problems import Domain, find_problem
from tests.conftest import random_mlp
from tests.methods.cases import case_of, unseen_error

BOX = Domain(((-1.0, 2.0), (0.0, 0.5), (-3.0, -1.0)))


def grid(domain: Domain, counts: tuple[int, ...]) -> np.ndarray:
    """Centres of a grid, (s₁, …, s_d, d)."""
    axes = [
        a + (b - a) * (np.arange(n) + 0.5) / n
        for (a, b), n in zip(domain.intervals, counts, strict=True)
    ]
    return np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1)


@pytest.mark.parametrize("axes", [1, 2, 3])
def test_cubics_are_reproduced(axes: int) -> None:
    """Every monomial up to x³ y³ z³, two outputs, in onnxruntime."""
    box = Domain(BOX.intervals[:axes])
    rng = np.random.default_rng(axes)
    powers = list(product(range(4), repeat=axes))
    factors = rng.standard_normal((len(powers), 2))

    def cubic(x: np.ndarray) -> np.ndarray:
        return np.stack([np.prod(x**p, axis=-1) for p in powers], axis=-1) @ factors

    samples = grid(box, (12, 10, 16)[:axes])
    model = table_to_onnx(fit(cubic(samples), (5, 3, 4)[:axes]), box)
    x = box.sample(400, seed=1)
    error = run_float32(model, x) - cubic(x)
    assert np.abs(error).max() < 3e-6 * np.abs(cubic(x)).max()


def test_the_graph_is_the_spline_of_scipy() -> None:
    rng = np.random.default_rng(0)
    coefficients = rng.standard_normal((9, 6, 1))
    box = Domain(((-1.0, 1.0), (0.0, 3.0)))
    x = np.concatenate([box.sample(300, seed=0), [[-1.0, 0.0], [1.0, 3.0], [1.0, 0.0]]])
    along = [
        BSpline.design_matrix(
            np.clip((x[:, k] - low) / (high - low) * cells, 0, cells), np.arange(-3.0, cells + 4), 3
        ).toarray()
        for k, ((low, high), cells) in enumerate(zip(box.intervals, (6, 3), strict=True))
    ]
    expected = np.einsum("ni,nj,ijm->nm", *along, coefficients)
    assert run_float32(table_to_onnx(coefficients, box), x) == pytest.approx(expected, abs=2e-6)


def test_the_error_falls_with_the_fourth_power_of_the_cells() -> None:
    box = Domain(((-1.0, 1.0), (-1.0, 1.0)))

    def smooth(x: np.ndarray) -> np.ndarray:
        return (np.sin(4 * x[..., 0]) * np.exp(x[..., 1]))[..., None]

    x = box.sample(2000, seed=1)
    errors = []
    for cells in (8, 16, 32):
        model = table_to_onnx(fit(smooth(grid(box, (128, 128))), (cells, cells)), box)
        errors.append(np.linalg.norm(run_float32(model, x) - smooth(x)))
    orders = [math.log2(a / b) for a, b in pairwise(errors)]
    assert orders == pytest.approx([4.0, 4.0], abs=0.5)


@pytest.mark.parametrize("widths", [[1, 12, 1], [2, 12, 2], [3, 8, 1]])
def test_the_tolerance_holds(widths: list[int]) -> None:
    case = case_of(random_mlp(widths, seed=2), 1e-3)
    found = cubic_table(case)
    assert isinstance(found, Candidate)
    assert unseen_error(case, found) <= 1e-3
    assert [found.parameters] in [list(t.dims) for t in found.model.graph.initializer]
    assert found.bytes == 4 * found.parameters


def test_cells_go_where_the_function_varies() -> None:
    model = random_mlp([2, 16, 1], seed=0)
    for tensor in model.graph.initializer:
        if tensor.name == "w0":
            values = numpy_helper.to_array(tensor) * np.array([[8.0, 0.3]], dtype=np.float32)
            tensor.CopyFrom(numpy_helper.from_array(values, "w0"))
    found = cubic_table(case_of(model, 1e-3))
    assert isinstance(found, Candidate)
    first, second = map(int, found.note.removeprefix("cubic B-splines on ")[:-6].split(" x "))
    assert first > 4 * second


def test_no_cell_can_be_spared() -> None:
    """One axis: one per cent of the cells less and the tolerance is gone."""
    case = case_of(random_mlp([1, 20, 1], seed=4, scale=4.0), 1e-3)
    found = cubic_table(case)
    assert isinstance(found, Candidate)
    cells = found.parameters - 3
    x = grid(case.points.domain, (1024,))
    samples = run_float32(case.dense, x.reshape(-1, 1)).reshape(1024, 1)
    fewer = table_to_onnx(fit(samples, (int(0.97 * cells) - 1,)), case.points.domain)
    assert case.error_of(fewer, case.validation).relative > 0.95e-3


def test_points_outside_the_box_are_extrapolated_not_refused() -> None:
    box = Domain(((0.0, 1.0),))
    model = table_to_onnx(fit(grid(box, (16,)) ** 3, (4,)), box)
    x = np.array([[-0.5], [1.5]])
    assert run_float32(model, x) == pytest.approx(x**3, abs=1e-4)


def test_tables_are_for_boxes_of_few_inputs(tmp_path: Path) -> None:
    many = cubic_table(case_of(random_mlp([4, 8, 1]), 1e-2))
    assert isinstance(many, Absent)
    assert "4 inputs" in many.reason
    np.save(tmp_path / "x.npy", np.random.default_rng(0).uniform(-1, 1, (400, 2)))
    points = points_of_file(tmp_path / "x.npy", 2, seed=0)
    cloud = cubic_table(case_of(random_mlp([2, 8, 1]), 1e-2, points=points))
    assert isinstance(cloud, Absent)
    assert "box" in cloud.reason


def test_a_table_finer_than_the_limit_is_reported_as_it_is(
    monkeypatch: pytest.MonkeyPatch, heat_path: Path
) -> None:
    monkeypatch.setattr(table, "MOST_ENTRIES", 60)
    case = case_of(load_model(heat_path), 1e-5, problem=find_problem("heat"))
    found = cubic_table(case)
    assert isinstance(found, Candidate)
    assert found.parameters <= 60
    assert unseen_error(case, found) > 1e-5
    assert graph_work(found.model, 16).nodes > 10


def test_the_work_of_a_table_does_not_grow_with_its_entries() -> None:
    """Integer tensors inside, which the float64 evaluation behind graph_work must leave alone."""
    box = Domain(((-1.0, 1.0), (0.0, 1.0)))
    small, large = (table_to_onnx(np.ones((n, 8, 1)), box) for n in (5, 500))
    assert graph_work(small, 64) == graph_work(large, 64)
    assert graph_work(small, 64).nodes == len(small.graph.node)
