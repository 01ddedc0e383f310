"""Graphs whose times differ by the nodes that are to be measured.

A probe has one Gemm that leads to its output, and ``copies`` of a piece that reads the same input and
leads nowhere: onnxruntime runs such nodes all the same. Between two probes that differ in the number
of copies, the call, the input and the output cancel.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cache
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

from hedge.graph import LEAST_OPSET, NEWEST_IR_VERSION

RANDOM_NUMBERS = 4099  # a prime, so that no two rows of a matrix are alike


@cache
def _random_numbers() -> NDArray[np.float32]:
    return np.random.default_rng(0).standard_normal(RANDOM_NUMBERS, dtype=np.float32)


@dataclass
class Builder:
    """Nodes and weights of a graph from ``x`` (n, inputs) to its last tensor, one after the other."""

    inputs: int
    nodes: list[NodeProto] = field(default_factory=list)
    weights: list[TensorProto] = field(default_factory=list)

    def constant(self, values: np.ndarray) -> str:
        """A weight, named by its place."""
        name = f"w{len(self.weights)}"
        self.weights.append(numpy_helper.from_array(values, name))
        return name

    def random(self, *shape: int) -> str:
        """Weights that keep the size of what they multiply, float32; large ones repeat themselves."""
        numbers = np.roll(_random_numbers(), 31 * len(self.weights)) / np.float32(shape[-1] ** 0.5)
        return self.constant(np.resize(numbers, shape))

    def node(self, op: str, *inputs: str, outputs: int = 1, **attributes: Any) -> str:
        """A node; the name of its first output."""
        names = [f"t{len(self.nodes)}.{i}" for i in range(outputs)]
        self.nodes.append(helper.make_node(op, list(inputs), names, **attributes))
        return names[0]

    def gemm(self, source: str, outputs: int, inputs: int) -> str:
        """A dense layer."""
        return self.node(
            "Gemm", source, self.random(outputs, inputs), self.random(outputs), transB=1
        )

    def model(self, output: str, width: int) -> ModelProto:
        """The graph with this output, (n, width)."""
        graph = helper.make_graph(
            self.nodes,
            "probe",
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", self.inputs])],
            [helper.make_tensor_value_info(output, TensorProto.FLOAT, ["n", width])],
            self.weights,
        )
        opset = [helper.make_opsetid("", LEAST_OPSET)]
        return helper.make_model(graph, opset_imports=opset, ir_version=NEWEST_IR_VERSION)


Piece = Callable[[Builder], object]
"""Adds the nodes that are measured, reading ``x``."""


def probe(inputs: int, piece: Piece, copies: int) -> ModelProto:
    """The graph with so many copies of a piece."""
    builder = Builder(inputs)
    output = builder.gemm("x", 1, inputs)
    for _ in range(copies):
        piece(builder)
    return builder.model(output, 1)


def gemm_piece(outputs: int, inputs: int) -> Piece:
    """A dense layer."""
    return lambda builder: builder.gemm("x", outputs, inputs)


def product_piece(columns: int, depth: int, count: int) -> Piece:
    """``count`` products with matrices (depth, columns) that are not prepacked."""
    return lambda builder: builder.node("MatMul", "x", builder.random(count, depth, columns))


def chain(
    widths: Sequence[int], activation: str | None = None, rank: int | None = None
) -> ModelProto:
    """Layers one after the other, dense or of this rank, with an activation between them."""
    builder = Builder(widths[0])
    source = "x"
    for layer, (inputs, outputs) in enumerate(pairwise(widths)):
        if layer and activation is not None:
            source = PASSES[activation](builder, source, inputs)
        if rank is not None and rank < min(inputs, outputs):
            source, inputs = builder.gemm(source, rank, inputs), rank
        source = builder.gemm(source, outputs, inputs)
    return builder.model(source, widths[-1])


PassBuilder = Callable[[Builder, str, int], str]
"""Nodes that go over a tensor (n, width): builder, its name, width -> the name of what they write."""


def unary(op: str) -> PassBuilder:
    """One node of one operand."""
    return lambda builder, source, width: builder.node(op, source)


def _quick_gelu(builder: Builder, source: str, width: int) -> str:
    return builder.node("Mul", source, builder.node("Sigmoid", source))


def _gelu(builder: Builder, source: str, width: int) -> str:
    root, one, half = (builder.constant(np.array(v, np.float32)) for v in (2**0.5, 1.0, 0.5))
    error = builder.node("Erf", builder.node("Div", source, root))
    return builder.node("Mul", builder.node("Mul", source, builder.node("Add", error, one)), half)


def _with_scalar(op: str, value: float) -> PassBuilder:
    return lambda builder, source, width: builder.node(
        op, source, builder.constant(np.array(value, np.float32))
    )


def _with_itself(op: str) -> PassBuilder:
    return lambda builder, source, width: builder.node(op, source, source)


def _with_row(op: str) -> PassBuilder:
    return lambda builder, source, width: builder.node(op, source, builder.random(width))


def _reshape(builder: Builder, source: str, width: int) -> str:
    return builder.node("Reshape", source, builder.constant(np.array([-1, 1, width], np.int64)))


def _concat(builder: Builder, source: str, width: int) -> str:
    return builder.node("Concat", source, source, axis=1)


def _slice(builder: Builder, source: str, width: int) -> str:
    places = (np.array([place], np.int64) for place in (0, width // 2, 1))
    return builder.node("Slice", source, *(builder.constant(place) for place in places))


def _split(builder: Builder, source: str, width: int) -> str:
    return builder.node("Split", source, outputs=2, axis=1)


def _gather(builder: Builder, source: str, width: int) -> str:
    order = np.random.default_rng(0).permutation(width)
    return builder.node("Gather", source, builder.constant(order.astype(np.int64)), axis=1)


def _transpose(builder: Builder, source: str, width: int) -> str:
    return builder.node("Transpose", source, perm=[1, 0])


PASSES: dict[str, PassBuilder] = {
    **{op: unary(op) for op in ("Erf", "Exp", "Neg", "Sigmoid", "Sin", "Softplus", "Tanh")},
    "QuickGelu": _quick_gelu,
    "Gelu": _gelu,
    "Add": _with_itself("Add"),
    "Div": _with_scalar("Div", 3.0),
    "Gather": _gather,
    "Pow": _with_scalar("Pow", 2.0),
    "Reshape": _reshape,
}
"""By the op they run as, passes whose time depends on the number of numbers alone."""


@dataclass(frozen=True)
class RowPass:
    """A pass whose time depends on how many numbers lie together, too.

    shape gives rows and width of the tensor of which it writes (spans, length), of ``least_spans`` up.
    """

    build: PassBuilder
    shape: Callable[[int, int], tuple[int, int]]
    least_spans: int = 1


ROW_PASSES: dict[str, RowPass] = {
    "Add of rows": RowPass(_with_row("Add"), lambda spans, length: (spans, length)),
    "Concat": RowPass(_concat, lambda spans, length: (spans // 2, length), 2),
    "Slice": RowPass(_slice, lambda spans, length: (spans, 2 * length)),
    "Split": RowPass(_split, lambda spans, length: (spans // 2, 2 * length), 2),
    "Transpose": RowPass(_transpose, lambda spans, length: (length, spans)),
}
