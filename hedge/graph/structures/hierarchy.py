"""An H-matrix that compress found: leaves that tile a matrix, after its rows and columns were put in order.

The order is one in which what is near stands together, as the points of a grid do in boxes and not in rows.
Putting numbers in order is part of the Gathers that cut vectors into cells, see :mod:`levels`.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import cached_property, partial
from typing import ClassVar

import numpy as np

from hedge.arrays import Array, Indices
from hedge.devices import Work, gemm_work, pass_work, product_work
from hedge.documents import Count
from hedge.graph.builder import GraphBuilder
from hedge.graph.precision import Precision
from hedge.graph.structures.grids import grid_of
from hedge.graph.structures.levels import Levels, LevelSizes, level_sizes, levels_of, lower_levels
from hedge.graph.structures.partition import LeafMatrix, Partition, lower_panels
from hedge.graph.structures.structure import Form, Lowering, Matrix, Place, Rectangle, Structure
from hedge.grids import in_words
from hedge.hmatrix import Block, Leaf

Order = tuple[Count, ...]
"""order[i] is the index of the row or column at position i; empty where the order stays."""


@dataclass(frozen=True)
class Hierarchy(Structure):
    """An (outputs, inputs) matrix in an order of its rows and columns, cut into leaves that tile it."""

    tree: tuple[Place, ...]
    row_order: Order
    column_order: Order

    FORMS: ClassVar[tuple[Form, ...]] = ("levels", "panels")

    @property
    def label(self) -> str:
        """In a few words."""
        return f"{len(self.tree)} blocks{f' in {self.order}' if self.indices else ''}"

    @property
    def reason(self) -> str:
        """Why it was chosen."""
        order = f" of rows and columns in {self.order}" if self.indices else ""
        return f"{len(self.tree)} blocks{order} cost least"

    @cached_property
    def order(self) -> str:
        """That of rows and columns, where it is not the one they have: a grid's by its sides."""
        rows, columns = grid_of(self.row_order), grid_of(self.column_order)
        if rows is None or columns is None:
            return "another order"
        if rows == columns:
            return f"the order of a {in_words(rows)} grid"
        return f"the orders of {in_words(rows)} and {in_words(columns)} grids"

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """The arrays it is stored as."""
        return self.partition.shapes

    @property
    def blocks(self) -> tuple[Block, ...]:
        """Its leaves."""
        return self.partition.blocks

    @property
    def rectangles(self) -> list[Rectangle]:
        """Where its leaves are, in its order."""
        return self.partition.rectangles

    @property
    def indices(self) -> int:
        """Numbers of both orders."""
        return len(self.row_order) + len(self.column_order)

    @cached_property
    def partition(self) -> Partition:
        """The leaves without the orders."""
        return Partition(self.outputs, self.inputs, self.tree)

    @cached_property
    def levels(self) -> LevelSizes | None:
        """The sizes of its batched products, None where its leaves form no regular tree."""
        return level_sizes(self.tree)

    def arranged(self, values: Array) -> Array:
        """A matrix (n_out, n_in) as its leaves see it."""
        rows = values[_indices(self.row_order)] if self.row_order else values
        return rows[:, _indices(self.column_order)] if self.column_order else rows

    def check(self) -> None:
        """Raise ValueError where leaves don't tile it, or an order is none."""
        super().check()
        for order, size in ((self.row_order, self.outputs), (self.column_order, self.inputs)):
            if order and not np.array_equal(np.sort(_indices(order)), np.arange(size)):
                raise ValueError(
                    f"an order of its {size} rows or columns has not each of them once"
                )

    def matrix(
        self, arrays: Mapping[str, Array], bias: Array, precision: Precision
    ) -> HierarchyMatrix:
        """The matrix of these arrays and bias."""
        leaves = self.partition.matrix(arrays, bias, precision).leaves
        return HierarchyMatrix(
            leaves, bias, self.inputs, self.row_order, self.column_order, precision
        )

    def work(self, batch: int) -> Work:
        """Its usual form for ``batch`` rows in float32."""
        if self.levels is None:
            return self._panel_work(batch)
        return self._level_work(self.levels, batch)

    def work_in_c(self, batch: int) -> Work:
        """Its leaves one by one."""
        total = pass_work("Gather", self.indices, batch) + pass_work("Add", batch, self.outputs)
        for leaf in self.blocks:
            rank = leaf.rank
            if rank is None:
                total += product_work(leaf.rows, batch, leaf.columns, turned=True)
            else:
                total += product_work(rank, batch, leaf.columns, turned=True)
                total += product_work(leaf.rows, batch, rank, turned=True)
        return total

    def _level_work(self, sizes: LevelSizes, batch: int) -> Work:
        cells = sizes.dense * sizes.width * batch
        total = pass_work("Transpose", self.inputs, batch)
        total += pass_work("Gather", sizes.columns * sizes.width, batch, self.inputs * batch)
        if sizes.dense:
            total += pass_work("Reshape", 1, self.inputs * batch)
            total += pass_work("Gather", sizes.rows * sizes.dense, sizes.width * batch)
            total += pass_work("Reshape", 1, sizes.rows * cells)
        if sizes.slots:
            seen = sizes.columns * sizes.coefficients * batch
            coupled = sizes.rows * sizes.coefficients * batch
            total += pass_work("Reshape", 1, self.inputs * batch)
            total += product_work(
                sizes.coefficients, batch, sizes.width, sizes.columns, turned=True
            )
            total += pass_work("Reshape", 1, seen)
            total += pass_work("Transpose of rows", sizes.columns * sizes.slots, sizes.rank * batch)
            total += product_work(
                sizes.rows, sizes.rank * batch, sizes.columns, sizes.slots, turned=True
            )
            total += pass_work("Transpose of rows", sizes.rows * sizes.slots, sizes.rank * batch)
            total += pass_work("Reshape", 1, coupled)
            total += pass_work("Concat", 2 * sizes.rows, (cells + coupled / sizes.rows) / 2)
        both = sizes.dense * sizes.width + sizes.coefficients
        total += pass_work("Reshape", 1, sizes.rows * both * batch)
        total += product_work(sizes.height, batch, both, sizes.rows, turned=True)
        total += pass_work("Reshape", 1, sizes.rows * sizes.height * batch)
        total += pass_work("Gather", self.outputs, batch, sizes.rows * sizes.height * batch)
        return total + pass_work("Transpose", batch, self.outputs)

    def _panel_work(self, batch: int) -> Work:
        """A Slice and a Gemm a column cluster, a Concat and a Gemm a strip of rows."""
        total = pass_work("Gather", batch * self.indices, 1)
        ranks: dict[tuple[int, int], int] = {}
        for _, _, start, stop, rank in self.tree:
            ranks[start, stop] = ranks.get((start, stop), 0) + (rank or 0)
        for (start, stop), rank in ranks.items():
            total += pass_work("Slice", batch, stop - start)
            total += gemm_work(batch, rank, stop - start) + pass_work("Split", batch, rank)
        for top in (edges := sorted({edge for leaf in self.tree for edge in leaf[:2]}))[:-1]:
            reaching = [leaf for leaf in self.tree if leaf[0] <= top < leaf[1]]
            read = sum(stop - start if rank is None else rank
                       for _, _, start, stop, rank in reaching)  # fmt: skip
            height = edges[edges.index(top) + 1] - top
            total += pass_work("Concat", batch * len(reaching), read / len(reaching))
            total += gemm_work(batch, height, read)
        return total + pass_work("Concat", batch * (len(edges) - 1), self.outputs / len(edges))


