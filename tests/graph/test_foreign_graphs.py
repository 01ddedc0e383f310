"""Graphs of other tools: double precision, scalers of scikit-learn, quantized weights, foreign nodes."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

import hedge
from hedge.errors import ModelError, RoundingWarning
from hedge.graph import load_model, run_float32, split

POINTS = np.random.default_rng(1).uniform(-1, 1, (40, 2)).astype(np.float32)
rng = np.random.default_rng(0)
A, B, BIAS = rng.standard_normal((2, 8)), rng.standard_normal((8, 1)), rng.standard_normal((1, 8))
DENSE = [
    helper.make_node("MatMul", ["x", "A"], ["z"]),
    helper.make_node("Add", ["z", "bias"], ["s"]),
    helper.make_node("Tanh", ["s"], ["h"]),
    helper.make_node("MatMul", ["h", "B"], ["u"]),
]
WEIGHTS = {"A": A, "B": B, "bias": BIAS}


def exact(points: np.ndarray) -> np.ndarray:
    return np.asarray(np.tanh(points @ A + BIAS) @ B)


def model(
    nodes: list[NodeProto],
    element: int = TensorProto.FLOAT,
    weights: dict[str, np.ndarray] | None = None,
    opsets: dict[str, int] | None = None,
    ir_version: int = 8,
) -> ModelProto:
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", element, ["n", 2])],
        [helper.make_tensor_value_info("u", element, ["n", 1])],
        [
            numpy_helper.from_array(v, name)
            for name, v in (weights if weights is not None else single(WEIGHTS)).items()
        ],
    )
    imports = [helper.make_opsetid(d, v) for d, v in (opsets or {"": 17}).items()]
    return helper.make_model(graph, opset_imports=imports, ir_version=ir_version)


def single(weights: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {name: values.astype(np.float32) for name, values in weights.items()}


@pytest.fixture
def saved(tmp_path: Path) -> Callable[[ModelProto], Path]:
    def save(built: ModelProto) -> Path:
        onnx.save(built, tmp_path / "m.onnx")
        return tmp_path / "m.onnx"

    return save


Saved = Callable[[ModelProto], Path]


def cast(source: str, target: str, to: int) -> NodeProto:
    return helper.make_node("Cast", [source], [target], to=to)


def renamed(source: str, target: str) -> list[NodeProto]:
    """The network between other tensors."""
    nodes = []
    for node in DENSE:
        copy = NodeProto()
        copy.CopyFrom(node)
        copy.input[:] = [source if name == "x" else name for name in copy.input]
        copy.output[:] = [target if name == "u" else name for name in copy.output]
        nodes.append(copy)
    return nodes


# --- Double precision -----------------------------------------------------------------------------


DOUBLES = {
    "double input": model(DENSE, TensorProto.DOUBLE, WEIGHTS),
    "doubles between casts": model(
        [cast("x", "y", TensorProto.DOUBLE), *renamed("y", "v"), cast("v", "u", TensorProto.FLOAT)],
        weights=WEIGHTS,
    ),
    "a constant node": model(
        [helper.make_node("Constant", [], ["A"], value=numpy_helper.from_array(A)), *DENSE],
        TensorProto.DOUBLE,
        {"B": B, "bias": BIAS},
    ),
}


@pytest.mark.parametrize("kind", DOUBLES)
def test_doubles_are_rounded_with_a_word(kind: str, saved: Saved) -> None:
    with pytest.warns(
        RoundingWarning, match=r"m\.onnx: is in double precision.* by [1-9]\.\de-0[678] of"
    ):
        loaded = load_model(saved(DOUBLES[kind]))
    assert np.abs(run_float32(loaded, POINTS) - exact(POINTS)).max() < 1e-5
    assert len(split(loaded).sites) == 2
    assert {node.op_type for node in loaded.graph.node} <= {"MatMul", "Add", "Tanh", "Identity"}
    onnx.checker.check_model(loaded, full_check=True)


def test_the_rounding_is_that_of_the_outputs(saved: Saved) -> None:
    """Two columns of which the small one is left when the large ones cancel in double, and not in float32."""
    weights = {**WEIGHTS, "B": np.vstack([[1e7 + 0.3], [-1e7], np.zeros((6, 1))])}
    weights |= {"A": np.repeat(A[:, :1], 8, axis=1), "bias": np.repeat(BIAS[:, :1], 8, axis=1)}
    with pytest.warns(RoundingWarning, match=r" by [1-9]\.\de[-+]0[01] of their size"):
        load_model(saved(model(DENSE, TensorProto.DOUBLE, weights)))


def test_doubles_beyond_float32_are_refused(saved: Saved) -> None:
    with pytest.raises(ModelError, match=r"m\.onnx: weights 'A' are too large for float32"):
        load_model(saved(model(DENSE, TensorProto.DOUBLE, {**WEIGHTS, "A": A * 1e60})))


# --- scikit-learn ---------------------------------------------------------------------------------


def scaled(offset: list[float], scale: list[float], domain: str = "ai.onnx.ml") -> ModelProto:
    scaler = helper.make_node("Scaler", ["x"], ["y"], domain=domain, offset=offset, scale=scale)
    return model([scaler, *renamed("y", "u")], opsets={"": 17, "ai.onnx.ml": 1})


@pytest.mark.parametrize(("offset", "scale"), [([0.3, -1.0], [2.0, 0.5]), ([0.1], [3.0])])
def test_a_scaler_is_written_out(offset: list[float], scale: list[float], saved: Saved) -> None:
    loaded = load_model(saved(scaled(offset, scale)))
    expected = exact((POINTS - offset) * scale)
    assert np.abs(run_float32(loaded, POINTS) - expected).max() < 1e-5
    assert len(split(loaded).sites) == 2


def test_a_scaler_reads_doubles(saved: Saved) -> None:
    built = scaled([0.3, -1.0], [2.0, 0.5])
    built.graph.input[0].type.tensor_type.elem_type = TensorProto.DOUBLE
    loaded = load_model(saved(built))
    assert (
        np.abs(run_float32(loaded, POINTS) - exact((POINTS - [0.3, -1.0]) * [2.0, 0.5])).max()
        < 1e-5
    )


def test_types_that_are_mixed_are_refused(saved: Saved) -> None:
    with pytest.raises(ModelError, match="is not valid ONNX"):
        load_model(saved(model(DENSE, TensorProto.DOUBLE)))


def test_a_scaler_and_row_biases_in_c(saved: Saved, tmp_path: Path) -> None:
    path = saved(scaled([0.3, -1.0], [2.0, 0.5]))
    hedge.export_c(path, tmp_path / "m.c", test=True)
    run = subprocess.run(
        ["make", "-f", "m.mk", "test"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stdout + run.stderr


def test_other_operators_of_converters_are_named(saved: Saved) -> None:
    node = helper.make_node("Normalizer", ["x"], ["y"], domain="ai.onnx.ml", norm="L2")
    built = model([node, *renamed("y", "u")], opsets={"": 17, "ai.onnx.ml": 1})
    with pytest.raises(ModelError, match=r"operator 'Normalizer' of the domain 'ai\.onnx\.ml'"):
        load_model(saved(built))


# --- Quantized files ------------------------------------------------------------------------------


def quantized(name: str, axis: int | None, *, by_node: bool) -> ModelProto:
    """The network with one weight in int8, of one scale or one for each column, or quantized by a node."""
    values = WEIGHTS[name]
    largest = np.abs(values).max() if axis is None else np.abs(values).max(axis=1 - axis)
    scale = (np.asarray(largest) / 127).astype(np.float32)
    zero = np.zeros(scale.shape, np.int8)
    weights = {**single(WEIGHTS), "scale": scale, "zero": zero}
    more = {} if axis is None else {"axis": axis}
    nodes = [
        helper.make_node("DequantizeLinear", ["q", "scale", "zero"], [f"{name}.float"], **more)
    ]
    if by_node:
        nodes.insert(0, helper.make_node("QuantizeLinear", [name, "scale", "zero"], ["q"], **more))
    else:
        sizes = scale if axis is None else np.expand_dims(scale, 1 - axis)
        weights["q"] = np.round(weights.pop(name) / sizes).astype(np.int8)
    dense = renamed("x", "u")
    for node in dense:
        node.input[:] = [f"{name}.float" if each == name else each for each in node.input]
    return model([*nodes, *dense], weights=weights)


@pytest.mark.parametrize("by_node", [True, False])
@pytest.mark.parametrize(
    ("name", "axis"), [("A", None), ("A", 1), ("A", 0), ("B", None), ("bias", None)]
)
def test_quantized_weights_are_folded(
    name: str, axis: int | None, by_node: bool, saved: Saved
) -> None:
    path = saved(quantized(name, axis, by_node=by_node))
    loaded = load_model(path)
    assert len(split(loaded).sites) == 2
    small = hedge.compress(
        path,
        device="laptop-x86",
        domain="-1:1,-1:1",
        tolerance=1e-2,
        objective="size",
        recover=None,
    )
    expected = run_float32(loaded, POINTS)
    off = np.linalg.norm(run_float32(small.to_onnx(), POINTS) - expected)
    assert off < 2e-2 * np.linalg.norm(expected)


def test_quantized_activations_ask_for_the_float_file(saved: Saved) -> None:
    scales = {"scale": np.float32(0.01), "zero": np.int8(0)}
    qdq = [
        helper.make_node("QuantizeLinear", ["x", "scale", "zero"], ["q"], name="quantize"),
        helper.make_node("DequantizeLinear", ["q", "scale", "zero"], ["y"]),
    ]
    path = saved(model([*qdq, *renamed("y", "u")], weights={**single(WEIGHTS), **scales}))
    with pytest.raises(
        ModelError, match=r"m\.onnx: is quantized already: QuantizeLinear 'quantize'.*float file"
    ):
        hedge.compress(path, device="laptop-x86", domain="-1:1,-1:1", recover=None)
    load_model(path)  # to be timed beside others


# --- Nodes of onnxruntime's own -------------------------------------------------------------------

B8 = np.ones(8, np.float32)
OF_RUNTIME = {
    "Gelu": (["s"], {}),
    "BiasGelu": (["s", "b8"], {}),
    "FastGelu": (["s", "b8"], {}),
    "QuickGelu": (["s"], {"alpha": 1.5}),
}


@pytest.mark.parametrize("opset", [9, 17])
@pytest.mark.parametrize("op", OF_RUNTIME)
def test_nodes_of_onnxruntime_are_evaluated_as_it_does(op: str, opset: int, saved: Saved) -> None:
    inputs, attributes = OF_RUNTIME[op]
    nodes = renamed("x", "u")
    nodes[2] = helper.make_node(op, inputs, ["h"], domain="com.microsoft", **attributes)  # type: ignore[arg-type]
    built = model(
        nodes, weights={**single(WEIGHTS), "b8": B8}, opsets={"": opset, "com.microsoft": 1}
    )
    path = saved(built)
    loaded = load_model(path)
    names = [value.name for value in loaded.graph.output]
    double = hedge.graph.Evaluator(loaded, names).intermediates(POINTS.astype(np.float64))["u"]
    assert np.abs(double - run_float32(loaded, POINTS)).max() < 1e-4
    small = hedge.compress(
        path, device="laptop-x86", domain="-1:1,-1:1", tolerance=1e-2, recover=None
    )
    assert small.plan.relative_error < 1e-2


def test_a_fourier_neural_operator_is_told_what_of_it_is_dense(tmp_path: Path) -> None:
    nodes = [*DENSE[:3], helper.make_node("DFT", ["h"], ["modes"], axis=1), *DENSE[3:]]
    (tmp_path / "m.onnx").write_bytes(model(nodes).SerializeToString())
    message = r"1 Fourier transform\(s\) \(DFT\), .*no dense layer.* beside it: 2 MatMul$"
    with pytest.raises(ModelError, match=message):
        load_model(tmp_path / "m.onnx")
