"""Small networks as other tools export them: torch's two exporters, and the idioms of tf2onnx and skl2onnx.

Each is honest: hedge may refuse one, but what it makes of it has to be within the tolerance of the file.
"""

from __future__ import annotations

import importlib.util
import io
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import onnx
import torch
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper
from torch import Tensor, nn

from tests.fuzz.kind import Kind
from tests.fuzz.onnx_files import DEVICE, check

ACTIVATIONS: tuple[Callable[[], nn.Module], ...] = (
    nn.Tanh, nn.SiLU, nn.GELU, nn.ReLU, nn.Sigmoid, nn.Softplus, nn.ELU, nn.LeakyReLU, nn.Hardswish, nn.Mish,
    nn.Softsign, nn.SELU, nn.Hardtanh, nn.LogSigmoid, nn.Tanhshrink,
)  # fmt: skip

BEFORE = ("nothing", "scaled", "fourier", "sliced", "periodic", "concatenated")
BETWEEN = ("nothing", "nothing", "residual", "gated", "norm", "batch norm", "shared")
BEHIND = ("nothing", "nothing", "constraint", "scaled", "squeezed", "softmax", "mean")


# --- torch -------------------------------------------------------------------------------------------


class Network(nn.Module):
    """Layers of one width, with what PINNs put before, between and behind them."""

    def __init__(self, rng: Random, inputs: int, outputs: int) -> None:
        super().__init__()
        width = rng.randint(2, 20)
        self.before = rng.choice(
            ("nothing", "scaled", "fourier", "sliced", "periodic", "concatenated")
        )
        self.between = rng.choice(
            ("nothing", "nothing", "residual", "gated", "norm", "batch norm", "shared")
        )
        self.behind = rng.choice(
            ("nothing", "nothing", "constraint", "scaled", "squeezed", "softmax", "mean")
        )
        self.register_buffer("low", torch.tensor([0.1 * rng.random() for _ in range(inputs)]))
        self.register_buffer("frequencies", torch.randn(inputs, 3))
        wide = {"fourier": 6, "periodic": 2 * inputs, "concatenated": 2 * inputs}.get(
            self.before, inputs
        )
        self.first = nn.Linear(wide, width, bias=rng.random() < 0.9)
        self.hidden = nn.ModuleList(nn.Linear(width, width) for _ in range(rng.randint(0, 3)))
        self.gate = nn.Linear(wide, width)
        kinds: dict[str, Callable[[], nn.Module]] = {
            "norm": lambda: nn.LayerNorm(width), "batch norm": lambda: nn.BatchNorm1d(width)
        }  # fmt: skip
        self.norm = kinds.get(self.between, nn.Identity)()
        self.last = nn.Linear(width, outputs)
        self.activation = rng.choice(ACTIVATIONS)()

    def forward(self, x: Tensor) -> Tensor:
        given = x
        x = self._read(x)
        gate = torch.sigmoid(self.gate(x))
        h = self.activation(self.first(x))
        for layer in self.hidden:
            z = self.activation(
                self.norm((self.hidden[0] if self.between == "shared" else layer)(h))
            )
            h = z + h if self.between == "residual" else z * gate if self.between == "gated" else z
        return self._written(self.last(h), given)

    def _read(self, x: Tensor) -> Tensor:
        if self.before == "scaled":
            return 2.0 * (x - self.low) / (1.0 - self.low) - 1.0
        if self.before == "fourier":
            return torch.cat(
                [torch.sin(x @ self.frequencies), torch.cos(x @ self.frequencies)], dim=-1
            )
        if self.before == "sliced":
            return torch.cat([x[:, :1] * 2.0, x[:, 1:] - 0.5], dim=1)
        if self.before == "periodic":
            return torch.stack([torch.cos(6.0 * x), torch.sin(6.0 * x)], dim=-1).flatten(1)
        return torch.cat([x, x**2], dim=1) if self.before == "concatenated" else x

    def _written(self, u: Tensor, x: Tensor) -> Tensor:
        if self.behind == "constraint":
            return x[:, :1] * (1.0 - x[:, :1]) * u + torch.sin(x[:, :1])
        if self.behind == "scaled":
            return u.double().mul(3.0).float() + 0.5
        if self.behind == "squeezed":
            return u[:, 0]
        if self.behind == "softmax":
            return torch.softmax(torch.cat([u, 0.5 * u], dim=1), dim=1)
        return u.mean(dim=1, keepdim=True) if self.behind == "mean" else u


