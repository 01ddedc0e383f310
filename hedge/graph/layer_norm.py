"""LayerNorm as one node and as the nine that exporters write before opset 17: one network, one form."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, helper, numpy_helper

from hedge.graph.nodes import attributes_of
from hedge.graph.shapes import Shape, inferred_shapes

Constants = Mapping[str, NDArray[np.generic]]


def with_whole_layer_norms(model: ModelProto, constants: Constants) -> ModelProto:
    """The model with one node for each LayerNorm over the last axis that stands in it node by node."""
    if not any(node.op_type == "ReduceMean" for node in model.graph.node):
        return model
    found = _Finder(model, constants, inferred_shapes(model)).found()
    return _gathered(model, found) if found else model


def with_layer_norms_written_out(model: ModelProto) -> ModelProto:
    """The model with every LayerNorm over the last axis as the nodes that it is made of."""
    shapes = inferred_shapes(model)
    if not any(_is_over_last_axis(node, shapes) for node in model.graph.node):
        return model
    written = deepcopy(model)
    del written.graph.node[:]
    for node in model.graph.node:
        over_last = _is_over_last_axis(node, shapes)
        written.graph.node.extend(_written_out(written, node) if over_last else [node])
    return written


@dataclass(frozen=True)
class _Found:
    """The nodes of one LayerNorm of ``source``, in order; scale and bias are names, "" for none."""

    source: str
    width: int
    nodes: tuple[NodeProto, ...]
    epsilon: float
    scale: str
    bias: str


class _Finder:
    """(x − mean x) / √(mean (x − mean x)² + ε), times a constant, plus a constant, in a graph."""

    def __init__(
        self, model: ModelProto, constants: Constants, shapes: Mapping[str, Shape]
    ) -> None:
        self._nodes, self._constants, self._shapes = model.graph.node, constants, shapes
        self._readers: dict[str, list[NodeProto]] = defaultdict(list)
        for node in model.graph.node:
            for name in dict.fromkeys(node.input):
                self._readers[name].append(node)
        self._outputs = {value.name for value in model.graph.output}

    def found(self) -> list[_Found]:
        norms = (self._from(node) for node in self._nodes if self._is_mean(node))
        return [norm for norm in norms if norm is not None]

    def _from(self, mean: NodeProto) -> _Found | None:
        source, nodes = mean.input[0], [mean]
        centred = self._only(mean, "Sub", [source, mean.output[0]])
        square = None if centred is None else self._square(centred)
        if centred is None or square is None:
            return None
        variance = self._reader(square, "ReduceMean")
        shifted = None if variance is None else self._reader(variance, "Add")
        root = None if shifted is None else self._reader(shifted, "Sqrt")
        if variance is None or shifted is None or root is None or not self._is_mean(variance):
            return None
        quotient = self._only(root, "Div", [centred.output[0], root.output[0]])
        epsilon = self._single(shifted, variance.output[0])
        if quotient is None or epsilon is None or len(self._readers[centred.output[0]]) != 2:
            return None
        nodes += [centred, square, variance, shifted, root, quotient]
        scaled, scale = self._with_constant(quotient, "Mul")
        moved, bias = self._with_constant(scaled or quotient, "Add")
        nodes += [node for node in (scaled, moved) if node is not None]
        width = (self._shapes.get(source) or (None,))[-1]
        return None if width is None else _Found(source, width, tuple(nodes), epsilon, scale, bias)

    def _is_mean(self, node: NodeProto) -> bool:
        """Over the last axis alone, which stays."""
        if node.op_type != "ReduceMean" or node.domain:
            return False
        given = attributes_of(node)
        by_input = self._constants.get(node.input[1]) if len(node.input) > 1 else None
        axes = list(given.get("axes", [] if by_input is None else by_input.tolist()))
        last = len(self._shapes.get(node.input[0], ())) - 1
        return given.get("keepdims", 1) == 1 and axes in ([-1], [last])

    def _reader(self, node: NodeProto, op: str) -> NodeProto | None:
        """The one node that reads the result, if it is such a one."""
        readers = self._readers[node.output[0]]
        alone = len(readers) == 1 and node.output[0] not in self._outputs
        return readers[0] if alone and readers[0].op_type == op and not readers[0].domain else None

    def _only(self, node: NodeProto, op: str, operands: list[str]) -> NodeProto | None:
        found = self._reader(node, op)
        return found if found is not None and list(found.input) == operands else None

    def _square(self, centred: NodeProto) -> NodeProto | None:
        name = centred.output[0]
        for node in self._readers[name]:
            power = self._constants.get(node.input[1]) if node.op_type == "Pow" else None
            if power is not None and power.size == 1 and float(power.ravel()[0]) == 2.0:
                return node
            if node.op_type == "Mul" and list(node.input) == [name, name]:
                return node
        return None

    def _single(self, node: NodeProto, other: str) -> float | None:
        values = [self._constants.get(name) for name in node.input if name != other]
        single = len(values) == 1 and values[0] is not None and values[0].size == 1
        return float(values[0].ravel()[0]) if single and values[0] is not None else None

    def _with_constant(self, node: NodeProto, op: str) -> tuple[NodeProto | None, str]:
        """What alone reads the node and a constant per column, and the constant's name."""
        found = self._reader(node, op)
        others = [name for name in found.input if name != node.output[0]] if found else []
        values = self._constants.get(others[0]) if len(others) == 1 else None
        width = (self._shapes.get(node.output[0]) or (None,))[-1]
        fits = values is not None and values.shape == (width,)
        return (found, others[0]) if fits else (None, "")


