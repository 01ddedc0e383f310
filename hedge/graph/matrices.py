"""The matrices that a linear site may hold, each with its structure and numbers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from hedge.arrays import Array
from hedge.graph.precision import Precision, rounded, stored_bytes
from hedge.graph.structures import BlockLayout, Factors, Partition, Structure
from hedge.hmatrix import Leaf


@dataclass(frozen=True)
class SiteMatrix:
    """z = (F₁ F₂ …) a + b: the product of one factor (dense) or two (U Vᵀ), and a bias.

    factors multiply from left to right, (n_out, k), (k, n_in); bias is (n_out,); all float64.
    precision is that of the factors in files; biases stay float32.
    """

    factors: tuple[Array, ...]
    bias: Array
    precision: Precision = "float32"

    def __post_init__(self) -> None:
        for array in (*self.factors, self.bias):
            array.setflags(write=False)

    @property
    def shape(self) -> tuple[int, int]:
        """(n_out, n_in)."""
        return self.factors[0].shape[0], self.factors[-1].shape[1]

    @property
    def structure(self) -> Factors:
        """Dense, or of a rank."""
        return Factors(*self.shape, self.factors[1].shape[0] if len(self.factors) == 2 else None)

    @property
    def rank(self) -> int:
        """The rank its shape allows: the smallest inner or outer dimension."""
        return int(min(*self.shape, self.factors[0].shape[1]))

    @property
    def arrays(self) -> dict[str, Array]:
        """What is stored beside the bias, by name."""
        return {f"factor{i}": factor for i, factor in enumerate(self.factors)}

    @property
    def parameters(self) -> int:
        """Weights of all factors, and biases."""
        return _count(self)

    def dense(self) -> Array:
        """The product of the factors, (n_out, n_in)."""
        return self.factors[0] if len(self.factors) == 1 else self.factors[0] @ self.factors[1]

    def times(self, a: Array) -> Array:
        """The product with every row of ``a`` (N, n_in), without the bias: (N, n_out)."""
        for factor in reversed(self.factors):
            a = a @ factor.T
        return a


@dataclass(frozen=True, eq=False)
class BlockMatrix:
    """z = (D + U S V) a + b: dense blocks on the diagonal, low rank with shared bases off it.

    With p leaves of m' × m entries D = diag(D_i), U = diag(U_i) with U_i (m', k), V = diag(V_i) with
    V_i (k, m); block (i, j) off the diagonal is U_i S_ij V_j. An H-matrix of weak admissibility whose
    low-rank blocks of one block row share a basis, and those of one block column (BLR²: Ashcraft,
    Buttari and Mary, 2021). All blocks of a kind are one batched product, and there are few kinds:
    that makes it fast.

    rows holds [D_i U_i], (p, m', m + k); coupling is S, (p k, p k); right is V, (p, k, m); bias is
    (n_out,); all float64. inputs is n_in.
    """

    rows: Array
    coupling: Array
    right: Array
    bias: Array
    inputs: int
    precision: Precision = "float32"

    def __post_init__(self) -> None:
        for array in (*self.arrays.values(), self.bias):
            array.setflags(write=False)

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
    def parameters(self) -> int:
        """Weights of leaves, bases and coupling, and biases."""
        return _count(self)

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


@dataclass(frozen=True, eq=False)
class LeafMatrix:
    """z = H a + b with an H-matrix H of any leaves that tile it, in the order of the neurons.

    The paper's object (def1). Every leaf is some nodes, so that it is slow unless there are few.
    bias is (n_out,), float64; inputs is n_in.
    """

    leaves: tuple[Leaf, ...]
    bias: Array
    inputs: int
    precision: Precision = "float32"

    def __post_init__(self) -> None:
        for array in (*self.arrays.values(), self.bias):
            array.setflags(write=False)

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
    def parameters(self) -> int:
        """Weights of all leaves, and biases."""
        return _count(self)

    def dense(self) -> Array:
        """All entries, (n_out, n_in)."""
        whole = np.zeros(self.shape)
        for leaf in self.leaves:
            whole[leaf.top : leaf.bottom, leaf.start : leaf.stop] = leaf.values()
        return whole

    def times(self, a: Array) -> Array:
        """The product with every row of ``a`` (N, n_in), without the bias: (N, n_out)."""
        return np.asarray(a @ self.dense().T)


Matrix = SiteMatrix | BlockMatrix | LeafMatrix


def with_bias(matrix: Matrix, bias: Array) -> Matrix:
    """The same matrix with another bias (n_out,)."""
    return replace(matrix, bias=bias)


def stored_as(matrix: Matrix, precision: Precision) -> Matrix:
    """The matrix as it comes back from a file of this precision."""
    if precision == "float32":
        return replace(matrix, precision=precision)  # rounded when written, as ever
    return _rounded(matrix, precision)


def as_written(matrix: Matrix) -> Matrix:
    """The matrix of the numbers that a file of it holds, so that what is made of it is the same later."""
    bias = rounded(matrix.bias, "float32")
    return with_bias(_rounded(matrix, matrix.precision), bias)


def _rounded(matrix: Matrix, precision: Precision) -> Matrix:
    arrays = {name: rounded(values, precision) for name, values in matrix.arrays.items()}
    return matrix_of(matrix.structure, arrays, matrix.bias, precision)


def matrix_of(
    structure: Structure, arrays: Mapping[str, Array], bias: Array, precision: Precision
) -> Matrix:
    """The matrix of a structure from its arrays, named as in ``structure.shapes``, and bias (n_out,)."""
    if isinstance(structure, Factors):
        return SiteMatrix(tuple(arrays[name] for name in structure.shapes), bias, precision)
    if isinstance(structure, BlockLayout):
        return BlockMatrix(**arrays, bias=bias, inputs=structure.inputs, precision=precision)
    left = iter(arrays[name] for name in structure.shapes)
    leaves = tuple(
        Leaf(top, bottom, start, stop, tuple(next(left) for _ in range(1 if rank is None else 2)))
        for top, bottom, start, stop, rank in structure.places
    )
    return LeafMatrix(leaves, bias, structure.inputs, precision)


def matrix_bytes(matrix: Matrix) -> int:
    """What it takes in a file: numbers, scales and the float32 bias."""
    stored = sum(stored_bytes(values.shape, matrix.precision) for values in matrix.arrays.values())
    return stored + stored_bytes(matrix.bias.shape, "float32")


def _count(matrix: Matrix) -> int:
    return sum(values.size for values in matrix.arrays.values()) + matrix.bias.size
