"""Low-rank approximation of a block to an absolute tolerance in the Frobenius norm.

A *compressor* takes the block and the tolerance and returns factors whose product is within it. If
low rank would take more numbers than the block itself, or if the method did not converge, it refuses
and says why; its caller keeps the block, or cuts it. Accuracy is never lost in silence.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import linalg

from hedge.arrays import Array
from hedge.hmatrix.checks import positive
from hedge.hmatrix.entries import Entries

SMALL_BLOCK = 64 * 64  # entries; up to here it is as cheap to see the whole block
SAMPLED_LINES = 8  # rows, and columns, at least, in ACA's stopping test


@dataclass(frozen=True)
class LowRank:
    """The product of ``left`` (m, k) and ``right`` (k, n)."""

    left: Array
    right: Array

    @property
    def rank(self) -> int:
        """k."""
        return int(self.left.shape[1])


@dataclass(frozen=True)
class Refusal:
    """The block should stay dense, or be cut, because of ``reason``."""

    reason: str


Compressor = Callable[[Entries, float, int], LowRank | Refusal]
"""(block, tolerance, rank limit) -> factors with ‖block − left right‖_F ≤ tolerance, or a refusal."""


def break_even(rows: int, columns: int) -> int:
    """The largest rank with which two factors take fewer numbers than the block."""
    return (rows * columns - 1) // (rows + columns)


def truncated_svd(block: Entries, tolerance: float, rank_limit: int) -> LowRank | Refusal:
    """The smallest rank there is for a tolerance (Eckart and Young, 1936); sees every entry.

    >>> ones = Entries((3, 4), lambda i, j: np.ones((len(i), len(j))))
    >>> truncated_svd(ones, 1e-12, 4).rank  # of at most 4
    1
    """
    matrix = block.whole()
    u, values, vt = np.linalg.svd(matrix, full_matrices=False)
    rank = rank_within(values, tolerance)
    return _if_cheaper(LowRank(u[:, :rank] * values[:rank], vt[:rank]), rank_limit)


def rank_revealing_qr(block: Entries, tolerance: float, rank_limit: int) -> LowRank | Refusal:
    """QR with column pivoting (Businger and Golub, 1965): a little more rank for less work.

    Cutting after k rows of R leaves exactly ‖R[k:]‖_F, so the tolerance is certain.
    """
    matrix = block.whole()
    q, r, pivots = linalg.qr(matrix, mode="economic", pivoting=True, check_finite=False)
    rank = rank_within(np.linalg.norm(r, axis=1), tolerance)
    right = np.empty((rank, matrix.shape[1]))
    right[:, pivots] = r[:rank]
    return _if_cheaper(LowRank(q[:, :rank], right), rank_limit)


def randomized_svd(seed: int = 0) -> Compressor:
    """SVD of a randomly found range (Halko, Martinsson, Tropp, 2011), for large blocks of small rank.

    The range is doubled until the part of the block outside it, which is computed and not estimated,
    is within half of the squared tolerance; the rest is for truncation.
    """

    def compress(block: Entries, tolerance: float, rank_limit: int) -> LowRank | Refusal:
        positive("tolerance", tolerance)
        matrix = block.whole()
        rng = np.random.default_rng(seed)
        largest = max(2 * rank_limit, 17)  # a range, which should be wider than the rank
        size = 16
        while size < min(largest, min(matrix.shape) // 2):
            sample = matrix @ rng.standard_normal((matrix.shape[1], size))
            # a QR between the products, or what is below the root of the precision would be lost
            basis = np.linalg.qr(matrix @ np.linalg.qr(matrix.T @ sample)[0])[0]
            inside = basis.T @ matrix
            outside = float(np.linalg.norm(matrix - basis @ inside))
            if outside <= tolerance * math.sqrt(0.5):
                u, values, vt = np.linalg.svd(inside, full_matrices=False)
                rank = rank_within(values, math.sqrt(tolerance**2 - outside**2))
                left = basis @ (u[:, :rank] * values[:rank])
                return _if_cheaper(LowRank(left, vt[:rank]), rank_limit)
            size *= 2
        if largest < min(matrix.shape) // 2:
            return Refusal(
                f"{size // 2} random directions do not hold it; the rank limit is {rank_limit}"
            )
        return truncated_svd(block, tolerance, rank_limit)

    return compress


def aca(block: Entries, tolerance: float, rank_limit: int) -> LowRank | Refusal:
    """Adaptive cross approximation with partial pivoting (Bebendorf 2000), from few entries.

    The usual test, that the last cross is small, is blind to what no pivot has touched (a block of
    two separate parts, say). Here it only starts the real one: on rows and columns drawn at random the
    residual must predict a Frobenius norm within the tolerance. Until it does, the worst of them is the
    next pivot, and when it does, lines drawn afresh must agree. Small blocks are seen whole. Single
    large entries in a larger block, far from all lines seen, stay unseen.
    """
    positive("tolerance", tolerance)
    m, n = block.shape
    if m * n <= SMALL_BLOCK or min(m, n) <= 2 * SAMPLED_LINES:
        return truncated_svd(block, tolerance, rank_limit)
    rng = np.random.default_rng(m * n)
    every_row, every_column = np.arange(m), np.arange(n)
    capacity = min(break_even(m, n), rank_limit)
    left, right = np.empty((m, capacity + 1)), np.empty((capacity + 1, n))
    fresh_row = np.ones(m, dtype=bool)
    pivot, rank = int(rng.integers(m)), 0
    sample: _Sample | None = None
    while rank <= capacity:
        row = (
            block(every_row[pivot : pivot + 1], every_column)[0] - left[pivot, :rank] @ right[:rank]
        )
        fresh_row[pivot] = False
        at = int(np.argmax(np.abs(row)))
        size = 0.0
        if row[at] != 0.0:
            column = (
                block(every_row, every_column[at : at + 1])[:, 0]
                - left[:, :rank] @ right[:rank, at]
            )
            left[:, rank], right[rank] = column / row[at], row
            size = float(np.linalg.norm(left[:, rank]) * np.linalg.norm(row))
            if sample is not None:
                sample.subtract(left[:, rank], row)
            rank += 1
        if sample is None and size > tolerance / 4:
            pivot = int(np.argmax(np.where(fresh_row, np.abs(left[:, rank - 1]), -1.0)))
            continue
        if sample is None or sample.estimate() <= tolerance / 2:
            sample = _Sample.drawn(block, left[:, :rank], right[:rank], rng)
            if sample.estimate() <= tolerance / 2:
                return _recompressed(left[:, :rank], right[:rank], tolerance, rank_limit)
        worst = sample.worst_row()
        if not fresh_row[worst] and size == 0.0:
            break  # rounding: what is left can't be taken away by crosses
        pivot = worst
    return Refusal(f"ACA did not reach the tolerance within rank {min(rank, capacity)}")


@dataclass(frozen=True, eq=False)
class _Sample:
    """Residuals on some rows (s, n) and columns (m, s) of a block."""

    rows: NDArray[np.intp]
    columns: NDArray[np.intp]
    in_rows: Array
    in_columns: Array

    @staticmethod
    def drawn(block: Entries, left: Array, right: Array, rng: np.random.Generator) -> _Sample:
        """As many lines as the rank found, so that the test costs no more than the crosses did."""
        m, n = block.shape
        lines = min(max(SAMPLED_LINES, left.shape[1]), m, n)
        rows = rng.choice(m, lines, replace=False)
        columns = rng.choice(n, lines, replace=False)
        return _Sample(
            rows,
            columns,
            block(rows, np.arange(n)) - left[rows] @ right,
            block(np.arange(m), columns) - left @ right[:, columns],
        )

    def subtract(self, left: Array, right: Array) -> None:
        """Take a further cross (m,), (n,) off the residuals, in place."""
        self.in_rows[...] -= np.outer(left[self.rows], right)
        self.in_columns[...] -= np.outer(left, right[self.columns])

    def estimate(self) -> float:
        """‖block − left right‖_F as rows or columns predict it, the larger of the two."""
        (s, n), m = self.in_rows.shape, len(self.in_columns)
        by_rows = float(np.linalg.norm(self.in_rows)) * math.sqrt(m / s)
        return max(by_rows, float(np.linalg.norm(self.in_columns)) * math.sqrt(n / s))

    def worst_row(self) -> int:
        """The row of the largest residual seen."""
        in_rows, in_columns = abs(self.in_rows).max(axis=1), abs(self.in_columns).max(axis=1)
        if in_columns.max() > in_rows.max():
            return int(np.argmax(in_columns))
        return int(self.rows[np.argmax(in_rows)])


def _recompressed(
    left: Array, right: Array, tolerance: float, rank_limit: int
) -> LowRank | Refusal:
    """ACA's factors are not orthogonal and have spare rank; half the tolerance pays for less."""
    left, values, right = orthogonalised(left, right)
    rank = rank_within(values, tolerance * math.sqrt(0.5))
    return _if_cheaper(LowRank(left[:, :rank] * values[:rank], right[:rank]), rank_limit)


