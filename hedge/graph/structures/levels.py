"""H-matrices of regular trees as three batched products, whatever their depth.

Rows and columns are cut into *cells*, as fine as the finest leaf. A *slot* is a set of low-rank leaves
no two of which share a row or a column, as those of one level of a HODLR matrix. Cell by cell, the right
factors of all slots are one matrix; so are the left factors beside the dense leaves:

    t_j = [V₁; V₂; …]_j a_j        for each cell j of columns, a block a slot
    s_ia = Σ_j S_a,ij t_ja          S_a,ij is 1 where slot a has a leaf on the cells (i, j)
    z_i = [D U₁ U₂ …]_i [a; s_i]     for each cell i of rows

Every product is one batched MatMul, with the batch last so that cells lie together in memory.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from hedge.arrays import Array
from hedge.graph.builder import GraphBuilder
from hedge.graph.precision import Precision
from hedge.graph.structures.structure import Place
from hedge.graph.structures.weights import biased, weight
from hedge.hmatrix import Leaf

Places = NDArray[np.intp]
Cells = tuple[int, ...]
"""Edges of the cells, from 0 to the size."""

# Cells are filled up to the largest, and slots to the highest rank: more than this many times the
# numbers of the leaves is no regular tree.
MOST_FILLING = 3.0


@dataclass(frozen=True)
class LevelSizes:
    """The sizes of the operands of :class:`Levels`: cells of height × width, and what each has."""

    rows: int
    columns: int
    height: int
    width: int
    dense: int
    slots: int
    rank: int

    @property
    def coefficients(self) -> int:
        """Numbers that a cell's right factors give."""
        return self.slots * self.rank

    @property
    def numbers(self) -> int:
        """Entries of all operands."""
        both = self.dense * self.width + self.coefficients
        return (
            self.columns * self.coefficients * self.width
            + self.slots * self.rows * self.columns
            + self.rows * self.height * both
        )

    def pay(self, own: int) -> bool:
        """Whether there are cells, not filled up to far more than the leaves' ``own`` numbers."""
        return min(self.rows, self.columns) >= 2 and self.numbers <= MOST_FILLING * own


@dataclass(frozen=True, eq=False)
class Levels:
    """The three constant operands, and where cells begin and end.

    right is (columns, slots · k, width): V of every cell; coupling S is (slots, rows, columns);
    left is (rows, height, dense · width + slots · k): [D U] of every cell; neighbours (rows, dense) are
    the cells of columns under a row's dense leaves. rows and columns count cells, of height × width
    entries at most.
    """

    row_edges: Cells
    column_edges: Cells
    right: Array
    coupling: Array
    left: Array
    neighbours: Places

    @property
    def slots(self) -> int:
        """Sets of leaves that share no row and no column."""
        return len(self.coupling)

    @property
    def numbers(self) -> int:
        """Entries of all operands, filled up as they are."""
        return self.right.size + self.coupling.size + self.left.size


def levels_of(leaves: Collection[Leaf]) -> Levels | None:
    """The matrix of these leaves in cells and slots; None where filling up would multiply its numbers.

    >>> rng = np.random.default_rng(0)
    >>> def block(i, j, *factors): return Leaf(4 * i, 4 * i + 4, 4 * j, 4 * j + 4, factors)
    >>> pair = rng.standard_normal((4, 1)), rng.standard_normal((1, 4))
    >>> leaves = [block(0, 0, np.eye(4)), block(1, 1, np.eye(4)), block(0, 1, *pair), block(1, 0, *pair)]
    >>> levels = levels_of(leaves)
    >>> levels.slots, levels.left.shape
    (1, (2, 4, 5))
    """
    cut = _Cut.of(leaves)
    sizes, row_edges, column_edges = cut.sizes, cut.row_edges, cut.column_edges
    neighbours, slots, rank = cut.neighbours, cut.slots, sizes.rank
    if not sizes.pay(sum(leaf.numbers for leaf in leaves)):
        return None
    rows, columns, width, dense = sizes.rows, sizes.columns, sizes.width, sizes.dense
    right = np.zeros((columns, sizes.coefficients, width))
    coupling = np.zeros((len(slots), rows, columns))
    left = np.zeros((rows, sizes.height, dense * width + sizes.coefficients))
    for a, slot in enumerate(slots):
        for leaf in slot:
            places = np.s_[a * rank : a * rank + leaf.rank]
            above = _cells(row_edges, leaf.top, leaf.bottom)
            beside = _cells(column_edges, leaf.start, leaf.stop)
            coupling[np.ix_([a], above, beside)] = 1.0
            for j in beside:
                start, stop = (edge - leaf.start for edge in column_edges[j : j + 2])
                right[j, places, : stop - start] = leaf.factors[1][:, start:stop]
            for i in above:
                top, bottom = (edge - leaf.top for edge in row_edges[i : i + 2])
                left[i, : bottom - top, dense * width :][:, places] = leaf.factors[0][top:bottom]
    for leaf in leaves:
        if leaf.is_dense:
            _fill_dense(left, leaf, row_edges, column_edges, neighbours, width)
    return Levels(row_edges, column_edges, right, coupling, left, neighbours)


