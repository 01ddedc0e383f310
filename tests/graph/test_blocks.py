"""Block matrices: what the runtime computes is what they say, and costs what they say."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import ModelProto, helper

from hedge.devices import Pass, Product
from hedge.graph import (
    PRECISIONS,
    BlockLayout,
    BlockMatrix,
    Matrix,
    Precision,
    SiteMatrix,
    assemble,
    graph_work,
    matrix_bytes,
    run_float32,
    site_gradients,
    split,
    stored_as,
    trace,
)
from tests.conftest import make_model, random_mlp

# (outputs, inputs, leaves, rank): powers of two, others, oblong ones, a last leaf that is empty
LAYOUTS = [
    BlockLayout(64, 64, 4, 1),
    BlockLayout(1000, 1000, 16, 2),
    BlockLayout(77, 77, 5, 3),
    BlockLayout(300, 200, 7, 3),
    BlockLayout(65, 130, 8, 2),
    BlockLayout(9, 9, 4, 1),
]


def random_blocks(layout: BlockLayout, seed: int = 0) -> BlockMatrix:
    rng = np.random.default_rng(seed)
    (rows, columns), count, rank = layout.leaf, layout.leaves, layout.rank
    return BlockMatrix(
        rows=rng.standard_normal((count, rows, columns + rank)),
        coupling=rng.standard_normal((count * rank, count * rank)),
        right=rng.standard_normal((count, rank, columns)),
        bias=rng.standard_normal(layout.outputs),
        inputs=layout.inputs,
    )


def as_model(matrix: Matrix) -> ModelProto:
    outputs, inputs = matrix.shape
    dense = make_model(
        [helper.make_node("Gemm", ["x", "w"], ["u"], transB=1)],
        {"w": np.zeros((outputs, inputs))},
        inputs=inputs,
        outputs=outputs,
    )
    return assemble(split(dense).skeleton, {"site0": matrix})


@pytest.mark.parametrize("layout", LAYOUTS, ids=str)
def test_every_entry_is_a_leaf_or_a_product_of_bases(layout: BlockLayout) -> None:
    matrix = random_blocks(layout)
    (height, width), rank = layout.leaf, layout.rank
    whole = np.zeros(layout.padded)
    for i in range(layout.leaves):
        dense, left = np.split(matrix.rows[i], [width], axis=1)
        for j in range(layout.leaves):
            coupling = matrix.coupling[i * rank : (i + 1) * rank, j * rank : (j + 1) * rank]
            place = np.s_[i * height : (i + 1) * height, j * width : (j + 1) * width]
            whole[place] = left @ coupling @ matrix.right[j] + (dense if i == j else 0.0)
    expected = whole[: layout.outputs, : layout.inputs]
    np.testing.assert_allclose(matrix.dense(), expected, atol=1e-12)
    assert matrix.parameters == layout.numbers + layout.outputs


@pytest.mark.parametrize("batch", [1, 5])
@pytest.mark.parametrize("layout", LAYOUTS, ids=str)
def test_the_runtime_computes_the_dense_matrix(layout: BlockLayout, batch: int) -> None:
    matrix = random_blocks(layout)
    model = as_model(matrix)
    onnx.checker.check_model(model, full_check=True)
    x = np.random.default_rng(1).standard_normal((batch, layout.inputs)).astype(np.float32)
    expected = x @ matrix.dense().T + matrix.bias
    error = np.linalg.norm(run_float32(model, x) - expected)
    assert error < 1e-6 * np.linalg.norm(expected)


@pytest.mark.parametrize("batch", [1, 64])
@pytest.mark.parametrize("layout", LAYOUTS[:4], ids=str)
def test_a_layout_foretells_the_work_of_its_graph(layout: BlockLayout, batch: int) -> None:
    foretold, counted = layout.work(batch), graph_work(as_model(random_blocks(layout)), batch)

    def by_size(one: Product | Pass) -> tuple[object, ...]:
        return tuple(vars(one).values())

    assert sorted(foretold.products, key=by_size) == sorted(counted.products, key=by_size)
    assert sorted(foretold.passes, key=by_size) == sorted(counted.passes, key=by_size)


def stored_matrices() -> list[Matrix]:
    rng = np.random.default_rng(3)
    dense = SiteMatrix((rng.standard_normal((20, 30)),), rng.standard_normal(20))
    factors = SiteMatrix((rng.standard_normal((20, 4)), rng.standard_normal((4, 30))), dense.bias)
    return [dense, factors, random_blocks(BlockLayout(50, 50, 4, 2))]


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("matrix", stored_matrices(), ids=["dense", "low rank", "blocks"])
def test_narrow_weights_are_widened_at_load_and_compute_in_float32(
    matrix: Matrix, precision: Precision, tmp_path_factory: pytest.TempPathFactory
) -> None:
    narrow = stored_as(matrix, precision)
    model = as_model(narrow)
    onnx.checker.check_model(model, full_check=True)
    x = np.random.default_rng(1).standard_normal((7, matrix.shape[1])).astype(np.float32)
    expected = x @ narrow.dense().T + narrow.bias
    assert np.linalg.norm(run_float32(model, x) - expected) < 1e-6 * np.linalg.norm(expected)

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4  # it warns that optimised graphs are for this machine only
    options.optimized_model_filepath = str(tmp_path_factory.mktemp("optimised") / "model.onnx")
    onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    runs = {n.op_type for n in onnx.load(options.optimized_model_filepath).graph.node}
    assert not runs & {"Cast", "Mul", "DequantizeLinear"}
    assert graph_work(model, 4).at(4, "float32") == graph_work(
        as_model(replace(narrow, precision="float32")), 4
    )


@pytest.mark.parametrize("matrix", stored_matrices(), ids=["dense", "low rank", "blocks"])
def test_bytes_are_those_of_the_tensors_in_the_file(matrix: Matrix) -> None:
    for precision in PRECISIONS:
        narrow = stored_as(matrix, precision)
        floats = [
            t for t in as_model(narrow).graph.initializer if t.data_type != onnx.TensorProto.INT64
        ]
        assert matrix_bytes(narrow) == sum(len(t.raw_data) for t in floats)


@pytest.mark.parametrize("layout", [BlockLayout(20, 20, 5, 2), BlockLayout(21, 14, 4, 1)], ids=str)
@pytest.mark.parametrize("precision", ["float32", "int8"])
def test_derivatives_pass_through_the_nodes_of_blocks(
    layout: BlockLayout, precision: Precision
) -> None:
    """A network read back from ONNX has blocks as plain nodes; those of before are felt through them."""
    dense = split(random_mlp([2, layout.inputs, layout.outputs, 3]))
    blocks = stored_as(random_blocks(layout), precision)
    middle = dense.sites[1].name
    same = {**dense.matrices, middle: SiteMatrix((blocks.dense(),), blocks.bias)}
    found = []
    for matrices in (same, {**same, middle: blocks}):
        parts = split(assemble(dense.skeleton, matrices))
        points = np.random.default_rng(0).uniform(-1, 1, (6, 2))
        traced = trace(parts, points)
        found.append(site_gradients(traced, np.ones_like(traced.output)))
    (expected, *_), (gradient, *_) = (list(gradients.values()) for gradients in found)
    np.testing.assert_allclose(gradient, expected, rtol=1e-4, atol=1e-4 * abs(expected).max())


@pytest.mark.parametrize("precision", PRECISIONS)
def test_narrow_weights_are_sites_when_read_back(precision: Precision) -> None:
    for matrix in stored_matrices()[:2]:
        narrow = stored_as(matrix, precision)
        product = np.eye(narrow.shape[1])
        sites = split(as_model(narrow)).sites
        assert len(sites) == len(narrow.arrays)
        for site in sites:
            product = product @ site.matrix.dense().T
        np.testing.assert_allclose(product.T, narrow.dense(), atol=1e-5)
