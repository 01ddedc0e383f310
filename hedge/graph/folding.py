"""Sites with what scales and shifts single neurons before or behind them folded into them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from onnx import ModelProto, NodeProto

from hedge.arrays import Array
from hedge.graph.affine import Affine, affine_of, reading, writing
from hedge.graph.fusion import GELU, runs_as
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

    def _affine(self, output: str) -> Affine | None:
        node = self._nodes[output]
        affine = affine_of(node, self._constants)
        if affine is None or self._runs_as[output] == GELU:
            return None
        site = self.sites.get(affine.source)
        shape = (None, site.matrix.shape[0]) if site else self._shapes.get(affine.source, ())
        return affine.over(shape[-1]) if len(shape) == 2 else None

    def _into_readers(self, affine: Affine, readers: list[str]) -> None:
        folded = {name: reading(self.sites[name].matrix, affine) for name in readers}
        if not all(_is_held(matrix) for matrix in folded.values()):
            return
        for name, matrix in folded.items():
            self.sites[name] = replace(self.sites[name], input=affine.source, matrix=matrix)
            self._placeholders[name].input[0] = affine.source
        others = [name for name in self._readers[affine.source] if name != affine.target]
        self._readers[affine.source] = [*others, *readers]
        del self._nodes[affine.target]

    def _into_writer(self, affine: Affine) -> None:
        site = self.sites[affine.source]
        folded = replace(site, output=affine.target, matrix=writing(site.matrix, affine))
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
