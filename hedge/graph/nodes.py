"""Single nodes of a graph: what messages call them, and their values."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx
from onnx import ModelProto, NodeProto, helper
from onnx.reference import ReferenceEvaluator

from hedge.arrays import Array
from hedge.errors import ModelError, first_line
from hedge.graph.reference_ops import REFERENCE_OPS


def label(node: NodeProto) -> str:
    """A node as messages call it: its op, and its name or else its output."""
    return f"{node.op_type} {(node.name or node.output[0])!r}"


def attributes_of(node: NodeProto) -> dict[str, Any]:
    """What the node's attributes are, by name."""
    return {a.name: helper.get_attribute_value(a) for a in node.attribute}


def run_node(node: NodeProto, version: int, feed: Mapping[str, Array]) -> list[Array]:
    """One node alone, in numpy, as opset ``version`` defines it.

    Raises ModelError if it can't be evaluated.
    """
    try:
        evaluator = ReferenceEvaluator(_alone(node, version, feed), new_ops=REFERENCE_OPS)
        with np.errstate(all="ignore"):  # what is not finite is the caller's to tell
            values: Any = evaluator.run(None, dict(feed))
    except Exception as error:  # the reference evaluator raises whatever its ops raise
        raise ModelError(f"{label(node)} can't be evaluated ({first_line(error)})") from error
    return list(values)


def _alone(node: NodeProto, version: int, feed: Mapping[str, Array]) -> ModelProto:
    """A model of one node that knows its types: ops made up of others (Mish) are expanded by them."""
    inputs = [
        helper.make_tensor_value_info(
            name, helper.np_dtype_to_tensor_dtype(values.dtype), values.shape
        )
        for name, values in feed.items()
    ]
    outputs = [helper.make_empty_tensor_value_info(name) for name in node.output if name]
    graph = helper.make_graph([node], "node", inputs, outputs)
    domains = {"": version} | ({node.domain: 1} if node.domain else {})
    imports = [helper.make_opsetid(domain, each) for domain, each in domains.items()]
    model = helper.make_model(graph, opset_imports=imports)
    return onnx.shape_inference.infer_shapes(model)
