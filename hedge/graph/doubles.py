"""Models in double precision, whole or between casts, as models of float32."""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import AttributeProto, GraphProto, ModelProto, NodeProto, TensorProto, numpy_helper

from hedge.arrays import Array
from hedge.errors import ModelError, first_line
from hedge.graph.evaluation import Evaluator, in_double, run_float32
from hedge.graph.ports import input_dimension
from hedge.graph.shapes import inferred_types

FLOAT, DOUBLE = TensorProto.FLOAT, TensorProto.DOUBLE
COMPARED_ROWS = 64


def in_single(model: ModelProto) -> dict[str, Array]:
    """Make a model whose constants are initializers one of float32, in place; its doubles by name.

    Casts between float32 and double go.

    Raises ModelError for a weight that is too large for float32, or a graph that mixes types.
    """
    if not _holds_doubles(model.graph):
        return {}
    _check_types(model)
    _remove_casts(model)
    doubles = {
        t.name: numpy_helper.to_array(t) for t in model.graph.initializer if t.data_type == DOUBLE
    }
    _narrow(model)
    return doubles


def _narrow(model: ModelProto) -> None:
    """Make every double a float32, in place."""
    for tensor in model.graph.initializer:
        if tensor.data_type == DOUBLE:
            _round(tensor)
    for node in model.graph.node:
        for attribute in node.attribute:
            if attribute.type == AttributeProto.TENSOR and attribute.t.data_type == DOUBLE:
                _round(attribute.t)
            elif attribute.name in ("to", "dtype") and attribute.i == DOUBLE:
                attribute.i = FLOAT
    for value in (*model.graph.input, *model.graph.output):
        if value.type.tensor_type.elem_type == DOUBLE:
            value.type.tensor_type.elem_type = FLOAT
    del model.graph.value_info[:]


def in_single_again(model: ModelProto) -> ModelProto:
    """A model of doubles, or of which some constants are, in float32 throughout.

    Raises ModelError for a weight that is too large for float32.
    """
    single = deepcopy(model)
    _narrow(single)
    return single


def in_double_again(model: ModelProto, doubles: Mapping[str, Array]) -> ModelProto:
    """What :func:`in_single` made in double precision throughout, with the ``doubles`` by name."""
    double = in_double(model)
    for tensor in double.graph.initializer:
        if tensor.name in doubles and list(tensor.dims) == list(doubles[tensor.name].shape):
            tensor.CopyFrom(numpy_helper.from_array(doubles[tensor.name], tensor.name))
    return double


def has_doubles(model: ModelProto) -> bool:
    """Whether a model is in double precision, or some constants of it are.

    >>> from hedge.graph import GraphBuilder
    >>> graph = GraphBuilder(real=np.float64)
    >>> has_doubles(graph.model({"x": 1}, {graph.add("Mul", "x", 0.1, output="u"): 1}))
    True
    """
    return any(tensor.data_type == DOUBLE for tensor in model.graph.initializer)


def rounding(model: ModelProto, doubles: Mapping[str, Array]) -> float:
    """How much float32 moves the outputs, relative L2, of random points in [−1, 1]; ``doubles`` by name."""
    rng = np.random.default_rng(0)
    points = rng.uniform(-1.0, 1.0, (COMPARED_ROWS, input_dimension(model))).astype(np.float32)
    kept = {tensor.name for tensor in model.graph.initializer}
    given = {name: values for name, values in doubles.items() if name in kept}
    names = [value.name for value in model.graph.output]
    values = Evaluator(model, names, tuple(given)).intermediates(points.astype(np.float64), given)
    exact = np.hstack([values[name].reshape(COMPARED_ROWS, -1) for name in names])
    difference = np.linalg.norm(run_float32(model, points) - exact)
    return float(difference / max(float(np.linalg.norm(exact)), np.finfo(float).tiny))


def _holds_doubles(graph: GraphProto) -> bool:
    """Whether an input, an output, a constant or a node is of doubles."""
    ports = [value.type.tensor_type.elem_type for value in (*graph.input, *graph.output)]
    constants = [tensor.data_type for tensor in graph.initializer]
    casts = [a.i for node in graph.node if node.op_type == "Cast" for a in node.attribute]
    return DOUBLE in (*ports, *constants, *casts)


def _check_types(model: ModelProto) -> None:
    """One that mixes doubles and float32 without a cast would become valid by what is done to it."""
    try:
        onnx.shape_inference.infer_shapes(model, check_type=True, strict_mode=True)
    except (onnx.shape_inference.InferenceError, RuntimeError, ValueError) as error:
        raise ModelError(f"is not valid ONNX ({first_line(error)})") from error


def _remove_casts(model: ModelProto) -> None:
    """Let what reads a cast between float32 and double read what it casts."""
    graph, types = model.graph, inferred_types(model)
    outputs = {value.name for value in graph.output}
    instead: dict[str, str] = {}
    kept: list[NodeProto] = []
    for node in graph.node:
        node.input[:] = [instead.get(name, name) for name in node.input]
        source = node.input[0] if node.input else ""
        if _is_between(node, types.get(source)):
            if node.output[0] not in outputs:
                instead[node.output[0]] = source
                types[node.output[0]] = types[source]
                continue
            node.op_type = "Identity"
            del node.attribute[:]
        kept.append(node)
    del graph.node[:]
    graph.node.extend(kept)


def _is_between(node: NodeProto, source: int | None) -> bool:
    return (
        node.op_type == "Cast"
        and not node.domain
        and source in (FLOAT, DOUBLE)
        and all(a.i in (FLOAT, DOUBLE) for a in node.attribute if a.name == "to")
    )


def _round(tensor: TensorProto) -> None:
    name, values = tensor.name, numpy_helper.to_array(tensor)
    with np.errstate(over="ignore"):
        single: NDArray[np.float32] = values.astype(np.float32)
    if not np.isfinite(single).all():
        raise ModelError(f"weights {name!r} are too large for float32 (3.4e38); scale them down")
    tensor.CopyFrom(numpy_helper.from_array(single, name))
