"""H-matrices as values (paper, definition 1): a list of leaves that act on reordered vectors."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, DTypeLike
from scipy.sparse.linalg import LinearOperator, svds

from hedge.arrays import Array, Indices
from hedge.errors import InputError
from hedge.hmatrix.checks import number, real_array
from hedge.hmatrix.leaf import Leaf, inner, overlaps
from hedge.hmatrix.strips import Strips


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
        if dtype not in ("float32", "float64", np.float32, np.float64):
            raise InputError(f"dtype: {dtype!r} is not float32 or float64; give one of them")
        leaves = tuple(
            replace(leaf, factors=tuple(f.astype(dtype) for f in leaf.factors))
            for leaf in self.leaves
        )
        return replace(self, leaves=leaves)

    def __matmul__(self, vectors: ArrayLike) -> Array:
        """H x for x (n,) or (n, p). Raises InputError for another shape."""
        return self._strips.apply(self._checked(vectors, self.shape[1]))

    def __rmatmul__(self, vectors: ArrayLike) -> Array:
        """x H for x (m,) or (p, m). Raises InputError for another shape."""
        x = real_array("vector", vectors)
        return self._strips.apply_transposed(self._checked(x.T, self.shape[0])).T

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

    def _checked(self, vectors: ArrayLike, size: int) -> Array:
        x = real_array("vector", vectors)
        if x.ndim not in (1, 2) or len(x) != size:
            raise InputError(
                f"vector: has shape {x.shape}; this product needs ({size},) or ({size}, p)"
            )
        return x.astype(self.dtype, copy=False)

    @cached_property
    def _strips(self) -> Strips:
        return Strips.of(self.row_order, self.column_order, self.leaves)

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
