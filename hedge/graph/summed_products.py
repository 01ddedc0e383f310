"""Sums over the products of two networks' neurons, as DeepONets end in, written as layers of ones.

Σ_k b_k t_k is a layer of one neuron, with weights of one, that reads b_k t_k: so its inputs can be dropped as
those of any layer, and the weights of those that stay are fitted.
"""

from __future__ import annotations

from collections import defaultdict
from copy import deepcopy

import numpy as np
from onnx import ModelProto, NodeProto, helper, numpy_helper

from hedge.graph.nodes import attributes_of
from hedge.graph.ports import true_inputs
from hedge.graph.shapes import Shape, inferred_shapes


def with_sums_as_layers(model: ModelProto) -> ModelProto:
    """The model with MatMuls in place of the sums over what two varying tensors [n, p] multiply to.

    They are ReduceSum of a Mul, or Einsum (``bi,bi->b``).
    """
    if not any(node.op_type in ("Einsum", "ReduceSum") for node in model.graph.node):
        return model
    return _Writer(model).written()


class _Writer:
    def __init__(self, model: ModelProto) -> None:
        self._model = deepcopy(model)
        graph = self._model.graph
        self._nodes = list(model.graph.node)
        self._shapes = inferred_shapes(model)
        self._constants = {t.name: t for t in model.graph.initializer}
        self._writers = {name: node for node in self._nodes for name in node.output}
        self._readers: dict[str, list[NodeProto]] = defaultdict(list)
        for node in self._nodes:
            for name in node.input:
                self._readers[name].append(node)
        self._outputs = {value.name for value in graph.output}
        self._varying = {value.name for value in true_inputs(model)}
        for node in self._nodes:
            if self._varying & set(node.input):
                self._varying |= set(node.output)
        self._taken = {*self._constants, *self._writers, *self._varying}
        self._skipped: set[str] = set()
        del graph.node[:]

    def written(self) -> ModelProto:
        graph = self._model.graph
        for node in self._nodes:
            if node.output[0] in self._skipped:
                continue
            terms = self._terms(node)
            if terms is None:
                graph.node.append(node)
            else:
                self._write(node, *terms)
        return self._model

    def _terms(self, node: NodeProto) -> tuple[str, int, bool] | None:
        """The products [n, p] that a node sums over, p, and whether the summed axis stays."""
        if node.domain:
            return None
        if node.op_type == "ReduceSum" and self._is_over_last(node):
            before = self._writers.get(node.input[0])
            if before is not None and before.op_type == "Mul" and self._width(before.input):
                keeps = bool(attributes_of(node).get("keepdims", 1))
                return node.input[0], self._width(before.input), keeps
        if node.op_type == "Einsum" and self._is_by_row(node) and self._width(node.input):
            terms = self._unused(f"{node.output[0]}.terms")
            self._model.graph.node.append(helper.make_node("Mul", node.input, [terms], name=terms))
            return terms, self._width(node.input), False
        return None

    def _is_over_last(self, node: NodeProto) -> bool:
        axes = self._constants.get(node.input[1]) if len(node.input) > 1 else None
        return (
            axes is not None
            and numpy_helper.to_array(axes).ravel().tolist() in ([1], [-1])
            and len(self._shapes.get(node.input[0], ())) == 2
        )

    def _is_by_row(self, node: NodeProto) -> bool:
        text = attributes_of(node)["equation"].decode().replace(" ", "")
        terms, _, result = text.partition("->")
        first, _, second = terms.partition(",")
        return first == second and len(set(first)) == 2 and result == first[0]

    def _width(self, operands: object) -> int:
        """p, where two varying operands are [n, p]; 0 where they are others."""
        names = list(operands)  # type: ignore[call-overload]
        shapes: list[Shape] = [self._shapes.get(name, ()) for name in names]
        same = len(names) == 2 and set(names) <= self._varying and shapes[0] == shapes[1]
        return (shapes[0][1] or 0) if same and len(shapes[0]) == 2 else 0

    def _write(self, node: NodeProto, terms: str, width: int, keeps: bool) -> None:
        """The layer; an Unsqueeze that alone reads the sum, to put its axis back, goes with it."""
        graph, output = self._model.graph, node.output[0]
        ones = self._unused(f"{output}.ones")
        graph.initializer.append(numpy_helper.from_array(np.ones((width, 1), np.float32), ones))
        if keeps:
            graph.node.append(helper.make_node("MatMul", [terms, ones], [output], name=output))
            return
        readers = self._readers[output]
        if len(readers) == 1 and output not in self._outputs and self._puts_back(readers[0]):
            column = readers[0].output[0]
            self._skipped.add(column)
            graph.node.append(helper.make_node("MatMul", [terms, ones], [column], name=column))
            return
        column = self._unused(f"{output}.column")
        axes = self._unused(f"{output}.axis")
        graph.initializer.append(numpy_helper.from_array(np.array([1]), axes))
        graph.node.append(helper.make_node("MatMul", [terms, ones], [column], name=column))
        graph.node.append(helper.make_node("Squeeze", [column, axes], [output], name=output))

    def _puts_back(self, node: NodeProto) -> bool:
        axes = self._constants.get(node.input[1]) if node.op_type == "Unsqueeze" else None
        return axes is not None and numpy_helper.to_array(axes).ravel().tolist() in ([1], [-1])

    def _unused(self, name: str) -> str:
        while name in self._taken:
            name += "."
        self._taken.add(name)
        return name
