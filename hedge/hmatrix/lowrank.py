"""Low-rank approximation of blocks to absolute tolerances in the Frobenius norm.

A *compressor* takes a block and a tolerance and returns factors whose product is within it. If low
rank would take more numbers than the block itself, or if the method did not converge, it refuses and
says why; its caller keeps the block, or cuts it. Accuracy is never lost in silence. Those of this
file take whole stacks of blocks, too, which is how ``build`` calls them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy import linalg

from hedge.arrays import Array
from hedge.errors import InputError
from hedge.hmatrix.checks import positive
from hedge.hmatrix.crosses import SAMPLED_LINES, crosses
from hedge.hmatrix.entries import Entries
from hedge.hmatrix.stacks import (
    Refusal,
    Stack,
    Triplets,
    break_even,
    orthogonalised,
    ranges,
    ranks_within,
    svd,
)

SMALL_BLOCK = 64 * 64  # entries; up to here it is as cheap to see the whole block


@dataclass(frozen=True)
class LowRank:
    """The product of ``left`` (m, k) and ``right`` (k, n)."""

    left: Array
    right: Array

    @property
    def rank(self) -> int:
        """k."""
        return int(self.left.shape[1])


Compressor = Callable[[Entries, float, int], LowRank | Refusal]
"""(block, tolerance, rank limit) -> factors with ‖block − left right‖_F ≤ tolerance, or a refusal."""

Found = list[Triplets | Refusal]
"""What became of each block of a stack."""


@dataclass(frozen=True)
class InStacks:
    """A compressor that takes a stack of blocks, with a tolerance (b,) for each, in one go."""

    many: Callable[[Stack, Array, int], Found]

    def __call__(self, block: Entries, tolerance: float, rank_limit: int) -> LowRank | Refusal:
        """One block. Raises InputError for a tolerance that is not positive."""
        given = np.array([positive("tolerance", tolerance)])
        (found,) = self.many(Stack.of(block), given, rank_limit)
        if isinstance(found, Refusal):
            return found
        return LowRank(found.left * found.values, found.right)


def compress(compressor: Compressor, stack: Stack, tolerances: Array, rank_limit: int) -> Found:
    """All blocks of a stack, within ``tolerances`` (b,): in one go, or one after another."""
    if isinstance(compressor, InStacks):
        return compressor.many(stack, tolerances, rank_limit)
    if not callable(compressor):
        raise InputError(
            f"compressor: is {compressor!r:.60}, no function; give truncated_svd, rank_revealing_qr, "
            "randomized_svd() or aca"
        )
    found: Found = []
    for at, tolerance in enumerate(tolerances):
        factors = compressor(stack.one(at), float(tolerance), rank_limit)
        if isinstance(factors, LowRank):
            found.append(svd_of_product(factors.left, factors.right))
        else:
            found.append(factors)
    return found


def svd_of_product(left: Array, right: Array) -> Triplets:
    """The SVD of the product of (m, k) and (k, n), by two QRs: no m × n work."""
    u, values, vt = orthogonalised(left[None], right[None])
    return Triplets(u[0], values[0], vt[0])


def _truncated(stack: Stack, tolerances: Array, rank_limit: int) -> Found:
    return _cut_svd(stack, stack.whole(), tolerances, rank_limit)


def _cut_svd(stack: Stack, values: Array, tolerances: Array, rank_limit: int) -> Found:
    u, s, vt = svd(values)
    ranks, _ = ranks_within(s, tolerances)
    return [
        _if_cheaper(
            Triplets(u[i, : stack.heights[i]], s[i], vt[i, :, : stack.widths[i]]),
            int(ranks[i]),
            rank_limit,
        )
        for i in range(len(stack))
    ]


truncated_svd = InStacks(_truncated)
"""The smallest rank there is for a tolerance (Eckart and Young, 1936); sees every entry.

