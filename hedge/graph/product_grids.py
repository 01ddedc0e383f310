"""Product grids: graphs that give all rows of some inputs at all rows of the others, as DeepONets do.

Branch b(v) [b, p] of sensors v and trunk t(y) [n, p] of points y give b tᵀ, [b, n]. Inside, such a graph
is one of *pairs*: row i is that at row i of both, Σ_k b[i, k] t[i, k]. So rows are independent of each
other, as all else here needs them, and errors over pairs drawn independently are those over the grid.
What is written is the grid again.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray
from onnx import ModelProto, helper, numpy_helper

from hedge.errors import ModelError
from hedge.graph.ports import true_inputs
from hedge.ops import op_of

GRID_KEY = "hedge.grid"
# What may stand behind a product beside elementwise ops: these leave the first two axes as they are, where
# theirs lie behind.
BEHIND = frozenset({"Concat", "Squeeze", "Unsqueeze"})

Names = frozenset[str]


@dataclass(frozen=True)
class Grid:
    """The inputs whose rows are those of the outputs' first axis, and those of the second."""

    rows: tuple[str, ...]
    columns: tuple[str, ...]


def grid_of(model: ModelProto) -> Grid | None:
    """The product grid that a graph of pairs stands for; None if it is one of rows.

    Raises ModelError if its metadata name others than its inputs.

    >>> from pathlib import Path
    >>> from hedge.graph import load_model
    >>> grid_of(load_model(Path("models/heat-64x3.onnx"))) is None
    True
    """
    text = next((entry.value for entry in model.metadata_props if entry.key == GRID_KEY), None)
    if text is None:
        return None
    inputs = [value.name for value in true_inputs(model)]
    try:
        rows, columns = json.loads(text)
        sides = [*rows, *columns]
    except (ValueError, TypeError, RecursionError):
        sides = []
    if not sides or sorted(map(str, sides)) != sorted(inputs) or not rows or not columns:
        raise ModelError(f"its metadata {GRID_KEY!r} is damaged; compress it again")
    return Grid(tuple(rows), tuple(columns))


def mark(model: ModelProto, grid: Grid | None) -> None:
    """Say in the metadata, in place, which grid the graph stands for, or that it is one of rows."""
    kept = {entry.key: entry.value for entry in model.metadata_props if entry.key != GRID_KEY}
    if grid is None and len(kept) == len(model.metadata_props):
        return
    if grid is not None:
        kept[GRID_KEY] = json.dumps([grid.rows, grid.columns])
    helper.set_model_props(model, kept)


def origins_of(model: ModelProto) -> dict[str, Names]:
    """By tensor, the inputs that it hangs on; constants are left out, and what hangs on their sizes alone."""
    found = {value.name: frozenset([value.name]) for value in true_inputs(model)}
    for node in model.graph.node:
        if op_of(node.op_type).kind == "of shapes":
            continue
        origin = frozenset().union(*(found.get(name, frozenset()) for name in node.input))
        if origin:
            found |= dict.fromkeys(node.output, origin)
    return found


def crossing(model: ModelProto, grid: Grid) -> set[str]:
    """The tensors of a product grid that have both axes."""
    return {
        name
        for name, origin in origins_of(model).items()
        if not origin.isdisjoint(grid.rows) and not origin.isdisjoint(grid.columns)
    }


class Rewritten:
    """A copy of a graph whose nodes are written anew."""

    def __init__(self, model: ModelProto) -> None:
        self.model = deepcopy(model)
        graph = self.model.graph
        self.given = list(model.graph.node)
        del graph.node[:]
        self.origins = origins_of(model)
        self.writers = {name: node for node in model.graph.node for name in node.output}
        self._taken = {t.name for t in (*graph.initializer, *graph.input)} | self.writers.keys()

    def add(self, op: str, inputs: list[str], output: str, **attributes: Any) -> str:
        """A node that writes ``output``, a tensor of the graph as it was."""
        node = helper.make_node(op, inputs, [output], name=output, **attributes)
        self.model.graph.node.append(node)
        return output

    def extra(self, op: str, inputs: list[str], name: str, **attributes: Any) -> str:
        """A node that writes a tensor of its own, called so or longer."""
        return self.add(op, inputs, self._unused(name), **attributes)

    def constant(self, values: NDArray[Any], name: str) -> str:
        """A constant of its own, called so or longer."""
        name = self._unused(name)
        self.model.graph.initializer.append(numpy_helper.from_array(values, name))
        return name

    def _unused(self, name: str) -> str:
        while name in self._taken:
            name += "."
        self._taken.add(name)
        return name

    def declare(self, shapes: Mapping[str, list[Any]]) -> None:
        """Give the ports these shapes."""
        for value in (*self.model.graph.input, *self.model.graph.output):
            if value.name in shapes:
                element = value.type.tensor_type.elem_type
                value.CopyFrom(
                    helper.make_tensor_value_info(value.name, element, shapes[value.name])
                )
        del self.model.graph.value_info[:]

    def without_unread(self) -> ModelProto:
        """The model less what no output needs."""
        graph = self.model.graph
        needed, kept = {value.name for value in graph.output}, []
        for node in reversed(graph.node):
            if needed & set(node.output):
                kept.append(node)
                needed |= set(node.input)
        del graph.node[:]
        graph.node.extend(reversed(kept))
        read = [tensor for tensor in graph.initializer if tensor.name in needed]
        if len(read) < len(graph.initializer):
            del graph.initializer[:]
            graph.initializer.extend(read)
        return self.model
