"""In which order the rows and columns of a matrix are best cut into blocks, told by a few blocks.

Points of a grid come row by row, so that neighbours stand far apart. Put box by box, as a k-d tree does,
they leave blocks of low rank. Which grid it is no file says: its sides are factors of the number of points,
and of few blocks the ranks tell which. Where no grid fits, rows that are alike are put together.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from hedge.arrays import Array, Indices
from hedge.graph import grid_order, grids
from hedge.grids import in_words
from hedge.hmatrix import Entries, by_similarity

LEAF = 64
# Blocks that are looked at: of so many rows of leaves, this many of each.
ROWS_SEEN, SEEN_PER_ROW = 4, 48
# Leaf by leaf a matrix must be this much smaller, or it has no blocks worth looking for.
MOST_KEPT = 0.6
# The order as given stays where no other one is better by more than chance.
BETTER = 0.9
# Rows are compared by so many random sums of their entries.
SKETCH = 64
# Rows that are weighed at once.
STRIP = 256


@dataclass(frozen=True, eq=False)
class Weighed:
    """diag(above) W diag(beside), of which few entries are ever formed: (n_out, n_in).

    W may be of float32; above (n_out,) and beside (n_in,) are positive.
    """

    weight: Array
    above: Array
    beside: Array

    @staticmethod
    def evenly(weight: Array) -> Weighed:
        """W itself."""
        return Weighed(weight, np.ones(len(weight)), np.ones(weight.shape[1]))

    @property
    def shape(self) -> tuple[int, int]:
        """(n_out, n_in)."""
        return len(self.above), len(self.beside)

    @cached_property
    def norm(self) -> float:
        """The Frobenius norm."""
        parts = np.array_split(np.arange(len(self.above)), -(-len(self.above) // STRIP))
        everything = np.arange(len(self.beside))
        return float(np.sqrt(sum(np.sum(self.part(own, everything) ** 2) for own in parts)))

    def part(self, rows: Indices, columns: Indices) -> Array:
        """Entries of these rows and columns, float64."""
        found = self.weight[np.ix_(rows, columns)] * self.above[rows, None]
        found *= self.beside[columns]
        return np.asarray(found)

    def ordered(self, rows: Indices, columns: Indices) -> Entries:
        """All of it in an order, kept in as many bits as W has."""
        values = np.empty(self.shape, self.weight.dtype)
        for top in range(0, len(rows), STRIP):
            values[top : top + STRIP] = self.part(rows[top : top + STRIP], columns)
        return Entries(
            self.shape,
            lambda i, j: values[i[:, None], j],
            lambda i, j: values[i[:, :, None], j[:, None, :]],
        )

    def sketches(self) -> tuple[Array, Array]:
        """Random sums along each row and each column, in which alike ones are alike: (n, SKETCH)."""
        rng, real = np.random.default_rng(0), self.weight.dtype
        rows, columns = self.shape
        of_rows = self.beside[:, None] * rng.standard_normal((columns, SKETCH))
        of_columns = self.above[:, None] * rng.standard_normal((rows, SKETCH))
        return (
            self.above[:, None] * (self.weight @ of_rows.astype(real)),
            self.beside[:, None] * (self.weight.T @ of_columns.astype(real)),
        )


@dataclass(frozen=True, eq=False)
class Orders:
    """An order of rows (n_out,) and of columns (n_in,), and which part of the blocks seen must be kept."""

    name: str
    rows: Indices
    columns: Indices
    kept: float


def best_orders(
    matrix: Weighed, tolerance: float, grid: tuple[int, ...] | None = None
) -> Orders | None:
    """The order in which leaves of ``matrix`` keep least; None where they would keep nearly all.

    A leaf may miss its share, by area, of ``tolerance`` in parts of the matrix' norm. ``grid`` is that of a
    side with so many points; where one has, no other grid is tried for it, and no likeness.

    >>> x, y = np.divmod(np.arange(1024), 32)
    >>> a = 1 / (1 + np.hypot(x[:, None] - x, y[:, None] - y))
    >>> best_orders(Weighed.evenly(a), 1e-3).name
    '32x32 grid'
    """
    rows, columns = matrix.shape
    if grid is not None and math.prod(grid) in matrix.shape:
        told = [_judged(matrix, tolerance, *order) for order in _on_grid(matrix.shape, grid)]
        best = min(told, key=lambda order: order.kept)
        return best if best.kept <= MOST_KEPT else None
    best = _judged(matrix, tolerance, "given", np.arange(rows), np.arange(columns))
    for name, of_rows, of_columns in _orders(matrix):
        found = _judged(matrix, tolerance, name, of_rows, of_columns)
        if found.kept < (BETTER if best.name == "given" else 1.0) * best.kept:
            best = found
    return best if best.kept <= MOST_KEPT else None


def _on_grid(
    shape: tuple[int, int], grid: tuple[int, ...]
) -> Iterator[tuple[str, Indices, Indices]]:
    """Orders of a matrix of which a side at least has the points of the grid, the other one of any."""
    if shape[0] == shape[1]:
        return _of_both([grid], None)
    above, beside = (
        [grid] if math.prod(grid) == size else [(size,), *grids(size)] for size in shape
    )
    return _of_both(above, beside)


def _orders(matrix: Weighed) -> Iterator[tuple[str, Indices, Indices]]:
    rows, columns = matrix.shape
    if rows == columns:
        yield from _of_both(grids(rows), None)
    else:
        yield from _of_both(grids(rows) or [(rows,)], grids(columns) or [(columns,)])
    of_rows, of_columns = (by_similarity(sums, LEAF).order for sums in matrix.sketches())
    if rows == columns:
        yield "similar rows", of_rows, of_rows
    yield "similar rows and columns", of_rows, of_columns


def _of_both(
    above: list[tuple[int, ...]], beside: list[tuple[int, ...]] | None
) -> Iterator[tuple[str, Indices, Indices]]:
    """Grids of rows with each of columns; None for columns says that they are those of the rows."""
    for of_rows in above:
        order = grid_order(of_rows)
        if beside is None:
            yield f"{in_words(of_rows)} grid", order, order
        for of_columns in beside or []:
            name = f"{in_words(of_rows)} by {in_words(of_columns)} grids"
            yield name, order, grid_order(of_columns)


def _judged(
    matrix: Weighed, tolerance: float, name: str, rows: Indices, columns: Indices
) -> Orders:
    """An order, and the part of their numbers that leaves of it keep, from some drawn at random."""
    rng = np.random.default_rng(0)
    above, beside = len(rows) // LEAF, len(columns) // LEAF
    allowed = (tolerance * LEAF * matrix.norm) ** 2 / (len(rows) * len(columns))
    numbers = []
    for i in rng.choice(above, min(above, ROWS_SEEN), replace=False):
        drawn = rng.choice(beside, min(beside, SEEN_PER_ROW), replace=False)
        seen = columns[(drawn[:, None] * LEAF + np.arange(LEAF)).ravel()]
        strip = matrix.part(rows[i * LEAF : (i + 1) * LEAF], seen)
        blocks = strip.reshape(LEAF, len(drawn), LEAF).transpose(1, 0, 2)
        values = np.linalg.svd(blocks, compute_uv=False) ** 2
        tails = np.cumsum(values[:, ::-1], axis=1)[:, ::-1]  # what each rank leaves
        ranks = np.count_nonzero(tails > allowed, axis=1)
        numbers.append(np.minimum(ranks * 2 * LEAF, LEAF * LEAF))
    return Orders(name, rows, columns, float(np.mean(numbers)) / LEAF**2)
