"""A model whose outputs are NaN where its inputs leave a box."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto, ValueInfoProto

from hedge.arrays import Array
from hedge.graph.builder import GraphBuilder
from hedge.graph.derivatives import own_prefix
from hedge.graph.ports import true_inputs

OF_GUARD = "guard."  # in the names of its nodes
MOST_BY_PRODUCT = 32  # columns; of more a product takes longer than two differences


def guarded(model: ModelProto, lower: Array, upper: Array) -> ModelProto:
    """The model with NaN as all outputs of a row of which a number is outside a box, or NaN itself.

    lower and upper (d,) are the ends of the box, which belong to it, rounded to float32 as inputs are.
    √(x − lower) and √(upper − x) are NaN outside, and inside they are added zero times: three nodes, for an
    only input and output of two axes.
    """
    prefix = f"{own_prefix(model)}{OF_GUARD}"
    made = ModelProto()
    made.CopyFrom(model)
    for node in made.graph.node:
        for names in (node.input, node.output):
            for place, name in enumerate(names):
                if any(name == value.name for value in model.graph.output):
                    names[place] = prefix + name
    graph = GraphBuilder(prefix)
    points = _points(graph, true_inputs(model))
    root = graph.add(
        "Sqrt", _distances(graph, points, *(e.astype(np.float32) for e in (lower, upper)))
    )
    for value in model.graph.output:
        _add_nothing(graph, prefix, value, root, 2 * len(lower))
        graph.nodes[-1].output[0] = value.name
    made.graph.node.extend(graph.nodes)
    made.graph.initializer.extend(graph.constants.values())
    return made


def is_guarded(model: ModelProto) -> bool:
    """Whether a graph has a guard, as :func:`guarded` writes it; compressing leaves it as it is."""
    return any(node.op_type == "Sqrt" and OF_GUARD in node.output[0] for node in model.graph.node)


def _points(graph: GraphBuilder, inputs: list[ValueInfoProto]) -> str:
    """All input columns side by side, (n, d)."""
    columns = [
        value.name
        if len(value.type.tensor_type.shape.dim) == 2
        else graph.add("Unsqueeze", value.name, np.array([1]))
        for value in inputs
    ]
    return columns[0] if len(columns) == 1 else graph.add("Concat", *columns, axis=1)


def _distances(graph: GraphBuilder, points: str, lower: NDArray[Any], upper: NDArray[Any]) -> str:
    """From both ends of the box, (n, 2 d), negative outside: one rounding keeps the sign."""
    if len(lower) <= MOST_BY_PRODUCT:
        one = np.eye(len(lower))
        return graph.linear(points, np.vstack([one, -one]), np.concatenate([-lower, upper]))
    above, below = graph.add("Sub", points, lower[None]), graph.add("Sub", upper[None], points)
    return graph.add("Concat", above, below, axis=1)


def _add_nothing(
    graph: GraphBuilder, prefix: str, value: ValueInfoProto, root: str, columns: int
) -> None:
    """An output and zero times the roots (n, columns)."""
    shape, own = value.type.tensor_type.shape.dim, prefix + value.name
    if len(shape) == 2 and shape[1].dim_value:
        graph.add("Gemm", root, np.zeros((columns, shape[1].dim_value)), own)
        return
    outside = graph.add("MatMul", root, np.zeros((columns, 1)))
    if len(shape) == 1:
        outside = graph.add("Squeeze", outside, np.array([1]))
    elif len(shape) > 2:
        outside = graph.add("Unsqueeze", outside, np.arange(2, len(shape)))
    graph.add("Add", own, outside)
