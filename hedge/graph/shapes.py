"""Shapes of a graph's tensors, as far as they follow from its file."""

from __future__ import annotations

import onnx
from onnx import ModelProto

Shape = tuple[int | None, ...]


def inferred_shapes(model: ModelProto) -> dict[str, Shape]:
    """Shapes by tensor name, with None for axes that are free; tensors of unknown rank are left out.

    >>> from pathlib import Path
    >>> from hedge.graph import load_model
    >>> inferred_shapes(load_model(Path("models/heat-64x3.onnx")))["u"]
    (None, 1)
    """
    try:
        graph = onnx.shape_inference.infer_shapes(model, data_prop=True).graph
    except (onnx.shape_inference.InferenceError, RuntimeError, ValueError):
        return {}
    shapes: dict[str, Shape] = {t.name: tuple(t.dims) for t in graph.initializer}
    for value in (*graph.input, *graph.value_info, *graph.output):
        kind = value.type.tensor_type
        if kind.HasField("shape"):
            shapes[value.name] = tuple(
                dim.dim_value if dim.HasField("dim_value") else None for dim in kind.shape.dim
            )
    return shapes
