"""One node, run by itself."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, TensorProto, helper
from onnx.reference import ReferenceEvaluator


def run_alone(
    node: NodeProto, model: ModelProto, feed: Mapping[str, NDArray[Any]]
) -> list[NDArray[Any]]:
    """What a node of a model makes of ``feed``, by onnx's reference implementation.

    Raises whatever that raises.
    """
    types = {n: helper.np_dtype_to_tensor_dtype(v.dtype) for n, v in feed.items()}
    inputs = [helper.make_tensor_value_info(n, types[n], v.shape) for n, v in feed.items()]
    outputs = [helper.make_tensor_value_info(n, TensorProto.UNDEFINED, None) for n in node.output]
    graph = helper.make_graph([node], "moving", inputs, outputs)
    alone = helper.make_model(graph, opset_imports=model.opset_import)
    return list(ReferenceEvaluator(alone).run(None, dict(feed)))
