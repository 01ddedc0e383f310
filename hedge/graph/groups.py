"""Neuron groups: sites whose neurons are tied elementwise, so that they can only go together.

A skip connection h + tanh(W h + b) adds neuron i of one layer to neuron i of another; the gates of a
modified MLP (Wang, Teng, Perdikaris 2021) tie two encoders and every layer. Dropping neuron i then
means its row in every site that writes the group and its column in every site that reads it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from onnx import NodeProto, TensorProto, helper

from hedge.graph.fusion import GONE, PLACEHOLDER_DOMAIN, runs_as
from hedge.graph.neuron_constants import is_per_neuron, with_neurons
from hedge.graph.nodes import label
from hedge.graph.shapes import inferred_shapes
from hedge.graph.sites import SplitModel
from hedge.ops import op_of

Widths = Mapping[str, int | None]
"""Numbers per row of every tensor, None where not known; constants of one number are left out."""


@dataclass(frozen=True)
class NeuronGroup:
    """``width`` neurons that ``producers`` write and ``consumers`` alone read, sites by name.

    passes names what goes over them in one call, as it runs (see :func:`hedge.graph.fusion.runs_as`),
    constants the skeleton's own that have a number per neuron.
    """

    producers: tuple[str, ...]
    consumers: tuple[str, ...]
    width: int
    passes: tuple[str, ...]
    constants: tuple[str, ...] = ()


@dataclass(frozen=True)
class _NeuronGroups:
    """The groups from which neurons can be dropped, and by site why the neurons of others stay."""

    groups: tuple[NeuronGroup, ...]
    reasons: Mapping[str, str]


def neuron_groups(split: SplitModel) -> _NeuronGroups:
    """Find the sites whose neurons can be dropped by shrinking the sites around them.

    Elementwise ops tie their result to operands of its width (scalars and single columns are spread
    over the neurons and tie nothing). Tensors tied to each other are a group if sites alone write
    and read them, beside constants of a number per neuron: any other reader (Concat, Reshape, an
    output of the graph) and any other origin (an input) keeps all their neurons.

    >>> from pathlib import Path
    >>> from hedge.graph import load_model, split
    >>> found = neuron_groups(split(load_model(Path("models/heat-64x3.onnx"))))
    >>> [(group.producers, group.consumers, group.width) for group in found.groups]
    [(('site0',), ('site1',), 64), (('site1',), ('site2',), 64), (('site2',), ('site3',), 64)]
    >>> found.reasons
    {'site3': "they feed output 'u'"}
    """
    widths, constants = _widths(split), _constants(split)
    ties = [
        (node.output[0], name)
        for node in split.skeleton.graph.node
        if _is_elementwise(node, widths)
        for name in _tied_operands(node, widths) - constants
    ]
    obstacles = tuple(_obstacles(split, widths, constants))
    graph = split.skeleton.graph
    ops = runs_as(graph, {t.name: tuple(t.dims) for t in graph.initializer})
    groups: list[NeuronGroup] = []
    reasons: dict[str, str] = {}
    for tensors in _tied(widths, ties):
        producers = tuple(site.name for site in split.sites if site.output in tensors)
        obstacle = next((why for name, why in obstacles if name in tensors), None)
        if obstacle is not None:
            reasons |= dict.fromkeys(producers, obstacle)
        elif producers:
            groups.append(_group(split, tensors, producers, constants, ops))
    return _NeuronGroups(tuple(groups), reasons)


def _tied(names: Iterable[str], ties: Iterable[tuple[str, str]]) -> list[set[str]]:
    """The names in sets of those that are tied to each other, in the order of their first ones."""
    sets = {name: {name} for name in names}
    for one, other in ties:
        small, large = sorted((sets[one], sets[other]), key=len)
        if small is not large:
            large |= small
            sets.update(dict.fromkeys(small, large))
    return list({id(each): each for each in sets.values()}.values())


def with_kept_neurons(
    split: SplitModel, groups: Sequence[NeuronGroup], kept: Mapping[str, NDArray[np.int64]]
) -> SplitModel:
    """The split whose constants per neuron are those of the neurons that producers keep, by their names.

    groups are its own; it stays itself where that changes none.
    """
    constants = {
        name: kept[group.producers[0]]
        for group in groups
        if group.producers[0] in kept
        for name in group.constants
    }
    if not constants:
        return split
    return replace(split, skeleton=with_neurons(split.skeleton, constants))


def _group(
    split: SplitModel,
    tensors: set[str],
    producers: tuple[str, ...],
    constants: set[str],
    ops: Mapping[str, str],
) -> NeuronGroup:
    between = [
        node
        for node in split.skeleton.graph.node
        if node.output[0] in tensors and node.domain != PLACEHOLDER_DOMAIN
    ]
    passes = [ops[node.output[0]] for node in between]
    return NeuronGroup(
        producers=producers,
        consumers=tuple(site.name for site in split.sites if site.input in tensors),
        width=split.matrices[producers[0]].shape[0],
        passes=tuple(op for op in passes if op != GONE),
        constants=tuple(dict.fromkeys(n for node in between for n in node.input if n in constants)),
    )


def _constants(split: SplitModel) -> set[str]:
    return {tensor.name for tensor in split.skeleton.graph.initializer if is_per_neuron(tensor)}


def _obstacles(split: SplitModel, widths: Widths, constants: set[str]) -> Iterator[tuple[str, str]]:
    """(tensor, why its neurons stay), what a user would name first coming first."""
    graph = split.skeleton.graph
    for value in graph.output:
        yield value.name, f"they feed output {value.name!r}"
    inside = {site.output for site in split.sites}  # written by sites, or elementwise from those
    for node in graph.node:
        if node.domain == PLACEHOLDER_DOMAIN:
            continue
        operands = [name for name in node.input if name in widths]
        if not _is_elementwise(node, widths):
            for name in operands:
                yield name, f"{label(node)} reads them"
            continue
        tied = _tied_operands(node, widths)
        for name in operands:
            if name not in tied:
                yield name, f"{label(node)} spreads them over others"
            elif name not in inside | constants:
                yield name, f"{label(node)} ties them to {name!r}"
        inside.add(node.output[0])
    for site in split.sites:
        if site.matrix.shape[0] == 1:
            yield site.output, "there is only one"


def _is_elementwise(node: NodeProto, widths: Widths) -> bool:
    """Whether neuron i of the result depends on neuron i of the operands alone."""
    if node.domain:
        return False
    op = op_of(node.op_type)
    if op.kind == "unary":
        return not any(name in widths for name in node.input[1:])
    return op.elementwise


def _tied_operands(node: NodeProto, widths: Widths) -> set[str]:
    """The operands of an elementwise node that are as wide as its result, or may be."""
    width = widths[node.output[0]]
    operands = {name for name in node.input if name in widths}
    return {name for name in operands if widths[name] != 1 or width in (1, None)}


def _widths(split: SplitModel) -> Widths:
    known = deepcopy(split.skeleton)
    graph = known.graph
    graph.value_info.extend(
        helper.make_tensor_value_info(s.output, TensorProto.FLOAT, [None, s.matrix.shape[0]])
        for s in split.sites
    )
    shapes = inferred_shapes(known)
    scalars = {t.name for t in graph.initializer if all(size == 1 for size in t.dims)}
    names = [value.name for value in (*graph.initializer, *graph.input)]
    names += [name for node in graph.node for name in (*node.output, *node.input) if name]
    widths: dict[str, int | None] = {}
    for name in dict.fromkeys(names):
        if name not in scalars:
            shape = shapes.get(name, (None,))
            widths[name] = shape[-1] if shape else 1
    return widths
