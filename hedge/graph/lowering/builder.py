"""Nodes and weights of one site, as they are written one after the other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import NodeProto, TensorProto, helper, numpy_helper

from hedge.graph.precision import Precision, encode

Array = NDArray[np.float64]


@dataclass
class Lowering:
    """The nodes of one site and their weights, written one after the other."""

    site: str
    nodes: list[NodeProto] = field(default_factory=list)
    weights: list[TensorProto] = field(default_factory=list)

    def constant(self, name: str, values: NDArray[np.generic]) -> str:
        """A tensor kept as it is."""
        full = f"{self.site}.{name}"
        self.weights.append(numpy_helper.from_array(np.ascontiguousarray(values), full))
        return full

    def weight(self, name: str, values: Array, precision: Precision = "float32") -> str:
        """Float32 numbers, stored in ``precision`` and widened by nodes that fold at load.

        (onnxruntime folds Cast and Mul of constants, but keeps DequantizeLinear.)
        """
        stored, scale = encode(values, precision)
        if precision == "float32":
            return self.constant(name, stored)
        narrow = self.constant(f"{name}.{precision}", stored)
        if precision == "bfloat16":
            self.weights[-1].data_type = TensorProto.BFLOAT16
        wide = f"{self.site}.{name}"
        unscaled = wide if scale is None else f"{wide}.unscaled"
        self.node("Cast", [narrow], unscaled, to=TensorProto.FLOAT)
        if scale is not None:
            self.node("Mul", [unscaled, self.constant(f"{name}.scale", scale)], wide)
        return wide

    def side_by_side(self, name: str, pieces: Sequence[Array], precision: Precision) -> str:
        """One weight of several pieces (m, k_i). int8 pieces keep the scales that their rows have."""
        if precision != "int8" or len(pieces) == 1:
            return self.weight(name, np.hstack(pieces), precision)
        stored = [self.weight(f"{name}.{i}", piece, precision) for i, piece in enumerate(pieces)]
        return self.inner("Concat", stored, name, axis=1)

    def node(self, op: str, inputs: list[str], output: str, **attributes: Any) -> str:
        """A node with one output, whose name it returns. Its own name begins with the site's."""
        own = output if output.startswith(f"{self.site}.") else self.site
        self.nodes.append(
            helper.make_node(op, inputs, [output], name=f"{own}.{op.lower()}", **attributes)
        )
        return output

    def inner(self, op: str, inputs: list[str], label: str, **attributes: Any) -> str:
        """The same for a tensor of the site's own."""
        return self.node(op, inputs, f"{self.site}.{label}", **attributes)

    def split(self, inputs: list[str], outputs: list[str], axis: int) -> None:
        """One tensor as several, side by side along an axis; inputs are the tensor and the sizes."""
        self.nodes.append(
            helper.make_node("Split", inputs, outputs, name=f"{inputs[0]}.split", axis=axis)
        )

    def reshaped(self, source: str, label: str, shape: tuple[int, ...]) -> str:
        """The same numbers under another shape."""
        target = self.constant(f"{label}.shape", np.array(shape, dtype=np.int64))
        return self.inner("Reshape", [source, target], label)

    def sliced(self, source: str, label: str, place: tuple[int, int], axis: int) -> str:
        """Places ``start:stop`` along an axis."""
        ends = [
            self.constant(f"{label}.{name}", np.array([value], dtype=np.int64))
            for name, value in (("start", place[0]), ("stop", place[1]), ("axis", axis))
        ]
        return self.inner("Slice", [source, *ends], label)

    def gathered(self, source: str, label: str, places: NDArray[np.intp], axis: int) -> str:
        """These places along an axis, in this order."""
        wanted = self.constant(f"{label}.places", places.astype(np.int64))
        return self.inner("Gather", [source, wanted], label, axis=axis)

    def biased(self, source: str, bias: Array, target: str) -> str:
        """``source`` (n, n_out) plus the bias, as ``target``."""
        return self.node("Add", [source, self.weight("bias", bias)], target)
