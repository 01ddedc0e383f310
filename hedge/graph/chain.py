"""Linear layers of a graph as the field counts them, and the plain chain of tanh layers."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from itertools import pairwise

from hedge.arrays import Array
from hedge.errors import ModelError
from hedge.graph.sites import SplitModel


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


def tanh_chain(parts: SplitModel) -> tuple[Layer, ...]:
    """The layers of a plain chain of tanh layers with one output, behind any head.

    Raises ModelError for any other graph.
    """
    layers = linear_layers(parts)
    graph = parts.skeleton.graph
    tanh = {node.output[0]: node.input[0] for node in graph.node if node.op_type == "Tanh"}
    chained = all(tanh.get(layer.source) == before.target for before, layer in pairwise(layers))
    if not chained or len(layers[-1].weight) != 1:
        raise ModelError(
            "is not a plain chain of tanh layers with one output, so its residual can't be "
            "differentiated; ask for its outputs instead"
        )
    return layers