def by_torch(rng: Random, *, dynamo: bool) -> ModelProto:
    inputs, outputs = rng.randint(1, 4), rng.randint(1, 3)
    torch.manual_seed(rng.randrange(2**31))
    network = Network(rng, inputs, outputs).eval()
    batch = torch.rand(rng.choice((1, 3, 5)), inputs)
    free = rng.random() < 0.8
    how: dict[str, Any] = {"input_names": ["x"], "output_names": ["u"], "dynamo": dynamo}
    stream = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of what is deprecated in torch
        if dynamo:
            shapes = {"x": {0: torch.export.Dim("n")}} if free and len(batch) > 1 else None
            program = torch.onnx.export(
                network, (batch,), dynamic_shapes=shapes, verbose=False, **how
            )
            program.save(stream)
        else:
            axes = {"x": {0: "n"}, "u": {0: "n"}} if free else None
            version = rng.choice((12, 13, 15, 17, 18))
            torch.onnx.export(
                network, (batch,), stream, dynamic_axes=axes, opset_version=version, **how
            )
    return onnx.load_model_from_string(stream.getvalue())


# --- By hand -----------------------------------------------------------------------------------------


class Graph:
    """A graph that grows node by node, as exporters write them."""

    def __init__(self, rng: Random, floats: str) -> None:
        self.rng, self.floats = rng, floats
        self.numpy = np.random.default_rng(rng.randrange(2**31))
        self.nodes: list[NodeProto] = []
        self.weights: list[TensorProto] = []

    def op(self, op: str, *names: str, domain: str = "", **attributes: Any) -> str:
        out = f"t{len(self.nodes)}"
        self.nodes.append(helper.make_node(op, names, [out], domain=domain, **attributes))
        return out

    def weight(self, values: Any, dtype: str | None = None) -> str:
        name = f"c{len(self.weights)}"
        self.weights.append(numpy_helper.from_array(np.asarray(values, dtype or self.floats), name))
        return name

    def normal(self, *shape: int) -> str:
        return self.weight(self.numpy.standard_normal(shape) / np.sqrt(max(shape[0], 1)))

    def model(self, inputs: int, result: str, shape: Sequence[Any], opset: int) -> ModelProto:
        kind = helper.np_dtype_to_tensor_dtype(np.dtype(self.floats))
        given = helper.make_tensor_value_info("x", kind, [self.rng.choice(("n", None)), inputs])
        taken = helper.make_tensor_value_info(result, kind, shape)
        graph = helper.make_graph(self.nodes, "made", [given], [taken], self.weights)
        imports = [helper.make_opsetid("", opset), helper.make_opsetid("ai.onnx.ml", 3)]
        return helper.make_model(graph, opset_imports=imports, ir_version=8)

    def activated(self, z: str) -> str:
        kind = self.rng.choice(
            ("Tanh", "Relu", "Sigmoid", "Softplus", "Elu", "swish", "Identity", "Sin")
        )
        return self.op("Mul", z, self.op("Sigmoid", z)) if kind == "swish" else self.op(kind, z)


