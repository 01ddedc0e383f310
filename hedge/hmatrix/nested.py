"""H²-matrices as values: one basis for all blocks of a cluster, made of the bases of its parts.

A block of low rank keeps a small coupling of the basis of its rows and that of its columns; bases
are orthonormal, so that norms, errors and recompression need couplings only.
Source: Börm, Efficient numerical methods for non-local operators (2010), chapters 3 and 5.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, DTypeLike
from scipy.sparse.linalg import LinearOperator

from hedge.arrays import Array, Indices
from hedge.errors import InputError
from hedge.hmatrix.checks import real_array
from hedge.hmatrix.cluster import Cluster, ClusterTree
from hedge.hmatrix.hmatrix import HMatrix
from hedge.hmatrix.leaf import Leaf
from hedge.hmatrix.steps import Steps, Strip


@dataclass(frozen=True, eq=False)
class NestedBasis:
    """Orthonormal bases V_i of all clusters of a tree, of rank k_i.

    clusters has parents before their children. matrices[i] is V_i (size, k_i) itself at a leaf, and
    at a cluster with children c the transfer (Σ k_c, k_i): V_i is that of the children on top of each
    other, times it.
    """

    order: Indices
    clusters: tuple[Cluster, ...]
    matrices: tuple[Array, ...]

    @cached_property
    def ranks(self) -> Indices:
        """k_i of each cluster."""
        return np.array([matrix.shape[1] for matrix in self.matrices], dtype=np.intp)

    @property
    def numbers(self) -> int:
        """How many numbers it keeps."""
        return sum(matrix.size for matrix in self.matrices)

    @cached_property
    def children(self) -> tuple[tuple[int, ...], ...]:
        """Positions of the children of each cluster."""
        return children_of(self.clusters)

    @cached_property
    def parts(self) -> dict[int, tuple[int, Array]]:
        """Of each cluster but the root the position of its parent, and its rows of the transfer."""
        found = {}
        for at, (matrix, children) in enumerate(zip(self.matrices, self.children, strict=True)):
            ends = np.cumsum([0, *(self.ranks[child] for child in children)])
            for child, a, b in zip(children, ends, ends[1:], strict=False):
                found[child] = (at, matrix[a:b])
        return found

    def whole(self, at: int) -> Array:
        """V (size, k) of a cluster."""
        if not self.children[at]:
            return self.matrices[at]
        return np.concatenate(
            [self.whole(child) @ self.parts[child][1] for child in self.children[at]]
        )

    def astype(self, dtype: DTypeLike) -> NestedBasis:
        """The same in another type."""
        return replace(self, matrices=tuple(matrix.astype(dtype) for matrix in self.matrices))


@dataclass(frozen=True, eq=False)
class Coupling:
    """The block of the clusters at ``row`` and ``column`` of their bases: V values (k, l) Wᵀ."""

    row: int
    column: int
    values: Array

    def transposed(self) -> Coupling:
        """That of the transposed block."""
        return Coupling(self.column, self.row, self.values.T)


@dataclass(frozen=True, eq=False)
class H2Matrix:
    """A matrix as couplings of two nested bases and the leaves beside them, which together tile it.

    Leaves are dense or zero. Vectors and blocks of vectors are given and returned in the original
    order. With ``row_basis is column_basis`` the couplings and leaves may still be of a matrix that is not
    symmetric; ``symmetric`` says that it is.

    >>> from hedge.hmatrix import build_nested
    >>> x = np.linspace(0, 1, 300)
    >>> matrix = np.exp(-abs(x[:, None] - x))
    >>> h = build_nested(matrix, tolerance=1e-8)
    >>> bool(np.linalg.norm(h.to_dense() - matrix) <= 1e-8 * np.linalg.norm(matrix))
    True
    """

    row_basis: NestedBasis
    column_basis: NestedBasis
    couplings: tuple[Coupling, ...]
    leaves: tuple[Leaf, ...]
    symmetric: bool = False

    @property
    def shape(self) -> tuple[int, int]:
        """(m, n)."""
        return len(self.row_basis.order), len(self.column_basis.order)

    @property
    def dtype(self) -> np.dtype[np.float64]:
        """float64, or float32 after :meth:`astype`."""
        return self.row_basis.matrices[0].dtype

    @property
    def numbers(self) -> int:
        """How many numbers bases, couplings and leaves keep; bases of both sides that are one count once."""
        bases = {id(basis): basis.numbers for basis in (self.row_basis, self.column_basis)}
        return (
            sum(bases.values())
            + sum(coupling.values.size for coupling in self.couplings)
            + sum(leaf.numbers for leaf in self.leaves)
        )

    @property
    def nbytes(self) -> int:
        """Bytes of all of them."""
        return self.numbers * self.dtype.itemsize

    @property
    def compression(self) -> float:
        """How many times fewer numbers than the dense matrix."""
        return float(self.shape[0] * self.shape[1] / max(self.numbers, 1))

    @cached_property
    def T(self) -> H2Matrix:  # noqa: N802 - numpy's name
        """The transposed matrix; a symmetric one is its own."""
        if self.symmetric:
            return self
        couplings = tuple(coupling.transposed() for coupling in self.couplings)
        leaves = tuple(leaf.transposed() for leaf in self.leaves)
        return H2Matrix(self.column_basis, self.row_basis, couplings, leaves)

    def astype(self, dtype: DTypeLike) -> H2Matrix:
        """The same matrix in float32 or float64. Raises InputError for another type."""
        if dtype not in ("float32", "float64", np.float32, np.float64):
            raise InputError(f"dtype: {dtype!r} is not float32 or float64; give one of them")
        rows = self.row_basis.astype(dtype)
        columns = rows if self.column_basis is self.row_basis else self.column_basis.astype(dtype)
        couplings = tuple(replace(c, values=c.values.astype(dtype)) for c in self.couplings)
        leaves = tuple(
            replace(leaf, factors=tuple(f.astype(dtype) for f in leaf.factors))
            for leaf in self.leaves
        )
        return H2Matrix(rows, columns, couplings, leaves, self.symmetric)

    def __matmul__(self, vectors: ArrayLike) -> Array:
        """H x for x (n,) or (n, p). Raises InputError for another shape."""
        return self._apply(self._checked(vectors, self.shape[1]))

    def __rmatmul__(self, vectors: ArrayLike) -> Array:
        """x H for x (m,) or (p, m). Raises InputError for another shape."""
        x = real_array("vector", vectors)
        return self.T._apply(self._checked(x.T, self.shape[0])).T

    __array_ufunc__ = None  # so that ndarray @ H2Matrix asks H2Matrix

    def _checked(self, vectors: ArrayLike, size: int) -> Array:
        x = real_array("vector", vectors)
        if x.ndim not in (1, 2) or len(x) != size:
            raise InputError(
                f"vector: has shape {x.shape}; this product needs ({size},) or ({size}, p)"
            )
        return x.astype(self.dtype, copy=False)

    def _apply(self, x: Array) -> Array:
        x = x.astype(np.result_type(x, self.dtype), copy=False)
        reordered = self._steps.apply(x[self.column_basis.order])
        result = np.empty_like(reordered)
        result[self.row_basis.order] = reordered
        return result

    @cached_property
    def _steps(self) -> Steps:
        m, n = self.shape
        gathered = _places(n, self.column_basis.ranks)
        spread = _places(int(gathered[-1]), self.row_basis.ranks)
        levels = [
            *_gathering(self.column_basis, gathered),
            *_spreading(self, gathered, spread, out=int(spread[-1])),
        ]
        return Steps.of(levels, columns=n, rows=m, between=int(spread[-1]) - n)

    def as_linear_operator(self) -> LinearOperator:
        """A view for scipy's iterative solvers and eigensolvers."""
        return LinearOperator(
            self.shape,
            matvec=self._apply,
            rmatvec=lambda x: self.T._apply(x),
            matmat=self._apply,
            rmatmat=lambda x: self.T._apply(x),
            dtype=self.dtype,
        )

    def to_hmatrix(self) -> HMatrix:
        """The same matrix with factors of its own for every block, dense where that is less."""
        left = [self.row_basis.whole(at) for at in range(len(self.row_basis.clusters))]
        right = left
        if self.column_basis is not self.row_basis:
            right = [self.column_basis.whole(at) for at in range(len(self.column_basis.clusters))]
        leaves = [
            _own_factors(
                self.row_basis.clusters[c.row],
                self.column_basis.clusters[c.column],
                (left[c.row], c.values, right[c.column].T),
            )
            for c in self.couplings
        ]
        return HMatrix(self.row_basis.order, self.column_basis.order, (*leaves, *self.leaves))

    def to_dense(self) -> Array:
        """All entries (m, n), in the original order."""
        return self.to_hmatrix().to_dense()

    def rows(self, indices: Indices) -> Array:
        """Some rows (b, n), by their original indices."""
        unit = np.zeros((len(indices), self.shape[0]))
        unit[np.arange(len(indices)), indices] = 1.0
        return unit @ self

    def frobenius_norm(self) -> float:
        """‖H‖_F: exact up to rounding, for bases are orthonormal."""
        norms = [np.linalg.norm(c.values) for c in self.couplings]
        norms += [np.linalg.norm(leaf.factors[0]) for leaf in self.leaves if leaf.is_dense]
        return float(np.linalg.norm(norms)) if norms else 0.0

    def __repr__(self) -> str:
        m, n = self.shape
        lines = [
            f"H2Matrix {m} × {n} {self.dtype}, {self.nbytes:,} bytes, {self.compression:.3g} times "
            "smaller than dense",
            f"{'':<10}{'count':>8}{'ranks':>12}{'numbers':>14}",
        ]
        bases = {"bases": self.row_basis}
        if self.column_basis is not self.row_basis:
            bases = {"rows": self.row_basis, "columns": self.column_basis}
        for name, basis in bases.items():
            lines.append(
                f"{name:<10}{len(basis.clusters):>8}{_span(basis.ranks):>12}{basis.numbers:>14,}"
            )
        ranks = [min(c.values.shape) for c in self.couplings]
        numbers = sum(c.values.size for c in self.couplings)
        lines.append(f"{'couplings':<10}{len(ranks):>8}{_span(ranks):>12}{numbers:>14,}")
        dense = [leaf.numbers for leaf in self.leaves if leaf.is_dense]
        lines.append(f"{'dense':<10}{len(dense):>8}{'–':>12}{sum(dense):>14,}")
        return "\n".join(lines)


