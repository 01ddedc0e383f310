"""Large matrices: what has no structure is told at once, what has some is found, and memory is bounded."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import ModelProto, TensorProto, helper

import hedge
from hedge import arrays
from hedge.compression import (
    Case,
    Request,
    Source,
    blocks,
    bounds,
    compress,
    points,
    points_of_domain,
    prepare,
)
from hedge.compression.bounds import least_of_blocks, least_of_rank
from hedge.devices import find_profile
from hedge.graph import (
    BlockLayout,
    assemble,
    builder,
    evaluation,
    load_model,
    run_float32,
    shapes,
    split,
    work,
)
from hedge.graph.shapes import inferred_shapes
from hedge.graph.structures import weights
from hedge.graph.vetting import vet
from hedge.problems import Domain, find_operator
from hedge.recovery import cut_and_fit
from hedge.training import OperatorNetwork, operator_network_to_onnx
from tests.conftest import make_model, random_mlp

SIZE = 640


def one_matrix(matrix: np.ndarray) -> ModelProto:
    nodes = [helper.make_node("Gemm", ["x", "w"], ["u"], transB=1)]
    return make_model(nodes, {"w": matrix}, inputs=matrix.shape[1], outputs=len(matrix))


def case_of(model: ModelProto, inputs: int, widest: int = 256, **request: object) -> Case:
    sets = points_of_domain(Domain(((-1.0, 1.0),) * inputs), inputs, widest, seed=0)
    options = {"tolerance": 1e-3, "batch": 1024, **request}
    device = find_profile("laptop-x86")
    return prepare(model, device, sets, Request(**options), Source("m", ""))  # type: ignore[arg-type]


@pytest.fixture
def _large(monkeypatch: pytest.MonkeyPatch) -> None:
    """What holds of matrices of 1,024 holds of those of these tests, on points to match."""
    monkeypatch.setattr(bounds, "LEAST_SIDE", 256)
    monkeypatch.setattr(points, "FRESH_NUMBERS", 2**20)
    monkeypatch.setattr(points, "VALIDATION_NUMBERS", 2**19)


@pytest.fixture
def built(monkeypatch: pytest.MonkeyPatch) -> list[BlockLayout]:
    """The layouts for which blocks were built."""
    found: list[BlockLayout] = []
    original = blocks._Parts.of

    def counted(products: blocks._Products, layout: BlockLayout) -> blocks._Parts:
        found.append(layout)
        return original(products, layout)

    monkeypatch.setattr(blocks._Parts, "of", staticmethod(counted))
    return found


def random_matrix(rows: int, columns: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((rows, columns)) / np.sqrt(columns)


@pytest.mark.usefixtures("_large")
def test_a_matrix_without_structure_is_told_before_anything_is_measured(
    built: list[BlockLayout],
) -> None:
    case = case_of(one_matrix(random_matrix(SIZE, SIZE)), SIZE)
    found = compress(case)
    assert found.plan.parameters == found.plan.dense_parameters
    assert "no structure to find: rank 160 is at least 0." in found.plan.sites[0].reason
    assert not built
    assert "measured" not in vars(case)
    assert found.plan.relative_error == 0.0


@pytest.mark.usefixtures("_large")
@pytest.mark.parametrize("kind", ["low rank", "blocks"])
def test_structure_is_still_found(kind: str) -> None:
    x = (np.arange(SIZE) + 0.5) / SIZE
    matrix = np.exp(-(np.subtract.outer(x, x) ** 2))
    if kind == "blocks":
        matrix = np.abs(np.subtract.outer(x, x)) + np.diag(
            np.sqrt(SIZE) * random_matrix(1, SIZE)[0]
        )
    case = case_of(one_matrix(matrix), SIZE)
    assert case.no_prospect == ""
    assert compress(case).plan.parameters < SIZE**2 / 4


@pytest.mark.usefixtures("_large")
@pytest.mark.parametrize(
    "asked", [{"objective": "size"}, {"norm": "max"}], ids=["fewer bits", "another norm"]
)
def test_where_something_else_may_gain_nothing_is_told(asked: dict[str, object]) -> None:
    assert case_of(one_matrix(random_matrix(SIZE, SIZE)), SIZE, **asked).no_prospect == ""


@pytest.mark.usefixtures("_large")
def test_blocks_are_built_for_no_layer_without_structure(built: list[BlockLayout]) -> None:
    """Nor between others, where all neurons may still go."""
    case = case_of(random_mlp([24, 300, 300, 80]), 24, widest=300)
    assert case.no_prospect == ""
    assert case.fits.targets["site1"].fits == ()
    assert not built


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10**6), decay=st.floats(0.0, 1.0), rank=st.integers(1, 20))
def test_what_is_missed_at_least_is_no_more_than_the_best_misses(
    seed: int, decay: float, rank: int
) -> None:
    rng = np.random.default_rng(seed)
    values = np.exp(-decay * np.arange(40))
    written = (
        rng.standard_normal((800, 40)) * values @ np.linalg.qr(rng.standard_normal((40, 40)))[0]
    )
    written -= written.mean(axis=0)
    best = float(np.sum(values[rank:] ** 2))
    assert least_of_rank(written @ written.T, rank) <= 1.1 * best + 0.02 * np.sum(values**2)


def test_what_is_missed_at_least_is_most_of_it_without_structure() -> None:
    written = np.random.default_rng(0).standard_normal((600, 400)) @ random_matrix(400, 400, 1)
    products = written @ written.T
    assert least_of_rank(products, 20) > 0.6 * least_of_rank(products, 0) > 0.0


@pytest.mark.parametrize("diagonal", [True, False])
def test_rows_of_blocks_miss_at_least_what_their_best_misses(diagonal: bool) -> None:
    layout = BlockLayout(96, 96, leaves=4, rank=3)
    rng = np.random.default_rng(0)
    read, matrix = rng.standard_normal((600, 96)), random_matrix(96, 96, 1)
    scale = rng.uniform(0.5, 2.0, 96)
    metric = scale if diagonal else np.diag(scale)
    by_rank = least_of_blocks(read, read @ matrix.T, metric, layout)
    assert by_rank.shape == (4,)
    assert (np.diff(by_rank) < 0.0).all()
    least = by_rank[-1]
    best = 0.0
    for i in range(4):
        own = slice(24 * i, 24 * i + 24)
        rest = np.delete(np.sqrt(scale[own])[:, None] * matrix[own], own, axis=1)
        best += float(np.sum(np.linalg.svd(rest, compute_uv=False)[3:] ** 2))
    assert 0.3 * best < least <= 1.05 * best
    exact = np.kron(np.eye(4), random_matrix(24, 24, 2))
    assert least_of_blocks(read, read @ exact.T, metric, layout)[0] < 1e-20


def test_points_of_many_coordinates_are_fewer(monkeypatch: pytest.MonkeyPatch) -> None:
    """As many numbers as ever, but not fewer points than random sources."""
    monkeypatch.setattr(points, "FRESH_NUMBERS", 30_000)
    monkeypatch.setattr(points, "VALIDATION_NUMBERS", 8_000)
    for inputs, fresh, validation in ((1, 16384, 4096), (4, 7500, 2000), (20, 2048, 1024)):
        sets = points_of_domain(Domain(((0.0, 1.0),) * inputs), inputs, 64, seed=0)
        assert len(sets.fresh(0)) == len(sets.judge()) == fresh
        assert (len(sets.validation), len(sets.fit)) == (validation, 2048)


def test_wide_layers_are_run_part_by_part(monkeypatch: pytest.MonkeyPatch) -> None:
    model = random_mlp([2, 50, 3])
    at = np.random.default_rng(0).uniform(-1, 1, (1001, 2))
    whole = run_float32(model, at)
    monkeypatch.setattr(evaluation, "MOST_AT_ONCE", 50 * 100)
    parts = evaluation._calls(model, len(at))
    assert parts == 11
    np.testing.assert_allclose(run_float32(model, at), whole, rtol=1e-6, atol=1e-7)


def test_large_weights_are_held_once_as_the_file_has_them(monkeypatch: pytest.MonkeyPatch) -> None:
    model = random_mlp([300, 400, 3])
    at = np.random.default_rng(0).uniform(-1, 1, (50, 300))
    usual, whole = split(model), run_float32(model, at)
    monkeypatch.setattr(arrays, "MOST_WIDENED", 100_000)
    monkeypatch.setattr(evaluation, "MOST_WIDENED", 100_000)
    found = split(model)
    assert [site.matrix.dense().dtype for site in found.sites] == [np.float32, np.float64]
    for before, after in zip(usual.sites, found.sites, strict=True):
        product = after.matrix.times(np.eye(before.matrix.shape[1]))
        np.testing.assert_array_equal(product.T, before.matrix.dense())
    handed = evaluation._large_weights(model)
    assert len(handed) == 1
    left = evaluation._with_inputs_for(model, handed).graph.initializer
    assert handed.keys().isdisjoint(tensor.name for tensor in left)
    np.testing.assert_allclose(run_float32(model, at), whole, rtol=1e-5, atol=1e-6)
    listed = helper.make_tensor_value_info(*handed, TensorProto.FLOAT, (400, 300))
    model.graph.input.append(listed)  # as old exporters do
    again = assemble(found.skeleton, found.matrices)
    np.testing.assert_array_equal(run_float32(again, at), run_float32(model, at))


def test_an_operator_too_large_to_be_widened_is_compressed_alike(
    monkeypatch: pytest.MonkeyPatch, saved: Callable[..., Path], tmp_path: Path
) -> None:
    """From the file to what is exported: all that runs of more than 2²⁵ numbers alone, on 512² of them."""
    sensors = 512
    problem = find_operator("poisson-operator", sensors)
    exact = OperatorNetwork(problem, problem.layer.solve(np.eye(sensors)))
    path = saved(operator_network_to_onnx(exact))
    asked: dict[str, Any] = {
        "device": "raspberry-pi-4b",
        "recover": None,
        "tolerance": 1e-4,
        "batch": 64,
    }
    monkeypatch.setattr(points, "MOST_FIT_SOURCE_NUMBERS", 2**20)
    usual = hedge.compress(path, **asked)
    for module in (arrays, evaluation, work):
        monkeypatch.setattr(module, "MOST_WIDENED", 2**16)
    for module in (builder, weights, shapes):
        monkeypatch.setattr(module, "LARGE", 2**12)
    monkeypatch.setattr(arrays, "WIDENED_AT_ONCE", 2**15)
    small = hedge.compress(path, out=tmp_path / "small.onnx", **asked)
    (site,), (as_usual,) = small.plan.sites, usual.plan.sites
    assert site.structure == as_usual.structure
    assert site.reason.startswith("32 leaves of 16x16")
    assert small.plan.predicted_s == usual.plan.predicted_s
    assert small.plan.relative_error < 1e-5
    sources = problem.sample(200, seed=77)
    off = run_float32(load_model(tmp_path / "small.onnx"), sources) - problem.reference(sources)
    assert np.linalg.norm(off) < 1e-4 * np.linalg.norm(problem.reference(sources))


def test_reading_holds_no_more_than_a_few_times_the_weights(tmp_path: Path) -> None:
    """In numpy; what onnx holds, which a larger model is read with as often, is not counted."""
    path, size = tmp_path / "m.onnx", 1500
    onnx.save(one_matrix(random_matrix(size, size)), path)
    model = load_model(path)
    tracemalloc.start()
    try:
        parts = split(model)
        assert inferred_shapes(model)["u"] == (None, size)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    # The float64 matrix, the float32 one that it is made of and its bytes.
    assert peak < 4.2 * size**2 * np.dtype(np.float32).itemsize
    assert parts.sites[0].matrix.shape == (size, size)


def test_what_strangers_may_hold_is_looked_for_without_a_copy_of_the_weights() -> None:
    model = one_matrix(random_matrix(1000, 1000))
    tracemalloc.start()
    try:
        vet(model)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 0.1 * len(model.graph.initializer[0].raw_data)


def test_a_run_tells_where_it_is() -> None:
    told: list[str] = []
    case = case_of(random_mlp([2, 30, 30, 1]), 2, widest=30)
    plan = compress(replace(case, tell=told.append)).plan
    for said in ("looking for structure in site1, 30x30", "ordering the 30 neurons of site0"):
        assert said in told
    assert any(line.startswith("searching ranks: 1 tried, error ") for line in told)
    assert sum(" tried, error " in line for line in told) == len(plan.trials)  # each once
    assert any(line.startswith("certifying ") for line in told)


def test_recovery_is_left_out_early(
    monkeypatch: pytest.MonkeyPatch, saved: Callable[..., Path]
) -> None:
    path = saved(random_mlp([2, 30, 1]))
    monkeypatch.setattr(cut_and_fit, "LARGEST", 100)
    told: list[str] = []
    found = hedge.compress(
        path, device="laptop-x86", domain="-1:1", tolerance=1e-2, on_progress=told.append
    )
    why = "left out: fits of 121 parameters, more than 100, take hours"
    assert told[0] == f"recovery is {why}"
    assert found.plan.recovery.endswith(why)
