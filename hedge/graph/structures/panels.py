"""H-matrices of any leaves as panels: what shares a cluster is one Gemm.

All low-rank leaves of one column cluster meet the same part of the input: their right factors,
stacked, are one *column panel*. Between neighbouring edges of row clusters all leaves that reach there
give to the same part of the output: side by side, left factors and dense leaves are one *row panel*,
which also adds the bias.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from itertools import pairwise

import numpy as np

from hedge.arrays import Array
from hedge.graph.builder import GraphBuilder
from hedge.graph.precision import Precision
from hedge.graph.structures.weights import side_by_side, weight
from hedge.hmatrix import Leaf


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
