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

from hedge.hmatrix.checks import positive
from hedge.hmatrix.entries import Entries

Array = NDArray[np.float64]
SMALL_BLOCK = 64 * 64  # entries; up to here it is as cheap to see the whole block
SAMPLED_LINES = 8  # rows, and columns, that no pivot has seen, in ACA's stopping test


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
        matrix = block.whole()
        rng = np.random.default_rng(seed)
        size = 16
        while size < min(*matrix.shape, 4 * rank_limit) // 2:
            sample = matrix @ rng.standard_normal((matrix.shape[1], size))
            basis = np.linalg.qr(matrix @ (matrix.T @ sample))[0]
            inside = basis.T @ matrix
            outside = float(np.linalg.norm(matrix - basis @ inside))
            if outside <= tolerance * math.sqrt(0.5):
                u, values, vt = np.linalg.svd(inside, full_matrices=False)
                rank = rank_within(values, math.sqrt(tolerance**2 - outside**2))
                left = basis @ (u[:, :rank] * values[:rank])
                return _if_cheaper(LowRank(left, vt[:rank]), rank_limit)
            size *= 2
        if 4 * rank_limit < min(matrix.shape):
            return Refusal(f"its range has more than {rank_limit} dimensions")
        return truncated_svd(block, tolerance, rank_limit)

    return compress


def aca(block: Entries, tolerance: float, rank_limit: int) -> LowRank | Refusal:
    """Adaptive cross approximation with partial pivoting (Bebendorf 2000), from few entries.

    The usual test, that the last cross is small, is blind to what no pivot has touched (a block of
    two separate parts, say). Here it only calls for the real test: the residual on rows and columns
    drawn at random, which must predict a Frobenius norm within the tolerance; if not, the worst of
    them is the next pivot. Small blocks are seen whole.
    """
    m, n = block.shape
    if m * n <= SMALL_BLOCK or min(m, n) <= 2 * SAMPLED_LINES:
        return truncated_svd(block, tolerance, rank_limit)
    rng = np.random.default_rng(m * n)
    every_row, every_column = np.arange(m), np.arange(n)
    capacity = min(break_even(m, n), rank_limit)
    left, right = np.empty((m, capacity + 1)), np.empty((capacity + 1, n))
    fresh_row = np.ones(m, dtype=bool)
    pivot, rank, small_crosses = int(rng.integers(m)), 0, 0
    while rank <= capacity:
        row = (
            block(every_row[pivot : pivot + 1], every_column)[0] - left[pivot, :rank] @ right[:rank]
        )
        fresh_row[pivot] = False
        column_pivot = int(np.argmax(np.abs(row)))
        small = row[column_pivot] == 0.0
        if not small:
            column = block(every_row, every_column[column_pivot : column_pivot + 1])[:, 0]
            column = column - left[:, :rank] @ right[:rank, column_pivot]
            left[:, rank], right[rank] = column / row[column_pivot], row
            size = float(np.linalg.norm(left[:, rank]) * np.linalg.norm(row))
            rank += 1
            small = size <= tolerance / 4
        if small:
            small_crosses += 1
            worst, residual = _sampled_residual(block, left[:, :rank], right[:rank], rng)
            if residual <= tolerance / 2:
                return _recompressed(left[:, :rank], right[:rank], tolerance, rank_limit)
            pivot = worst
        else:
            candidates = np.where(fresh_row, np.abs(left[:, rank - 1]), -1.0)
            pivot = int(np.argmax(candidates))
        if not fresh_row.any() or small_crosses > capacity:
            break
    return Refusal(f"ACA did not reach the tolerance within rank {capacity}")


def _sampled_residual(
    block: Entries, left: Array, right: Array, rng: np.random.Generator
) -> tuple[int, float]:
    """The row with the largest residual seen, and an estimate of the residual's Frobenius norm."""
    m, n = block.shape
    rows = rng.choice(m, SAMPLED_LINES, replace=False)
    columns = rng.choice(n, SAMPLED_LINES, replace=False)
    in_rows = block(rows, np.arange(n)) - left[rows] @ right
    in_columns = block(np.arange(m), columns) - left @ right[:, columns]
    norms = np.linalg.norm(in_rows, axis=1)
    estimate = max(
        float(np.linalg.norm(norms)) * math.sqrt(m / SAMPLED_LINES),
        float(np.linalg.norm(in_columns)) * math.sqrt(n / SAMPLED_LINES),
    )
    by_row, by_column = int(np.argmax(norms)), np.unravel_index(np.argmax(abs(in_columns)), (m, 8))
    deepest = abs(in_columns[by_column]) > abs(in_rows[by_row]).max()
    return int(by_column[0] if deepest else rows[by_row]), estimate


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
