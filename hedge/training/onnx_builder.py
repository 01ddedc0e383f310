"""Building ONNX graphs from torch tensors: nodes, constants, and the functions that PINNs are made of."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, TensorProto, checker, helper, numpy_helper, shape_inference
from torch import Tensor

from hedge.errors import ModelError, first_line
from hedge.graph import LEAST_OPSET, NEWEST_IR_VERSION

INPUT, OUTPUT = "x", "u"

# A tensor of the graph by its name, or a constant. Integers (axes, shapes) come as numpy arrays.
Operand = str | Tensor | float | NDArray[np.int64]


class OnnxBuilder:
    """Collects the nodes and constants of a graph that reads ``x`` and writes ``u``; float32."""

    def __init__(self) -> None:
        self._nodes: list[NodeProto] = []
        self._constants: dict[str, TensorProto] = {}
        self._names_of_tensors: dict[int, tuple[str, Tensor]] = {}

    def add(self, op: str, *operands: Operand, **attributes: Any) -> str:
        """Add a node with one output and return the output's name.

        Raises ModelError if a constant holds NaN or Inf, or overflows float32.
        """
        return self.add_split(op, 1, *operands, **attributes)[0]

    def add_split(self, op: str, outputs: int, *operands: Operand, **attributes: Any) -> list[str]:
        """Add a node with several outputs and return their names."""
        inputs = [o if isinstance(o, str) else self._constant(o) for o in operands]
        name = f"{op.lower()}{len(self._nodes)}"
        names = [name] if outputs == 1 else [f"{name}.{i}" for i in range(outputs)]
        self._nodes.append(helper.make_node(op, inputs, names, name=f"{name}.node", **attributes))
        return names

    def linear(self, source: str, weight: Operand, bias: Operand | None = None) -> str:
        """z = a Wᵀ + b, for a [n, n_in], W (n_out, n_in) and b (n_out,)."""
        operands = [source, weight] if bias is None else [source, weight, bias]
        return self.add("Gemm", *operands, transB=1)

    def build(self, result: str, inputs: int, outputs: int) -> ModelProto:
        """The model with input ``x`` [n, inputs] and output ``u`` [n, outputs], n dynamic; ends the builder.

        Raises ModelError if what was put together is no valid graph.
        """
        if result == INPUT:
            result = self.add("Identity", result)
        for node in self._nodes:
            for names in (node.input, node.output):
                names[:] = [OUTPUT if name == result else name for name in names]
        graph = helper.make_graph(
            self._nodes,
            "imported",
            [helper.make_tensor_value_info(INPUT, TensorProto.FLOAT, ["n", inputs])],
            [helper.make_tensor_value_info(OUTPUT, TensorProto.FLOAT, ["n", outputs])],
        )
        model = helper.make_model(
            graph,
            opset_imports=[helper.make_opsetid("", LEAST_OPSET)],
            ir_version=NEWEST_IR_VERSION,
            producer_name="hedge",
        )
        while self._constants:  # one by one, or memory would hold all of them three times
            model.graph.initializer.append(self._constants.pop(next(iter(self._constants))))
        try:
            checker.check_model(model, full_check=True)
        except (checker.ValidationError, shape_inference.InferenceError) as error:
            raise ModelError(f"can't be written as ONNX ({first_line(error)})") from error
        return model

    def _constant(self, value: Tensor | float | NDArray[np.int64]) -> str:
        if isinstance(value, Tensor):
            # A weight used twice is stored once; the tensor is kept so that its id stays its own.
            if id(value) in self._names_of_tensors:
                return self._names_of_tensors[id(value)][0]
            name = f"weight{len(self._names_of_tensors)}"
            self._names_of_tensors[id(value)] = (name, value)
            array: NDArray[np.floating] = value.detach().cpu().float().numpy()
        elif isinstance(value, np.ndarray):
            name = f"integers.{'.'.join(map(str, value.shape))}.{'.'.join(map(str, value.flat))}"
            self._constants[name] = numpy_helper.from_array(value, name)
            return name
        else:
            # 17 digits, so that two constants share a name only if they are the same number.
            name, array = f"scalar.{value:.17g}", np.array(value, dtype=np.float64)
        with np.errstate(over="ignore"):
            single = array.astype(np.float32, copy=False)
        if not np.isfinite(single).all():
            raise ModelError("its weights contain NaN or Inf (in float32); train it again")
        self._constants[name] = numpy_helper.from_array(np.ascontiguousarray(single), name)
        return name


def silu(graph: OnnxBuilder, z: str) -> str:
    """Adds z · sigmoid(z), also called swish."""
    return graph.add("Mul", z, graph.add("Sigmoid", z))


def gelu(graph: OnnxBuilder, z: str, *, approximate: str = "none") -> str:
    """Adds z Φ(z), with Φ from the error function or, for ``"tanh"``, from its approximation."""
    if approximate == "tanh":
        cube = graph.add("Mul", graph.add("Pow", z, 3.0), 0.044715)
        inner = graph.add("Mul", graph.add("Add", z, cube), float(np.sqrt(2.0 / np.pi)))
        bent = graph.add("Tanh", inner)
    else:
        bent = graph.add("Erf", graph.add("Div", z, float(np.sqrt(2.0))))
    return graph.add("Mul", graph.add("Mul", z, graph.add("Add", bent, 1.0)), 0.5)


def softplus(graph: OnnxBuilder, z: str, beta: float = 1.0, threshold: float = 20.0) -> str:
    """Adds log(1 + exp(beta z)) / beta; above torch's ``threshold`` that is z to 2e-9 anyway."""
    if beta == 1.0:
        return graph.add("Softplus", z)
    return graph.add("Div", graph.add("Softplus", graph.add("Mul", z, beta)), beta)


def mish(graph: OnnxBuilder, z: str) -> str:
    """Adds z · tanh(softplus(z))."""
    return graph.add("Mul", z, graph.add("Tanh", graph.add("Softplus", z)))


def _standard(op: str) -> Callable[[OnnxBuilder, str], str]:
    return lambda graph, z: graph.add(op, z)


# What a user may name as the activation of a state dict.
ACTIVATIONS: dict[str, Callable[[OnnxBuilder, str], str]] = {
    "tanh": _standard("Tanh"),
    "sin": _standard("Sin"),
    "silu": silu,
    "gelu": gelu,
    "relu": _standard("Relu"),
    "sigmoid": _standard("Sigmoid"),
    "softplus": softplus,
    "elu": _standard("Elu"),
    "selu": _standard("Selu"),
    "mish": mish,
}