def _gathered(model: ModelProto, norms: list[_Found]) -> ModelProto:
    """The model with one node in the place of those of each."""
    whole = deepcopy(model)
    instead = {norm.nodes[-1].output[0]: _whole(whole, norm) for norm in norms}
    gone = {node.output[0] for norm in norms for node in norm.nodes[:-1]}
    del whole.graph.node[:]
    whole.graph.node.extend(
        instead.get(node.output[0], node) for node in model.graph.node if node.output[0] not in gone
    )
    return whole


def _whole(model: ModelProto, norm: _Found) -> NodeProto:
    output, scale = norm.nodes[-1].output[0], norm.scale
    if not scale:
        scale = f"{output}.ones"
        ones = np.ones(norm.width, np.float32)
        model.graph.initializer.append(numpy_helper.from_array(ones, scale))
    inputs = [norm.source, scale, *([norm.bias] if norm.bias else [])]
    name = norm.nodes[0].name.rpartition("/")[0] or output
    return helper.make_node(
        "LayerNormalization", inputs, [output], name, axis=-1, epsilon=norm.epsilon
    )


def _is_over_last_axis(node: NodeProto, shapes: Mapping[str, Shape]) -> bool:
    if node.op_type != "LayerNormalization" or node.domain or any(node.output[1:]):
        return False
    last = len(shapes.get(node.input[0], ())) - 1
    return attributes_of(node).get("axis", -1) in (-1, last)


def _written_out(model: ModelProto, node: NodeProto) -> list[NodeProto]:
    source, scale, *bias = (name for name in node.input if name)
    stem = node.output[0]
    epsilon = np.array([attributes_of(node).get("epsilon", 1e-5)], np.float32)
    constants = {f"{stem}.epsilon": epsilon, f"{stem}.two": np.array([2.0], np.float32)}
    for name, values in constants.items():
        model.graph.initializer.append(numpy_helper.from_array(values, name))
    mean, centred, square, variance, shifted, root, quotient, scaled = (
        f"{stem}.{part}"
        for part in [
            "mean",
            "centred",
            "square",
            "variance",
            "shifted",
            "root",
            "quotient",
            "scaled",
        ]
    )
    make = helper.make_node
    return [
        _mean(model, source, mean),
        make("Sub", [source, mean], [centred]),
        make("Pow", [centred, f"{stem}.two"], [square]),
        _mean(model, square, variance),
        make("Add", [variance, f"{stem}.epsilon"], [shifted]),
        make("Sqrt", [shifted], [root]),
        make("Div", [centred, root], [quotient]),
        make("Mul", [quotient, scale], [scaled if bias else stem]),
        *([make("Add", [scaled, bias[0]], [stem])] if bias else []),
    ]


def _mean(model: ModelProto, source: str, target: str) -> NodeProto:
    """ReduceMean over the last axis, by an attribute before opset 18 and by an input since."""
    version = max((e.version for e in model.opset_import if not e.domain), default=1)
    if version < 18:
        return helper.make_node("ReduceMean", [source], [target], axes=[-1], keepdims=1)
    axes = f"{target}.axes"
    model.graph.initializer.append(numpy_helper.from_array(np.array([-1]), axes))
    return helper.make_node("ReduceMean", [source, axes], [target], keepdims=1)
