"""Finding linear sites, taking a model apart, and putting it together again."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import ModelProto, TensorProto, helper

from hedge.errors import ModelError
from hedge.graph import (
    Evaluator,
    SiteMatrix,
    assemble,
    load_model,
    neuron_groups,
    run_float32,
    split,
)
from tests.conftest import make_model, random_mlp

RNG = np.random.default_rng(0)
W, B = RNG.standard_normal((3, 2)), RNG.standard_normal(3)
POINTS = RNG.uniform(-1, 1, (9, 2)).astype(np.float32)


def run(model: ModelProto, points: np.ndarray = POINTS) -> np.ndarray:
    onnx.checker.check_model(model, full_check=True)
    return np.asarray(
        onnxruntime.InferenceSession(model.SerializeToString()).run(None, {"x": points})[0]
    )


def node(op: str, inputs: list[str], output: str = "u", **attributes: object) -> onnx.NodeProto:
    return helper.make_node(op, inputs, [output], **attributes)


FORMS = {
    "gemm": make_model(
        [node("Gemm", ["x", "w", "b"], transB=1)], {"w": W, "b": B}, inputs=2, outputs=3
    ),
    "gemm, transB=0": make_model(
        [node("Gemm", ["x", "w", "b"])], {"w": W.T.copy(), "b": B}, inputs=2, outputs=3
    ),
    "gemm, alpha and beta": make_model(
        [node("Gemm", ["x", "w", "b"], transB=1, alpha=0.5, beta=2.0)],
        {"w": W, "b": B},
        inputs=2,
        outputs=3,
    ),
    "gemm without bias": make_model(
        [node("Gemm", ["x", "w"], transB=1)], {"w": W}, inputs=2, outputs=3
    ),
    "gemm with scalar bias": make_model(
        [node("Gemm", ["x", "w", "b"], transB=1)], {"w": W, "b": B[:1]}, inputs=2, outputs=3
    ),
    "matmul and add": make_model(
        [node("MatMul", ["x", "w"], "p"), node("Add", ["p", "b"])],
        {"w": W.T.copy(), "b": B},
        inputs=2,
        outputs=3,
    ),
    "add and matmul": make_model(
        [node("MatMul", ["x", "w"], "p"), node("Add", ["b", "p"])],
        {"w": W.T.copy(), "b": B},
        inputs=2,
        outputs=3,
    ),
    "matmul": make_model([node("MatMul", ["x", "w"])], {"w": W.T.copy()}, inputs=2, outputs=3),
    "weight through Transpose": make_model(
        [node("Transpose", ["w"], "t", perm=[1, 0]), node("MatMul", ["x", "t"])],
        {"w": W},
        inputs=2,
        outputs=3,
    ),
    "weight in a Constant node": make_model(
        [
            node(
                "Constant",
                [],
                "w",
                value=onnx.numpy_helper.from_array(W.T.astype(np.float32), "value"),
            ),
            node("MatMul", ["x", "w"]),
        ],
        {},
        inputs=2,
        outputs=3,
    ),
}


@pytest.mark.parametrize("model", FORMS.values(), ids=FORMS)
def test_every_form_of_a_linear_layer_is_one_site_and_survives_the_round_trip(
    model: ModelProto, saved: Callable[[ModelProto], Path]
) -> None:
    parts = split(load_model(saved(model)))
    assert len(parts.sites) == 1
    assert parts.sites[0].matrix.shape == (3, 2)
    rebuilt = assemble(parts.skeleton, parts.matrices)
    assert [n.op_type for n in rebuilt.graph.node] == ["Gemm"]
    np.testing.assert_allclose(run(rebuilt), run(model), rtol=1e-6, atol=1e-6)


NOT_SITES = {
    "transA": make_model([node("Gemm", ["w", "x"], transA=1)], {"w": W}, inputs=2, outputs=2),
    "product of activations": make_model(
        [node("Transpose", ["x"], "t", perm=[1, 0]), node("MatMul", ["x", "t"])],
        {},
        inputs=2,
        outputs=None,
    ),
    "no product at all": make_model([node("Tanh", ["x"])], {}, inputs=2, outputs=2),
}


@pytest.mark.parametrize("model", NOT_SITES.values(), ids=NOT_SITES)
def test_models_without_linear_sites_are_refused(model: ModelProto) -> None:
    with pytest.raises(ModelError, match="no linear site"):
        split(model)


def test_an_add_that_broadcasts_the_product_is_not_taken_for_a_bias() -> None:
    model = make_model(
        [node("MatMul", ["x", "w"], "p"), node("Add", ["p", "b"])],
        {"w": W[:1].T.copy(), "b": B},
        inputs=2,
        outputs=3,
    )
    rebuilt = assemble(split(model).skeleton, split(model).matrices)
    assert [n.op_type for n in rebuilt.graph.node] == ["Gemm", "Add"]
    np.testing.assert_allclose(run(rebuilt), run(model), rtol=1e-6, atol=1e-6)


def test_a_product_read_twice_keeps_its_add_apart() -> None:
    nodes = [
        node("MatMul", ["x", "w"], "p"),
        node("Add", ["p", "b"], "q"),
        node("Mul", ["p", "q"]),
    ]
    model = make_model(nodes, {"w": W.T.copy(), "b": B}, inputs=2, outputs=3)
    parts = split(model)
    rebuilt = assemble(parts.skeleton, parts.matrices)
    np.testing.assert_allclose(run(rebuilt), run(model), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("activation", ["Tanh", "Sin", "Relu", "SiLU", "GELU", "Softplus"])
def test_head_activation_and_tail_pass_through(activation: str) -> None:
    model = random_mlp([2, 8, 8, 1], activation=activation)
    parts = split(model)
    assert [s.matrix.shape for s in parts.sites] == [(8, 2), (8, 8), (1, 8)]
    rebuilt = assemble(parts.skeleton, parts.matrices)
    np.testing.assert_allclose(run(rebuilt), run(model), rtol=1e-5, atol=1e-6)
    assert [(g.producers, g.consumers) for g in neuron_groups(parts).groups] == [
        (("site0",), ("site1",)),
        (("site1",), ("site2",)),
    ]


def test_factors_become_two_gemms_with_the_bias_on_the_second() -> None:
    parts = split(FORMS["gemm"])
    u, v = RNG.standard_normal((3, 1)), RNG.standard_normal((1, 2))
    rebuilt = assemble(parts.skeleton, {"site0": SiteMatrix((u, v), B)})
    assert [n.op_type for n in rebuilt.graph.node] == ["Gemm", "Gemm"]
    np.testing.assert_allclose(run(rebuilt), POINTS @ (u @ v).T + B, rtol=1e-5, atol=1e-5)


WEIGHT = RNG.standard_normal((3, 3))


def three_axes(weight: np.ndarray) -> ModelProto:
    """A MatMul on [n, 1, d] between two on [n, d]."""
    nodes = [
        node("MatMul", ["x", "w"], "z"),
        node("Unsqueeze", ["z", "one"], "deep"),
        helper.make_node("MatMul", ["deep", "v"], ["deeper"], name="attention"),
        node("Squeeze", ["deeper", "one"], "flat"),
        node("MatMul", ["flat", "v"]),
    ]
    weights = {"w": W.T.copy(), "v": weight, "one": np.array([1])}
    return make_model(nodes, weights, inputs=2, outputs=3)


def test_a_product_on_three_axes_stays_in_the_graph_with_its_reason() -> None:
    parts = split(three_axes(WEIGHT))
    assert [site.input for site in parts.sites] == ["x", "flat"]
    assert parts.left_alone == ("MatMul 'attention' reads 'deep' of 3 axes, not [n, d]",)
    rebuilt = assemble(parts.skeleton, parts.matrices)
    model = three_axes(WEIGHT)
    np.testing.assert_allclose(run(rebuilt), run(model), rtol=1e-5, atol=1e-5)


def test_evaluation_is_in_double_precision() -> None:
    model = random_mlp([2, 16, 16, 1])
    points = RNG.uniform(-1, 1, (50, 2))
    a = np.asarray(points)
    for layer in range(3):
        weight, bias = (
            onnx.numpy_helper.to_array(t).astype(np.float64)
            for t in model.graph.initializer
            if t.name in (f"w{layer}", f"b{layer}")
        )
        a = a @ weight.T + bias
        a = np.tanh(a) if layer < 2 else a
    assert np.abs(Evaluator(model)(points) - a).max() < 1e-14


def test_dtypes_and_shapes_of_the_file_survive() -> None:
    rebuilt = assemble(split(FORMS["gemm"]).skeleton, split(FORMS["gemm"]).matrices)
    value = rebuilt.graph.output[0].type.tensor_type
    assert value.elem_type == TensorProto.FLOAT
    assert value.shape.dim[0].dim_param == "n"


def test_scalars_have_as_many_axes_as_the_columns_they_meet() -> None:
    """onnxruntime is slow with fewer; the numbers computed stay the same."""
    weights = {"w": np.ones((1, 2)), "pi": np.array(3.0), "one": np.array([1.0])}
    nodes = [
        helper.make_node("Gemm", ["x", "w"], ["z"], transB=1),
        helper.make_node("Sin", ["z"], ["s"]),
        helper.make_node("Mul", ["s", "pi"], ["a"]),
        helper.make_node("Sub", ["one", "a"], ["u"]),
    ]
    model = make_model(nodes, weights, inputs=2)
    parts = split(model)
    shapes = {t.name: tuple(t.dims) for t in parts.skeleton.graph.initializer}
    assert shapes == {"pi.rank2": (1, 1), "one.rank2": (1, 1)}
    points = np.random.default_rng(0).standard_normal((5, 2))
    same = run_float32(assemble(parts.skeleton, parts.matrices), points)
    np.testing.assert_array_equal(same, run_float32(model, points))
