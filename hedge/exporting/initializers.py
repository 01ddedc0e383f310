"""Constants of a graph, each kept once."""

from __future__ import annotations

from onnx import GraphProto, TensorProto, numpy_helper


def share_equal_initializers(graph: GraphProto) -> None:
    """Keep the first of equal constants and let all nodes read that one, in place.

    Equal are those of one type, one shape and the same bits. A constant that is an output of the
    graph keeps its name.
    """
    outputs = {value.name for value in graph.output}
    kept: list[TensorProto] = []
    first: dict[tuple[int, tuple[int, ...], bytes], str] = {}
    instead: dict[str, str] = {}
    for tensor in graph.initializer:
        values = numpy_helper.to_array(tensor)
        name = first.setdefault((tensor.data_type, values.shape, values.tobytes()), tensor.name)
        instead[tensor.name] = name
        if name == tensor.name or tensor.name in outputs:
            kept.append(tensor)
    for node in graph.node:
        for position, name in enumerate(node.input):
            node.input[position] = instead.get(name, name)
    del graph.initializer[:]
    graph.initializer.extend(kept)
