"""Models of other tools: odd forms of graphs compress within tolerance, or are refused in one line."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import ModelProto, TensorProto, helper, numpy_helper

import hedge
from hedge.errors import ModelError
from hedge.graph import load_model, neuron_groups, split
from tests.conftest import make_model, random_mlp

POINTS = np.random.default_rng(7).uniform(-1, 1, (4000, 2)).astype(np.float32)
Save = Callable[[ModelProto], Path]


def run(model: ModelProto) -> np.ndarray:
    session = onnxruntime.InferenceSession(model.SerializeToString())
    fixed = session.get_inputs()[0].shape[0] == 1
    batches = np.split(POINTS, len(POINTS)) if fixed else [POINTS]
    return np.vstack([session.run(None, {"x": batch})[0] for batch in batches])


def compress(path: Path, **options: object) -> hedge.compression.CompressedModel:
    options = {"tolerance": 1e-2, "objective": "size", "domain": "-1:1,-1:1", **options}
    return hedge.compress(path, device="laptop-x86", **options, recover=None)  # type: ignore[arg-type]


def node(op: str, inputs: list[str], output: str, **attributes: object) -> onnx.NodeProto:
    return helper.make_node(op, inputs, [output], **attributes)


def hidden(nodes: list[onnx.NodeProto], opset: int = 17, **extra: np.ndarray) -> ModelProto:
    """A 2-16-16-1 net whose first activation is made of ``nodes``, from z0 to a0."""
    rng = np.random.default_rng(0)
    weights = {
        "w0": rng.standard_normal((16, 2)), "b0": rng.standard_normal(16),
        "w1": rng.standard_normal((16, 16)) / 4, "b1": rng.standard_normal(16),
        "w2": rng.standard_normal((1, 16)) / 4, "b2": rng.standard_normal(1),
        **extra,
    }  # fmt: skip
    chain = [
        node("Gemm", ["x", "w0", "b0"], "z0", transB=1),
        *nodes,
        node("Gemm", ["a0", "w1", "b1"], "z1", transB=1),
        node("Tanh", ["z1"], "a1"),
        node("Gemm", ["a1", "w2", "b2"], "u", transB=1),
    ]
    return make_model(chain, weights, inputs=2, opset=opset)


def old_opset(model: ModelProto, version: int, ir_version: int = 10) -> ModelProto:
    model.opset_import[0].version = version
    model.ir_version = ir_version
    return model


def weights_among_inputs() -> ModelProto:
    model = old_opset(random_mlp([2, 16, 16, 1]), 9, ir_version=3)
    for tensor in model.graph.initializer:
        model.graph.input.append(
            helper.make_tensor_value_info(tensor.name, TensorProto.FLOAT, list(tensor.dims))
        )
    return model


def with_dead_layer() -> ModelProto:
    model = random_mlp([2, 16, 16, 1])
    model.graph.node.append(node("Gemm", ["a0", "w1", "b1"], "dead", transB=1))
    return model


def with_names_of_ours() -> ModelProto:
    model = random_mlp([2, 16, 16, 1])
    for item in (*model.graph.node,):
        for field in (item.input, item.output):
            for i, name in enumerate(field):
                field[i] = {"z1": "site1.hidden0", "w1": "site1.factor0"}.get(name, name)
    next(t for t in model.graph.initializer if t.name == "w1").name = "site1.factor0"
    return model


def local_function() -> ModelProto:
    model = random_mlp([2, 16, 16, 1])
    body = [helper.make_node("Tanh", ["z"], ["a"])]
    function = helper.make_function(
        "mine", "Wave", ["z"], ["a"], body, [helper.make_opsetid("", 17)]
    )
    model.functions.append(function)
    model.opset_import.append(helper.make_opsetid("mine", 1))
    for item in model.graph.node:
        if item.op_type == "Tanh":
            item.op_type, item.domain = "Wave", "mine"
    return model


def fixed_batch() -> ModelProto:
    model = random_mlp([2, 16, 16, 1])
    for value in (model.graph.input[0], model.graph.output[0]):
        value.type.tensor_type.shape.dim[0].dim_value = 1
    return model


def constants_as_nodes() -> ModelProto:
    """GELU as some exporters write it: its scalars are Constant nodes, one of them a plain float."""
    model = random_mlp([2, 16, 16, 1], activation="GELU")
    scalars = {"root2", "one", "half"}
    held = {t.name: t for t in model.graph.initializer if t.name in scalars}
    for name, tensor in held.items():
        model.graph.initializer.remove(tensor)
        value = float(numpy_helper.to_array(tensor))
        kind = {"value_float": value} if name == "one" else {"value": tensor}
        model.graph.node.insert(0, helper.make_node("Constant", [], [name], **kind))
    return model


WORKABLE = {
    "scalars in Constant nodes": constants_as_nodes(),
    "opset 9": old_opset(random_mlp([2, 16, 16, 1]), 9),
    "opset 13": old_opset(random_mlp([2, 16, 16, 1]), 13),
    "opset 21": old_opset(random_mlp([2, 16, 16, 1]), 21),
    "weights among the inputs": weights_among_inputs(),
    "a dead layer": with_dead_layer(),
    "names that hedge uses": with_names_of_ours(),
    "a local function": local_function(),
    "fixed batch of 1": fixed_batch(),
    "width 1": random_mlp([2, 1, 1, 1]),
    "20 outputs": random_mlp([2, 16, 16, 20]),
    "Max with a constant": hidden([node("Max", ["z0", "zero"], "a0")], zero=np.array(0.0)),
    "Clip with attributes": hidden([node("Clip", ["z0"], "a0", min=-1.0, max=1.0)], opset=9),
    "Unsqueeze and Squeeze of old": hidden(
        [
            node("Unsqueeze", ["z0"], "wide", axes=[1]),
            node("Tanh", ["wide"], "bent"),
            node("Squeeze", ["bent"], "a0", axes=[1]),
        ],
        opset=11,
    ),
    "scale per neuron": hidden(
        [node("Mul", ["z0", "slope"], "s0"), node("Tanh", ["s0"], "a0")],
        slope=np.linspace(1, 2, 16),
    ),
    "Fourier features": make_model(
        [
            node("MatMul", ["x", "frequencies"], "f"),
            node("Sin", ["f"], "s"),
            node("Cos", ["f"], "c"),
            node("Concat", ["s", "c"], "h", axis=1),
            node("Gemm", ["h", "w", "b"], "z", transB=1),
            node("Tanh", ["z"], "a"),
            node("Gemm", ["a", "v"], "u", transB=1),
        ],
        {
            "frequencies": np.random.default_rng(1).standard_normal((2, 8)),
            "w": np.random.default_rng(2).standard_normal((16, 16)) / 4,
            "b": np.random.default_rng(3).standard_normal(16),
            "v": np.random.default_rng(4).standard_normal((1, 16)) / 4,
        },
        inputs=2,
    ),
}


@pytest.mark.parametrize("keep_widths", [False, True], ids=["reduced", "factorized"])
@pytest.mark.parametrize("model", WORKABLE.values(), ids=WORKABLE)
def test_workable_models_stay_within_tolerance_in_the_runtime(
    model: ModelProto, keep_widths: bool, saved: Save, tmp_path: Path
) -> None:
    path = saved(model)
    small = compress(path, keep_widths=keep_widths, out=tmp_path / "m.hedge.safetensors")
    exported = hedge.export(tmp_path / "m.hedge.safetensors", tmp_path / "small.onnx")
    dense = run(model)
    assert np.linalg.norm(run(exported) - dense) < 1e-2 * np.linalg.norm(dense)
    assert small.plan.parameters <= small.plan.dense_parameters


def test_constants_as_nodes_leave_neurons_removable(saved: Save) -> None:
    parts = split(load_model(saved(constants_as_nodes())))
    assert len(neuron_groups(parts).groups) == 2


def test_an_exported_model_can_be_compressed_again(
    heat_path: Path, saved: Save, tmp_path: Path
) -> None:
    first = hedge.compress(
        heat_path, device="laptop-x86", tolerance=1e-2, objective="size", recover=None
    )
    once = tmp_path / "once.onnx"
    hedge.export(first, once)
    again = hedge.compress(
        once, device="laptop-x86", tolerance=1e-2, objective="size", recover=None
    )
    twice = hedge.export(again, tmp_path / "twice.onnx")
    points = np.random.default_rng(0).uniform(0, 1, (2000, 2)).astype(np.float32)
    u, v = (
        onnxruntime.InferenceSession(m.SerializeToString()).run(None, {"x": points})[0]
        for m in (onnx.load(once), twice)
    )
    assert np.linalg.norm(u - v) < 1e-2 * np.linalg.norm(u)


def control_flow() -> ModelProto:
    branch = helper.make_graph(
        [node("Tanh", ["z0"], "t")],
        "branch",
        [],
        [helper.make_tensor_value_info("t", TensorProto.FLOAT, None)],
    )
    return hidden(
        [node("If", ["yes"], "a0", then_branch=branch, else_branch=branch)], yes=np.array(True)
    )


def unknown_op() -> ModelProto:
    model = hidden([node("Wave", ["z0"], "a0", domain="nobody")])
    model.opset_import.append(helper.make_opsetid("nobody", 1))
    return model


def impossible_constant() -> ModelProto:
    nodes = [node("Reshape", ["slope", "shape"], "odd"), node("Mul", ["z0", "odd"], "a0")]
    return hidden(nodes, slope=np.ones(16), shape=np.array([3, 7]))


REFUSED = {
    "control flow": (control_flow(), r"holds control flow \(If\)"),
    "an op nobody knows": (unknown_op(), "does not read"),
    "an impossible constant": (impossible_constant(), "can't be evaluated"),
    "undefined output": (hidden([node("Log", ["z0"], "a0")]), "not finite on the domain"),
}


@pytest.mark.parametrize(("model", "message"), REFUSED.values(), ids=REFUSED)
def test_unworkable_models_are_refused_by_name(
    model: ModelProto, message: str, saved: Save
) -> None:
    with pytest.raises(ModelError, match=rf"model\.onnx.*{message}"):
        compress(saved(model))


def test_a_fit_does_not_trade_error_for_rounding(saved: Save, tmp_path: Path) -> None:
    """Weights that amplify float32's rounding would hold in float64 and fail on the device."""
    rng = np.random.default_rng(3)
    for seed in rng.integers(0, 10**6, 4):
        path = saved(random_mlp([2, 24, 24, 24, 1], seed=int(seed)))
        small = compress(path, keep_widths=True)
        largest = max(np.abs(f).max() for m in small.matrices.values() for f in m.factors)
        assert largest < 1e3
