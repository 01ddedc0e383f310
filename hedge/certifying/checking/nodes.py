"""A model's graph and its nodes, read at one row.

Operators that move numbers are run by onnx's reference implementation on the numbers' places.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, helper

from hedge.certifying.checking.alone import run_alone
from hedge.certifying.checking.held import Held, constant
from hedge.certifying.checking.rules import Rules
from hedge.errors import InputError

Raw = NDArray[Any]
Value = Held | Raw


@dataclass(frozen=True)
class Graph:
    """A model; ``name`` says which one in messages. moves keeps where nodes move numbers to."""

    model: ModelProto
    name: str
    constants: Mapping[str, Raw]
    producers: Mapping[str, NodeProto]
    moves: dict[str, list[Raw]] = field(default_factory=dict)

    def refused(self, node: NodeProto, why: str) -> InputError:
        """The error that names a node."""
        place = node.name or next(iter(node.output), "")
        return InputError(f"{self.name}: {node.op_type} {place!r} can't be checked: {why}")

    @property
    def widths(self) -> list[tuple[str, int, int]]:
        """Name, columns and rank of each input."""
        found = []
        for value in self.model.graph.input:
            if value.name not in self.constants:
                dims = value.type.tensor_type.shape.dim
                width = int(dims[1].dim_value) if len(dims) == 2 else 1
                if len(dims) not in (1, 2) or width < 1:
                    raise InputError(f"{self.name}: input {value.name!r} is not [n, d]")
                found.append((value.name, width, len(dims)))
        return found

    @property
    def places(self) -> Mapping[str, Raw]:
        """Of each input which columns of the points it holds, in its shape."""
        found, start = {}, 0
        for name, width, rank in self.widths:
            columns = np.arange(start, start + width)
            found[name] = columns.reshape(1, width) if rank == 2 else columns
            start += width
        return found

    @property
    def widest(self) -> int:
        """The longest axis of a constant."""
        return max((max(c.shape, default=1) for c in self.constants.values() if c.size), default=1)

    @property
    def dimension(self) -> int:
        """Columns of all inputs."""
        return sum(width for _, width, _ in self.widths)


def held(value: Value) -> Held:
    """A value as the rules take it."""
    return value if isinstance(value, Held) else constant(value)


@dataclass(frozen=True)
class Node:
    """One node and all values so far."""

    graph: Graph
    node: NodeProto
    values: Mapping[str, Value]
    rules: Rules

    @property
    def attributes(self) -> dict[str, Any]:
        """By name."""
        return {a.name: helper.get_attribute_value(a) for a in self.node.attribute}

    def given(self) -> list[Value]:
        """Its operands."""
        return [self.values[name] for name in self.node.input if name]

    def operands(self) -> list[Held]:
        """The same as the rules take them."""
        return [held(value) for value in self.given()]

    def refused(self, why: str) -> InputError:
        """The error that names it."""
        return self.graph.refused(self.node, why)

    def error_of(self, function: str) -> tuple[float, float]:
        """What the certificate assumes; (0, 0) for a network of real numbers."""
        if not self.rules.unit:
            return 0.0, 0.0
        return (self.rules.errors or {})[function]

    def moved(self) -> list[Value]:
        """The numbers of the first operand, at their new places; only that one may vary."""
        source, *others = self.given()
        if any(isinstance(other, Held) for other in others):
            raise self.refused("where its numbers go varies")
        if not isinstance(source, Held):
            return list(self._run(source, others))
        key = "/".join(self.node.output)
        if key not in self.graph.moves:
            places = np.arange(source.radius.shape[0], dtype=np.int64).reshape(source.shape)
            self.graph.moves[key] = self._run(places, [np.asarray(other) for other in others])
        return [source.at(moved) for moved in self.graph.moves[key]]

    def _run(self, source: Raw, others: Sequence[Any]) -> list[Raw]:
        names = [name for name in self.node.input if name]
        feed = dict(zip(names, (source, *others), strict=True))
        try:
            return run_alone(self.node, self.graph.model, feed)
        except Exception as error:  # it raises whatever its operators raise
            raise self.refused(f"it can't be run ({str(error).splitlines()[0]})") from error
