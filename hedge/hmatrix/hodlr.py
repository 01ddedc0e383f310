"""Solving with HODLR matrices (hierarchically off-diagonal low rank), and their determinant.

A = [[A₁, U₁ V₁], [U₂ V₂, A₂]] = blockdiag(A₁, A₂) (I + X Y) with X = blockdiag(A₁⁻¹U₁, A₂⁻¹U₂) and Y the
right factors crosswise, so that by Woodbury's formula a solve with A takes one with each A_i and one
with the small matrix K = I + Y X, and det A = det A₁ · det A₂ · det K (Ambikasaran and Darve, 2013).
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import linalg

from hedge.arrays import Array
from hedge.errors import InputError
from hedge.hmatrix.checks import real_array
from hedge.hmatrix.hmatrix import HMatrix
from hedge.hmatrix.leaf import Leaf

Lu = tuple[Array, NDArray[np.intp]]
# Relative to the right side, and of a solution.
SMALL_RESIDUAL, MOST_ERROR = 1e-8, 1e-3


@dataclass(frozen=True, eq=False)
class HodlrFactorization:
    """Ready to solve A x = b in O(n log n) a right-hand side; sign · exp(log_determinant) is det A.

    reciprocal_condition is the least found of any matrix factorized on the way, a warning sign when
    it nears 1e-16.
    """

    matrix: HMatrix
    root: _Node
    sign: float
    log_determinant: float
    reciprocal_condition: float

    def solve(self, right_side: ArrayLike) -> Array:
        """x (n,) or (n, p) with A x = b, put back into A to see that it is.

        Raises InputError for another shape, and where A is so near to a singular matrix that x has less than
        three digits.
        """
        b = real_array("right side", right_side)
        size = len(self.matrix.row_order)
        if b.ndim not in (1, 2) or len(b) != size:
            raise InputError(f"right side: has shape {b.shape}; give ({size},) or (…, p)")
        x = self._solved(b)
        residual = b - self.matrix @ x
        if _is_small(residual, SMALL_RESIDUAL, b):
            return x
        # A large one may be the rounding of large terms; then A⁻¹ makes little of it.
        if not _is_small(self._solved(residual), MOST_ERROR, x):
            raise InputError(
                f"solve: the matrix is singular to working precision for this right side (residual "
                f"{np.abs(residual).max():.1e}, right side {np.abs(b).max():.1e}); shift it"
            )
        return x

    def _solved(self, b: Array) -> Array:
        order, x = self.matrix.row_order, np.empty(b.shape)
        x[order] = _solve(self.root, b[order].reshape(len(b), -1)).reshape(b.shape)
        return x


@dataclass(frozen=True, eq=False)
class _Node:
    """One diagonal block: an LU of itself, or its halves with what couples them."""

    lu: Lu  # of the block, or of K
    halves: tuple[_Node, _Node] | None = None
    solved: tuple[Array, Array] | None = None  # A₁⁻¹U₁, A₂⁻¹U₂
    rights: tuple[Array, Array] | None = None  # V₁, V₂


def factorize(h: HMatrix) -> HodlrFactorization:
    """Factorize a HODLR matrix, as ``build(..., admissible=weak, coarsen=False)`` makes it.

    Raises InputError if H is not square with rows and columns in the same order, if its leaves are
    not those of a HODLR matrix, or if it or a diagonal block is singular to working precision.

    >>> from hedge.hmatrix import build, weak
    >>> x = np.linspace(0, 1, 300)
    >>> a = np.exp(-abs(x[:, None] - x)) + 0.1 * np.eye(300)
    >>> f = factorize(build(a, tolerance=1e-10, admissible=weak, coarsen=False))
    >>> bool(np.allclose(a @ f.solve(x), x)), bool(np.isclose(f.log_determinant, np.linalg.slogdet(a)[1]))
    (True, True)
    """
    if h.shape[0] != h.shape[1]:
        raise InputError(f"factorize: the matrix is {h.shape[0]} × {h.shape[1]}; give a square one")
    if h.overlapping or not np.array_equal(h.row_order, h.column_order):
        raise InputError(
            "factorize: rows and columns must have the same order, and leaves must tile"
        )
    leaves = {(leaf.top, leaf.bottom, leaf.start, leaf.stop): leaf for leaf in h.leaves}
    children = _halvings(h)
    signs, logs, conditions = [], [], []

    def lu_of(matrix: Array) -> Lu:
        if not len(matrix):
            return np.zeros((0, 0)), np.zeros(0, dtype=np.intp)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", linalg.LinAlgWarning)  # judged by its condition below
            lu, pivots = linalg.lu_factor(matrix)
        diagonal = lu.diagonal()
        condition = float(linalg.lapack.dgecon(lu, np.abs(matrix).sum(axis=0).max())[0])
        if not diagonal.all() or condition < len(matrix) * np.finfo(np.float64).eps:
            raise InputError(
                "factorize: the matrix or one of its diagonal blocks is singular to working "
                "precision; shift it"
            )
        swaps = np.count_nonzero(pivots != np.arange(len(pivots)))
        signs.append((-1.0) ** swaps * np.prod(np.sign(diagonal)))
        logs.append(float(np.log(np.abs(diagonal)).sum()))
        conditions.append(condition)
        return lu, pivots

    def node(start: int, stop: int) -> _Node:
        own = leaves.get((start, stop, start, stop))
        if own is not None:
            return _Node(lu_of(own.values()))
        middle = children.get((start, stop))
        if middle is None:
            raise InputError(
                "factorize: not a HODLR matrix; build it with admissible=weak, coarsen=False and a "
                "rank_limit above its ranks"
            )
        halves = node(start, middle), node(middle, stop)
        u1, v1 = _off_diagonal(leaves, start, middle, middle, stop)
        u2, v2 = _off_diagonal(leaves, middle, stop, start, middle)
        x1, x2 = _solve(halves[0], u1), _solve(halves[1], u2)
        upper, lower = v1 @ x2, v2 @ x1
        # a factor pair can be scaled at will; balanced, K is no worse than the matrix makes it
        sizes = float(np.linalg.norm(upper)), float(np.linalg.norm(lower))
        scale = math.sqrt(sizes[0] / sizes[1]) if all(sizes) else 1.0
        x1, v1, upper, lower = x1 * scale, v1 / scale, upper / scale, lower * scale
        small = np.block([[np.eye(len(upper)), upper], [lower, np.eye(len(lower))]])
        return _Node(lu_of(small), halves, (x1, x2), (v1, v2))

    root = node(0, h.shape[0])
    return HodlrFactorization(h, root, float(np.prod(signs)), float(sum(logs)), min(conditions))


def _is_small(error: Array, share: float, of: Array) -> bool:
    """Whether the largest number of every column of ``error`` is at most that share of the one in ``of``."""
    largest = np.abs(error).max(axis=0, initial=0.0), np.abs(of).max(axis=0, initial=0.0)
    return bool((largest[0] <= share * largest[1]).all())  # False where there is NaN


def _halvings(h: HMatrix) -> dict[tuple[int, int], int]:
    """(start, stop) -> middle of each diagonal block that is cut, read off the off-diagonal leaves."""
    return {
        (leaf.top, leaf.stop): leaf.bottom
        for leaf in h.leaves
        if leaf.bottom == leaf.start and leaf.top < leaf.stop
    }


def _off_diagonal(
    leaves: Mapping[tuple[int, int, int, int], Leaf], top: int, bottom: int, start: int, stop: int
) -> tuple[Array, Array]:
    leaf = leaves.get((top, bottom, start, stop))
    if leaf is None:
        raise InputError(
            f"factorize: the block of rows {top}:{bottom} and columns {start}:{stop} is cut, so this "
            "is not a HODLR matrix; build it with a higher rank_limit and coarsen=False"
        )
    if not leaf.is_dense:
        return leaf.factors[0], leaf.factors[1]
    values = leaf.factors[0]
    wide = values.shape[0] <= values.shape[1]
    return (np.eye(len(values)), values) if wide else (values, np.eye(values.shape[1]))


def _solve(node: _Node, b: Array) -> Array:
    """A⁻¹ b for b (n, p)."""
    if node.halves is None or node.solved is None or node.rights is None:
        return np.asarray(linalg.lu_solve(node.lu, b, check_finite=False))
    (first, second), (x1, x2), (v1, v2) = node.halves, node.solved, node.rights
    middle = len(x1)
    y1, y2 = _solve(first, b[:middle]), _solve(second, b[middle:])
    coupled = np.concatenate((v1 @ y2, v2 @ y1))
    if len(coupled):
        coupled = linalg.lu_solve(node.lu, coupled, check_finite=False)
    split = x1.shape[1]
    return np.concatenate((y1 - x1 @ coupled[:split], y2 - x2 @ coupled[split:]))
