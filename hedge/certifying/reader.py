"""One node of a graph while it is read: what its inputs are, and what it says of itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray
from onnx import NodeProto

from hedge.certifying.enclosure import Arithmetic, Enclosure, constant
from hedge.errors import ModelError
from hedge.graph.nodes import attributes_of, label

Raw = NDArray[Any]
Value = Enclosure | Raw


@dataclass(frozen=True)
class Reader:
    """One node, and what its inputs are."""

    node: NodeProto
    producers: Mapping[str, NodeProto]
    values: Mapping[str, Value]
    arithmetic: Arithmetic
    opset: int

    @property
    def given(self) -> list[Value | None]:
        """The node's inputs in order, None where it leaves one out."""
        return [self.values[name] if name else None for name in self.node.input]

    def enclosures(self) -> list[Enclosure]:
        """Those that are given."""
        return [enclosure_of(value) for value in self.given if value is not None]

    @property
    def attributes(self) -> dict[str, Any]:
        """The node's attributes by name."""
        return attributes_of(self.node)

    def refused(self, why: str) -> ModelError:
        """The error that names the node."""
        return ModelError(f"{label(self.node)} is not covered by certification: {why}")


def enclosure_of(value: Value) -> Enclosure:
    """What is exact as an enclosure of itself."""
    return value if isinstance(value, Enclosure) else constant(value)
