"""BatchNorm and constants per neuron become part of the sites beside them; what else reads them stays."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import ModelProto

import hedge
from hedge.graph import assemble, load_model, neuron_groups, run_float32, split
from tests.architectures import NARROW, WIDE, Net
from tests.conftest import make_model

POINTS = np.random.default_rng(1).uniform(-1, 1, (200, 2)).astype(np.float32)
Between = Callable[[Net, str], str]


def constant(net: Net, name: str, *, shape: tuple[int, ...] = (WIDE,)) -> str:
    """A number per neuron; copies of a neuron have the same."""
    net.weights[name] = net.rng.uniform(0.5, 1.5, NARROW)[net.copies].reshape(shape)
    return name


def batch_norm(net: Net, source: str) -> str:
    inputs = [source, *(constant(net, f"{name}.{source}") for name in ("s", "b", "m", "v"))]
    return net.op("BatchNormalization", inputs, f"norm.{source}", epsilon=1e-3)


def arithmetic(*ops: str, shape: tuple[int, ...] = (WIDE,)) -> Between:
    def between(net: Net, source: str) -> str:
        for number, op in enumerate(ops):
            name, left = op.lstrip("r"), op.startswith("r")
            row = constant(net, f"c{number}.{source}", shape=shape)
            operands = [row, source] if left else [source, row]
            source = net.op(name, operands, f"{name}{number}.{source}")
        return source

    return between


BETWEEN: dict[str, Between] = {
    "BatchNorm": batch_norm,
    "scale and shift": arithmetic("Mul", "Add"),
    "shift and scale": arithmetic("Sub", "Div"),
    "constant first": arithmetic("rSub", "rMul", "rAdd"),
    "as rows": arithmetic("Mul", "Add", shape=(1, WIDE)),
}


def network(
    behind_layer: Between | None, behind_activation: Between | None, *, skip: bool = False
) -> ModelProto:
    net, h = Net(), "x"
    for number, width in enumerate((2, WIDE)):
        h = net.dense(h, f"z{number}", width)
        h = behind_layer(net, h) if behind_layer else h
        h = net.op("Tanh", [h], f"h{number}")
        h = behind_activation(net, h) if behind_activation else h
    if skip:
        h = net.op("Mul", [h, h], "square")
    net.dense(h, "u", WIDE, 1)
    return make_model(net.nodes, net.weights, inputs=2)


@pytest.mark.parametrize("place", ["behind a layer", "behind an activation", "both"])
@pytest.mark.parametrize("kind", BETWEEN)
def test_it_is_folded(kind: str, place: str, tmp_path: Path) -> None:
    between = BETWEEN[kind]
    model = network(
        None if place == "behind an activation" else between,
        None if place == "behind a layer" else between,
    )
    parts = split(model)
    assert [n.op_type for n in parts.skeleton.graph.node if not n.domain] == ["Tanh", "Tanh"]
    exact = run_float32(model, POINTS)
    folded = run_float32(assemble(parts.skeleton, parts.matrices), POINTS)
    assert np.abs(folded - exact).max() < 1e-5 * np.abs(exact).max()
    assert [len(group.producers) for group in neuron_groups(parts).groups] == [1, 1]
    onnx.save(model, tmp_path / "m.onnx")
    small = hedge.compress(
        tmp_path / "m.onnx", device="laptop-x86", domain="-1:1,-1:1", tolerance=1e-3,
        objective="size", recover=None,
    )  # fmt: skip
    assert max(matrix.shape[0] for matrix in small.matrices.values()) <= NARROW
    off = run_float32(small.to_onnx(), POINTS) - exact
    assert np.linalg.norm(off) < 2e-3 * np.linalg.norm(exact)


def test_what_others_read_stays() -> None:
    model = network(None, BETWEEN["scale and shift"], skip=True)
    parts = split(model)
    ops = [n.op_type for n in parts.skeleton.graph.node if not n.domain]
    assert ops == ["Tanh", "Tanh", "Mul", "Add", "Mul"]  # the first layer's are folded
    exact = run_float32(model, POINTS)
    folded = run_float32(assemble(parts.skeleton, parts.matrices), POINTS)
    assert np.abs(folded - exact).max() < 1e-5 * np.abs(exact).max()


def test_what_is_done_to_the_inputs_stays() -> None:
    """(x − 1000) / 0.001 in float32 loses nothing as it stands, and everything once it is folded."""
    net = Net()
    net.weights |= {"mean": np.full(2, 1000.0), "size": np.full(2, 1e-3)}
    net.op("Div", [net.op("Sub", ["x", "mean"], "moved"), "size"], "scaled")
    net.dense(net.op("Tanh", [net.dense("scaled", "z", 2)], "h"), "u", WIDE, 1)
    parts = split(make_model(net.nodes, net.weights, inputs=2))
    assert [n.op_type for n in parts.skeleton.graph.node if not n.domain] == ["Sub", "Div", "Tanh"]


def test_columns_of_the_output_are_scaled_by_their_site(tmp_path: Path) -> None:
    net = Net()
    net.weights |= {"size": np.array([2.0, 30.0]), "mean": np.array([1.0, -5.0])}
    z = net.dense(net.layer("x", "0", 2), "v", WIDE, 2)
    net.op("Add", [net.op("Mul", [z, "size"], "w"), "mean"], "u")
    onnx.save(make_model(net.nodes, net.weights, inputs=2, outputs=2), tmp_path / "m.onnx")
    model = load_model(tmp_path / "m.onnx")
    parts = split(model)
    assert [n.op_type for n in parts.skeleton.graph.node if not n.domain] == ["Tanh"]
    assert parts.sites[-1].output == "u"
    folded = run_float32(assemble(parts.skeleton, parts.matrices), POINTS)
    assert np.abs(folded - run_float32(model, POINTS)).max() < 1e-4
