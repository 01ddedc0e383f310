"""A graph read by enclosures: what each node's result lies within, over a batch of boxes.

The graph is taken at one row. Nodes that move numbers are run on the numbers' places; what depends on
weights alone is enclosed like everything else, in one box. What is not covered is refused by name.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from onnx import ModelProto, NodeProto, numpy_helper

from hedge.certifying.enclosure import Arithmetic, Enclosure
from hedge.certifying.moving import MOVES, joined, moved, spread_over
from hedge.certifying.nodes import READERS
from hedge.certifying.reader import Raw, Reader, Value, enclosure_of
from hedge.errors import ModelError
from hedge.graph import input_dimension, opset
from hedge.graph.nodes import label
from hedge.graph.ports import true_inputs

MOST_INPUTS = 16


@dataclass(frozen=True)
class Network:
    """A model as certification reads it."""

    model: ModelProto
    constants: Mapping[str, Raw]
    producers: Mapping[str, NodeProto]

    @property
    def parameters(self) -> int:
        """How many numbers its weights have."""
        return sum(
            int(values.size) for values in self.constants.values() if values.dtype.kind == "f"
        )

    @property
    def widest(self) -> int:
        """Numbers of its widest layer."""
        sizes = (max(v.shape, default=1) for v in self.constants.values() if v.size)
        return max(sizes, default=1)

    @cached_property
    def read_last(self) -> list[list[str]]:
        """Of each node, the tensors that no later one reads, and that are no output."""
        kept = {value.name for value in self.model.graph.output}
        found = []
        for node in reversed(self.model.graph.node):
            # a sum looks at what the product that it follows was of
            behind = [name for each in node.input for name in self._factors(each)]
            names = dict.fromkeys([*node.input, *node.output, *behind])
            found.append([name for name in names if name and name not in kept])
            kept |= {name for name in names if name}
        return found[::-1]

    def _factors(self, tensor: str) -> Sequence[str]:
        node = self.producers.get(tensor)
        return node.input if node is not None and node.op_type in ("Gemm", "MatMul") else ()

    def enclosed(self, arithmetic: Arithmetic, points: Enclosure) -> Enclosure:
        """All outputs side by side, (1, m), over the boxes of ``points`` (1, d).

        Raises ModelError, with the node, for what enclosures don't cover.
        """
        values: dict[str, Value] = {**self.constants, **_inputs(self.model, points)}
        for node, over in zip(self.model.graph.node, self.read_last, strict=True):
            reader = Reader(node, self.producers, values, arithmetic, opset(self.model))
            values.update(zip(node.output, _results(reader), strict=False))
            for name in over:
                del values[name]
        outputs = [
            spread_over(enclosure_of(values[value.name]), points)
            for value in self.model.graph.output
        ]
        flat = [o.taken(np.arange(o.radius.shape[1]), (1, o.radius.shape[1])) for o in outputs]
        return flat[0] if len(flat) == 1 else joined(flat, 1)


def _results(reader: Reader) -> Sequence[Value]:
    name = reader.node.op_type
    return moved(reader) if name in MOVES else [READERS[name](reader)]


def network_of(model: ModelProto) -> Network:
    """The model, read once for many boxes.

    Raises ModelError for operators that are not covered, and for more inputs than boxes can be halved in.
    """
    if (dimension := input_dimension(model)) > MOST_INPUTS:
        raise ModelError(
            f"takes {dimension} inputs; certification covers up to {MOST_INPUTS}: beyond, boxes are too many"
        )
    for node in model.graph.node:
        if node.op_type not in covered():
            raise ModelError(
                f"{label(node)} is not covered by certification; it covers {', '.join(covered())}"
            )
    constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    return Network(model, constants, {o: node for node in model.graph.node for o in node.output})


def covered() -> list[str]:
    """The operators that networks may consist of."""
    return sorted({*READERS, *MOVES})


def _inputs(model: ModelProto, points: Enclosure) -> dict[str, Enclosure]:
    if input_dimension(model) != points.shape[1]:
        raise ModelError(
            f"takes points of {input_dimension(model)} columns, the domain has {points.shape[1]}"
        )
    found, start = {}, 0
    for value in true_inputs(model):
        dims = value.type.tensor_type.shape.dim
        width = int(dims[1].dim_value) if len(dims) == 2 else 1
        places = np.arange(start, start + width)
        found[value.name] = points.taken(places, (1, width) if len(dims) == 2 else (1,))
        start += width
    return found
