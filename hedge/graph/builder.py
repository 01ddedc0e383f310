"""Building a graph: nodes and constants, written one after the other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from hashlib import sha256
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import (
    ModelProto,
    NodeProto,
    TensorProto,
    ValueInfoProto,
    checker,
    helper,
    numpy_helper,
    shape_inference,
)

from hedge.errors import ModelError, first_line
from hedge.graph.batches import BATCH
from hedge.graph.shapes import LARGE
from hedge.graph.versions import LEAST_IR_VERSION, LEAST_OPSET

Shape = tuple[int | str | None, ...]


class GraphBuilder:
    """Collects the nodes and constants of a graph, or of a part whose names begin with ``prefix``.

    An operand is the name of a tensor, or a constant: a number, an array, a list or a tensor of torch.
    Real ones become ``real`` numbers, whole ones (axes, shapes, indices) in arrays and lists stay as they
    are.

    >>> graph = GraphBuilder()
    >>> z = graph.linear("x", np.ones((3, 2)), np.zeros(3))
    >>> model = graph.model({"x": 2}, {graph.add("Tanh", z, output="u"): 3})
    >>> [node.op_type for node in model.graph.node]
    ['Gemm', 'Tanh']
    """

    def __init__(
        self,
        prefix: str = "",
        real: type[np.floating[Any]] = np.float32,
        *,
        outline: bool = False,
    ) -> None:
        """An ``outline`` has the shapes of large tensors alone, which is all that a price needs."""
        self.prefix = prefix
        self.real = real
        self.outline = outline
        self.nodes: list[NodeProto] = []
        self.constants: dict[str, TensorProto] = {}
        self._unnamed: dict[tuple[str, tuple[int, ...], bytes], str] = {}

    def add(self, op: str, *operands: Any, output: str | None = None, **attributes: Any) -> str:
        """Add a node with one output and return the output's name.

        Raises ModelError if a constant holds NaN or Inf, or overflows float32.
        """
        name = self.prefix + (output or f"{op.lower()}{len(self.nodes)}")
        self._add(op, operands, [name], attributes)
        return name

    def split(self, source: str, sizes: Sequence[int], axis: int) -> list[str]:
        """One tensor as several, which lie side by side along an axis."""
        name = f"{self.prefix}split{len(self.nodes)}"
        names = [f"{name}.{i}" for i in range(len(sizes))]
        self._add("Split", (source, list(sizes)), names, {"axis": axis})
        return names

    def linear(
        self, source: str, weight: Any, bias: Any | None = None, output: str | None = None
    ) -> str:
        """z = a Wᵀ + b, for a [n, n_in], W (n_out, n_in) and b (n_out,)."""
        operands = [source, weight] if bias is None else [source, weight, bias]
        return self.add("Gemm", *operands, output=output, transB=1)

    def constant(self, values: Any, name: str | None = None) -> str:
        """A constant, of finite numbers; returns the name that it has.

        Without a ``name`` equal ones are stored once.
        """
        array = _as_stored(values, self.real)
        if name is not None:
            return self.tensor(name, array)
        key = (array.dtype.str, array.shape, sha256(array.ravel().data).digest())
        if key not in self._unnamed:
            self._unnamed[key] = self.tensor(f"constant{len(self._unnamed)}", array)
        return self._unnamed[key]

    def tensor(self, name: str, array: NDArray[Any]) -> str:
        """A constant kept as it is, whatever its type and numbers."""
        full = self.prefix + name
        if self.outline and array.size > LARGE:
            kind = helper.np_dtype_to_tensor_dtype(array.dtype)
            self.constants[full] = TensorProto(name=full, dims=array.shape, data_type=kind)
        else:
            self.constants[full] = numpy_helper.from_array(array, full)
        return full

    def rename(self, tensor: str, name: str) -> str:
        """Call a tensor that a node writes ``name``, where it is written and read."""
        for node in self.nodes:
            for names in (node.input, node.output):
                names[:] = [name if each == tensor else each for each in names]
        return name

    def model(
        self,
        inputs: Mapping[str, int],
        outputs: Mapping[str, int | tuple[int | str, ...]],
        name: str = "hedge",
        *,
        title: str = "",
        properties: Mapping[str, str] | None = None,
    ) -> ModelProto:
        """The model with these inputs and outputs, [n, width] of ``real`` numbers each by name, n dynamic.

        Of an output with more axes the sizes behind n are given. That ends the builder.

        Raises ModelError if what was put together is no valid graph.
        """
        graph = helper.make_graph(
            self.nodes,
            name,
            [self._port(value, width) for value, width in inputs.items()],
            [self._port(value, width) for value, width in outputs.items()],
        )
        domains = dict.fromkeys(["", *(node.domain for node in self.nodes)])
        model = helper.make_model(
            graph,
            opset_imports=[helper.make_opsetid(d, 1 if d else LEAST_OPSET) for d in domains],
            ir_version=LEAST_IR_VERSION,
            producer_name="hedge",
            doc_string=title,
        )
        helper.set_model_props(model, dict(properties or {}))
        while self.constants:  # one by one, or memory would hold all of them three times
            model.graph.initializer.append(self.constants.pop(next(iter(self.constants))))
        try:
            checker.check_model(model, full_check=True)
        except (checker.ValidationError, shape_inference.InferenceError) as error:
            raise ModelError(f"can't be written as ONNX ({first_line(error)})") from error
        return model

    def _port(self, name: str, width: int | tuple[int | str, ...]) -> ValueInfoProto:
        type = helper.np_dtype_to_tensor_dtype(np.dtype(self.real))
        behind = (width,) if isinstance(width, int) else width
        return helper.make_tensor_value_info(name, type, [BATCH, *behind])

    def _add(
        self, op: str, operands: Sequence[Any], outputs: list[str], attributes: Mapping[str, Any]
    ) -> None:
        inputs = [o if isinstance(o, str) else self.constant(o) for o in operands]
        name = f"{outputs[0]}.node"
        self.nodes.append(helper.make_node(op, inputs, outputs, name=name, **attributes))


def _as_stored(values: Any, real: type[np.floating[Any]]) -> NDArray[Any]:
    """A constant as the file has it, real numbers as ``real`` ones."""
    if hasattr(values, "detach"):  # a tensor of torch, which is not imported here
        values = values.detach().cpu().float().numpy()
    array = np.asarray(values, dtype=float if isinstance(values, int) else None, order="C")
    if array.dtype.kind not in "fiub":
        raise TypeError(f"{values!r} holds no numbers")
    if array.dtype.kind != "f":
        return array
    with np.errstate(over="ignore"):
        stored = array.astype(real, copy=False)
    if not np.isfinite(stored).all():
        raise ModelError(f"its weights contain NaN or Inf (in {real.__name__}); train it again")
    return np.asarray(stored)
