"""Blocks with shared bases (BLR²), D + U S V, as batched products."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from itertools import product
from typing import ClassVar

import numpy as np

from hedge.arrays import Array
from hedge.devices import Work, gemm_work, pass_work, product_work
from hedge.documents import Positive
from hedge.graph.builder import GraphBuilder
from hedge.graph.precision import Precision, rounded
from hedge.graph.structures.structure import Form, Lowering, Matrix, Rectangle, Structure
from hedge.graph.structures.weights import biased, weight
from hedge.hmatrix import Block


@dataclass(frozen=True)
class BlockLayout(Structure):
    """An (outputs, inputs) matrix cut into ``leaves`` leaves a side; ``rank`` vectors in each basis.

    Where the sides are no multiples of it the last leaves are filled up with zeros.

    >>> layout = BlockLayout(1000, 1000, leaves=16, rank=2)
    >>> layout.leaf, layout.numbers
    ((63, 63), 68560)
    """

    leaves: Positive
    rank: Positive

    FORMS: ClassVar[tuple[Form, ...]] = ("joined", "blocks")

    @property
    def leaf(self) -> tuple[int, int]:
        """Rows and columns of a leaf."""
        return -(-self.outputs // self.leaves), -(-self.inputs // self.leaves)

    @property
    def label(self) -> str:
        """In a few words."""
        return f"{self.leaves} leaves a side, rank {self.rank}"

    @property
    def reason(self) -> str:
        """Why it was chosen."""
        rows, columns = self.leaf
        return f"{self.leaves} leaves of {rows}x{columns} and rank {self.rank} off them cost least"

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """The arrays it is stored as, see :class:`BlockMatrix`."""
        (height, width), coupled = self.leaf, self.leaves * self.rank
        return {
            "rows": (self.leaves, height, width + self.rank),
            "coupling": (coupled, coupled),
            "right": (self.leaves, self.rank, width),
        }

    @property
    def blocks(self) -> tuple[Block, ...]:
        """Its leaves, alike ones once: blocks count the bases that they share."""
        rows, columns = self.leaf
        return (
            Block(rows, columns, None, self.leaves),
            Block(rows, columns, self.rank, self.leaves * (self.leaves - 1)),
        )

    @property
    def rectangles(self) -> list[Rectangle]:
        """Where its leaves are."""
        (height, width), (outputs, inputs) = self.leaf, (self.outputs, self.inputs)
        rows = [slice(top, top + height) for top in range(0, outputs, height)]
        columns = [slice(start, start + width) for start in range(0, inputs, width)]
        return list(product(rows, columns))

    @property
    def padded(self) -> tuple[int, int]:
        """Rows and columns of all leaves together."""
        return self.leaf[0] * self.leaves, self.leaf[1] * self.leaves

    def check(self) -> None:
        """Raise ValueError where there are more leaves than rows or columns."""
        if self.leaves > min(self.outputs, self.inputs):
            raise ValueError(f"{self.leaves} leaves a side are more than its rows or columns")

    def matrix(self, arrays: Mapping[str, Array], bias: Array, precision: Precision) -> BlockMatrix:
        """The matrix of these arrays and bias."""
        return BlockMatrix(**arrays, bias=bias, inputs=self.inputs, precision=precision)

    @property
    def joins_coupling(self) -> bool:
        """Whether S V runs as one matrix: more numbers than S and V apart, but fewer nodes.

        That pays (in float32) while it has at most half as many numbers as the block rows.
        """
        (rows, columns), coupled = self.padded, self.leaves * self.rank
        return 2 * coupled * columns <= rows * (self.leaf[1] + self.rank)

    def work(self, batch: int) -> Work:
        """Its usual form for ``batch`` rows, stored in float32."""
        joined = self._joined_work if self.joins_coupling else self._separate_work
        return joined(batch) + pass_work("Add", batch, self.outputs)

    def work_in_c(self, batch: int) -> Work:
        """Its products apart."""
        return self._separate_work(batch) + pass_work("Add", batch, self.outputs)

    def _joined_work(self, batch: int) -> Work:
        (rows, columns), (height, width) = self.padded, self.leaf
        total = gemm_work(batch, self.leaves * self.rank, self.inputs)
        if columns > self.inputs:
            total += pass_work("Pad", batch, columns, batch * self.inputs)
        total += pass_work("Reshape", 1, batch * columns)
        total += pass_work("Reshape", 1, batch * self.leaves * self.rank)
        both = width + self.rank
        total += pass_work("Concat", 2 * batch * self.leaves, both / 2)
        total += pass_work("Transpose of rows", batch * self.leaves, both)
        total += product_work(batch, height, both, self.leaves)
        total += pass_work("Transpose of rows", batch * self.leaves, height)
        total += pass_work("Reshape", 1, batch * rows)
        if rows > self.outputs:
            total += pass_work("Slice", batch, self.outputs, batch * rows)
        return total

    def _separate_work(self, batch: int) -> Work:
        (rows, columns), (height, width) = self.padded, self.leaf
        coupled = self.leaves * self.rank
        total = pass_work("Transpose", self.inputs, batch)
        if columns > self.inputs:
            total += pass_work("Pad", 1, columns * batch, self.inputs * batch)
        total += pass_work("Reshape", 1, columns * batch)
        total += product_work(self.rank, batch, width, self.leaves, turned=True)
        total += pass_work("Reshape", 1, coupled * batch)
        total += product_work(coupled, batch, coupled, turned=True)
        total += pass_work("Reshape", 1, coupled * batch)
        total += pass_work("Concat", 2 * self.leaves, (width + self.rank) * batch / 2)
        total += product_work(height, batch, width + self.rank, self.leaves, turned=True)
        total += pass_work("Reshape", 1, rows * batch)
        if rows > self.outputs:
            total += pass_work("Slice", 1, self.outputs * batch, rows * batch)
        return total + pass_work("Transpose", batch, self.outputs)


@dataclass(frozen=True, eq=False)
class BlockMatrix(Matrix):
    """z = (D + U S V) a + b: dense blocks on the diagonal, low rank with shared bases off it.

    With p leaves of m' × m entries D = diag(D_i), U = diag(U_i) with U_i (m', k), V = diag(V_i) with
    V_i (k, m); block (i, j) off the diagonal is U_i S_ij V_j. An H-matrix of weak admissibility whose
    low-rank blocks of one block row share a basis, and those of one block column (BLR²: Ashcraft,
    Buttari and Mary, 2021). All blocks of a kind are one batched product, and there are few kinds:
    that makes it fast.

    rows holds [D_i U_i], (p, m', m + k); coupling is S, (p k, p k); right is V, (p, k, m); inputs
    is n_in.
    """

    rows: Array
    coupling: Array
    right: Array
    bias: Array
    inputs: int
    precision: Precision = "float32"

    @property
    def structure(self) -> BlockLayout:
        """Its sizes."""
        count, rank = self.right.shape[:2]
        return BlockLayout(len(self.bias), self.inputs, count, rank)

    @property
    def shape(self) -> tuple[int, int]:
        """(n_out, n_in)."""
        return len(self.bias), self.inputs

    @property
    def arrays(self) -> dict[str, Array]:
        """What is stored beside the bias, by name."""
        return {"rows": self.rows, "coupling": self.coupling, "right": self.right}

    @property
    def forms(self) -> dict[Form, Lowering]:
        """Three batched products, or two where coupling and right bases are one Gemm."""
        blocks: dict[Form, Lowering] = {"blocks": partial(_lower_blocks, self)}
        if self.precision != "float32":
            return blocks
        joined: dict[Form, Lowering] = {"joined": partial(_lower_joined_blocks, self)}
        return joined | blocks if self.structure.joins_coupling else blocks | joined

    @property
    def form_in_c(self) -> Form:
        """The products apart."""
        return "blocks"

    def dense(self) -> Array:
        """All entries, (n_out, n_in)."""
        return self.times(np.eye(self.inputs)).T

    def times(self, a: Array) -> Array:
        """The product with every row of ``a`` (N, n_in), without the bias: (N, n_out)."""
        count, rank, columns = self.right.shape
        filled = np.zeros((len(a), count * columns))
        filled[:, : self.inputs] = a
        leaves = filled.reshape(len(a), count, columns).transpose(1, 2, 0)
        seen = (self.right @ leaves).reshape(len(self.coupling), len(a))
        coupled = (self.coupling @ seen).reshape(count, rank, len(a))
        z = self.rows @ np.concatenate((leaves, coupled), axis=1)
        return np.asarray(z.reshape(-1, len(a))[: len(self.bias)].T)


def _lower_blocks(matrix: BlockMatrix, graph: GraphBuilder, source: str) -> str:
    """The batch goes last, so that leaves lie together and no block product needs a transpose.

    [D_i U_i] is one matrix that meets [a_i; s_i]: one batched product less, and no sum.
    """
    (outputs, inputs), precision = matrix.shape, matrix.precision
    count, rank, columns = matrix.right.shape
    rows = matrix.rows.shape[1]
    part = graph.add("Transpose", source, output="columns", perm=[1, 0])
    if count * columns > inputs:
        part = graph.add("Pad", part, [0, 0, count * columns - inputs, 0], output="filled")
    leaves = graph.add("Reshape", part, [count, columns, -1], output="leaves")
    right = weight(graph, "right", matrix.right, precision)
    seen = graph.add("MatMul", right, leaves, output="seen")
    seen = graph.add("Reshape", seen, [count * rank, -1], output="seen_by_all")
    coupling = weight(graph, "coupling", matrix.coupling, precision)
    coupled = graph.add("MatMul", coupling, seen, output="coupled")
    coupled = graph.add("Reshape", coupled, [count, rank, -1], output="coupled_leaves")
    both = graph.add("Concat", leaves, coupled, output="leaves_and_coupled", axis=1)
    block_rows = weight(graph, "rows", matrix.rows, precision)
    part = graph.add("MatMul", block_rows, both, output="products")
    part = graph.add("Reshape", part, [count * rows, -1], output="filled_outputs")
    if count * rows > outputs:
        part = graph.add("Slice", part, [0], [outputs], [0], output="outputs")
    part = graph.add("Transpose", part, output="unbiased", perm=[1, 0])
    return biased(graph, part, matrix.bias)


def _lower_joined_blocks(matrix: BlockMatrix, graph: GraphBuilder, source: str) -> str:
    """S V as one Gemm, so that everything before the block rows keeps the batch first."""
    outputs, inputs = matrix.shape
    count, rank, columns = matrix.right.shape
    rows = matrix.rows.shape[1]
    part = source
    if count * columns > inputs:
        part = graph.add("Pad", source, [0, 0, 0, count * columns - inputs], output="filled")
    leaves = graph.add("Reshape", part, [-1, count, columns], output="leaves")
    # Of the numbers in files, so that a model read back gives the same bytes.
    coupling, right = (rounded(w, "float32") for w in (matrix.coupling, matrix.right))
    reach = (coupling.reshape(-1, count, 1, rank) @ right).reshape(count * rank, -1)
    coupled = graph.linear(source, weight(graph, "reach", reach[:, :inputs]), output="coupled")
    coupled = graph.add("Reshape", coupled, [-1, count, rank], output="coupled_leaves")
    both = graph.add("Concat", leaves, coupled, output="leaves_and_coupled", axis=2)
    both = graph.add("Transpose", both, output="by_leaf", perm=[1, 0, 2])
    block_rows = weight(graph, "rows", matrix.rows.transpose(0, 2, 1))
    part = graph.add("MatMul", both, block_rows, output="products")
    part = graph.add("Transpose", part, output="by_row", perm=[1, 0, 2])
    part = graph.add("Reshape", part, [-1, count * rows], output="filled_outputs")
    if count * rows > outputs:
        part = graph.add("Slice", part, [0], [outputs], [1], output="unbiased")
    return biased(graph, part, matrix.bias)