@dataclass(frozen=True, eq=False)
class HierarchyMatrix(Matrix):
    """z = H a + b with an H-matrix H whose leaves tile it in an order of its own.

    inputs is n_in; the orders are as :class:`Hierarchy` has them.

    >>> leaf = Leaf(0, 2, 0, 2, (np.diag([1.0, 2.0]),))
    >>> HierarchyMatrix((leaf,), np.zeros(2), 2, (1, 0), (0, 1)).dense()
    array([[0., 2.],
           [1., 0.]])
    """

    leaves: tuple[Leaf, ...]
    bias: Array
    inputs: int
    row_order: Order = ()
    column_order: Order = ()
    precision: Precision = "float32"

    @property
    def shape(self) -> tuple[int, int]:
        """(n_out, n_in)."""
        return len(self.bias), self.inputs

    @cached_property
    def structure(self) -> Hierarchy:
        """Where its leaves are, their ranks, and the orders."""
        return Hierarchy(*self.shape, self._inner.structure.tree, self.row_order, self.column_order)

    @property
    def arrays(self) -> dict[str, Array]:
        """What is stored beside the bias, by name."""
        return self._inner.arrays

    @property
    def forms(self) -> dict[Form, Lowering]:
        """Three batched products where leaves form a regular tree; a Gemm a cluster."""
        found: dict[Form, Lowering] = {}
        # In levels leaves would share rows, and int8 has one scale a row.
        if self.precision != "int8" and self._levels is not None:
            found["levels"] = partial(_lower_levels, self, self._levels)
        found["panels"] = partial(_lower_panels, self)
        return found

    @cached_property
    def _inner(self) -> LeafMatrix:
        return LeafMatrix(self.leaves, self.bias, self.inputs, self.precision)

    @cached_property
    def _levels(self) -> Levels | None:
        return levels_of(self.leaves)

    def dense(self) -> Array:
        """All entries, (n_out, n_in)."""
        whole = self._inner.dense()
        if self.column_order:
            whole = whole[:, np.argsort(self.column_order)]
        return whole[np.argsort(self.row_order)] if self.row_order else whole

    def times(self, a: Array) -> Array:
        """The product with every row of ``a`` (N, n_in), without the bias: (N, n_out)."""
        a = a[:, _indices(self.column_order)] if self.column_order else a
        z = np.zeros((len(a), len(self.bias)))
        for leaf in self.leaves:
            part = a[:, leaf.start : leaf.stop]
            for factor in reversed(leaf.factors):
                part = part @ factor.T
            z[:, leaf.top : leaf.bottom] += part
        return z[:, np.argsort(self.row_order)] if self.row_order else z


def _lower_levels(matrix: HierarchyMatrix, levels: Levels, graph: GraphBuilder, source: str) -> str:
    orders = (_indices(o) if o else None for o in (matrix.row_order, matrix.column_order))
    return lower_levels(levels, matrix.bias, matrix.precision, graph, source, *orders)


def _lower_panels(matrix: HierarchyMatrix, graph: GraphBuilder, source: str) -> str:
    """The Gemms of the leaves, between two Gathers."""
    if matrix.column_order:
        places = _indices(matrix.column_order)
        source = graph.add("Gather", source, places, output="ordered", axis=1)
    bias = matrix.bias[_indices(matrix.row_order)] if matrix.row_order else matrix.bias
    part = lower_panels(matrix.leaves, bias, matrix.precision, graph, source)
    if not matrix.row_order:
        return part
    return graph.add("Gather", part, np.argsort(matrix.row_order), output="unordered", axis=1)


def as_order(order: Collection[int] | Indices) -> Order:
    """The order as structures have it: empty where it changes nothing."""
    found = tuple(int(i) for i in order)
    return () if found == tuple(range(len(found))) else found


def _indices(order: Order) -> Indices:
    return np.array(order, dtype=np.intp)
