"""Graphs whose times differ by the nodes that are to be measured.

A probe has one Gemm that leads to its output, and ``copies`` of a piece that reads the same input and
leads nowhere: onnxruntime runs such nodes all the same. Between two probes that differ in the number
of copies, the call, the input and the output cancel.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto

from hedge.graph import GraphBuilder
from hedge.graph.activations import gelu, silu

RANDOM_NUMBERS = 4099  # a prime, so that no two rows of a matrix are alike


@cache
def _random_numbers() -> NDArray[np.float32]:
    return np.random.default_rng(0).standard_normal(RANDOM_NUMBERS, dtype=np.float32)


def random_weight(graph: GraphBuilder, *shape: int) -> str:
    """Weights that keep the size of what they multiply, float32; large ones repeat themselves."""
    place = len(graph.constants)
    numbers = np.roll(_random_numbers(), 31 * place) / np.float32(shape[-1] ** 0.5)
    return graph.tensor(f"w{place}", np.resize(numbers, shape))


def gemm(graph: GraphBuilder, source: str, outputs: int, inputs: int) -> str:
    """A dense layer."""
    weight = random_weight(graph, outputs, inputs)
    return graph.linear(source, weight, random_weight(graph, outputs))


Piece = Callable[[GraphBuilder], object]
"""Adds the nodes that are measured, reading ``x``."""


def probe(inputs: int, piece: Piece, copies: int) -> ModelProto:
    """The graph with so many copies of a piece."""
    graph = GraphBuilder()
    output = gemm(graph, "x", 1, inputs)
    for _ in range(copies):
        piece(graph)
    return graph.model({"x": inputs}, {output: 1}, "probe")


def chain(
    widths: Sequence[int], activation: str | None = None, rank: int | None = None
) -> ModelProto:
    """Layers one after the other, dense or of this rank, with an activation between them."""
    graph, source = GraphBuilder(), "x"
    for layer, (inputs, outputs) in enumerate(pairwise(widths)):
        if layer and activation is not None:
            source = PASSES[activation](graph, source, inputs)
        if rank is not None and rank < min(inputs, outputs):
            source, inputs = gemm(graph, source, rank, inputs), rank
        source = gemm(graph, source, outputs, inputs)
    return graph.model({"x": widths[0]}, {source: widths[-1]}, "probe")


PassBuilder = Callable[[GraphBuilder, str, int], str]
"""Nodes that go over a tensor (n, width): the graph, its name, width -> the name of what they write."""


def unary(op: str) -> PassBuilder:
    """One node of one operand."""
    return lambda graph, source, width: graph.add(op, source)


PASSES: dict[str, PassBuilder] = {
    **{op: unary(op) for op in ("Erf", "Exp", "Neg", "Sigmoid", "Sin", "Softplus", "Tanh")},
    "QuickGelu": lambda graph, source, width: silu(graph, source),
    "Gelu": lambda graph, source, width: gelu(graph, source),
    "Add": lambda graph, source, width: graph.add("Add", source, source),
    "Div": lambda graph, source, width: graph.add("Div", source, 3.0),
    "Gather": lambda graph, source, width: graph.add(
        "Gather", source, np.random.default_rng(0).permutation(width), axis=1
    ),
    "Pow": lambda graph, source, width: graph.add("Pow", source, 2.0),
    "Reshape": lambda graph, source, width: graph.add("Reshape", source, [-1, 1, width]),
}
"""By the op they run as, passes whose time depends on the number of numbers alone."""
