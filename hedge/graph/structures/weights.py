"""The weights of a site, in the precision in which they are stored."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from onnx import TensorProto

from hedge.arrays import Array
from hedge.graph.builder import GraphBuilder
from hedge.graph.precision import Precision, encode
from hedge.graph.shapes import LARGE


def weight(graph: GraphBuilder, name: str, values: Array, precision: Precision = "float32") -> str:
    """Numbers of the graph's, stored in ``precision`` and widened by nodes that fold at load.

    (onnxruntime folds Cast and Mul of constants, but keeps DequantizeLinear.)
    """
    if precision in ("float32", "float64"):  # as the graph has its numbers
        if graph.outline and values.size > LARGE:
            return graph.tensor(name, np.broadcast_to(np.zeros((), graph.real), values.shape))
        with np.errstate(over="ignore"):  # a candidate out of range is refused by its error
            return graph.tensor(name, np.ascontiguousarray(values).astype(graph.real, copy=False))
    stored, scale = encode(values, precision)
    narrow = graph.tensor(f"{name}.{precision}", stored)
    if precision == "bfloat16":
        graph.constants[narrow].data_type = TensorProto.BFLOAT16
    unscaled = name if scale is None else f"{name}.unscaled"
    wide = graph.add("Cast", narrow, output=unscaled, to=TensorProto.FLOAT)
    if scale is None:
        return wide
    return graph.add("Mul", wide, graph.tensor(f"{name}.scale", scale), output=name)


def side_by_side(
    graph: GraphBuilder, name: str, pieces: Sequence[Array], precision: Precision
) -> str:
    """One weight of several pieces (m, k_i). int8 pieces keep the scales that their rows have."""
    if precision != "int8" or len(pieces) == 1:
        return weight(graph, name, np.hstack(pieces), precision)
    stored = [weight(graph, f"{name}.{i}", piece, precision) for i, piece in enumerate(pieces)]
    return graph.add("Concat", *stored, output=name, axis=1)


def biased(graph: GraphBuilder, part: str, bias: Array) -> str:
    """``part`` (n, n_out) plus the bias, where there is one."""
    return graph.add("Add", part, weight(graph, "bias", bias)) if bias.any() else part