def _span(ranks: Sequence[int] | Indices) -> str:
    return f"{min(ranks)}–{max(ranks)}" if len(ranks) else "–"


def _own_factors(rows: Cluster, columns: Cluster, factors: tuple[Array, Array, Array]) -> Leaf:
    place = (rows.start, rows.stop, columns.start, columns.stop)
    left, values, right = factors
    k, (m, n) = min(values.shape), (rows.size, columns.size)
    if k * (m + n) >= m * n:
        return Leaf(*place, (left @ values @ right,), "low rank takes more numbers")
    if values.shape[0] > values.shape[1]:
        return Leaf(*place, (left @ values, right))
    return Leaf(*place, (left, values @ right))


def clusters_of(tree: ClusterTree) -> tuple[Cluster, ...]:
    """All clusters, level by level from the root."""
    found, level = [], [tree.root]
    while level:
        found += level
        level = [child for cluster in level for child in cluster.children]
    return tuple(found)


def children_of(clusters: Sequence[Cluster]) -> tuple[tuple[int, ...], ...]:
    """Positions of the children of each cluster, where all are listed level by level."""
    free = iter(range(1, len(clusters)))
    return tuple(tuple(next(free) for _ in cluster.children) for cluster in clusters)


def _places(first: int, ranks: Indices) -> Indices:
    """Where the coefficients of each cluster begin, and where all end."""
    return first + np.concatenate(([0], np.cumsum(ranks)))


