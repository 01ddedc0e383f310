"""Constants of a number per neuron between layers: slopes of activations, scales, shifts.

Those that no layer takes in are cut as its neurons are, so each node needs its own.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from copy import deepcopy
from itertools import count

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

from hedge.arrays import Array
from hedge.graph.folding import affine_of
from hedge.graph.shapes import Shape
from hedge.ops import op_of


def is_per_neuron(tensor: TensorProto) -> bool:
    """Whether it is (width,), (1, width), … of several numbers.

    >>> is_per_neuron(numpy_helper.from_array(np.ones((1, 64), np.float32)))
    True
    """
    *outer, width = tensor.dims or (1,)
    return tensor.data_type == TensorProto.FLOAT and width > 1 and set(outer) <= {1}


def with_neurons(skeleton: ModelProto, kept: Mapping[str, NDArray[np.int64]]) -> ModelProto:
    """The graph with these numbers alone of constants per neuron, by their names."""
    changed = deepcopy(skeleton)
    for tensor in changed.graph.initializer:
        if tensor.name in kept:
            values = numpy_helper.to_array(tensor)[..., kept[tensor.name]]
            tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))
    return changed


def with_neuron_constants(
    model: ModelProto, constants: Mapping[str, Array], shapes: Mapping[str, Shape]
) -> ModelProto:
    """The same graph with constants per neuron as values, one for each elementwise node that reads one.

    BatchNormalization becomes such nodes; constants are all those known, computed ones too.
    """
    changed = deepcopy(model)
    graph, free = changed.graph, _free_names(model)
    nodes: list[NodeProto] = []
    for node in model.graph.node:
        if _is_computed(node, constants):
            name = node.output[0]
            graph.initializer.append(numpy_helper.from_array(constants[name], name))
        elif node.op_type == "BatchNormalization" and len(shapes.get(node.input[0], ())) == 2:
            nodes += _scale_and_shift(changed, node, constants, free)
        else:
            nodes.append(node)
    del graph.node[:]
    graph.node.extend(nodes)
    _copy_what_is_shared(changed, free)
    return changed


def _is_computed(node: NodeProto, constants: Mapping[str, Array]) -> bool:
    """Whether it makes a row of numbers, or one, that is known."""
    values = constants.get(node.output[0])
    if values is None or values.dtype != np.float32:
        return False
    return bool(values.size == (values.shape or (1,))[-1])


def _scale_and_shift(
    model: ModelProto, node: NodeProto, constants: Mapping[str, Array], free: Iterator[str]
) -> list[NodeProto]:
    affine = affine_of(node, constants)
    if affine is None:
        return [node]
    scaled, target = next(free), affine.target
    names = {next(free): affine.scale, next(free): affine.shift}
    for name, values in names.items():
        tensor = numpy_helper.from_array(values.astype(np.float32), name)
        model.graph.initializer.append(tensor)
    scale, shift = names
    return [
        helper.make_node("Mul", [affine.source, scale], [scaled], name=scaled),
        helper.make_node("Add", [scaled, shift], [target], name=node.name or target),
    ]


def _copy_what_is_shared(model: ModelProto, free: Iterator[str]) -> None:
    graph = model.graph
    rows = {tensor.name: tensor for tensor in graph.initializer if is_per_neuron(tensor)}
    read = {value.name for value in graph.output}
    for node in graph.node:
        if op_of(node.op_type).elementwise and not node.domain:
            for name in sorted(rows.keys() & set(node.input) & read):
                own = next(free)
                graph.initializer.append(rows[name])
                graph.initializer[-1].name = own
                node.input[:] = [own if each == name else each for each in node.input]
        read.update(node.input)


def _free_names(model: ModelProto) -> Iterator[str]:
    """Names that nothing in the graph has."""
    graph = model.graph
    taken = {name for node in graph.node for name in (*node.input, *node.output)}
    taken |= {value.name for value in (*graph.initializer, *graph.input)}
    return (name for name in (f"neurons{i}" for i in count()) if name not in taken)
