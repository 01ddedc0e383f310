"""Leaves: the blocks that an H-matrix keeps, dense or low rank."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from heapq import heappop, heappush

import numpy as np

from hedge.arrays import Array


@dataclass(frozen=True)
class Block:
    """The size of ``count`` leaves that are alike: (rows, columns), of a rank or, for None, dense.

    >>> Block(8, 8, 2).numbers, Block(8, 8, None).full_rank
    (32, 8)
    """

    rows: int
    columns: int
    rank: int | None
    count: int = 1

    @property
    def full_rank(self) -> int:
        """Its rank; of a dense one the smaller side."""
        return min(self.rows, self.columns) if self.rank is None else self.rank

    @property
    def numbers(self) -> int:
        """How many numbers one of them keeps: those of its factors if low rank, else all entries."""
        if self.rank is None:
            return self.rows * self.columns
        return self.rank * (self.rows + self.columns)


@dataclass(frozen=True, eq=False)
class Leaf:
    """The block of rows ``top:bottom`` and columns ``start:stop``: dense, or low rank.

    factors is (values (m, n),) or (left (m, k), right (k, n)); reason says why a dense leaf is dense.
    Rows and columns are positions in the orders of the matrix, not original indices.
    """

    top: int
    bottom: int
    start: int
    stop: int
    factors: tuple[Array, ...]
    reason: str = ""

    @property
    def shape(self) -> tuple[int, int]:
        """(m, n)."""
        return self.bottom - self.top, self.stop - self.start

    @property
    def is_dense(self) -> bool:
        """Whether all entries are kept."""
        return len(self.factors) == 1

    @property
    def block(self) -> Block:
        """Its size."""
        return Block(*self.shape, None if self.is_dense else self.factors[1].shape[0])

    @property
    def rank(self) -> int:
        """The inner dimension; for a dense leaf the smaller side."""
        return self.block.full_rank

    @property
    def numbers(self) -> int:
        """How many numbers it keeps."""
        return self.block.numbers

    def values(self) -> Array:
        """All entries (m, n)."""
        return self.factors[0] if self.is_dense else self.factors[0] @ self.factors[1]

    def part(self, top: int, bottom: int, start: int, stop: int) -> Leaf:
        """Its part in a smaller rectangle, without arithmetic."""
        rows = slice(top - self.top, bottom - self.top)
        columns = slice(start - self.start, stop - self.start)
        if self.is_dense:
            factors: tuple[Array, ...] = (self.factors[0][rows, columns],)
        else:
            factors = (self.factors[0][rows], self.factors[1][:, columns])
        return Leaf(top, bottom, start, stop, factors, self.reason)

    def transposed(self) -> Leaf:
        """The leaf of the transposed matrix."""
        factors = tuple(factor.T for factor in reversed(self.factors))
        return Leaf(self.start, self.stop, self.top, self.bottom, factors, self.reason)


def tiles(places: Iterable[tuple[int, int, int, int]], rows: int, columns: int) -> bool:
    """Whether blocks (top, bottom, start, stop) cover a (rows, columns) matrix, and no entry twice.

    A line is swept over the rows, with the columns of the blocks that it crosses in order.

    >>> tiles([(0, 1, 0, 2), (1, 2, 0, 1), (1, 2, 1, 2)], 2, 2)
    True
    """
    crossed: list[tuple[int, int]] = []
    ends: list[tuple[int, int, int]] = []
    area = 0
    for top, bottom, start, stop in sorted(places):
        if not (0 <= top < bottom <= rows and 0 <= start < stop <= columns):
            return False
        while ends and ends[0][0] <= top:
            del crossed[bisect_left(crossed, heappop(ends)[1:])]
        place = bisect_left(crossed, (start, stop))
        if place > 0 and crossed[place - 1][1] > start:
            return False
        if place < len(crossed) and crossed[place][0] < stop:
            return False
        crossed.insert(place, (start, stop))
        heappush(ends, (bottom, start, stop))
        area += (bottom - top) * (stop - start)
    return area == rows * columns


def overlaps(leaves: tuple[Leaf, ...]) -> Iterator[tuple[Leaf, Leaf, tuple[int, int, int, int]]]:
    """Pairs of leaves that share entries, each pair once, and the rectangle that they share."""
    box = np.array([(a.top, a.bottom, a.start, a.stop) for a in leaves])
    for i, leaf in enumerate(leaves):
        later = box[i + 1 :]
        shared = (
            (later[:, 0] < leaf.bottom)
            & (later[:, 1] > leaf.top)
            & (later[:, 2] < leaf.stop)
            & (later[:, 3] > leaf.start)
        )
        for j in np.flatnonzero(shared) + i + 1:
            other = leaves[j]
            yield (
                leaf,
                other,
                (
                    max(leaf.top, other.top),
                    min(leaf.bottom, other.bottom),
                    max(leaf.start, other.start),
                    min(leaf.stop, other.stop),
                ),
            )


def inner(a: Leaf, b: Leaf) -> float:
    """Σ a_ij b_ij of two leaves of the same place."""
    if a.is_dense and b.is_dense:
        return float(np.vdot(a.factors[0], b.factors[0]))
    if a.is_dense:
        return float(np.vdot(a.factors[0] @ b.factors[1].T, b.factors[0]))
    if b.is_dense:
        return inner(b, a)
    return float(np.vdot(a.factors[0].T @ b.factors[0], a.factors[1] @ b.factors[1].T))
