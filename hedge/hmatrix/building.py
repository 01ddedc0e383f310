"""First compression of all blocks, and the merges above it, level by level in stacks."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hedge.arrays import Array, Indices
from hedge.hmatrix.candidates import DENSE, Candidate
from hedge.hmatrix.cluster import Admissible, Cluster, ClusterTree, cut, which_admissible
from hedge.hmatrix.entries import Entries
from hedge.hmatrix.leaf import Leaf
from hedge.hmatrix.lowrank import SMALL_BLOCK, Compressor, aca, compress, in_ranges
from hedge.hmatrix.merging import Merged, Parts, groups, merge
from hedge.hmatrix.spectrum import tails_squared
from hedge.hmatrix.stacks import Refusal, Stack, Triplets, alike, break_even, pieces

MERGE_SHARE = 0.3  # of the first compression's budget, for all merges of one level
LOSS_ALLOWED = 3.0  # times that budget, for all merges below a block whose parts are forgotten
LARGEST_CHUNK_BLOCK = 2**18  # entries of a block that one thread takes whole, with all below it
CHUNK = 2**23  # entries of all blocks that a thread takes at a time
CROSSES = 32  # for how many the stacks of ACA are made
TINY = math.sqrt(float(np.finfo(np.float64).tiny))
"""The squares of smaller numbers underflow."""

Pair = tuple[Cluster, Cluster]
Flags = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Built:
    """A block with all below it, and the triplets from which its parent may be merged.

    triplets is None where the rank is too high to go on. lost bounds their error against the first
    compression, numbers is the least storage found, squared_norm that of the first compression.
    """

    candidate: Candidate
    triplets: Triplets | None
    lost: float
    numbers: float
    squared_norm: float


@dataclass(frozen=True, eq=False)
class Builder:
    """First compression and merges, each within its share of a budget, by area.

    each runs a function over pieces of work, in threads or one after another. With keep_dense, blocks
    that are not admissible may stay dense though low rank takes fewer numbers.
    """

    entries: Entries
    rows: ClusterTree
    columns: ClusterTree
    admissible: Admissible
    compressor: Compressor
    rank_limit: int
    budget: float  # of the first compression
    coarsen: bool
    keep_dense: bool
    symmetric: bool
    each: Callable[..., Iterator[Any]]
    in_chunk: bool = False

    def built(self, blocks: Sequence[Pair]) -> list[Built]:
        """All blocks, which lie in one level, with all below them."""
        found: list[Built | None] = [None] * len(blocks)
        admissible = which_admissible(self.admissible, blocks)
        parts = [self._cut(block) for block in blocks]
        work = list(self._work(blocks, admissible, np.array([not p for p in parts])))
        for which, results in zip(work, self.each(partial(self._first, blocks, admissible), work),
                                  strict=True):  # fmt: skip
            for i, result in zip(which, results, strict=True):
                found[i] = result
        open_ = [i for i, result in enumerate(found) if result is None]
        if open_:
            below = iter(self._below([part for i in open_ for part in parts[i]]))
            under = [tuple(next(below) for _ in parts[i]) for i in open_]
            for i, result in zip(
                open_, self._joined([blocks[i] for i in open_], under), strict=True
            ):
                found[i] = result
        return [result for result in found if result is not None]

    def _cut(self, block: Pair) -> tuple[Pair, ...]:
        parts = cut(*block)
        if self.symmetric and block[0] is block[1] and parts:
            upper_left, upper_right, _, lower_right = parts
            return upper_left, upper_right, lower_right
        return parts

    def _mirrored(self, block: Pair) -> bool:
        return self.symmetric and block[0] is not block[1]

    def _below(self, blocks: list[Pair]) -> list[Built]:
        """The blocks with all below them; where they are small, in chunks that threads share."""
        largest = max(rows.size * columns.size for rows, columns in blocks)
        if self.in_chunk or largest > LARGEST_CHUNK_BLOCK:
            return self.built(blocks)
        inside = replace(self, each=map, in_chunk=True)
        count = max(CHUNK // largest, 1)
        chunks = [blocks[i : i + count] for i in range(0, len(blocks), count)]
        return [one for chunk in self.each(inside.built, chunks) for one in chunk if one]

    def _work(self, blocks: Sequence[Pair], admissible: Flags, last: Flags) -> Iterator[Indices]:
        """Stacks of what is compressed or kept now: admissible blocks, and the last ones."""
        sizes = np.array([(rows.size, columns.size) for rows, columns in blocks])
        for kind in ((True, True), (True, False), (False, True)):
            own = np.flatnonzero((admissible == kind[0]) & (last == kind[1]))
            if not len(own):
                continue
            for group in alike(sizes[own]):
                m, n = (int(size) for size in sizes[own[group]].max(axis=0))
                by_crosses = kind[0] and self.compressor is aca and m * n > SMALL_BLOCK
                yield from pieces(own[group], (m + n) * CROSSES if by_crosses else m * n)

    def _stack(self, blocks: Sequence[Pair]) -> Stack:
        rows, heights = _filled(self.rows, [rows for rows, _ in blocks])
        columns, widths = _filled(self.columns, [columns for _, columns in blocks])
        return Stack(self.entries, rows, columns, heights, widths)

    def _shares(self, budget: float, blocks: Sequence[Pair]) -> Array:
        areas = np.array([rows.size * columns.size for rows, columns in blocks], dtype=np.float64)
        shares = budget * np.sqrt(areas / math.prod(self.entries.shape))
        return np.asarray(np.maximum(shares, TINY))

    def _first(
        self, everything: Sequence[Pair], admissible: Flags, which: Indices
    ) -> list[Built | None]:
        """A stack compressed, or kept where it is cut no further; None where it is to be cut."""
        blocks = [everything[i] for i in which]
        stack, shares = self._stack(blocks), self._shares(self.budget, blocks)
        last, low_rank = not cut(*blocks[0]), bool(admissible[which[0]])
        values = None
        if low_rank:
            limit = min(stack.shape) if last else self.rank_limit
            found = compress(self.compressor, stack, shares, limit)
        else:
            values = stack.whole()
            found = in_ranges(stack, values, shares, min(stack.shape))
        results: list[Built | None] = [None] * len(blocks)
        dense = []
        for i, one in enumerate(found):
            if isinstance(one, Triplets) and (low_rank or not self.keep_dense):
                results[i] = self._low_rank(blocks[i], (), one, 0.0)
            elif self._keeps(blocks[i], last):
                dense.append(i)
        if dense:
            own = np.array(dense)
            kept = values[own] if values is not None else stack.take(own).whole()
            reasons = [_reason(found[i], low_rank) for i in dense]
            for i, result in zip(dense, self._dense([blocks[i] for i in dense], kept, reasons),
                                 strict=True):  # fmt: skip
                results[i] = result
        return results

    def _keeps(self, block: Pair, last: bool) -> bool:
        # without coarsening the structure is kept where a cut would save only a few numbers
        small = min(block[0].size, block[1].size) <= self.rank_limit
        return last or (small and not self.coarsen)

    def _dense(self, blocks: Sequence[Pair], values: Array, reasons: Sequence[str]) -> list[Built]:
        shares = self._shares(MERGE_SHARE * self.budget, blocks)
        u, s, vt = np.linalg.svd(values, full_matrices=False)
        results = []
        for i, (rows, columns) in enumerate(blocks):
            own = values[i, : rows.size, : columns.size].copy()
            tails = tails_squared(s[i, : min(own.shape)])
            affordable = tails[: break_even(*own.shape) + 1]
            leaf = partial(_dense_leaf, rows, columns, own, reasons[i])
            mirrored = self._mirrored(blocks[i])
            candidate = Candidate(rows, columns, (), affordable, 0.0, leaf, mirrored)
            kept = int(np.count_nonzero(np.sqrt(tails[:-1]) > shares[i]))
            triplets = Triplets(u[i, : rows.size], s[i], vt[i, :, : columns.size]).cut(kept)
            numbers = min(own.size, kept * sum(own.shape))
            lost = math.sqrt(tails[kept])
            results.append(Built(candidate, triplets, lost, numbers, float(tails[0])))
        return results

    def _joined(self, blocks: list[Pair], below: list[tuple[Built, ...]]) -> list[Built]:
        """Each block from what is below it: merged where that may pay, else as its parts."""
        whole = [_completed(parts) for parts in below]
        results = [self._apart(*known) for known in zip(blocks, below, whole, strict=True)]
        worth = [i for i, parts in enumerate(whole) if self.coarsen and _may_pay(blocks[i], parts)]
        if not worth:
            return results
        grids = [_grid(blocks[i], whole[i]) for i in worth]
        shares = self._shares(MERGE_SHARE * self.budget, [blocks[i] for i in worth])
        work = groups(grids)

        def merged(which: Indices) -> list[Merged]:
            return merge([grids[i] for i in which], shares[which])

        for which, found in zip(work, self.each(merged, work), strict=True):
            for at, one in zip(which, found, strict=True):
                i = worth[at]
                results[i] = self._merged(blocks[i], results[i], whole[i], one)
        return results

    def _merged(self, block: Pair, apart: Built, parts: tuple[Built, ...], merged: Merged) -> Built:
        """The merged block over its parts, without them, or the parts alone: what is worth keeping."""
        (m, n), kept = (side.size for side in block), merged.triplets.rank
        if kept > break_even(m, n) or kept * (m + n) > 2 * apart.numbers:
            return apart
        lost = merged.lost + math.sqrt(sum(part.lost**2 for part in parts))
        accurate = lost <= float(self._shares(self.budget, [block])[0]) * LOSS_ALLOWED
        # forgotten, to save memory, where they would hardly be chosen
        forgotten = accurate and kept * (m + n) <= apart.numbers
        children = () if forgotten else apart.candidate.children
        joined = self._low_rank(block, children, merged.triplets, lost)
        numbers = min(apart.numbers, kept * (m + n))
        return replace(joined, numbers=numbers, squared_norm=apart.squared_norm)

    def _apart(self, block: Pair, below: tuple[Built, ...], parts: tuple[Built, ...]) -> Built:
        children = tuple(part.candidate for part in below)
        candidate = Candidate(*block, children, None, None, _no_leaf, self._mirrored(block))
        numbers = sum(part.numbers for part in parts)
        return Built(candidate, None, 0.0, numbers, sum(part.squared_norm for part in parts))

    def _low_rank(
        self, block: Pair, children: tuple[Candidate, ...], triplets: Triplets, lost: float
    ) -> Built:
        tails = tails_squared(triplets.values)
        leaf = partial(_low_rank_leaf, *block, triplets)
        errors = (np.sqrt(tails) + lost) ** 2
        candidate = Candidate(*block, children, errors, None, leaf, self._mirrored(block))
        numbers = triplets.rank * (block[0].size + block[1].size)
        return Built(candidate, triplets, lost, numbers, float(tails[0]))


def _filled(tree: ClusterTree, clusters: Sequence[Cluster]) -> tuple[Indices, Indices]:
    """Original indices (b, m) of clusters, the last one repeated where one is shorter; sizes (b,)."""
    starts = np.array([cluster.start for cluster in clusters])
    stops = np.array([cluster.stop for cluster in clusters])
    sizes = stops - starts
    places = np.minimum(starts[:, None] + np.arange(sizes.max()), stops[:, None] - 1)
    return tree.order[places], sizes


def _reason(found: Triplets | Refusal, admissible: bool) -> str:
    return found.reason if admissible and isinstance(found, Refusal) else "not admissible"


def _completed(parts: tuple[Built, ...]) -> tuple[Built, ...]:
    """The parts of a block, with the one across the diagonal where symmetry left it out."""
    if len(parts) != 3:
        return parts
    upper_left, upper_right, lower_right = parts
    across = upper_right.triplets and upper_right.triplets.transposed()
    return upper_left, upper_right, replace(upper_right, triplets=across), lower_right


def _grid(block: Pair, parts: tuple[Built, ...]) -> Parts:
    columns = len(block[1].children) or 1
    triplets = [part.triplets for part in parts if part.triplets is not None]
    return Parts(tuple(tuple(triplets[i : i + columns]) for i in range(0, len(triplets), columns)))


def _may_pay(block: Pair, below: tuple[Built, ...]) -> bool:
    """Whether the merged block may be cheap enough to go on; its rank is about that of a part at least."""
    (m, n), rank = (side.size for side in block), 0
    for part in below:
        if part.triplets is None or part.triplets.rank > break_even(*part.triplets.shape):
            return False
        rank = max(rank, part.triplets.rank)
    numbers = sum(part.numbers for part in below)
    return rank <= break_even(m, n) and rank * (m + n) <= 2 * numbers


def _low_rank_leaf(rows: Cluster, columns: Cluster, triplets: Triplets, rank: int) -> Leaf:
    own = triplets.cut(rank)
    return Leaf(*_place(rows, columns), (own.left * own.values, own.right))


def _dense_leaf(rows: Cluster, columns: Cluster, values: Array, reason: str, rank: int) -> Leaf:
    if rank == DENSE:
        return Leaf(*_place(rows, columns), (values,), reason)
    u, s, vt = np.linalg.svd(values, full_matrices=False)  # again: not kept, to save memory
    return Leaf(*_place(rows, columns), (u[:, :rank] * s[:rank], vt[:rank].copy()))


def _no_leaf(rank: int) -> Leaf:
    raise AssertionError("a block that must be cut was chosen as a leaf")


def _place(rows: Cluster, columns: Cluster) -> tuple[int, int, int, int]:
    return rows.start, rows.stop, columns.start, columns.stop
