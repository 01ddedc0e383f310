"""Layers: the plain chains that a model's sites are, and those that can be left out of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import pairwise

from onnx import NodeProto

from hedge.arrays import Array
from hedge.errors import ModelError
from hedge.graph.fusion import PLACEHOLDER_DOMAIN
from hedge.graph.groups import NeuronGroup, neuron_groups
from hedge.graph.sites import SplitModel, placeholder, pruned
from hedge.graph.structures.factors import SiteMatrix


@dataclass(frozen=True, eq=False)
class Layer:
    """A linear layer: tensors it reads and writes, W (n_out, n_in), b (n_out,)."""

    source: str
    target: str
    weight: Array
    bias: Array
    last_site: str


def linear_layers(parts: SplitModel) -> tuple[Layer, ...]:
    """The sites of a model, those that follow each other with nothing between taken together."""
    readers = Counter(name for node in parts.skeleton.graph.node for name in node.input)
    layers: list[Layer] = []
    for site in parts.sites:
        weight, bias = site.matrix.dense(), site.matrix.bias
        previous = layers[-1] if layers else None
        if previous and previous.target == site.input and readers[site.input] == 1:
            layers[-1] = Layer(
                previous.source, site.output, weight @ previous.weight,
                weight @ previous.bias + bias, site.name,
            )  # fmt: skip
        else:
            layers.append(Layer(site.input, site.output, weight, bias, site.name))
    return tuple(layers)


def tanh_chain(parts: SplitModel, outputs: int = 1) -> tuple[Layer, ...]:
    """The layers of a plain chain of tanh layers with so many outputs, behind any head.

    Raises ModelError for any other graph.
    """
    layers = linear_layers(parts)
    graph = parts.skeleton.graph
    tanh = {node.output[0]: node.input[0] for node in graph.node if node.op_type == "Tanh"}
    chained = all(tanh.get(layer.source) == before.target for before, layer in pairwise(layers))
    if not chained or len(layers[-1].weight) != outputs:
        count = "one output" if outputs == 1 else f"{outputs} outputs"
        raise ModelError(
            f"is not a plain chain of tanh layers with {count}, so its residual can't be differentiated"
        )
    return layers


def removable_layers(split: SplitModel) -> tuple[NeuronGroup, ...]:
    """The hidden layers that one site writes; none where there is no other, so that one always stays.

    >>> from pathlib import Path
    >>> from hedge.graph import load_model, split
    >>> found = removable_layers(split(load_model(Path("models/heat-64x3.onnx"))))
    >>> [group.producers for group in found]
    [('site0',), ('site1',), ('site2',)]
    """
    groups = neuron_groups(split).groups
    return tuple(g for g in groups if len(g.producers) == 1) if len(groups) > 1 else ()


def without_layer(
    split: SplitModel, layer: NeuronGroup, folded: Mapping[str, SiteMatrix]
) -> SplitModel:
    """The model without a removable layer, whose readers have these matrices of what the layer read."""
    (producer,) = (site for site in split.sites if site.name in layer.producers)

    def rewired(node: NodeProto) -> NodeProto:
        moves = node.domain == PLACEHOLDER_DOMAIN and node.name in folded
        return placeholder(node.name, producer.input, node.output[0]) if moves else node

    nodes = [rewired(node) for node in split.skeleton.graph.node if node.name != producer.name]
    sites = tuple(
        replace(site, input=producer.input, matrix=folded[site.name])
        if site.name in folded
        else site
        for site in split.sites
        if site.name != producer.name
    )
    return SplitModel(pruned(split.skeleton, nodes), sites)
