"""Matrices known by their entries: an array, a function that computes any block of one, or a kernel."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hedge.arrays import Array, Indices
from hedge.errors import InputError
from hedge.hmatrix.checks import positive_integer, real_array, real_matrix, squarable_matrix

Oracle = Callable[[Indices, Indices], ArrayLike]
"""(rows (m,), columns (n,)) -> the block (m, n) of a matrix that is never formed."""

StackedOracle = Callable[[Indices, Indices], ArrayLike]
"""(rows (b, m), columns (b, n)) -> b blocks (b, m, n) of such a matrix in one call."""


@dataclass(frozen=True)
class Entries:
    """A matrix of shape ``shape`` whose blocks ``oracle`` computes.

    ``stacked`` computes many blocks of one shape in one call, which is faster where blocks are small.
    With ``symmetric``, entry (j, i) is entry (i, j), and only one of the two is asked for. Both are
    called from several threads at once where a matrix is large.

    >>> x = np.linspace(0, 1, 5)
    >>> kernel = Entries((5, 5), lambda i, j: np.exp(-abs(x[i, None] - x[None, j])))
    >>> kernel(np.array([0]), np.array([0, 4])).round(3)
    array([[1.   , 0.368]])
    """

    shape: tuple[int, int]
    oracle: Oracle
    stacked: StackedOracle | None = None
    symmetric: bool = False

    def __post_init__(self) -> None:
        if len(self.shape) != 2:
            raise InputError(f"shape: {self.shape} is not (rows, columns); give both")
        for size in self.shape:
            positive_integer("shape", size)
        if self.symmetric and self.shape[0] != self.shape[1]:
            raise InputError(f"symmetric: a matrix of shape {self.shape} is not; leave it out")

    def __call__(self, rows: Indices, columns: Indices) -> Array:
        """The block (m, n); raises InputError if the oracle's answer is not a real, finite one."""
        block = real_array("oracle's answer", self.oracle(rows, columns))
        if block.shape != (len(rows), len(columns)):
            raise InputError(
                f"oracle: answered shape {block.shape} when asked for {len(rows)} rows and "
                f"{len(columns)} columns; return the block of those rows and columns"
            )
        return block

    def many(self, rows: Indices, columns: Indices) -> Array:
        """Blocks (b, m, n) of rows (b, m) and columns (b, n), in one call where there is a way.

        Without ``stacked``, neighbours in the stack that have the same rows are still asked for
        together. Raises InputError as a call does.
        """
        shape = (*rows.shape, columns.shape[1])
        if self.stacked is not None:
            blocks = real_array("oracle's answer", self.stacked(rows, columns))
            if blocks.shape != shape:
                raise InputError(
                    f"stacked: answered shape {blocks.shape} when asked for {shape}; return one "
                    "block of rows and columns for each of the stack"
                )
            return blocks
        blocks = np.empty(shape)
        changes = np.flatnonzero((rows[1:] != rows[:-1]).any(axis=1)) + 1
        for first, last in zip([0, *changes], [*changes, len(rows)], strict=True):
            together = self(rows[first], columns[first:last].ravel())
            blocks[first:last] = together.reshape(shape[1], last - first, shape[2]).swapaxes(0, 1)
        return blocks

    def block(self, rows: Indices, columns: Indices) -> Entries:
        """The submatrix of ``rows`` (m,) and ``columns`` (n,), by its entries again."""
        return Entries((len(rows), len(columns)), lambda i, j: self.oracle(rows[i], columns[j]))

    def whole(self) -> Array:
        """All entries (m, n)."""
        return self(np.arange(self.shape[0]), np.arange(self.shape[1]))


def kernel(
    function: Callable[[Array, Array], ArrayLike],
    points: ArrayLike,
    others: ArrayLike | None = None,
    *,
    symmetric: bool = False,
) -> Entries:
    """The matrix of a function of two points: entry (i, j) is that of points[i] and others[j].

    points (m, d) and others (n, d), by default the same. ``function`` takes the coordinates of both,
    x (d, b, m, 1) and y (d, b, 1, n), and answers (b, m, n). ``symmetric`` says that f(x, y) is
    f(y, x), which halves the work. Raises InputError for points that are no finite arrays of one
    dimension, and for ``symmetric`` with ``others``.

    >>> points = np.random.default_rng(0).random((4, 2))
    >>> def exponential(x, y):
    ...     return np.exp(-np.sqrt(((x - y) ** 2).sum(axis=0)))
    >>> kernel(exponential, points, symmetric=True).whole().shape
    (4, 4)
    """
    x = real_matrix("points", points)
    y = x if others is None else real_matrix("others", others)
    if x.shape[1] != y.shape[1]:
        raise InputError(
            f"others: have {y.shape[1]} coordinates, points {x.shape[1]}; give as many to both"
        )
    if symmetric and others is not None:
        raise InputError("symmetric: needs the same points on both sides; leave others out")
    along_rows, along_columns = np.ascontiguousarray(x.T), np.ascontiguousarray(y.T)

    def stacked(rows: Indices, columns: Indices) -> NDArray[Any]:
        return np.asarray(
            function(along_rows[:, rows, None], along_columns[:, columns][:, :, None, :])
        )

    def oracle(rows: Indices, columns: Indices) -> NDArray[Any]:
        found = stacked(rows[None], columns[None])
        return found[0] if found.ndim == 3 else found  # of another shape: told where it is checked

    return Entries((len(x), len(y)), oracle, stacked, symmetric)


def as_entries(matrix: ArrayLike | Entries) -> Entries:
    """An array (m, n) as Entries; Entries as they are. Raises InputError for anything else."""
    if isinstance(matrix, Entries):
        return matrix
    array = squarable_matrix("matrix", matrix)
    return Entries(
        (array.shape[0], array.shape[1]),
        lambda i, j: array[i[:, None], j[None, :]],
        lambda i, j: array[i[:, :, None], j[:, None, :]],
    )
