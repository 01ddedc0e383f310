"""Products with an H-matrix: its leaves cut into strips, so that few large products do the work."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy import sparse

from hedge.arrays import Array, Indices
from hedge.hmatrix.leaf import Leaf


@dataclass(frozen=True, eq=False)
class Strip:
    """Rows (or columns) ``start:stop`` of all leaves that reach there, as one matrix.

    Its other side belongs to the places ``first:last`` of a list of coefficients.
    """

    start: int
    stop: int
    first: int
    last: int
    values: Array


@dataclass(frozen=True, eq=False)
class Strips:
    """H = R [x; V x]: the column strips give the low-rank coefficients, the row strips the result.

    *Sources* are the entries of x (reordered) followed by the coefficients of all low-rank leaves.
    taken (t,) names the source of each place of the row strips, given (g,) the coefficient to which
    each place of the column strips adds (numbered without x).
    """

    row_order: Indices
    column_order: Indices
    row_strips: tuple[Strip, ...]
    column_strips: tuple[Strip, ...]
    taken: Indices
    given: Indices
    coefficients: int
    dtype: np.dtype[np.float64]  # of the leaves

    @staticmethod
    def of(row_order: Indices, column_order: Indices, leaves: Sequence[Leaf]) -> Strips:
        """Copy the factors into strips, between the edges that leaves have."""
        low_rank = [leaf for leaf in leaves if not leaf.is_dense]
        ends = np.cumsum([0, *(leaf.factors[1].shape[0] for leaf in low_rank)])
        own = {
            id(leaf): np.arange(a, b) for leaf, a, b in zip(low_rank, ends, ends[1:], strict=False)
        }
        n, dtype = len(column_order), leaves[0].factors[0].dtype

        def sources(leaf: Leaf) -> Indices:
            return np.arange(leaf.start, leaf.stop) if leaf.is_dense else n + own[id(leaf)]

        row_strips, taken = _cut(
            [(leaf.top, leaf.bottom) for leaf in leaves],
            [leaf.factors[0] for leaf in leaves],
            [sources(leaf) for leaf in leaves],
            dtype,
        )
        column_strips, given = _cut(
            [(leaf.start, leaf.stop) for leaf in low_rank],
            [leaf.factors[1].T for leaf in low_rank],
            [own[id(leaf)] for leaf in low_rank],
            dtype,
        )
        return Strips(
            row_order, column_order, row_strips, column_strips, taken, given, int(ends[-1]), dtype
        )

    def _promoted(self, x: Array) -> Array:
        """x in the type of the products: integers in floating point, say."""
        return x.astype(np.result_type(x, self.dtype), copy=False)

    @cached_property
    def _give(self) -> sparse.csr_array:
        """(coefficients, g): sums what the column strips give."""
        places = np.arange(len(self.given))
        ones = np.ones(len(places), dtype=self.dtype)
        shape = (self.coefficients, len(places))
        return sparse.csr_array((ones, (self.given, places)), shape=shape)

    @cached_property
    def _take_back(self) -> sparse.csr_array:
        """(sources, t): sums, for each source, the places that took from it."""
        places = np.arange(len(self.taken))
        ones = np.ones(len(places), dtype=self.dtype)
        shape = (len(self.column_order) + self.coefficients, len(places))
        return sparse.csr_array((ones, (self.taken, places)), shape=shape)

    def apply(self, x: Array) -> Array:
        """H x for x (n,) or (n, p)."""
        x = self._promoted(x)
        reordered = np.ascontiguousarray(x[self.column_order])
        given = np.empty((len(self.given), *x.shape[1:]), dtype=x.dtype)
        for s in self.column_strips:
            s.values.T.dot(reordered[s.start : s.stop], given[s.first : s.last])
        taken = np.concatenate((reordered, self._give @ given))[self.taken]
        result = np.zeros((len(self.row_order), *x.shape[1:]), dtype=x.dtype)
        for s in self.row_strips:
            s.values.dot(taken[s.first : s.last], result[s.start : s.stop])
        return _restored(result, self.row_order)

    def apply_transposed(self, x: Array) -> Array:
        """Hᵀ x for x (m,) or (m, p): the same steps backwards."""
        x = self._promoted(x)
        reordered = np.ascontiguousarray(x[self.row_order])
        taken = np.empty((len(self.taken), *x.shape[1:]), dtype=x.dtype)
        for s in self.row_strips:
            s.values.T.dot(reordered[s.start : s.stop], taken[s.first : s.last])
        sources = self._take_back @ taken
        n = len(self.column_order)
        result, given = sources[:n], sources[n:][self.given]
        for s in self.column_strips:
            result[s.start : s.stop] += s.values @ given[s.first : s.last]
        return _restored(result, self.column_order)


def _restored(reordered: Array, order: Indices) -> Array:
    result = np.empty_like(reordered)
    result[order] = reordered
    return result


def _cut(
    ranges: list[tuple[int, int]],
    panels: list[Array],
    places: list[Indices],
    dtype: np.dtype[np.float64],
) -> tuple[tuple[Strip, ...], Indices]:
    """Strips between neighbouring ends of the ranges, and the places of their other sides.

    panels[i] (rows of ranges[i], k) belongs to places[i] (k,).
    """
    edges = np.unique(np.array([end for pair in ranges for end in pair], dtype=np.intp))
    members: list[list[int]] = [[] for _ in edges[1:]]
    for i, (start, stop) in enumerate(ranges):
        for strip in range(np.searchsorted(edges, start), np.searchsorted(edges, stop)):
            members[strip].append(i)
    # all strips in one piece of memory: it is read from end to end, and large pieces get large pages
    memory = np.empty(sum(panel.size for panel in panels), dtype=dtype)
    strips, order, end, used = [], [], 0, 0
    for own, start, stop in zip(members, edges.tolist(), edges[1:].tolist(), strict=False):
        width = sum(panels[i].shape[1] for i in own)
        if not width:
            continue
        values = memory[used : used + (stop - start) * width].reshape(stop - start, width)
        pieces = [panels[i][start - ranges[i][0] : stop - ranges[i][0]] for i in own]
        np.concatenate(pieces, axis=1, out=values)
        order += [places[i] for i in own]
        strips.append(Strip(start, stop, end, end + width, values))
        end, used = end + width, used + values.size
    return tuple(strips), np.concatenate(order) if order else np.zeros(0, dtype=np.intp)
