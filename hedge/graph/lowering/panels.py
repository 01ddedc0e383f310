"""H-matrices of any leaves as panels: what shares a cluster is one Gemm.

All low-rank leaves of one column cluster meet the same part of the input: their right factors,
stacked, are one *column panel*. Between neighbouring edges of row clusters all leaves that reach there
give to the same part of the output: side by side, left factors and dense leaves are one *row panel*,
which also adds the bias.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise

import numpy as np

from hedge.graph.lowering.builder import Lowering
from hedge.graph.matrices import LeafMatrix
from hedge.hmatrix import Leaf


def lower_panels(lowering: Lowering, matrix: LeafMatrix, source: str, target: str) -> None:
    """A Gemm a column cluster with low-rank leaves, a Gemm a strip of rows."""
    parts = {
        place: source
        if place == (0, matrix.inputs)
        else lowering.sliced(source, f"columns{i}", place, axis=1)
        for i, place in enumerate(sorted({(leaf.start, leaf.stop) for leaf in matrix.leaves}))
    }
    coefficients = _coefficients(lowering, matrix, parts)
    edges = sorted({edge for leaf in matrix.leaves for edge in (leaf.top, leaf.bottom)})
    strips = list(pairwise(edges))
    outputs = []
    for i, ((top, bottom), reaching) in enumerate(
        zip(strips, _reaching(matrix, edges), strict=True)
    ):
        read = [
            parts[leaf.start, leaf.stop] if leaf.is_dense else coefficients[k]
            for k, leaf in reaching
        ]
        if len(read) > 1:
            read = [lowering.inner("Concat", read, f"strip{i}.inputs", axis=1)]
        pieces = [leaf.factors[0][top - leaf.top : bottom - leaf.top] for _, leaf in reaching]
        weight = lowering.side_by_side(f"strip{i}.weight", pieces, matrix.precision)
        bias = lowering.weight(f"strip{i}.bias", matrix.bias[top:bottom])
        output = target if len(strips) == 1 else f"{lowering.site}.strip{i}"
        outputs.append(lowering.node("Gemm", [*read, weight, bias], output, transB=1))
    if len(strips) > 1:
        lowering.node("Concat", outputs, target, axis=1)


def _reaching(matrix: LeafMatrix, edges: Sequence[int]) -> list[list[tuple[int, Leaf]]]:
    """The leaves that reach into every strip between two edges, with their numbers."""
    strip = {edge: i for i, edge in enumerate(edges)}
    found: list[list[tuple[int, Leaf]]] = [[] for _ in edges[1:]]
    for k, leaf in enumerate(matrix.leaves):
        for i in range(strip[leaf.top], strip[leaf.bottom]):
            found[i].append((k, leaf))
    return found


def _coefficients(
    lowering: Lowering, matrix: LeafMatrix, parts: Mapping[tuple[int, int], str]
) -> dict[int, str]:
    """V a of every low-rank leaf, by its number: one Gemm a column cluster."""
    found: dict[int, str] = {}
    clusters: dict[tuple[int, int], dict[int, Leaf]] = {place: {} for place in parts}
    for k, leaf in enumerate(matrix.leaves):
        if not leaf.is_dense:
            clusters[leaf.start, leaf.stop][k] = leaf
    for i, (place, members) in enumerate(clusters.items()):
        if not members:
            continue
        panel = np.vstack([leaf.factors[1] for leaf in members.values()])
        weight = lowering.weight(f"columns{i}.weight", panel, matrix.precision)
        seen = lowering.inner("Gemm", [parts[place], weight], f"columns{i}.seen", transB=1)
        found |= _apart(lowering, seen, members)
    return found


def _apart(lowering: Lowering, seen: str, members: Mapping[int, Leaf]) -> dict[int, str]:
    """The coefficients of one column panel, leaf by leaf."""
    if len(members) == 1:
        return dict.fromkeys(members, seen)
    ranks = lowering.constant(
        f"{seen.removeprefix(f'{lowering.site}.')}.ranks",
        np.array([leaf.rank for leaf in members.values()], dtype=np.int64),
    )
    names = {k: f"{lowering.site}.leaf{k}" for k in members}
    lowering.split([seen, ranks], list(names.values()), axis=1)
    return names