def _gathering(basis: NestedBasis, places: Indices) -> Iterator[list[Strip]]:
    """From x to the coefficients Vᵀ x of all clusters, from leaves upwards."""

    def own(at: int) -> Indices:
        return np.arange(places[at], places[at + 1])

    levels: dict[int, list[Strip]] = {}
    leaves = []
    for at, (cluster, matrix) in enumerate(zip(basis.clusters, basis.matrices, strict=True)):
        if not basis.children[at]:
            taken = np.arange(cluster.start, cluster.stop)
            leaves.append(Strip(matrix.T, taken, own(at)))
        else:
            taken = np.concatenate([own(child) for child in basis.children[at]])
            levels.setdefault(cluster.level, []).append(Strip(matrix.T, taken, own(at)))
    yield leaves
    yield from (levels[level] for level in sorted(levels, reverse=True))


def _spreading(
    h: H2Matrix, gathered: Indices, spread: Indices, *, out: int
) -> Iterator[list[Strip]]:
    """Through couplings to the coefficients of rows, from the root downwards, and to y."""
    basis = h.row_basis
    pieces: list[list[Array]] = [[] for _ in basis.clusters]
    taken: list[list[Indices]] = [[] for _ in basis.clusters]
    for c in h.couplings:
        pieces[c.row].append(c.values)
        taken[c.row].append(np.arange(gathered[c.column], gathered[c.column + 1]))
    levels: dict[int, list[Strip]] = {}
    for at, cluster in enumerate(basis.clusters):
        if at in basis.parts:
            parent, part = basis.parts[at]
            pieces[at].append(part)
            taken[at].append(np.arange(spread[parent], spread[parent + 1]))
        if pieces[at]:
            given = np.arange(spread[at], spread[at + 1])
            strip = Strip(np.concatenate(pieces[at], axis=1), np.concatenate(taken[at]), given)
            levels.setdefault(cluster.level, []).append(strip)
    yield from (levels[level] for level in sorted(levels))
    yield list(_last_strips(h, spread, out))


def _last_strips(h: H2Matrix, spread: Indices, out: int) -> Iterator[Strip]:
    """To the rows of each cluster that is a leaf: from its coefficients, and from x by dense leaves."""
    dense = sorted((leaf for leaf in h.leaves if leaf.is_dense), key=lambda leaf: leaf.top)
    tops = np.array([leaf.top for leaf in dense], dtype=np.intp)
    bottoms = np.array([leaf.bottom for leaf in dense], dtype=np.intp)
    for at, cluster in enumerate(h.row_basis.clusters):
        if h.row_basis.children[at]:
            continue
        pieces, taken = [h.row_basis.matrices[at]], [np.arange(spread[at], spread[at + 1])]
        for i in np.flatnonzero((tops <= cluster.start) & (bottoms >= cluster.stop)):
            leaf = dense[i]
            pieces.append(leaf.factors[0][cluster.start - leaf.top : cluster.stop - leaf.top])
            taken.append(np.arange(leaf.start, leaf.stop))
        given = out + np.arange(cluster.start, cluster.stop)
        yield Strip(np.concatenate(pieces, axis=1), np.concatenate(taken), given)
