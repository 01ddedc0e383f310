"""Sites with what scales and shifts single neurons (BatchNorm, constants per neuron) folded into them.

y = s a + t that sites alone read becomes part of them, W y + b = (W s) a + (W t + b); one that alone reads a
site's output part of that, s (W a + b) + t = (s W) a + (s b + t).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from onnx import ModelProto, NodeProto

from hedge.arrays import Array
from hedge.graph.fusion import GELU, runs_as
from hedge.graph.nodes import attributes_of
from hedge.graph.ports import input_names
from hedge.graph.shapes import Shape
from hedge.graph.site import Site
from hedge.graph.structures.factors import SiteMatrix

FLOAT32 = np.finfo(np.float32)


class Folding:
    """Nodes in order, placeholders among them, and the sites that these stand for, by their outputs."""

    def __init__(
        self,
        model: ModelProto,
        nodes: Sequence[NodeProto],
        sites: Sequence[Site],
        constants: Mapping[str, Array],
        shapes: Mapping[str, Shape],
    ) -> None:
        self._given = set(input_names(model))  # and what these are after scaling and shifting
        self._shapes, self._constants = shapes, constants
        self._runs_as = runs_as(model.graph, {name: v.shape for name, v in constants.items()})
        self._nodes = {node.output[0]: node for node in nodes}
        self.sites = {site.output: site for site in sites}
        self._placeholders = {output: self._nodes[output] for output in self.sites}
        self._readers: dict[str, list[str]] = {}
        for value in model.graph.output:
            self._readers.setdefault(value.name, []).append("")
        for node in nodes:
            for name in node.input:
                self._readers.setdefault(name, []).append(node.output[0])

    @property
    def in_order(self) -> list[NodeProto]:
        """The nodes that are left."""
        return list(self._nodes.values())

    def fold(self) -> None:
        """Into the sites that alone read one, from the last node on; then into the sites that it alone reads.

        What is done to the inputs stays: they may lie far from zero, and differences would be lost.
        """
        for output in self._nodes:
            affine = self._affine(output)
            if affine and affine.source in self._given:
                self._given.add(output)
        for output in reversed(list(self._nodes)):
            affine = self._affine(output)
            readers = self._readers.get(output, [])
            if (
                affine
                and readers
                and affine.source not in self._given
                and all(name in self.sites for name in readers)
            ):
                self._into_readers(affine, readers)
        for output in list(self._nodes):
            affine = self._affine(output)
            alone = affine is not None and self._readers.get(affine.source) == [output]
            if affine and alone and affine.source in self.sites:
                self._into_writer(affine)

    def _affine(self, output: str) -> _Affine | None:
        node = self._nodes[output]
        affine = affine_of(node, self._constants)
        if affine is None or self._runs_as[output] == GELU:
            return None
        site = self.sites.get(affine.source)
        shape = (None, site.matrix.shape[0]) if site else self._shapes.get(affine.source, ())
        return affine.over(shape[-1]) if len(shape) == 2 else None

    def _into_readers(self, affine: _Affine, readers: list[str]) -> None:
        folded = {name: _reading(self.sites[name].matrix, affine) for name in readers}
        if not all(_is_held(matrix) for matrix in folded.values()):
            return
        for name, matrix in folded.items():
            self.sites[name] = replace(self.sites[name], input=affine.source, matrix=matrix)
            self._placeholders[name].input[0] = affine.source
        others = [name for name in self._readers[affine.source] if name != affine.target]
        self._readers[affine.source] = [*others, *readers]
        del self._nodes[affine.target]

    def _into_writer(self, affine: _Affine) -> None:
        site = self.sites[affine.source]
        folded = replace(site, output=affine.target, matrix=_writing(site.matrix, affine))
        if not _is_held(folded.matrix):
            return
        node = self._placeholders.pop(affine.source)
        node.output[0] = affine.target
        self._placeholders[affine.target] = node
        self.sites = {
            folded.output if name == site.output else name: folded if name == site.output else each
            for name, each in self.sites.items()
        }
        del self._nodes[affine.target]


def _is_held(matrix: SiteMatrix) -> bool:
    """Whether float32 holds its numbers, down to the last digit of the largest."""
    largest = max(np.abs(matrix.dense()).max(), np.abs(matrix.bias).max())
    return bool(largest == 0.0 or FLOAT32.tiny / FLOAT32.eps <= largest <= FLOAT32.max)


Constants = Mapping[str, Array]


@dataclass(frozen=True)
class _Affine:
    """y = scale a + shift, constants (width,) or (1,), from tensor ``source`` to tensor ``target``."""

    source: str
    target: str
    scale: Array
    shift: Array

    def over(self, width: int | None) -> _Affine | None:
        """The same with a number for each of ``width`` neurons; None if there can't be."""
        if width is None or len(self.scale) not in (1, width):
            return None
        scale, shift = (np.broadcast_to(each, width) for each in (self.scale, self.shift))
        return replace(self, scale=scale, shift=shift)


def affine_of(node: NodeProto, constants: Constants) -> _Affine | None:
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
    return None if numbers is None else _Affine(source, node.output[0], *numbers)


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


def _reading(matrix: SiteMatrix, affine: _Affine) -> SiteMatrix:
    """The site that reads a where this one read s a + t."""
    weight = matrix.dense()
    return SiteMatrix((weight * affine.scale,), matrix.bias + weight @ affine.shift)


def _writing(matrix: SiteMatrix, affine: _Affine) -> SiteMatrix:
    """The site that writes s z + t where this one wrote z."""
    weight = affine.scale[:, None] * matrix.dense()
    return SiteMatrix((weight,), affine.scale * matrix.bias + affine.shift)
