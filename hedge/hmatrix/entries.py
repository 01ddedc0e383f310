"""Matrices known by their entries: an array, or a function that computes any block of one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from hedge.arrays import Array, Indices
from hedge.errors import InputError
from hedge.hmatrix.checks import positive_integer, real_array, squarable_matrix

Oracle = Callable[[Indices, Indices], ArrayLike]
"""(rows (m,), columns (n,)) -> the block (m, n) of a matrix that is never formed."""


@dataclass(frozen=True)
class Entries:
    """A matrix of shape ``shape`` whose blocks ``oracle`` computes.

    >>> x = np.linspace(0, 1, 5)
    >>> kernel = Entries((5, 5), lambda i, j: np.exp(-abs(x[i, None] - x[None, j])))
    >>> kernel(np.array([0]), np.array([0, 4])).round(3)
    array([[1.   , 0.368]])
    """

    shape: tuple[int, int]
    oracle: Oracle

    def __post_init__(self) -> None:
        if len(self.shape) != 2:
            raise InputError(f"shape: {self.shape} is not (rows, columns); give both")
        for size in self.shape:
            positive_integer("shape", size)

    def __call__(self, rows: Indices, columns: Indices) -> Array:
        """The block (m, n); raises InputError if the oracle's answer is not a real, finite one."""
        block = real_array("oracle's answer", self.oracle(rows, columns))
        if block.shape != (len(rows), len(columns)):
            raise InputError(
                f"oracle: answered shape {block.shape} when asked for {len(rows)} rows and "
                f"{len(columns)} columns; return the block of those rows and columns"
            )
        return block

    def block(self, rows: Indices, columns: Indices) -> Entries:
        """The submatrix of ``rows`` (m,) and ``columns`` (n,), by its entries again."""
        return Entries((len(rows), len(columns)), lambda i, j: self.oracle(rows[i], columns[j]))

    def whole(self) -> Array:
        """All entries (m, n)."""
        return self(np.arange(self.shape[0]), np.arange(self.shape[1]))


def as_entries(matrix: ArrayLike | Entries) -> Entries:
    """An array (m, n) as Entries; Entries as they are. Raises InputError for anything else."""
    if isinstance(matrix, Entries):
        return matrix
    array = squarable_matrix("matrix", matrix)
    return Entries((array.shape[0], array.shape[1]), lambda i, j: array[i[:, None], j[None, :]])
