"""Shapes of a graph's tensors, as far as they follow from its file."""

from __future__ import annotations

from math import prod

import onnx
from onnx import ModelProto, helper

# Weights of more numbers than this are no sizes that shapes are computed from, and those of more than LARGE
# would be copied five times on the way through onnx.
MOST_FOLLOWED, LARGE = 64, 2**20
Shape = tuple[int | None, ...]


def inferred_shapes(model: ModelProto) -> dict[str, Shape]:
    """Shapes by tensor name, with None for axes that are free; tensors of unknown rank are left out.

    >>> from pathlib import Path
    >>> from hedge.graph import load_model
    >>> inferred_shapes(load_model(Path("models/heat-64x3.onnx")))["u"]
    (None, 1)
    """
    try:
        light = without_large_weights(model)
        graph = onnx.shape_inference.infer_shapes(light, data_prop=True).graph
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


def inferred_types(model: ModelProto) -> dict[str, int]:
    """What tensors are of, by name, as far as it follows from the file."""
    try:
        graph = onnx.shape_inference.infer_shapes(without_large_weights(model)).graph
    except (onnx.shape_inference.InferenceError, RuntimeError, ValueError):
        graph = model.graph
    values = (*graph.input, *graph.value_info, *graph.output)
    found = {tensor.name: tensor.data_type for tensor in model.graph.initializer}
    return found | {value.name: value.type.tensor_type.elem_type for value in values}


def shapes_at(model: ModelProto, rows: int) -> dict[str, tuple[int, ...]]:
    """The shapes that follow from the file where every input has so many ``rows``, without its weights.

    None where an input has another number of rows.

    >>> from pathlib import Path
    >>> from hedge.graph import load_model
    >>> shapes_at(load_model(Path("models/heat-64x3.onnx")), 13)["u"]
    (13, 1)
    """
    light = _light(model)
    weights = {tensor.name for tensor in model.graph.initializer}
    for value in light.graph.input:
        dims = value.type.tensor_type.shape.dim
        if value.name in weights:
            continue
        if not dims or dims[0].HasField("dim_value"):
            return {}
        dims[0].dim_value = rows
    return {
        name: tuple(size for size in shape if size is not None)
        for name, shape in inferred_shapes(light).items()
        if None not in shape
    }


def without_large_weights(model: ModelProto) -> ModelProto:
    """The model with inputs in place of its large weights, for onnx to infer or check."""
    return _with_inputs_for_weights(model, LARGE)


def _light(model: ModelProto) -> ModelProto:
    """The model with inputs of their shapes in place of its weights, and no shapes told but those."""
    light = _with_inputs_for_weights(model, MOST_FOLLOWED)
    del light.graph.value_info[:], light.graph.output[:]
    light.graph.output.extend(onnx.ValueInfoProto(name=v.name) for v in model.graph.output)
    return light


def _with_inputs_for_weights(model: ModelProto, most: int) -> ModelProto:
    """The model with inputs of their shapes in place of weights of more numbers than ``most``."""
    graph, large = model.graph, []
    told = {value.name for value in graph.input}  # old exporters list weights there
    light = onnx.GraphProto(
        name=graph.name, node=graph.node, input=graph.input, output=graph.output,
        value_info=graph.value_info,
    )  # fmt: skip
    for tensor in graph.initializer:
        if prod(tensor.dims) <= most:
            light.initializer.append(tensor)
        elif tensor.name not in told:
            large.append(helper.make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims))
    light.input.extend(large)
    return helper.make_model(light, opset_imports=model.opset_import, ir_version=model.ir_version)
