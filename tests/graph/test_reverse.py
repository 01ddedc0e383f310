"""Sensitivities of the output to each site, against differences of the whole model."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import ModelProto, TensorProto, helper
from scipy import special

from hedge.errors import ModelError
from hedge.graph import (
    Evaluator,
    SiteMatrix,
    SplitModel,
    assemble,
    probed_ops,
    site_gradients,
    split,
    trace,
)
from hedge.graph.nodes import run_node
from hedge.ops import OPS
from tests.architectures import ARCHITECTURES
from tests.conftest import make_model, random_mlp

POINTS = np.random.default_rng(0).uniform(-1, 1, (40, 2))
# Weights are stored in float32: a bias moved by this stays exact enough for a quotient.
STEP = 2.0**-7


def by_differences(parts: SplitModel, site: str, neuron: int, seed: np.ndarray) -> np.ndarray:
    matrix = parts.matrices[site]

    def moved(step: float) -> np.ndarray:
        bias = matrix.bias.copy()
        bias[neuron] += step
        changed = {**parts.matrices, site: SiteMatrix(matrix.factors, bias)}
        outputs = Evaluator(assemble(parts.skeleton, changed))(POINTS)
        return np.sum(outputs * seed.reshape(len(POINTS), -1), axis=1)

    near, far = moved(STEP) - moved(-STEP), moved(2 * STEP) - moved(-2 * STEP)
    return (8 * near - far) / (12 * STEP)


def check(model: ModelProto, tolerance: float = 2e-5) -> None:
    parts = split(model)
    traced = trace(parts, POINTS)
    seed = np.random.default_rng(1).standard_normal(traced.output.shape)
    gradients = site_gradients(traced, seed)
    for site in parts.sites:
        for neuron in {0, site.matrix.shape[0] - 1}:
            expected = by_differences(parts, site.name, neuron, seed)
            error = np.abs(gradients[site.name][:, neuron] - expected).max()
            assert error < tolerance * max(1.0, np.abs(expected).max())


SMOOTH = ["Tanh", "Sigmoid", "Sin", "Cos", "Softplus", "Erf", "SiLU", "GELU", "Exp", "Atan"]
# The quotient that judges is itself off where it straddles a kink.
KINKED = ["Softsign", "Elu", "Selu", "LeakyRelu"]


@pytest.mark.parametrize("activation", SMOOTH)
def test_smooth_activations(activation: str) -> None:
    check(random_mlp([2, 6, 6, 2], activation=activation, scale=0.7))


@pytest.mark.parametrize("activation", KINKED)
def test_kinked_activations_away_from_the_kink(activation: str) -> None:
    parts = split(random_mlp([2, 6, 6, 2], activation=activation, scale=0.7))
    traced = trace(parts, POINTS)
    seed = np.ones_like(traced.output)
    found = site_gradients(traced, seed)["site1"][:, 0]
    error = np.abs(found - by_differences(parts, "site1", 0, seed))
    assert np.median(error) < 2e-5


@settings(max_examples=15)
@given(
    widths=st.lists(st.integers(1, 9), min_size=1, max_size=4),
    outputs=st.integers(1, 3),
    seed=st.integers(0, 10**6),
)
def test_random_networks(widths: list[int], outputs: int, seed: int) -> None:
    check(random_mlp([2, *widths, outputs], seed=seed))


def tail(
    nodes: list[tuple[str, list[str], str, dict[str, object]]], **extra: np.ndarray
) -> ModelProto:
    rng = np.random.default_rng(2)
    weights = {"w0": rng.standard_normal((5, 2)), "w1": rng.standard_normal((4, 5)), **extra}
    head = [
        helper.make_node("Gemm", ["x", "w0"], ["z0"], transB=1),
        helper.make_node("Tanh", ["z0"], ["a0"]),
        helper.make_node("Gemm", ["a0", "w1"], ["z1"], transB=1),
    ]
    rest = [helper.make_node(op, inputs, [output], **kw) for op, inputs, output, kw in nodes]
    return make_model([*head, *rest], weights, inputs=2, outputs=None)


TAILS = {
    "skip connection": tail(
        [("Concat", ["z1", "x", "z0"], "c", {"axis": 1}), ("Tanh", ["c"], "u", {})]
    ),
    "product with an input column": tail(
        [("Slice", ["x", "zero", "one", "one"], "t", {}), ("Mul", ["t", "z1"], "u", {})],
        zero=np.array([0]),
        one=np.array([1]),
    ),
    "quotient": tail(
        [
            ("Mul", ["z1", "z1"], "s", {}),
            ("Add", ["s", "two"], "d", {}),
            ("Div", ["z1", "d"], "u", {}),
        ],
        two=np.array(2.0),
    ),
    "gather and reshape": tail(
        [("Gather", ["z1", "columns"], "g", {"axis": 1}), ("Reshape", ["g", "shape"], "u", {})],
        columns=np.array([3, 1, 1]),
        shape=np.array([-1, 3]),
    ),
    "softmax, an op that is probed": tail([("Softmax", ["z1"], "u", {"axis": 1})]),
    "sum over an axis": tail(
        [("ReduceSum", ["z1", "axis"], "u", {"keepdims": 1})], axis=np.array([1])
    ),
    "mean over an axis that goes": tail(
        [
            ("Reshape", ["z1", "pairs"], "m", {}),
            ("ReduceMean", ["m"], "u", {"axes": [-1], "keepdims": 0}),
        ],
        pairs=np.array([-1, 2, 2]),
    ),
    "layer norm": tail(
        [("LayerNormalization", ["z1", "scale", "bias"], "u", {"epsilon": 0.1})],
        scale=np.array([1.0, 0.5, -2.0, 1.5]),
        bias=np.array([0.0, 1.0, 2.0, 3.0]),
    ),
    "layer norm over two axes": tail(
        [
            ("Reshape", ["z1", "pairs"], "m", {}),
            ("LayerNormalization", ["m", "scale"], "h", {"axis": 1}),
            ("Reshape", ["h", "flat"], "u", {}),
        ],
        scale=np.array([[1.0, 0.5], [-2.0, 1.5]]),
        pairs=np.array([-1, 2, 2]),
        flat=np.array([-1, 4]),
    ),
    "layer norm whose scale is felt, too, probed": tail(
        [("LayerNormalization", ["z1", "z1"], "u", {})],
    ),
    "power": tail([("Mul", ["z1", "z1"], "s", {}), ("Pow", ["s", "p"], "u", {})], p=np.array(1.5)),
    "product of two branches": tail([("Tanh", ["z1"], "b", {}), ("Mul", ["z1", "b"], "u", {})]),
}


@pytest.mark.parametrize("model", TAILS.values(), ids=TAILS)
def test_tails_of_all_kinds(model: ModelProto) -> None:
    check(model)


def stacked() -> ModelProto:
    """Products on stacks of matrices and with a vector, of activations and of constants."""
    return tail(
        [
            ("Reshape", ["z1", "pairs"], "m", {}),
            ("MatMul", ["m", "mix"], "s", {}),
            ("MatMul", ["s", "m"], "both", {}),
            ("MatMul", ["both", "sum"], "rows", {}),
            ("MatMul", ["weigh", "both"], "columns", {}),
            ("Concat", ["rows", "columns"], "u", {"axis": 1}),
        ],
        pairs=np.array([-1, 2, 2]),
        mix=np.array([[1.0, -0.5], [0.3, 2.0]]),
        sum=np.array([0.7, -1.1]),
        weigh=np.array([0.2, 0.9]),
    )


def test_products_on_more_or_fewer_axes_are_exact() -> None:
    check(stacked())
    assert probed_ops(split(stacked())) == ()


@pytest.mark.parametrize("kind", sorted(set(ARCHITECTURES) - {"ReLU"}))  # it has a kink
def test_gradients_of_every_architecture(kind: str) -> None:
    check(ARCHITECTURES[kind]())


# onnxruntime takes the approximation apart, with constants in float32.
@pytest.mark.parametrize(("approximate", "accuracy"), [("none", 1e-14), ("tanh", 1e-8)])
def test_gelu_is_evaluated_in_double_precision(approximate: str, accuracy: float) -> None:
    nodes = [
        helper.make_node("Gemm", ["x", "w"], ["z"], transB=1),
        helper.make_node("Gelu", ["z"], ["u"], approximate=approximate),
    ]
    model = make_model(nodes, {"w": np.array([[2.0, 1.0]])}, inputs=2, opset=20)
    z = POINTS @ np.array([2.0, 1.0])
    curve = {
        "none": special.erf(z / np.sqrt(2)),
        "tanh": np.tanh(np.sqrt(2 / np.pi) * (z + 0.044715 * z**3)),
    }[approximate]
    found = Evaluator(model)(POINTS)[:, 0]
    np.testing.assert_allclose(found, z * (1 + curve) / 2, rtol=0, atol=accuracy)
    check(model)


def test_an_output_that_is_read_again_is_felt_both_ways() -> None:
    model = tail([("Tanh", ["z1"], "u", {}), ("Mul", ["u", "z1"], "p", {})])
    model.graph.output.append(helper.make_tensor_value_info("p", TensorProto.FLOAT, ["n", None]))
    check(model)


def test_what_works_along_an_axis_is_exact() -> None:
    for name in ("sum over an axis", "mean over an axis that goes", "layer norm"):
        assert probed_ops(split(TAILS[name])) == ()
    assert probed_ops(split(TAILS["layer norm whose scale is felt, too, probed"])) == (
        "LayerNormalization",
    )


def test_only_ops_behind_a_site_are_probed() -> None:
    model = tail(
        [
            ("ReduceSum", ["x", "axis"], "head", {"keepdims": 1}),
            ("Softmax", ["z1"], "s", {"axis": 1}),
            ("Mul", ["s", "head"], "m", {}),
            ("Celu", ["m"], "u", {}),
        ],
        axis=np.array([1]),
    )
    assert probed_ops(split(model)) == ("Celu", "Softmax")
    check(model)


def test_a_model_that_mixes_rows_is_refused() -> None:
    model = tail(
        [("ReduceMean", ["z1"], "m", {"axes": [0], "keepdims": 1}), ("Sub", ["z1", "m"], "u", {})]
    )
    with pytest.raises(ModelError, match="it mixes the rows"):
        trace(split(model), POINTS)


@pytest.mark.parametrize("op", [name for name, op in OPS.items() if op.derivative is not None])
def test_derivatives_far_out_are_no_warnings(op: str) -> None:
    """Softplus' exponential overflows there, and the derivative is zero as it should."""
    attributes = {"to": TensorProto.FLOAT} if op == "Cast" else {}
    nodes = [
        helper.make_node("MatMul", ["x", "far"], ["z"]),
        helper.make_node(op, ["z"], ["a"], **attributes),
        helper.make_node("MatMul", ["a", "w"], ["u"]),
    ]
    weights = {"far": np.full((2, 3), 600.0), "w": np.ones((3, 1))}
    parts = split(make_model(nodes, weights, inputs=2, opset=20))
    points = np.array([[-1.0, -1.0], [-0.5, -0.5]])  # where the exponential itself stays finite
    gradients = site_gradients(trace(parts, points), np.ones((2, 1)))
    assert all(np.isfinite(gradient).all() for gradient in gradients.values())


def test_a_node_beyond_its_domain_gives_what_is_not_finite() -> None:
    node = helper.make_node("Log", ["x"], ["y"])
    (found,) = run_node(node, 17, {"x": np.array([-1.0, 0.0, 1.0])})
    np.testing.assert_array_equal(found, [np.nan, -np.inf, 0.0])
