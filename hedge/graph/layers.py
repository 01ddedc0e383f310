"""Hidden layers that can go as a whole: what reads one may read what it reads."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from onnx import NodeProto

from hedge.graph.fusion import PLACEHOLDER_DOMAIN
from hedge.graph.groups import NeuronGroup, neuron_groups
from hedge.graph.sites import SplitModel, placeholder, pruned
from hedge.graph.structures.factors import SiteMatrix


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
