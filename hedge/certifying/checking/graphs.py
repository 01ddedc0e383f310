"""A model's graph, node after node, by the rules of rules.py."""

from __future__ import annotations

import numpy as np
from onnx import ModelProto, numpy_helper

from hedge.certifying.checking.held import Held, joined
from hedge.certifying.checking.nodes import Graph, Node, Value, held
from hedge.certifying.checking.operators import MOVING, OPERATORS, results
from hedge.certifying.checking.rules import Rules


def graph_of(model: ModelProto, name: str) -> Graph:
    """Raises InputError for a node that can't be checked."""
    constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    producers = {o: node for node in model.graph.node for o in node.output}
    graph = Graph(model, name, constants, producers)
    covered = sorted({*OPERATORS, *MOVING})
    for node in model.graph.node:
        if node.domain not in ("", "ai.onnx") or node.op_type not in covered:
            raise graph.refused(node, "the checker covers " + ", ".join(covered))
    return graph


def outputs(graph: Graph, rules: Rules, points: Held) -> Held:
    """All outputs side by side, (m,), over the boxes of ``points`` (d,)."""
    values: dict[str, Value] = dict(graph.constants)
    values.update({name: points.at(places) for name, places in graph.places.items()})
    for node in graph.model.graph.node:
        found = results(Node(graph, node, values, rules))
        values.update(zip(node.output, found, strict=False))
    parts = [held(values[value.name]) for value in graph.model.graph.output]
    return joined(parts, np.arange(sum(len(part.radius) for part in parts)))
