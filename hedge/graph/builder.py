"""Building a graph: nodes and constants, written one after the other."""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import sha256
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, TensorProto, checker, helper, numpy_helper, shape_inference

from hedge.errors import ModelError, first_line
from hedge.graph.reading import BATCH, LEAST_OPSET, NEWEST_IR_VERSION

Shape = tuple[int | str | None, ...]


class GraphBuilder:
    """Collects the nodes and constants of a graph; equal constants are stored once.

    An operand is the name of a tensor, or a constant: a number, an array, or a tensor of torch. Real ones
    become float32, whole ones (axes, shapes, indices) stay as they are.

    >>> graph = GraphBuilder()
    >>> z = graph.linear("x", np.ones((3, 2)), np.zeros(3))
    >>> model = graph.model({"x": 2}, {graph.add("Tanh", z, output="u"): 3})
    >>> [node.op_type for node in model.graph.node]
    ['Gemm', 'Tanh']
    """

    def __init__(self) -> None:
        self.nodes: list[NodeProto] = []
        self.constants: dict[str, TensorProto] = {}
        self._names: dict[tuple[str, tuple[int, ...], bytes], str] = {}

    def add(self, op: str, *operands: Any, output: str | None = None, **attributes: Any) -> str:
        """Add a node with one output and return the output's name.

        Raises ModelError if a constant holds NaN or Inf, or overflows float32.
        """
        return self._add(op, operands, [output or f"{op.lower()}{len(self.nodes)}"], attributes)[0]

    def add_split(self, op: str, outputs: int, *operands: Any, **attributes: Any) -> list[str]:
        """Add a node with several outputs and return their names."""
        name = f"{op.lower()}{len(self.nodes)}"
        return self._add(op, operands, [f"{name}.{i}" for i in range(outputs)], attributes)

    def linear(
        self, source: str, weight: Any, bias: Any | None = None, output: str | None = None
    ) -> str:
        """z = a Wᵀ + b, for a [n, n_in], W (n_out, n_in) and b (n_out,)."""
        operands = [source, weight] if bias is None else [source, weight, bias]
        return self.add("Gemm", *operands, output=output, transB=1)

    def constant(self, values: Any, name: str | None = None) -> str:
        """A constant, by ``name`` unless an equal one is there; returns the name that it has."""
        array = _as_stored(values)
        key = (array.dtype.str, array.shape, sha256(array.tobytes()).digest())
        if key not in self._names:
            name = name or f"constant{len(self._names)}"
            self._names[key] = name
            self.constants[name] = numpy_helper.from_array(array, name)
        return self._names[key]

    def rename(self, tensor: str, name: str) -> str:
        """Call a tensor that a node writes ``name``, where it is written and read."""
        for node in self.nodes:
            for names in (node.input, node.output):
                names[:] = [name if each == tensor else each for each in names]
        return name

    def model(
        self,
        inputs: Mapping[str, int],
        outputs: Mapping[str, int],
        name: str = "hedge",
        *,
        title: str = "",
        properties: Mapping[str, str] | None = None,
    ) -> ModelProto:
        """The model with these inputs and outputs, [n, width] each by name, n dynamic.

        Raises ModelError if what was put together is no valid graph.
        """
        graph = helper.make_graph(
            self.nodes,
            name,
            [_floats(value, width) for value, width in inputs.items()],
            [_floats(value, width) for value, width in outputs.items()],
            list(self.constants.values()),
        )
        model = helper.make_model(
            graph,
            opset_imports=[helper.make_opsetid("", LEAST_OPSET)],
            ir_version=NEWEST_IR_VERSION,
            producer_name="hedge",
            doc_string=title,
        )
        helper.set_model_props(model, dict(properties or {}))
        try:
            checker.check_model(model, full_check=True)
        except (checker.ValidationError, shape_inference.InferenceError) as error:
            raise ModelError(f"can't be written as ONNX ({first_line(error)})") from error
        return model

    def _add(
        self, op: str, operands: tuple[Any, ...], names: list[str], attributes: Mapping[str, Any]
    ) -> list[str]:
        inputs = [o if isinstance(o, str) else self.constant(o) for o in operands]
        own = f"{names[0]}.node"
        self.nodes.append(helper.make_node(op, inputs, names, name=own, **attributes))
        return names


def _as_stored(values: Any) -> NDArray[Any]:
    """A constant as the file has it: real numbers as float32."""
    if hasattr(values, "detach"):  # a tensor of torch, which is not imported here
        values = values.detach().cpu().double().numpy()
    array = np.ascontiguousarray(values).reshape(np.shape(values))
    if array.dtype.kind != "f":
        return array
    with np.errstate(over="ignore"):
        single = array.astype(np.float32)
    if not np.isfinite(single).all():
        raise ModelError("its weights contain NaN or Inf (in float32); train it again")
    return single


def _floats(name: str, width: int) -> Any:
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, [BATCH, width])