>>> ones = Entries((3, 4), lambda i, j: np.ones((len(i), len(j))))
>>> truncated_svd(ones, 1e-12, 4).rank  # of at most 4
1
"""


def rank_revealing_qr(block: Entries, tolerance: float, rank_limit: int) -> LowRank | Refusal:
    """QR with column pivoting (Businger and Golub, 1965): a little more rank for less work.

    Cutting after k rows of R leaves exactly ‖R[k:]‖_F, so the tolerance is certain.
    """
    matrix = block.whole()
    q, r, pivots = linalg.qr(matrix, mode="economic", pivoting=True, check_finite=False)
    rank = rank_within(np.linalg.norm(r, axis=1), tolerance)
    right = np.empty((rank, matrix.shape[1]))
    right[:, pivots] = r[:rank]
    refusal = _refusal(matrix.shape, rank, rank_limit)
    return LowRank(q[:, :rank], right) if refusal is None else refusal


def randomized_svd(seed: int = 0) -> InStacks:
    """SVD of a randomly found range (Halko, Martinsson, Tropp, 2011), for large blocks of small rank.

    The range is doubled until the part of the block outside it, which is computed and not estimated,
    is within half of the squared tolerance; the rest is for truncation.
    """

    def many(stack: Stack, tolerances: Array, rank_limit: int) -> Found:
        return in_ranges(stack, stack.whole(), tolerances, rank_limit, seed)

    return InStacks(many)


def in_ranges(
    stack: Stack, values: Array, tolerances: Array, rank_limit: int, seed: int = 0
) -> Found:
    """The same for blocks whose entries (b, m, n) are known."""
    limits = np.array(
        [
            min(break_even(h, w), rank_limit)
            for h, w in zip(stack.heights, stack.widths, strict=True)
        ]
    )
    largest = max(2 * rank_limit, 17)  # a range, which should be wider than the rank
    held, reasons = ranges(values, tolerances, largest, limits, np.random.default_rng(seed))
    found: Found = [Refusal(reason) for reason in reasons]
    for i, triplets in enumerate(held):
        if triplets is not None:
            own = Triplets(
                triplets.left[: stack.heights[i]],
                triplets.values,
                triplets.right[:, : stack.widths[i]],
            )
            found[i] = _if_cheaper(own, own.rank, rank_limit)
    rest = np.array([i for i, t in enumerate(held) if t is None and not reasons[i]], dtype=np.intp)
    if len(rest):
        exact = _cut_svd(stack.take(rest), values[rest], tolerances[rest], rank_limit)
        for i, one in zip(rest, exact, strict=True):
            found[i] = one
    return found


def _aca(stack: Stack, tolerances: Array, rank_limit: int) -> Found:
    m, n = stack.shape
    if m * n <= SMALL_BLOCK or min(m, n) <= 2 * SAMPLED_LINES:
        return in_ranges(stack, stack.whole(), tolerances, rank_limit)
    found: Found = []
    for i, one in enumerate(crosses(stack, tolerances, rank_limit)):
        # half the tolerance pays for less rank, as crosses have some to spare
        if isinstance(one, Triplets):
            ranks, _ = ranks_within(one.values[None], tolerances[i : i + 1] * np.sqrt(0.5))
            found.append(_if_cheaper(one, int(ranks[0]), rank_limit))
        else:
            found.append(one)
    return found


aca = InStacks(_aca)
"""Adaptive cross approximation with partial pivoting (Bebendorf 2000), from few entries.

The usual test, that the last cross is small, is blind to what no pivot has touched (a block of two
separate parts, say). Here it only starts the real one: on rows and columns drawn at random the
residual must predict a Frobenius norm within the tolerance. Until it does, the worst of them is the
next pivot, and when it does, lines drawn afresh must agree. Small blocks are seen whole. Single
large entries in a larger block, far from all lines seen, stay unseen.
"""


def rank_within(values: Array, tolerance: float) -> int:
    """The smallest k with √(Σ_{i ≥ k} values_i²) ≤ tolerance; values (r,) in any order of size.

    Raises InputError unless the tolerance is above 0.

    >>> rank_within(np.array([3.0, 0.4, 0.3]), 0.5)
    1
    """
    return int(ranks_within(values[None], np.array([positive("tolerance", tolerance)]))[0][0])


def _if_cheaper(found: Triplets, rank: int, rank_limit: int) -> Triplets | Refusal:
    """The leading triplets if they take fewer numbers than the block and keep the limit."""
    refusal = _refusal((found.left.shape[0], found.right.shape[1]), rank, rank_limit)
    return found.cut(rank) if refusal is None else refusal


def _refusal(shape: tuple[int, int], rank: int, rank_limit: int) -> Refusal | None:
    if rank > break_even(*shape):
        return Refusal(f"rank {rank} takes more numbers than the block")
    if rank > rank_limit:
        return Refusal(f"needs rank {rank}, above the limit of {rank_limit}")
    return None