def level_sizes(places: Iterable[Place]) -> LevelSizes | None:
    """The sizes that :class:`Levels` of leaves in such places have; None where there are none.

    >>> level_sizes([(0, 4, 0, 4, None), (4, 8, 4, 8, None), (0, 4, 4, 8, 1), (4, 8, 0, 4, 1)])
    LevelSizes(rows=2, columns=2, height=4, width=4, dense=1, slots=1, rank=1)
    """
    leaves = [
        Leaf(top, bottom, start, stop, _unread((bottom - top, stop - start), rank))
        for top, bottom, start, stop, rank in places
    ]
    sizes = _Cut.of(leaves).sizes
    return sizes if sizes.pay(sum(leaf.numbers for leaf in leaves)) else None


def _unread(shape: tuple[int, int], rank: int | None) -> tuple[Array, ...]:
    """Factors of which sizes alone matter."""
    shapes = [shape] if rank is None else [(shape[0], rank), (rank, shape[1])]
    return tuple(np.broadcast_to(0.0, each) for each in shapes)


@dataclass(frozen=True, eq=False)
class _Cut:
    """How leaves lie in cells and slots."""

    row_edges: Cells
    column_edges: Cells
    slots: list[list[Leaf]]
    neighbours: Places

    @staticmethod
    def of(leaves: Collection[Leaf]) -> _Cut:
        row_edges = _edges((leaf.top, leaf.bottom) for leaf in leaves)
        column_edges = _edges((leaf.start, leaf.stop) for leaf in leaves)
        low_rank = [leaf for leaf in leaves if not leaf.is_dense]
        slots = _slots(low_rank, (row_edges[-1], column_edges[-1]))
        return _Cut(row_edges, column_edges, slots, _neighbours(leaves, row_edges, column_edges))

    @property
    def sizes(self) -> LevelSizes:
        """Those of the operands."""
        return LevelSizes(
            rows=len(self.row_edges) - 1,
            columns=len(self.column_edges) - 1,
            height=int(max(np.diff(self.row_edges))),
            width=int(max(np.diff(self.column_edges))),
            dense=self.neighbours.shape[1],
            slots=len(self.slots),
            rank=max((leaf.rank for slot in self.slots for leaf in slot), default=0),
        )