def by_tensorflow(rng: Random) -> ModelProto:
    """MatMul and Add, Identity in chains, shapes in initializers, outputs that are squeezed or reshaped."""
    graph, inputs, width = Graph(rng, "f4"), rng.randint(1, 4), rng.randint(2, 20)
    h = graph.op("Identity", "x")
    if rng.random() < 0.3:
        h = graph.op("Flatten", h, axis=1)
    if rng.random() < 0.3:
        h = graph.op("Transpose", graph.op("Transpose", h, perm=[1, 0]), perm=[1, 0])
    if rng.random() < 0.3:
        h = graph.op("Div", graph.op("Sub", h, graph.weight(0.5)), graph.weight([0.25]))
    if rng.random() < 0.3 and inputs > 1:
        bounds = [graph.weight(value, "i8") for value in ([0], [1], [1])]
        first = graph.op("Slice", h, *bounds)
        h = graph.op("Concat", first, h, axis=1)
        widths = inputs + 1
    else:
        widths = inputs
    for _ in range(rng.randint(1, 3)):
        z = graph.op("Add", graph.op("MatMul", h, graph.normal(widths, width)), graph.normal(width))
        h, widths = graph.op("Identity", graph.activated(z)), width
    outputs = rng.randint(1, 3)
    u = graph.op("Add", graph.op("MatMul", h, graph.normal(width, outputs)), graph.normal(outputs))
    end = rng.choice(("nothing", "squeezed", "reshaped", "double", "unsqueezed"))
    shape: list[Any] = ["n", outputs]
    if end == "squeezed" and outputs == 1:
        u, shape = graph.op("Squeeze", u, graph.weight([1], "i8")), ["n"]
    elif end == "reshaped":
        u = graph.op("Reshape", u, graph.weight([-1, outputs], "i8"))
    elif end == "double":
        wide = graph.op("Mul", graph.op("Cast", u, to=TensorProto.DOUBLE), graph.weight(2.0, "f8"))
        u = graph.op("Cast", wide, to=TensorProto.FLOAT)
    elif end == "unsqueezed":
        u, shape = graph.op("Unsqueeze", u, graph.weight([1], "i8")), ["n", 1, outputs]
    return graph.model(inputs, graph.op("Identity", u), shape, rng.choice((13, 15, 17)))


def by_sklearn(rng: Random) -> ModelProto:
    """A pipeline of a scaler and an MLPRegressor: biases (1, n), casts, a last Reshape."""
    floats = rng.choice(("f4", "f4", "f8"))
    graph, inputs, width = Graph(rng, floats), rng.randint(1, 4), rng.randint(2, 20)
    h, scaler = "x", rng.choice(("none", "Scaler", "Sub and Div"))
    offset, scale = graph.numpy.uniform(0, 1, inputs), graph.numpy.uniform(0.5, 2, inputs)
    if scaler == "Scaler" and floats == "f4":
        h = graph.op(
            "Scaler", h, domain="ai.onnx.ml", offset=[float(v) for v in offset],
            scale=[float(v) for v in scale],
        )  # fmt: skip
    elif scaler == "Sub and Div":
        h = graph.op("Div", graph.op("Sub", h, graph.weight(offset)), graph.weight(scale))
    kind = helper.np_dtype_to_tensor_dtype(np.dtype(floats))
    h, widths = graph.op("Cast", h, to=kind), inputs
    activation = rng.choice(("Tanh", "Relu", "Sigmoid", "Identity"))
    for _ in range(rng.randint(1, 3)):
        product = graph.op("MatMul", h, graph.normal(widths, width))
        h, widths = graph.op(activation, graph.op("Add", product, graph.normal(1, width))), width
    outputs = rng.randint(1, 2)
    product = graph.op("MatMul", h, graph.normal(width, outputs))
    u = graph.op("Add", product, graph.normal(1, outputs))
    u = graph.op("Reshape", u, graph.weight([-1, outputs], "i8"))
    if rng.random() < 0.4:  # the targets were scaled, too
        u = graph.op("Add", graph.op("Mul", u, graph.weight([2.0])), graph.weight([1.0]))
    return graph.model(inputs, u, ["n", outputs], rng.choice((15, 17, 21)))


EXPORTERS: dict[str, Callable[[Random], ModelProto]] = {
    "torch's older exporter": lambda rng: by_torch(rng, dynamo=False),
    "tf2onnx": by_tensorflow,
    "skl2onnx": by_sklearn,
}
if importlib.util.find_spec("onnxscript") is not None:  # which torch's newer exporter needs
    EXPORTERS["torch's newer exporter"] = lambda rng: by_torch(rng, dynamo=True)


def honest(folder: Path) -> None:
    """Nothing is needed but what is exported."""


def export(rng: Random, folder: Path) -> str:
    name = rng.choice(list(EXPORTERS))
    (folder / "m.onnx").write_bytes(EXPORTERS[name](rng).SerializeToString())
    return name


COMPRESS = f"compress m.onnx --no-recover {DEVICE} --domain 0:1 --out o.safetensors --tolerance"
KIND = Kind(
    honest,
    export,
    (
        f"{COMPRESS} 0.1",
        f"{COMPRESS} 0.01",
        f"{COMPRESS} 0.1 --objective size",
        "export m.onnx --format c --out m.c",
    ),
    check,
)