def orthogonalised(left: Array, right: Array) -> tuple[Array, Array, Array]:
    """The SVD (m, r), (r,), (r, n) of the product of (m, k) and (k, n), by two QRs: no m × n work."""
    q_left, r_left = np.linalg.qr(left)
    q_right, r_right = np.linalg.qr(right.T)
    u, values, vt = np.linalg.svd(r_left @ r_right.T, full_matrices=False)
    return q_left @ u, values, vt @ q_right.T


def rank_within(values: Array, tolerance: float) -> int:
    """The smallest k with √(Σ_{i ≥ k} values_i²) ≤ tolerance; values (r,) in any order of size.

    Raises InputError unless the tolerance is above 0.

    >>> rank_within(np.array([3.0, 0.4, 0.3]), 0.5)
    1
    """
    positive("tolerance", tolerance)
    tails = np.sqrt(np.cumsum((values**2)[::-1]))[::-1]
    return int(np.count_nonzero(tails > tolerance))


def _if_cheaper(found: LowRank, rank_limit: int) -> LowRank | Refusal:
    """The factors if they take fewer numbers than the block and keep the limit."""
    limit = break_even(found.left.shape[0], found.right.shape[1])
    if found.rank > limit:
        return Refusal(f"rank {found.rank} takes more numbers than the block")
    if found.rank > rank_limit:
        return Refusal(f"needs rank {found.rank}, above the limit of {rank_limit}")
    return found
