"""The one operator that converters of scikit-learn put before a network, in standard ones."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

from hedge.graph.nodes import attributes_of

OF_CONVERTERS = "ai.onnx.ml"


def write_out_scalers(model: ModelProto) -> None:
    """Scaler, (x − offset) scale with a number per column, as Sub and Mul, in place."""
    nodes = [each for node in model.graph.node for each in _written_out(model, node)]
    del model.graph.node[:]
    model.graph.node.extend(nodes)


def _written_out(model: ModelProto, node: NodeProto) -> Iterator[NodeProto]:
    given = attributes_of(node) if node.op_type == "Scaler" else {}
    if node.domain != OF_CONVERTERS or not {"offset", "scale"} <= given.keys():
        yield node
        return
    moved, names, source = f"{node.output[0]}.moved", {}, node.input[0]
    for key in ("offset", "scale"):
        names[key] = f"{node.output[0]}.{key}"
        values = np.array([given[key]], np.float32)
        model.graph.initializer.append(numpy_helper.from_array(values, names[key]))
    if source in _doubles(model):  # what a Scaler writes is float32 whatever it reads
        source = f"{moved}.x"
        yield helper.make_node("Cast", [node.input[0]], [source], to=TensorProto.FLOAT)
    yield helper.make_node("Sub", [source, names["offset"]], [moved], name=moved)
    yield helper.make_node("Mul", [moved, names["scale"]], [node.output[0]], name=node.name)


def _doubles(model: ModelProto) -> set[str]:
    return {
        value.name
        for value in model.graph.input
        if value.type.tensor_type.elem_type == TensorProto.DOUBLE
    }
