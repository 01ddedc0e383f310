"""H-matrices as values (paper, definition 1): a list of leaves that act on reordered vectors.

Products cut the leaves into strips, so that few large products do the work.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike
from scipy import sparse
from scipy.sparse.linalg import LinearOperator, svds

from hedge.arrays import Array, Indices
from hedge.errors import InputError
from hedge.hmatrix.checks import check_float, indices_below, number, real_array, vectors_of
from hedge.hmatrix.leaf import Leaf, inner, overlaps
from hedge.hmatrix.threads import one_blas_thread_of_numpy


@dataclass(frozen=True, eq=False)
class _Strip:
    """Rows (or columns) ``start:stop`` of all leaves that reach there, as one matrix.

    Its other side belongs to the places ``first:last`` of a list of coefficients.
    """

    start: int
    stop: int
    first: int
    last: int
    values: Array


@dataclass(frozen=True, eq=False)
class _Strips:
    """H = R [x; V x]: the column strips give the low-rank coefficients, the row strips the result.

    *Sources* are the entries of x (reordered) followed by the coefficients of all low-rank leaves.
    taken (t,) names the source of each place of the row strips, given (g,) the coefficient to which
    each place of the column strips adds (numbered without x).
    """

    row_order: Indices
    column_order: Indices
    row_strips: tuple[_Strip, ...]
    column_strips: tuple[_Strip, ...]
    taken: Indices
    given: Indices
    coefficients: int
    dtype: np.dtype[np.float64]  # of the leaves

    @staticmethod
    def of(row_order: Indices, column_order: Indices, leaves: Sequence[Leaf]) -> _Strips:
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
        return _Strips(
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
) -> tuple[tuple[_Strip, ...], Indices]:
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
        strips.append(_Strip(start, stop, end, end + width, values))
        end, used = end + width, used + values.size
    return tuple(strips), np.concatenate(order) if order else np.zeros(0, dtype=np.intp)


def _few_threads(x: Array) -> AbstractContextManager[Any]:
    """One thread of BLAS for a vector: its products with strips are too short to share."""
    return one_blas_thread_of_numpy() if x.ndim == 1 else nullcontext()


@dataclass(frozen=True, eq=False)
class HMatrix:
    """A matrix as the sum of its leaves, which tile it (or, with ``overlapping``, add up).

    row_order (m,) and column_order (n,) hold the original index at each position. Vectors and blocks
    of vectors are given and returned in the original order.

    >>> from hedge.hmatrix import build
    >>> x = np.linspace(0, 1, 300)
    >>> matrix = np.exp(-abs(x[:, None] - x))
    >>> h = build(matrix, tolerance=1e-8)
    >>> bool(np.linalg.norm(h.to_dense() - matrix) <= 1e-8 * np.linalg.norm(matrix))
    True
    >>> h.nbytes < matrix.nbytes / 2
    True
    """

    row_order: Indices
    column_order: Indices
    leaves: tuple[Leaf, ...]
    overlapping: bool = False

    @property
    def shape(self) -> tuple[int, int]:
        """(m, n)."""
        return len(self.row_order), len(self.column_order)

    @property
    def dtype(self) -> np.dtype[np.float64]:
        """float64, or float32 after :meth:`astype`."""
        return self.leaves[0].factors[0].dtype

    @property
    def numbers(self) -> int:
        """How many numbers all leaves keep."""
        return sum(leaf.numbers for leaf in self.leaves)

    @property
    def nbytes(self) -> int:
        """Bytes of all factors."""
        return self.numbers * self.dtype.itemsize

    @property
    def compression(self) -> float:
        """How many times fewer numbers than the dense matrix."""
        return float(self.shape[0] * self.shape[1] / max(self.numbers, 1))

    @cached_property
    def T(self) -> HMatrix:  # noqa: N802 - numpy's name
        """The transposed matrix."""
        leaves = tuple(leaf.transposed() for leaf in self.leaves)
        return HMatrix(self.column_order, self.row_order, leaves, self.overlapping)

    def astype(self, dtype: DTypeLike) -> HMatrix:
        """The same leaves in float32 or float64. Raises InputError for another type."""
        check_float(dtype)
        leaves = tuple(
            replace(leaf, factors=tuple(f.astype(dtype) for f in leaf.factors))
            for leaf in self.leaves
        )
        return replace(self, leaves=leaves)

    def __matmul__(self, vectors: ArrayLike) -> Array:
        """H x for x (n,) or (n, p). Raises InputError for another shape."""
        x = vectors_of(vectors, self.shape[1], self.dtype)
        with _few_threads(x):
            return self._strips.apply(x)

    def __rmatmul__(self, vectors: ArrayLike) -> Array:
        """x H for x (m,) or (p, m). Raises InputError for another shape."""
        x = vectors_of(real_array("vector", vectors).T, self.shape[0], self.dtype)
        with _few_threads(x):
            return self._strips.apply_transposed(x).T

    __array_ufunc__ = None  # so that ndarray @ HMatrix asks HMatrix

    def __mul__(self, scalar: float) -> HMatrix:
        """Every entry times a number. Raises InputError for anything else."""
        factor = self.dtype.type(number("factor", scalar))
        leaves = tuple(
            replace(leaf, factors=(factor * leaf.factors[0], *leaf.factors[1:]))
            for leaf in self.leaves
        )
        return replace(self, leaves=leaves)

    __rmul__ = __mul__

    def __neg__(self) -> HMatrix:
        return self * -1.0

    @cached_property
    def _strips(self) -> _Strips:
        return _Strips.of(self.row_order, self.column_order, self.leaves)

    def as_linear_operator(self) -> LinearOperator:
        """A view for scipy's iterative solvers and eigensolvers."""
        strips = self._strips
        return LinearOperator(
            self.shape,
            matvec=strips.apply,
            rmatvec=strips.apply_transposed,
            matmat=strips.apply,
            rmatmat=strips.apply_transposed,
            dtype=self.dtype,
        )

    def to_dense(self) -> Array:
        """All entries (m, n), in the original order."""
        reordered = np.zeros(self.shape, dtype=self.dtype)
        for leaf in self.leaves:
            reordered[leaf.top : leaf.bottom, leaf.start : leaf.stop] += leaf.values()
        dense = np.empty_like(reordered)
        dense[np.ix_(self.row_order, self.column_order)] = reordered
        return dense

    def rows(self, indices: Indices) -> Array:
        """Rows (s, n) at original ``indices`` (s,); raises InputError for others than it has."""
        indices = indices_below("rows", indices, self.shape[0])
        position = np.empty(self.shape[0], dtype=np.intp)
        position[self.row_order] = np.arange(self.shape[0])
        asked = np.argsort(position[indices], kind="stable")
        places = position[indices][asked]
        reordered = np.zeros((len(indices), self.shape[1]), dtype=self.dtype)
        for leaf in self.leaves:
            own = slice(*np.searchsorted(places, (leaf.top, leaf.bottom)))
            if own.start < own.stop:
                part = leaf.factors[0][places[own] - leaf.top]
                reordered[own, leaf.start : leaf.stop] += (
                    part if leaf.is_dense else part @ leaf.factors[1]
                )
        found = np.empty_like(reordered)
        found[np.ix_(asked, self.column_order)] = reordered
        return found

    def diagonal(self) -> Array:
        """Entries (i, i), shape (min(m, n),)."""
        size = min(self.shape)
        result = np.zeros(size, dtype=self.dtype)
        position = np.full(max(self.shape), -1)
        position[self.column_order] = np.arange(self.shape[1])
        for leaf in self.leaves:
            original = self.row_order[leaf.top : leaf.bottom]
            column = position[original]
            (inside,) = np.nonzero(
                (column >= leaf.start) & (column < leaf.stop) & (original < size)
            )
            at = column[inside] - leaf.start
            if leaf.is_dense:
                found = leaf.factors[0][inside, at]
            else:
                found = np.einsum("ik,ki->i", leaf.factors[0][inside], leaf.factors[1][:, at])
            result[original[inside]] += found
        return result

    def shifted(self, shift: float) -> HMatrix:
        """H + shift · I; blocks on the diagonal become dense.

        Raises InputError unless H is square, rows and columns have one order, and its leaves tile.
        """
        number("shift", shift)
        if self.overlapping or not np.array_equal(self.row_order, self.column_order):
            raise InputError("shift: needs rows and columns in the same order and leaves that tile")
        leaves = []
        for leaf in self.leaves:
            first, last = max(leaf.top, leaf.start), min(leaf.bottom, leaf.stop)
            if first >= last:
                leaves.append(leaf)
                continue
            values = leaf.values().copy()
            along = np.arange(first, last)
            values[along - leaf.top, along - leaf.start] += shift
            leaves.append(replace(leaf, factors=(values,), reason=leaf.reason or "shifted"))
        return replace(self, leaves=tuple(leaves))

    def frobenius_norm(self) -> float:
        """‖H‖_F from the leaves: exact up to rounding."""
        squared = sum(inner(leaf, leaf) for leaf in self.leaves)
        if self.overlapping:
            squared += 2.0 * sum(
                inner(a.part(*box), b.part(*box)) for a, b, box in overlaps(self.leaves)
            )
        return float(np.sqrt(max(squared, 0.0)))

    def spectral_norm(self, tolerance: float = 1e-6, seed: int = 0) -> float:
        """‖H‖₂ by Lanczos, a lower estimate within ``tolerance`` relative where it converges.

        Raises scipy's ArpackNoConvergence if it does not.
        """
        if min(self.shape) < 3:
            return float(np.linalg.norm(self.to_dense(), 2))
        if self.frobenius_norm() == 0.0:
            return 0.0  # Lanczos can't start there
        start = np.random.default_rng(seed).standard_normal(min(self.shape))
        operator = self.astype(np.float64).as_linear_operator()
        found = svds(operator, k=1, tol=tolerance, v0=start, return_singular_vectors=False)
        return float(found[0])

    def __repr__(self) -> str:
        m, n = self.shape
        lines = [
            f"HMatrix {m} × {n} {self.dtype}, {self.nbytes:,} bytes, {self.compression:.3g} times "
            "smaller than dense",
            f"{'leaves':<10}{'count':>8}{'ranks':>12}{'numbers':>14}{'area':>8}",
        ]
        for name, dense in (("low rank", False), ("dense", True)):
            group = [leaf for leaf in self.leaves if leaf.is_dense == dense]
            ranks = sorted(leaf.rank for leaf in group)
            shown = "–" if dense or not ranks else f"{ranks[0]}–{ranks[-1]}"
            area = sum(leaf.shape[0] * leaf.shape[1] for leaf in group) / (m * n)
            numbers = sum(leaf.numbers for leaf in group)
            lines.append(f"{name:<10}{len(group):>8}{shown:>12}{numbers:>14,}{area:>8.1%}")
        return "\n".join(lines)
