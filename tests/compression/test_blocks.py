"""Blocks at sites: fitted well, chosen where they pay, certified, stored and read back."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import cache
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from onnx import ModelProto, helper
from safetensors import safe_open
from safetensors.numpy import save

from hedge.compression import (
    CompressedModel,
    PointSets,
    Request,
    Source,
    blocks_of,
    compress,
    load_compressed,
    prepare,
    save_compressed,
)
from hedge.compression.blocks import BlockFit, _fits, _near_enough, _Products, block_fits
from hedge.compression.seen import PROBES, Seen
from hedge.devices import find_profile
from hedge.errors import ModelError
from hedge.exporting import to_onnx
from hedge.graph import BlockLayout, BlockMatrix, assemble, run_float32
from tests.conftest import make_model, random_mlp

SIZE = 512


def kernel_matrix(size: int, seed: int = 0) -> np.ndarray:
    """Green's function of −u″ on (0, 1), with a rough diagonal."""
    x = np.arange(1, size + 1) / (size + 1)
    green = np.minimum.outer(x, x) * (1.0 - np.maximum.outer(x, x))
    return green + np.diag(0.05 * np.random.default_rng(seed).random(size))


def inputs(count: int, size: int, seed: int) -> np.ndarray:
    """Smooth functions and white noise, half each."""
    rng = np.random.default_rng(seed)
    noise = rng.standard_normal((count, size))
    noise[::2] = noise[::2].cumsum(axis=1) / np.sqrt(size)
    return noise


def as_model(matrix: np.ndarray) -> ModelProto:
    return make_model(
        [helper.make_node("Gemm", ["x", "w"], ["u"], transB=1)],
        {"w": matrix},
        inputs=matrix.shape[1],
        outputs=len(matrix),
    )


def compressed(model: ModelProto, size: int, **request: object) -> CompressedModel:
    points = PointSets(
        fit=inputs(4 * size, size, 1),
        validation=inputs(512, size, 2),
        practice=lambda count: inputs(count, size, 9),
        fresh=lambda attempt, times=1: inputs(1024, size, 3 + attempt),
        judge=lambda: inputs(1024, size, 8),
        attempts=3,
        origin="test",
    )
    options = {"tolerance": 1e-4, "batch": 1, **request}
    device = find_profile("laptop-x86")
    return compress(prepare(model, device, points, Request(**options), Source("m", "")))  # type: ignore[arg-type]


def error_on_our_inputs(model: ModelProto, small: CompressedModel, size: int) -> float:
    x = inputs(3000, size, 987)
    dense = run_float32(model, x)
    return float(np.linalg.norm(run_float32(to_onnx(small), x) - dense) / np.linalg.norm(dense))


@cache
def small_kernel(objective: str = "latency", tolerance: float = 1e-4) -> CompressedModel:
    model = as_model(kernel_matrix(SIZE))
    return compressed(model, SIZE, objective=objective, tolerance=tolerance)


def fits(matrix: np.ndarray, metric: np.ndarray, enough: float = 0.0) -> tuple[BlockFit, ...]:
    x = inputs(2048, matrix.shape[1], 5)
    return block_fits(Seen(matrix, x), metric, enough)


@pytest.mark.parametrize("weighted", [False, True])
def test_errors_are_those_of_the_metric_and_fall_with_the_rank(weighted: bool) -> None:
    rows, columns = 300, 260
    x, y = np.linspace(0, 1, columns), np.linspace(0, 1, rows)
    matrix = 1.0 / (1.0 + 20.0 * np.abs(y[:, None] - x[None]))
    rng = np.random.default_rng(0)
    root = np.eye(rows) + (0.3 * rng.standard_normal((rows, rows)) / 17 if weighted else 0.0)
    metric = root @ root.T
    found = fits(matrix, metric)
    probes = inputs(2048, columns, 5)
    probes = (probes - probes.mean(axis=0))[:PROBES]
    for fit in found:
        difference = probes @ (matrix - fit.matrix.dense()).T
        expected = np.sum((difference @ metric) * difference) / len(probes)
        assert fit.error_squared == pytest.approx(expected, rel=1e-6)
    for before, after in pairwise(found):
        if before.matrix.structure.leaves == after.matrix.structure.leaves:
            assert after.error_squared < 1.01 * before.error_squared + 1e-16
    assert len({fit.matrix.structure.leaves for fit in found}) > 1


