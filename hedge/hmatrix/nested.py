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
from hedge.hmatrix.bases import NestedBasis
from hedge.hmatrix.checks import check_float, indices_below, real_array, vectors_of
from hedge.hmatrix.cluster import Cluster
from hedge.hmatrix.hmatrix import HMatrix
from hedge.hmatrix.leaf import Leaf
from hedge.hmatrix.steps import Steps, Strip


@dataclass(frozen=True, eq=False)
class Coupling:
    """The block of the clusters at ``row`` and ``column`` in their bases: V S Wᵀ.

    factors is (S (k, l),) or (left (k, r), right (r, l)), whichever takes fewer numbers.
    """

    row: int
    column: int
    factors: tuple[Array, ...]

    @property
    def values(self) -> Array:
        """S (k, l)."""
        return self.factors[0] if len(self.factors) == 1 else self.factors[0] @ self.factors[1]

    @property
    def rank(self) -> int:
        """The inner dimension, at most."""
        return int(min(self.factors[0].shape))

    @property
    def numbers(self) -> int:
        """How many numbers it keeps."""
        return sum(factor.size for factor in self.factors)

    def transposed(self) -> Coupling:
        """That of the transposed block."""
        return Coupling(self.column, self.row, tuple(f.T for f in reversed(self.factors)))


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
            + sum(coupling.numbers for coupling in self.couplings)
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
        check_float(dtype)
        rows = self.row_basis.astype(dtype)
        columns = rows if self.column_basis is self.row_basis else self.column_basis.astype(dtype)
        couplings = tuple(
            replace(c, factors=tuple(f.astype(dtype) for f in c.factors)) for c in self.couplings
        )
        leaves = tuple(
            replace(leaf, factors=tuple(f.astype(dtype) for f in leaf.factors))
            for leaf in self.leaves
        )
        return H2Matrix(rows, columns, couplings, leaves, self.symmetric)

    def __matmul__(self, vectors: ArrayLike) -> Array:
        """H x for x (n,) or (n, p). Raises InputError for another shape."""
        return self._apply(vectors_of(vectors, self.shape[1], self.dtype))

    def __rmatmul__(self, vectors: ArrayLike) -> Array:
        """x H for x (m,) or (p, m). Raises InputError for another shape."""
        x = real_array("vector", vectors)
        return self.T._apply(vectors_of(x.T, self.shape[0], self.dtype)).T

    __array_ufunc__ = None  # so that ndarray @ H2Matrix asks H2Matrix

    def _apply(self, x: Array) -> Array:
        x = x.astype(np.result_type(x, self.dtype), copy=False)
        reordered = self._steps.apply(x[self.column_basis.order])
        result = np.empty_like(reordered)
        result[self.row_basis.order] = reordered
        return result

    @cached_property
    def _steps(self) -> Steps:
        m, n = self.shape
        inner = [0 if len(c.factors) == 1 else c.rank for c in self.couplings]
        gathered = _places(n, self.column_basis.ranks)
        halfway = _places(int(gathered[-1]), np.array(inner, dtype=np.intp))
        spread = _places(int(halfway[-1]), self.row_basis.ranks)
        levels = [
            *_gathering(self.column_basis, gathered),
            _halfway(self, gathered, halfway),
            *_spreading(self, gathered, halfway, spread),
            list(_last_strips(self, spread)),
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
                left[c.row],
                c,
                right[c.column].T,
            )
            for c in self.couplings
        ]
        return HMatrix(self.row_basis.order, self.column_basis.order, (*leaves, *self.leaves))

    def to_dense(self) -> Array:
        """All entries (m, n), in the original order."""
        return self.to_hmatrix().to_dense()

    def rows(self, indices: Indices) -> Array:
        """Rows (s, n) at original ``indices`` (s,); raises InputError for others than it has."""
        indices = indices_below("rows", indices, self.shape[0])
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
        ranks = [coupling.rank for coupling in self.couplings]
        numbers = sum(coupling.numbers for coupling in self.couplings)
        lines.append(f"{'couplings':<10}{len(ranks):>8}{_span(ranks):>12}{numbers:>14,}")
        dense = [leaf.numbers for leaf in self.leaves if leaf.is_dense]
        lines.append(f"{'dense':<10}{len(dense):>8}{'–':>12}{sum(dense):>14,}")
        return "\n".join(lines)


def _span(ranks: Sequence[int] | Indices) -> str:
    return f"{min(ranks)}–{max(ranks)}" if len(ranks) else "–"


def _own_factors(
    rows: Cluster, columns: Cluster, left: Array, coupling: Coupling, right: Array
) -> Leaf:
    place = (rows.start, rows.stop, columns.start, columns.stop)
    (m, n), first, last = (rows.size, columns.size), coupling.factors[0], coupling.factors[-1]
    if coupling.rank * (m + n) >= m * n:
        return Leaf(*place, (left @ coupling.values @ right,), "low rank takes more numbers")
    if len(coupling.factors) == 2:
        return Leaf(*place, (left @ first, last @ right))
    if first.shape[0] > first.shape[1]:
        return Leaf(*place, (left @ first, right))
    return Leaf(*place, (left, first @ right))


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


def _halfway(h: H2Matrix, gathered: Indices, halfway: Indices) -> list[Strip]:
    """From the coefficients of columns to those between the factors of couplings."""
    members: dict[int, list[int]] = {}
    for at, coupling in enumerate(h.couplings):
        if len(coupling.factors) == 2:
            members.setdefault(coupling.column, []).append(at)
    return [
        Strip(
            np.concatenate([h.couplings[at].factors[1] for at in own]),
            np.arange(gathered[column], gathered[column + 1]),
            np.concatenate([np.arange(halfway[at], halfway[at + 1]) for at in own]),
        )
        for column, own in members.items()
    ]


def _spreading(
    h: H2Matrix, gathered: Indices, halfway: Indices, spread: Indices
) -> Iterator[list[Strip]]:
    """Through couplings to the coefficients of rows, from the root downwards."""
    basis = h.row_basis
    pieces: list[list[Array]] = [[] for _ in basis.clusters]
    taken: list[list[Indices]] = [[] for _ in basis.clusters]
    for at, c in enumerate(h.couplings):
        pieces[c.row].append(c.factors[0])
        places, source = (gathered, c.column) if len(c.factors) == 1 else (halfway, at)
        taken[c.row].append(np.arange(places[source], places[source + 1]))
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


def _last_strips(h: H2Matrix, spread: Indices) -> Iterator[Strip]:
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
        given = spread[-1] + np.arange(cluster.start, cluster.stop)
        yield Strip(np.concatenate(pieces, axis=1), np.concatenate(taken), given)
