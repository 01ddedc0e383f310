"""Scaling and shifting of single neurons (BatchNorm, constants per neuron), folded into the sites beside it.

y = s a + t that sites alone read becomes part of them, W y + b = (W s) a + (W t + b); one that alone reads a
site's output part of that, s (W a + b) + t = (s W) a + (s b + t).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from onnx import NodeProto

from hedge.arrays import Array
from hedge.graph.nodes import attributes_of
from hedge.graph.structures.factors import SiteMatrix

Constants = Mapping[str, Array]


@dataclass(frozen=True)
class Affine:
    """y = scale a + shift, constants (width,) or (1,), from tensor ``source`` to tensor ``target``."""

    source: str
    target: str
    scale: Array
    shift: Array

    def over(self, width: int | None) -> Affine | None:
        """The same with a number for each of ``width`` neurons; None if there can't be."""
        if width is None or len(self.scale) not in (1, width):
            return None
        scale, shift = (np.broadcast_to(each, width) for each in (self.scale, self.shift))
        return replace(self, scale=scale, shift=shift)


def affine_of(node: NodeProto, constants: Constants) -> Affine | None:
    """What the node does to each neuron by itself, if it is that of a constant number each."""
    if node.domain or node.op_type not in ("Add", "BatchNormalization", "Div", "Mul", "Sub"):
        return None
    varying = [name for name in node.input if name not in constants]
    if len(varying) != 1 or any(node.output[1:]):
        return None
    source, given = varying[0], [_row(constants.get(name)) for name in node.input]
    if node.op_type == "BatchNormalization":
        numbers = _normalising(node, given) if source == node.input[0] else None
    else:
        numbers = _arithmetic(node.op_type, given)
    return None if numbers is None else Affine(source, node.output[0], *numbers)


def _row(values: Array | None) -> Array | None:
    """A constant (width,) or (1, width) as (width,), one number as (1,)."""
    if values is None or values.dtype.kind != "f" or values.ndim > 2:
        return None
    is_row = 0 < values.size == (values.shape or (1,))[-1]
    return values.astype(np.float64).reshape(-1) if is_row else None


def _normalising(node: NodeProto, given: list[Array | None]) -> tuple[Array, Array] | None:
    attributes = attributes_of(node)
    if attributes.get("training_mode", 0) or any(row is None for row in given[1:]):
        return None
    scale, bias, mean, variance = (np.asarray(row) for row in given[1:])
    factor = scale / np.sqrt(variance + attributes.get("epsilon", 1e-5))
    return factor, bias - factor * mean


def _arithmetic(op: str, given: list[Array | None]) -> tuple[Array, Array] | None:
    left, right = given
    row = right if left is None else left
    if row is None:
        return None
    ones, zeros = np.ones_like(row), np.zeros_like(row)
    if op == "Add":
        return ones, row
    if op == "Mul":
        return row, zeros
    if op == "Sub":
        return (ones, -row) if left is None else (-ones, row)
    return (1.0 / row, zeros) if left is None and row.all() else None


def reading(matrix: SiteMatrix, affine: Affine) -> SiteMatrix:
    """The site that reads a where this one read s a + t."""
    weight = matrix.dense()
    return SiteMatrix((weight * affine.scale,), matrix.bias + weight @ affine.shift)


def writing(matrix: SiteMatrix, affine: Affine) -> SiteMatrix:
    """The site that writes s z + t where this one wrote z."""
    weight = affine.scale[:, None] * matrix.dense()
    return SiteMatrix((weight,), affine.scale * matrix.bias + affine.shift)