def test_a_matrix_of_the_structure_is_found_to_rounding() -> None:
    size = 256
    green = kernel_matrix(size)  # of rank 1 above and below the diagonal
    power = np.mean(np.sum((inputs(2048, size, 5) @ green.T) ** 2, axis=1))
    exact = [f for f in fits(green, np.eye(size) / power) if f.matrix.structure.rank >= 2]
    assert exact
    assert all(f.error_squared < 1e-12**2 * 1e6 for f in exact)


def test_blocks_beat_low_rank_on_a_kernel_and_the_error_holds() -> None:
    model, small = as_model(kernel_matrix(SIZE)), small_kernel()
    matrix = small.matrices["site0"]
    assert isinstance(matrix, BlockMatrix)
    assert small.plan.bytes < small.plan.dense_bytes / 5
    assert small.plan.predicted_s < small.plan.dense_predicted_s / 2
    assert small.plan.relative_error < 1e-4
    assert error_on_our_inputs(model, small, SIZE) < 1e-4
    site = small.plan.sites[0]
    assert site.structure == matrix.structure
    assert site.structure.blocks == blocks_of(small.matrices)
    assert sum(block.count for block in site.structure.blocks) == matrix.structure.leaves**2
    assert (
        sum(block.count * block.rows * block.columns for block in site.structure.blocks) == SIZE**2
    )


@pytest.mark.parametrize(
    ("matrix", "size"),
    [
        (np.random.default_rng(0).standard_normal((320, 320)), 320),
        (kernel_matrix(64), 64),
    ],
    ids=["random", "small"],
)
def test_where_blocks_do_not_pay_there_are_none(matrix: np.ndarray, size: int) -> None:
    small = compressed(as_model(matrix), size)
    assert not isinstance(small.matrices["site0"], BlockMatrix)
    assert not small.plan.gains


def test_hidden_layers_without_geometry_are_not_cut() -> None:
    model = random_mlp([8, 256, 256, 8])
    small = compressed(model, 8, tolerance=1e-2)
    assert not any(isinstance(m, BlockMatrix) for m in small.matrices.values())
    assert error_on_our_inputs(model, small, 8) < 1e-2


def test_blocks_between_nonlinear_layers_are_fitted_to_what_they_see() -> None:
    size = 256
    kernel = kernel_matrix(size) + np.diag(np.random.default_rng(1).random(size))
    model = make_model(
        [
            helper.make_node("Gemm", ["x", "w"], ["z"], transB=1),
            helper.make_node("Tanh", ["z"], ["a"]),
            helper.make_node("Gemm", ["a", "w"], ["u"], transB=1),
        ],
        {"w": kernel},
        inputs=size,
        outputs=size,
    )
    small = compressed(model, size, objective="size", tolerance=1e-3, keep_widths=True)
    assert any(isinstance(m, BlockMatrix) for m in small.matrices.values())
    assert small.plan.bytes < small.plan.dense_bytes / 4
    assert error_on_our_inputs(model, small, size) < 1e-3


def test_for_size_weights_are_stored_in_fewer_bytes(tmp_path: Path) -> None:
    model, small = as_model(kernel_matrix(SIZE)), small_kernel("size", 1e-2)
    assert {site.precision for site in small.plan.sites} != {"float32"}
    assert {site.precision for site in small_kernel().plan.sites} == {"float32"}
    assert error_on_our_inputs(model, small, SIZE) < 1e-2
    exported = len(to_onnx(small).SerializeToString())
    assert exported < small.plan.bytes + 8192
    path = tmp_path / "m.hedge.safetensors"
    save_compressed(small, path)
    assert path.stat().st_size < small.plan.bytes + 8192
    assert small.plan.bytes < 0.8 * 4 * small.plan.parameters


