"""Symmetric tridiagonal matrices with constant diagonals: the discrete operators on an interval."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import sparse
from scipy.linalg import solveh_banded

from hedge.arrays import Array


@dataclass(frozen=True)
class Tridiagonal:
    """The (size, size) matrix with ``diagonal`` on the diagonal and ``beside`` on both sides of it."""

    size: int
    diagonal: float
    beside: float

    @property
    def sides(self) -> tuple[int, ...]:
        """Nodes along each axis, of which there is one."""
        return (self.size,)

    def sparse(self) -> Any:
        """The matrix, a scipy.sparse.csr_array (size, size)."""
        beside = np.full(self.size - 1, self.beside)
        diagonals = [beside, np.full(self.size, self.diagonal), beside]
        return sparse.diags_array(diagonals, offsets=[-1, 0, 1]).tocsr()

    def times(self, rows: Array) -> Array:
        """B r for every row r of (count, size)."""
        product = self.diagonal * rows
        product[:, 1:] += self.beside * rows[:, :-1]
        product[:, :-1] += self.beside * rows[:, 1:]
        return product

    def solve(self, rows: Array, extra: Array | None = None) -> Array:
        """(B + diag(extra))⁻¹ r for every row r of (count, size), by banded Cholesky.

        extra (size,) joins the diagonal.

        >>> Tridiagonal(3, 2.0, -1.0).solve(np.array([[0.0, 1.0, 0.0]]))
        array([[0.5, 1. , 0.5]])
        """
        bands = np.empty((2, self.size))
        bands[0] = self.beside
        bands[1] = self.diagonal if extra is None else self.diagonal + extra
        return np.asarray(solveh_banded(bands, rows.T).T)
