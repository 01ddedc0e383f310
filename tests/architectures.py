"""Networks of many architectures with more neurons than they need, built on the spot.

Every hidden neuron is one of NARROW, repeated: the function is that of the narrow network, and
compression has to find that out.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnx
import onnxruntime
from onnx import ModelProto, helper

from hedge.graph import NeuronGroup, SiteMatrix, SplitModel, with_kept_neurons
from tests.conftest import activation_nodes, make_model

NARROW, WIDE = 4, 16
# In the square that they are compressed on, and seen by nothing else.
POINTS = np.random.default_rng(7).uniform(-1, 1, (4000, 2)).astype(np.float32)


class Net:
    """Nodes and weights of a network that grows layer by layer; hidden layers are WIDE."""

    def __init__(self, seed: int = 0) -> None:
        self.rng = np.random.default_rng(seed)
        self.nodes: list[onnx.NodeProto] = []
        self.weights: dict[str, np.ndarray] = {}
        self.copies = np.append(np.arange(NARROW), self.rng.integers(0, NARROW, WIDE - NARROW))

    def op(self, op: str, inputs: list[str], output: str, **attributes: object) -> str:
        self.nodes.append(helper.make_node(op, inputs, [output], name=output, **attributes))
        return output

    def dense(self, source: str, target: str, inputs: int, outputs: int = WIDE) -> str:
        """z = W a + b, of repeated neurons where a side is WIDE."""
        n_in, n_out = (NARROW if n == WIDE else n for n in (inputs, outputs))
        weight = self.rng.standard_normal((n_out, n_in)) / np.sqrt(n_in)
        bias = 0.3 * self.rng.standard_normal(n_out)
        if outputs == WIDE:
            weight, bias = weight[self.copies], bias[self.copies]
        if inputs == WIDE:
            share = self.rng.uniform(0.5, 1.5, WIDE)
            share /= np.bincount(self.copies, share)[self.copies]
            weight = weight[:, self.copies] * share
        self.weights |= {f"w.{target}": weight, f"b.{target}": bias}
        return self.op("Gemm", [source, f"w.{target}", f"b.{target}"], target, transB=1)

    def activation(self, kind: str, source: str, target: str) -> str:
        self.nodes += activation_nodes(kind, source, target, self.weights)
        return target

    def layer(self, source: str, name: str, inputs: int = WIDE, kind: str = "Tanh") -> str:
        return self.activation(kind, self.dense(source, f"z.{name}", inputs), f"a.{name}")

    def constant(self, name: str, least: float = 0.5, most: float = 1.5) -> str:
        """A number per neuron; copies of a neuron have the same."""
        self.weights[name] = self.rng.uniform(least, most, NARROW)[self.copies]
        return name

    def model(self, *, opset: int = 17, **shapes: dict[str, int]) -> ModelProto:
        given = {"inputs": {"x": 2}, "outputs": {"u": 1}, **shapes}
        return make_model(self.nodes, self.weights, opset=opset, **given)


def plain(kind: str, opset: int = 17) -> ModelProto:
    net = Net()
    net.dense(net.layer(net.layer("x", "0", 2, kind), "1", kind=kind), "u", WIDE, 1)
    return net.model(opset=opset)


def with_slopes() -> ModelProto:
    """z σ(b z), then tanh(z) (1 + b z), with the same learnt slopes b."""
    net = Net()
    net.weights["one"] = np.array(1.0)
    slope = net.constant("slope")
    z = net.dense("x", "z.0", 2)
    gate = net.op("Sigmoid", [net.op("Mul", [slope, z], "bent.0")], "gate")
    z = net.dense(net.op("Mul", [z, gate], "a.0"), "z.1", WIDE)
    bent = net.op("Add", [net.op("Mul", [z, slope], "bent.1"), "one"], "above")
    h = net.op("Mul", [net.op("Tanh", [z], "tanh"), bent], "a.1")
    net.dense(h, "u", WIDE, 1)
    return net.model()


def residual() -> ModelProto:
    """h ← h + tanh(W h + b), twice."""
    net = Net()
    h = net.layer("x", "0", 2)
    for block in ("1", "2"):
        h = net.op("Add", [h, net.layer(h, block)], f"h.{block}")
    net.dense(h, "u", WIDE, 1)
    return net.model()


def modified_mlp() -> ModelProto:
    """h ← (1 − Z) ⊙ U + Z ⊙ V with two encoders U and V, twice."""
    net = Net()
    net.weights["one"] = np.array(1.0)
    encoders = [net.layer("x", name, 2) for name in ("encoder.u", "encoder.v")]
    h = net.layer("x", "0", 2)
    for block in ("1", "2"):
        gate = net.layer(h, block)
        rest = net.op("Sub", ["one", gate], f"rest.{block}")
        parts = [
            net.op("Mul", pair, f"part.{block}{i}")
            for i, pair in enumerate(([rest, encoders[0]], [gate, encoders[1]]))
        ]
        h = net.op("Add", parts, f"h.{block}")
    net.dense(h, "u", WIDE, 1)
    return net.model()


def fourier() -> ModelProto:
    """Random frequencies, a head that no neuron can leave: Concat reads both its halves."""
    net = Net()
    net.weights["frequencies"] = net.rng.standard_normal((2, 3))
    f = net.op("MatMul", ["x", "frequencies"], "f")
    both = [net.op("Sin", [f], "sin"), net.op("Cos", [f], "cos")]
    features = net.op("Concat", both, "features", axis=1)
    net.dense(net.layer(net.layer(features, "0", 6), "1"), "u", WIDE, 1)
    return net.model()


def two_inputs() -> ModelProto:
    """x and t, each with its own first layer; Add ties the two."""
    net = Net()
    z = net.op("Add", [net.dense("x", "z.x", 1), net.dense("t", "z.t", 1)], "z.0")
    net.dense(net.layer(net.activation("Tanh", z, "a.0"), "1"), "u", WIDE, 1)
    return net.model(inputs={"x": 1, "t": 1})


def two_outputs() -> ModelProto:
    """A trunk that two heads read: u, and a pressure p a thousand times smaller."""
    net = Net()
    net.weights["small"] = np.array(1e-3)
    trunk = net.layer(net.layer("x", "0", 2), "1")
    net.dense(net.layer(trunk, "u"), "u", WIDE, 2)
    net.op("Mul", [net.dense(net.layer(trunk, "p"), "q", WIDE, 1), "small"], "p")
    return net.model(outputs={"u": 2, "p": 1})


def mixed_tail() -> ModelProto:
    """u = x (1 − x) N + sin y, and N also reads the first layer and x by a skip that Concat joins."""
    net = Net()
    net.weights |= {"one": np.array(1.0), "halves": np.array([1, 1])}
    net.nodes.append(helper.make_node("Split", ["x", "halves"], ["left", "right"], axis=1))
    first = net.layer("x", "0", 2)
    last = net.layer(net.layer(first, "1"), "2")
    skip = net.op("Concat", [last, first, "x"], "skip", axis=1)
    net.dense(skip, "n", 2 * WIDE + 2, 1)
    distance = net.op("Mul", ["left", net.op("Sub", ["one", "left"], "rest")], "distance")
    inside = net.op("Mul", [distance, "n"], "inside")
    net.op("Add", [inside, net.op("Sin", ["right"], "boundary")], "u")
    return net.model()


ARCHITECTURES: dict[str, Callable[[], ModelProto]] = {
    "tanh": lambda: plain("Tanh"),
    "sin": lambda: plain("Sin"),
    "ReLU": lambda: plain("Relu"),
    "Softplus": lambda: plain("Softplus"),
    "SiLU as Sigmoid and Mul": lambda: plain("SiLU"),
    "GELU by Erf": lambda: plain("GELU"),
    "Gelu of opset 20": lambda: plain("Gelu", opset=20),
    "slopes per neuron": with_slopes,
    "residual": residual,
    "modified MLP": modified_mlp,
    "Fourier features": fourier,
    "two inputs": two_inputs,
    "two outputs": two_outputs,
    "mixed tail": mixed_tail,
}


def permuted(parts: SplitModel, group: NeuronGroup, rng: np.random.Generator) -> SplitModel:
    """The same with the neurons of a group in another order, and their constants."""
    order = rng.permutation(group.width)
    changed = parts.matrices
    for name in group.producers:
        matrix = changed[name]
        changed[name] = SiteMatrix((matrix.dense()[order],), matrix.bias[order])
    for name in group.consumers:
        matrix = changed[name]
        changed[name] = SiteMatrix((matrix.dense()[:, order],), matrix.bias)
    kept = dict.fromkeys(group.producers, order)
    return with_kept_neurons(parts, [group], kept).replaced(changed)


def outputs_of(model: ModelProto, points: np.ndarray = POINTS) -> dict[str, np.ndarray]:
    """Each output by its name, from the runtime; the inputs are columns of the points in turn."""
    session = onnxruntime.InferenceSession(model.SerializeToString())
    columns = iter(points.T)
    feed = {
        value.name: np.stack([next(columns) for _ in range(value.shape[1])], axis=1)
        if len(value.shape) == 2
        else next(columns)
        for value in session.get_inputs()
    }
    names = [value.name for value in session.get_outputs()]
    return dict(zip(names, session.run(names, feed), strict=True))


def worst_error(small: ModelProto, dense: ModelProto) -> float:
    """The largest relative L2 error of an output, both models in the runtime."""
    found, expected = outputs_of(small), outputs_of(dense)
    assert found.keys() == expected.keys()
    assert all(found[name].shape == expected[name].shape for name in expected)
    return max(
        float(np.linalg.norm(found[name] - value) / np.linalg.norm(value))
        for name, value in expected.items()
    )
