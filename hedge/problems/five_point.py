"""Symmetric five-point matrices on a square grid: the discrete operators on the unit square."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy
from scipy import sparse

from hedge.arrays import Array
from hedge.problems.tridiagonal import Tridiagonal


@dataclass(frozen=True)
class FivePoint:
    """``diagonal`` on the diagonal and ``beside`` for each of four neighbours; (n, n), n = side².

    The nodes come row by row; beyond the grid all is zero.
    """

    side: int
    diagonal: float
    beside: float

    @property
    def size(self) -> int:
        """Nodes."""
        return self.side**2

    @property
    def sides(self) -> tuple[int, ...]:
        """Nodes along each axis."""
        return self.side, self.side

    def times(self, rows: Array) -> Array:
        """B r for every row r of (count, n)."""
        product = self.diagonal * rows
        grids, sums = (values.reshape(-1, *self.sides) for values in (rows, product))
        sums[:, 1:] += self.beside * grids[:, :-1]
        sums[:, :-1] += self.beside * grids[:, 1:]
        sums[:, :, 1:] += self.beside * grids[:, :, :-1]
        sums[:, :, :-1] += self.beside * grids[:, :, 1:]
        return product

    def solve(self, rows: Array) -> Array:
        """B⁻¹ r for every row r of (count, n), in the sine modes that diagonalise B.

        >>> FivePoint(1, 4.0, -1.0).solve(np.array([[2.0]]))
        array([[0.5]])
        """
        return self.filtered(rows, lambda eigenvalues: 1.0 / eigenvalues)

    def filtered(self, rows: Array, weights: Callable[[Array], Array]) -> Array:
        """f(B) r for every row r of (count, n); weights is f, of the eigenvalues (side, side)."""
        along = 2.0 * self.beside * np.cos(np.pi * np.arange(1, self.side + 1) / (self.side + 1))
        eigenvalues = self.diagonal + np.add.outer(along, along)
        grids = rows.reshape(-1, *self.sides)
        modes = scipy.fft.dstn(grids, type=1, axes=(1, 2), norm="ortho") * weights(eigenvalues)
        return np.asarray(scipy.fft.idstn(modes, type=1, axes=(1, 2), norm="ortho")).reshape(
            rows.shape
        )

    def sparse(self) -> Any:
        """The matrix, a scipy.sparse.csr_array (n, n)."""
        line = Tridiagonal(self.side, self.diagonal / 2.0, self.beside).sparse()
        eye = sparse.eye_array(self.side)
        return (sparse.kron(line, eye) + sparse.kron(eye, line)).tocsr()