def lower_levels(
    levels: Levels,
    bias: Array,
    precision: Precision,
    graph: GraphBuilder,
    source: str,
    row_order: Places | None = None,
    column_order: Places | None = None,
) -> str:
    """Gather cells, V, S, [D U], put the rows back.

    The orders are an H-matrix', position to index; what fills cells up puts into order, too.
    """
    columns, _, width = levels.right.shape
    rows, height, _ = levels.left.shape
    slots, dense = levels.slots, levels.neighbours.shape[1]
    part = graph.add("Transpose", source, output="columns", perm=[1, 0])
    places = _places(levels.column_edges, width)
    places = places if column_order is None else column_order[places]
    if not _is_as_given(places, levels.column_edges[-1]):
        part = graph.add("Gather", part, places, output="filled", axis=0)
    inputs = []
    if dense:
        flat = graph.add("Reshape", part, [columns, -1], output="cells")
        if not np.array_equal(levels.neighbours[:, 0], np.arange(columns)) or dense > 1:
            places = levels.neighbours.ravel()
            flat = graph.add("Gather", flat, places, output="neighbours", axis=0)
            flat = graph.add("Reshape", flat, [rows, -1], output="beside")
        inputs.append(flat)
    if slots:
        cells = graph.add("Reshape", part, [columns, width, -1], output="leaves")
        right = weight(graph, "right", levels.right, precision)
        seen = graph.add("MatMul", right, cells, output="seen")
        seen = graph.add("Reshape", seen, [columns, slots, -1], output="seen_by_slot")
        seen = graph.add("Transpose", seen, output="slots", perm=[1, 0, 2])
        coupling = weight(graph, "coupling", levels.coupling)
        coupled = graph.add("MatMul", coupling, seen, output="coupled")
        coupled = graph.add("Transpose", coupled, output="coupled_by_cell", perm=[1, 0, 2])
        inputs.append(graph.add("Reshape", coupled, [rows, -1], output="coupled_cells"))
    both = inputs[0] if len(inputs) == 1 else graph.add("Concat", *inputs, output="both", axis=1)
    both = graph.add("Reshape", both, [rows, levels.left.shape[2], -1], output="both_cells")
    left = weight(graph, "left", levels.left, precision)
    part = graph.add("MatMul", left, both, output="products")
    part = graph.add("Reshape", part, [rows * height, -1], output="filled_outputs")
    kept = np.concatenate(
        [
            i * height + np.arange(bottom - top)
            for i, (top, bottom) in enumerate(pairwise(levels.row_edges))
        ]
    )
    kept = kept if row_order is None else kept[np.argsort(row_order)]
    if not _is_as_given(kept, rows * height):
        part = graph.add("Gather", part, kept, output="outputs", axis=0)
    part = graph.add("Transpose", part, output="unbiased", perm=[1, 0])
    return biased(graph, part, bias)


def _is_as_given(places: Places, size: int) -> bool:
    return np.array_equal(places, np.arange(size))


def _edges(ranges: Iterable[tuple[int, int]]) -> Cells:
    return tuple(sorted({edge for pair in ranges for edge in pair}))


def _cells(edges: Cells, start: int, stop: int) -> range:
    """The cells between two edges."""
    return range(edges.index(start), edges.index(stop))


def _slots(leaves: list[Leaf], shape: tuple[int, int]) -> list[list[Leaf]]:
    """Sets of leaves that share no row and no column: greedily, the largest leaves first."""
    slots: list[list[Leaf]] = []
    taken: list[tuple[NDArray[np.bool_], NDArray[np.bool_]]] = []  # rows and columns of each slot
    for leaf in sorted(
        leaves, key=lambda leaf: (-leaf.shape[0] * leaf.shape[1], leaf.top, leaf.start)
    ):
        height, width = slice(leaf.top, leaf.bottom), slice(leaf.start, leaf.stop)
        free = (
            a for a, (rows, columns) in enumerate(taken)
            if not (rows[height].any() or columns[width].any())
        )  # fmt: skip
        a = next(free, len(slots))
        if a == len(slots):
            slots.append([])
            taken.append((np.zeros(shape[0], dtype=bool), np.zeros(shape[1], dtype=bool)))
        slots[a].append(leaf)
        taken[a][0][height] = taken[a][1][width] = True
    return slots


def _neighbours(leaves: Collection[Leaf], row_edges: Cells, column_edges: Cells) -> Places:
    """(rows, dense): the cells of columns that each cell of rows sees densely, filled up with any."""
    seen: list[list[int]] = [[] for _ in row_edges[1:]]
    for leaf in leaves:
        if leaf.is_dense:
            for i in _cells(row_edges, leaf.top, leaf.bottom):
                seen[i] += _cells(column_edges, leaf.start, leaf.stop)
    most = max(len(cells) for cells in seen)
    return np.array([sorted(cells) + [0] * (most - len(cells)) for cells in seen], dtype=np.intp)


def _fill_dense(
    left: Array, leaf: Leaf, row_edges: Cells, column_edges: Cells, neighbours: Places, width: int
) -> None:
    for i in _cells(row_edges, leaf.top, leaf.bottom):
        for j in _cells(column_edges, leaf.start, leaf.stop):
            piece = leaf.part(row_edges[i], row_edges[i + 1], column_edges[j], column_edges[j + 1])
            (values,) = piece.factors
            place = int(np.flatnonzero(neighbours[i] == j)[0]) * width
            left[i, : len(values), place : place + values.shape[1]] = values


def _places(edges: Cells, width: int) -> Places:
    """Where each place of the filled cells is taken from; the filling meets weights of zero."""
    return np.concatenate(
        [np.minimum(start + np.arange(width), stop - 1) for start, stop in pairwise(edges)]
    )