def test_weights_out_of_a_precisions_range_are_not_stored_in_it() -> None:
    """Float16 ends at 65,504."""
    model = as_model(1e8 * kernel_matrix(48))
    small = compressed(model, 48, objective="size", tolerance=1e-2)
    assert {site.precision for site in small.plan.sites} <= {"int8", "bfloat16", "float32"}
    assert small.plan.bytes < small.plan.dense_bytes / 1.5
    assert error_on_our_inputs(model, small, 48) < 1e-2


MODELS: dict[str, Callable[[], CompressedModel]] = {
    "float32": small_kernel,
    "narrow": lambda: small_kernel("size", 1e-2),
}


@pytest.mark.parametrize("make", MODELS.values(), ids=MODELS)
def test_files_read_back_as_the_same_model(
    make: Callable[[], CompressedModel], tmp_path: Path
) -> None:
    small, path = make(), tmp_path / "m.hedge.safetensors"
    save_compressed(small, path)
    again = load_compressed(path)
    assert again.plan == small.plan
    first, second = (
        assemble(m.skeleton, m.matrices).SerializeToString(deterministic=True)
        for m in (small, again)
    )
    assert first == second


HOSTILE = {
    "leaves": {"leaves": 0},
    "other leaves": {"leaves": 5},
    "many leaves": {"leaves": 10**12},
    "no rank": {"rank": None},
    "other precision": {"precision": "int8"},
    "unknown precision": {"precision": "float8"},
}


@pytest.mark.parametrize("change", HOSTILE.values(), ids=HOSTILE)
def test_a_plan_that_disagrees_with_its_tensors_is_refused(
    change: dict[str, object], tmp_path: Path
) -> None:
    path = tmp_path / "m.hedge.safetensors"
    save_compressed(small_kernel(), path)
    with safe_open(path, framework="numpy") as file:
        header = dict(file.metadata())
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    plan = json.loads(header["hedge.plan"])
    plan["sites"][0] |= change
    path.write_bytes(save(tensors, {**header, "hedge.plan": json.dumps(plan)}))
    with pytest.raises(ModelError, match=path.name):
        load_compressed(path)


@pytest.mark.parametrize("key", ["rows", "coupling", "right", "bias"])
def test_tensors_that_are_missing_or_not_finite_are_refused(key: str, tmp_path: Path) -> None:
    path = tmp_path / "m.hedge.safetensors"
    save_compressed(small_kernel(), path)
    with safe_open(path, framework="numpy") as file:
        header = dict(file.metadata())
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    name = f"site0.{key}"
    path.write_bytes(save({k: v for k, v in tensors.items() if k != name}, header))
    with pytest.raises(ModelError, match=f"{key} is missing"):
        load_compressed(path)
    path.write_bytes(save({**tensors, name: np.full_like(tensors[name], np.nan)}, header))
    with pytest.raises(ModelError, match=f"{key} contains NaN"):
        load_compressed(path)


def test_a_rank_is_fitted_alike_whatever_ranks_come_before() -> None:
    """What lower ranks told is used again."""
    at = np.linspace(0.0, 1.0, SIZE)
    matrix = 1.0 / (1.0 + 20.0 * np.abs(np.subtract.outer(at, at)))
    products = _Products.of(Seen(matrix, inputs(3 * SIZE, SIZE, 0)), np.ones(SIZE))
    layout = BlockLayout(SIZE, SIZE, leaves=16, rank=3)
    *_, grown = _fits(products, layout, [1, 2, 3])
    (alone,) = _fits(products, layout, [3])
    np.testing.assert_allclose(grown.dense(), alone.dense(), rtol=0.0, atol=1e-9)


def test_ranks_that_surely_miss_the_tolerance_are_left_out() -> None:
    layout = BlockLayout(SIZE, SIZE, leaves=16, rank=4)
    by_rank = np.array([1.0, 500.0, 300.0, 200.0, 100.0])
    assert _near_enough(layout, by_rank, 1.0) == [2, 3, 4]
    assert _near_enough(layout, 10.0 * by_rank, 1.0) == [4]  # as good as the layout may be
    assert _near_enough(layout, 1e3 * by_rank, 1.0) == []
