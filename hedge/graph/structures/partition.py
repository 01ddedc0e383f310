"""Any leaves that tile a matrix: the paper's H-matrix.

All low-rank leaves of one column cluster meet the same part of the input: their right factors,
stacked, are one *column panel*. Between neighbouring edges of row clusters all leaves that reach there
give to the same part of the output: side by side, left factors and dense leaves are one *row panel*,
which also adds the bias.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from itertools import pairwise
from typing import ClassVar

import numpy as np

from hedge.arrays import Array
from hedge.graph.builder import GraphBuilder
from hedge.graph.precision import Precision
from hedge.graph.structures.levels import Levels, levels_of, lower_levels
from hedge.graph.structures.structure import (
    Form,
    Lowering,
    Matrix,
    Place,
    Rectangle,
    Structure,
    factor_shapes,
)
from hedge.graph.structures.weights import side_by_side, weight
from hedge.hmatrix import Block, Leaf


def lower_panels(
    leaves: Collection[Leaf], bias: Array, precision: Precision, graph: GraphBuilder, source: str
) -> str:
    """A Gemm a column cluster with low-rank leaves, a Gemm a strip of rows."""
    inputs = max(leaf.stop for leaf in leaves)
    parts = {
        (start, stop): source
        if (start, stop) == (0, inputs)
        else graph.add("Slice", source, [start], [stop], [1], output=f"columns{i}")
        for i, (start, stop) in enumerate(sorted({(leaf.start, leaf.stop) for leaf in leaves}))
    }
    coefficients = _coefficients(leaves, precision, graph, parts)
    edges = sorted({edge for leaf in leaves for edge in (leaf.top, leaf.bottom)})
    strips = []
    for i, ((top, bottom), reaching) in enumerate(
        zip(pairwise(edges), _reaching(leaves, edges), strict=True)
    ):
        read = [
            parts[leaf.start, leaf.stop] if leaf.is_dense else coefficients[k]
            for k, leaf in reaching
        ]
        if len(read) > 1:
            read = [graph.add("Concat", *read, output=f"strip{i}.inputs", axis=1)]
        pieces = [leaf.factors[0][top - leaf.top : bottom - leaf.top] for _, leaf in reaching]
        panel = side_by_side(graph, f"strip{i}.weight", pieces, precision)
        pushed = weight(graph, f"strip{i}.bias", bias[top:bottom])
        strips.append(graph.linear(read[0], panel, pushed, output=f"strip{i}"))
    return strips[0] if len(strips) == 1 else graph.add("Concat", *strips, axis=1)


def _reaching(leaves: Collection[Leaf], edges: Sequence[int]) -> list[list[tuple[int, Leaf]]]:
    """The leaves that reach into every strip between two edges, with their numbers."""
    strip = {edge: i for i, edge in enumerate(edges)}
    found: list[list[tuple[int, Leaf]]] = [[] for _ in edges[1:]]
    for k, leaf in enumerate(leaves):
        for i in range(strip[leaf.top], strip[leaf.bottom]):
            found[i].append((k, leaf))
    return found


def _coefficients(
    leaves: Collection[Leaf],
    precision: Precision,
    graph: GraphBuilder,
    parts: Mapping[tuple[int, int], str],
) -> dict[int, str]:
    """V a of every low-rank leaf, by its number: one Gemm a column cluster."""
    found: dict[int, str] = {}
    clusters: dict[tuple[int, int], dict[int, Leaf]] = {place: {} for place in parts}
    for k, leaf in enumerate(leaves):
        if not leaf.is_dense:
            clusters[leaf.start, leaf.stop][k] = leaf
    for i, (place, members) in enumerate(clusters.items()):
        if not members:
            continue
        right = np.vstack([leaf.factors[1] for leaf in members.values()])
        panel = weight(graph, f"columns{i}.weight", right, precision)
        seen = graph.linear(parts[place], panel, output=f"columns{i}.seen")
        ranks = [leaf.rank for leaf in members.values()]
        apart = [seen] if len(members) == 1 else graph.split(seen, ranks, axis=1)
        found |= zip(members, apart, strict=True)
    return found


@dataclass(frozen=True)
class Partition(Structure):
    """An (outputs, inputs) matrix cut into any leaves that tile it."""

    tree: tuple[Place, ...]

    FORMS: ClassVar[tuple[Form, ...]] = ("panels", "levels")

    @property
    def label(self) -> str:
        """In a few words."""
        return f"{len(self.tree)} leaves"

    @property
    def reason(self) -> str:
        """Why it was chosen: only the paper's algorithms do."""
        return f"the paper's partition into {len(self.tree)} blocks"

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """The arrays it is stored as."""
        return {
            name: shape
            for i, leaf in enumerate(self.blocks)
            for name, shape in factor_shapes(
                f"leaf{i}.factor", leaf.rows, leaf.columns, leaf.rank
            ).items()
        }

    @property
    def blocks(self) -> tuple[Block, ...]:
        """Its leaves."""
        return tuple(
            Block(bottom - top, stop - start, rank) for top, bottom, start, stop, rank in self.tree
        )

    @property
    def rectangles(self) -> list[Rectangle]:
        """Where its leaves are."""
        return [
            (slice(top, bottom), slice(start, stop)) for top, bottom, start, stop, _ in self.tree
        ]

    def matrix(self, arrays: Mapping[str, Array], bias: Array, precision: Precision) -> LeafMatrix:
        """The matrix of these arrays and bias."""
        left = iter(arrays[name] for name in self.shapes)
        leaves = tuple(
            Leaf(
                top, bottom, start, stop, tuple(next(left) for _ in range(1 if rank is None else 2))
            )
            for top, bottom, start, stop, rank in self.tree
        )
        return LeafMatrix(leaves, bias, self.inputs, precision)


@dataclass(frozen=True, eq=False)
class LeafMatrix(Matrix):
    """z = H a + b with an H-matrix H of any leaves that tile it, in the order of the neurons.

    The paper's object (def1). Every leaf is some nodes, so that it is slow unless there are few.
    inputs is n_in.
    """

    leaves: tuple[Leaf, ...]
    bias: Array
    inputs: int
    precision: Precision = "float32"

    @property
    def shape(self) -> tuple[int, int]:
        """(n_out, n_in)."""
        return len(self.bias), self.inputs

    @property
    def structure(self) -> Partition:
        """Where its leaves are, and their ranks."""
        places = [(i.top, i.bottom, i.start, i.stop, i.block.rank) for i in self.leaves]
        return Partition(*self.shape, tuple(places))

    @property
    def arrays(self) -> dict[str, Array]:
        """What is stored beside the bias, by name."""
        return {
            f"leaf{i}.factor{j}": factor
            for i, leaf in enumerate(self.leaves)
            for j, factor in enumerate(leaf.factors)
        }

    @property
    def forms(self) -> dict[Form, Lowering]:
        """A Gemm a cluster; three batched products where leaves form a regular tree."""
        found: dict[Form, Lowering] = {
            "panels": partial(lower_panels, self.leaves, self.bias, self.precision)
        }
        # In levels leaves would share rows, and int8 has one scale a row.
        if self.precision != "int8" and self._levels is not None:
            found["levels"] = partial(lower_levels, self._levels, self.bias, self.precision)
        return found

    @cached_property
    def _levels(self) -> Levels | None:
        return levels_of(self.leaves)

    def dense(self) -> Array:
        """All entries, (n_out, n_in)."""
        whole = np.zeros(self.shape)
        for leaf in self.leaves:
            whole[leaf.top : leaf.bottom, leaf.start : leaf.stop] = leaf.values()
        return whole

    def times(self, a: Array) -> Array:
        """The product with every row of ``a`` (N, n_in), without the bias: (N, n_out)."""
        return np.asarray(a @ self.dense().T)
