"""H-matrices from an array or from entries alone, to a relative tolerance.

First every admissible block is compressed to a small part of the tolerance, or cut if it can't be.
Then blocks are merged upwards wherever low rank still pays, and the best pruning of the tree of all
blocks with the best ranks spends the rest of the tolerance where it saves most (the coarsening of
Grasedyck 2005, with one price for the whole matrix).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike

from hedge.arrays import Array
from hedge.errors import InputError, ToleranceError
from hedge.hmatrix.candidates import DENSE, Candidate, Cost, StorageCost, ballot
from hedge.hmatrix.checks import positive, positive_integer, squarable_matrix
from hedge.hmatrix.cluster import Admissible, Cluster, ClusterTree, anywhere, cut, in_given_order
from hedge.hmatrix.entries import Entries, as_entries
from hedge.hmatrix.hmatrix import HMatrix
from hedge.hmatrix.leaf import Leaf
from hedge.hmatrix.lowrank import (
    Compressor,
    LowRank,
    aca,
    break_even,
    orthogonalised,
    randomized_svd,
    rank_within,
)
from hedge.hmatrix.pruning import best_pruning
from hedge.hmatrix.spectrum import tails_squared
from hedge.hmatrix.threads import one_blas_thread

FIRST_SHARE = 0.1  # of the tolerance, for the first compression; the pruning spends what is left
MERGE_SHARE = 0.3  # of the first compression's budget, for all merges of one level
NORM_SAMPLES = 64  # rows and columns from which the norm is first estimated
LOSS_ALLOWED = 3.0  # times that budget, for all merges below a block whose parts are forgotten
LARGEST_DENSE_MERGE = 256  # sides up to which blocks of high rank are merged entry by entry
ALARM = 3.0  # times the tolerance: what the error on sampled rows exceeds only if it is too large
TINY = math.sqrt(float(np.finfo(np.float64).tiny))
"""The squares of smaller numbers underflow."""


def build(
    matrix: ArrayLike | Entries,
    *,
    tolerance: float,
    rows: ClusterTree | None = None,
    columns: ClusterTree | None = None,
    admissible: Admissible = anywhere,
    compressor: Compressor | None = None,
    rank_limit: int = 256,
    coarsen: bool = True,
    cost: Cost | None = None,
) -> HMatrix:
    """An H-matrix H with ‖A − H‖_F ≤ tolerance · ‖A‖_F, from few entries of A where that is possible.

    matrix      an array (m, n), or :class:`Entries`, of which only the needed ones are computed
    rows, columns   cluster trees; by default the given order is halved, and the columns of a square
                matrix take the tree of its rows
    admissible  which blocks may be low rank: ``weak`` (HODLR), ``strong(eta)``, ``anywhere``
    compressor  by default a randomized SVD for arrays, which is certain, and ``aca`` for Entries,
                which sees few of them
    rank_limit  blocks above it are cut, so that no time is lost on what is not low rank
    coarsen     merge blocks where that is cheaper; False keeps the structure, as ``factorize`` needs
    cost        what the pruning minimises; by default the numbers kept

    With ``aca`` the tolerance rests on samples, of each block and, at the end, of rows of the whole:
    single large entries that no sample meets can't be noticed; where there may be some, use
    ``truncated_svd``, which sees all. Raises InputError for an empty, complex or non-finite matrix, a
    tolerance that is not positive, trees of another size, and an oracle that returns another shape;
    ToleranceError if the rows sampled at the end are far off, as in sparse matrices.
    Source: paper, definition 1 and section III.C.

    >>> from hedge.hmatrix import kd_tree, strong
    >>> points = np.random.default_rng(0).random((1500, 2))
    >>> def kernel(i, j):
    ...     return np.exp(-np.linalg.norm(points[i, None] - points[None, j], axis=2))
    >>> entries = Entries((1500, 1500), kernel)
    >>> h = build(entries, tolerance=1e-3, rows=kd_tree(points), admissible=strong())
    >>> sampled_error(entries, h) < 1e-3
    True
    """
    entries = as_entries(matrix)
    if compressor is None:
        compressor = aca if isinstance(matrix, Entries) else randomized_svd()
    tolerance = min(positive("tolerance", tolerance), 1.0)  # at 1 nothing at all is near enough
    positive_integer("rank_limit", rank_limit)
    rows, columns = trees(entries.shape, rows, columns)
    norm = _estimated_norm(entries)
    while True:
        first_budget = max(FIRST_SHARE * tolerance * norm, TINY)
        builder = _Builder(
            entries, rows, columns, admissible, compressor, rank_limit, first_budget, coarsen
        )
        with one_blas_thread():
            found = builder.built(rows.root, columns.root)
        norm = math.sqrt(found.squared_norm)
        budget = tolerance * norm - first_budget
        if budget > 0 or first_budget == TINY:
            break  # else the norm was taken for more than ten times what it is: once more
    votes = ballot(found.candidate, StorageCost() if cost is None else cost)
    pruning = best_pruning(votes.least_cost, max(budget, 0.0) ** 2)
    assert pruning is not None  # the first compression itself keeps the budget
    h = HMatrix(rows.order, columns.order, votes.leaves(pruning.chosen))
    if compressor is aca:
        error = sampled_error(entries, h)
        if error > ALARM * tolerance:
            raise ToleranceError(
                f"build: on sampled rows the error is {error:.1e}, above the tolerance {tolerance:g}; "
                "this matrix has entries that ACA does not meet, use compressor=truncated_svd"
            )
    return h


def sampled_error(
    matrix: ArrayLike | Entries, h: HMatrix, *, samples: int = 100, seed: int = 1
) -> float:
    """An estimate of ‖A − H‖_F / ‖H‖_F from ``samples`` rows drawn at random, which no fit has seen.

    Its square is unbiased; with all rows it is the error itself. An error that sits in a few rows is
    as a rule not met. Raises InputError if shapes differ.
    """
    entries = as_entries(matrix)
    if entries.shape != h.shape:
        raise InputError(f"matrix: has shape {entries.shape}, the H-matrix {h.shape}")
    m, n = h.shape
    count = min(positive_integer("samples", samples), m)
    rows = np.random.default_rng(seed).choice(m, count, replace=False)
    unit = np.zeros((count, m))
    unit[np.arange(count), rows] = 1.0
    off = float(np.linalg.norm(unit @ h - entries(rows, np.arange(n)))) * math.sqrt(m / count)
    norm = h.frobenius_norm()
    return off / norm if norm > 0 else off


def trees(
    shape: tuple[int, int], rows: ClusterTree | None, columns: ClusterTree | None
) -> tuple[ClusterTree, ClusterTree]:
    """The trees to use; raises InputError if one is of another size than the matrix."""
    for name, tree in (("rows", rows), ("columns", columns)):
        if tree is not None and not isinstance(tree, ClusterTree):
            raise InputError(f"{name}: is no ClusterTree; make one with kd_tree or in_given_order")
    square = shape[0] == shape[1]
    if columns is None:
        columns = rows if rows is not None and square else in_given_order(shape[1])
    if rows is None:
        rows = columns if square else in_given_order(shape[0])
    for name, chosen, size in (("rows", rows, shape[0]), ("columns", columns, shape[1])):
        if len(chosen) != size:
            raise InputError(
                f"{name}: the cluster tree has {len(chosen)} indices, the matrix {size}"
            )
    return rows, columns


def _estimated_norm(entries: Entries) -> float:
    rng = np.random.default_rng(0)
    m, n = entries.shape
    i = rng.choice(m, min(m, NORM_SAMPLES), replace=False)
    j = rng.choice(n, min(n, NORM_SAMPLES), replace=False)
    sample = squarable_matrix("oracle's answer", entries(i, j))
    # floored, since a sample can miss all of a matrix with few entries
    norm = float(np.linalg.norm(sample)) * math.sqrt(m * n / sample.size)
    return max(norm, math.sqrt(TINY))


@dataclass(frozen=True, eq=False)
class _Built:
    """A block with all below it, and the factors from which its parent may be merged.

    left (m, r) is orthonormal times singular values, right (r, n) orthonormal; None where the rank is
    too high to go on. lost bounds their error against the first compression, numbers is the least
    storage found, squared_norm that of the first compression.
    """

    candidate: Candidate
    left: Array | None
    right: Array | None
    lost: float
    numbers: float
    squared_norm: float


@dataclass(frozen=True, eq=False)
class _Builder:
    """First compression and merges, each within its share of a budget, by area."""

    entries: Entries
    rows: ClusterTree
    columns: ClusterTree
    admissible: Admissible
    compressor: Compressor
    rank_limit: int
    budget: float  # of the first compression
    coarsen: bool

    def built(self, rows: Cluster, columns: Cluster) -> _Built:
        i = self.rows.order[rows.start : rows.stop]
        j = self.columns.order[columns.start : columns.stop]
        parts = cut(rows, columns)
        share = self._share(self.budget, rows, columns)
        reason, keeps = "not admissible", False
        if self.admissible(rows, columns):
            limit = self.rank_limit if parts else min(i.size, j.size)
            found = self.compressor(self.entries.block(i, j), share, limit)
            if isinstance(found, LowRank):
                u, s, vt = orthogonalised(found.left, found.right)
                return _low_rank(rows, columns, (), u * s, s, vt, 0.0, s.size * (i.size + j.size))
            # without coarsening the structure is kept where a cut would save only a few numbers
            keeps = not self.coarsen and min(i.size, j.size) <= self.rank_limit
            reason = found.reason
        if keeps or not parts:
            return self._dense(rows, columns, self.entries(i, j), reason)
        return self._joined(rows, columns, tuple(self.built(*part) for part in parts))

    def _share(self, budget: float, rows: Cluster, columns: Cluster) -> float:
        area = rows.size * columns.size / math.prod(self.entries.shape)
        return max(budget * math.sqrt(area), TINY)

    def _dense(self, rows: Cluster, columns: Cluster, dense: Array, reason: str) -> _Built:
        u, s, vt = np.linalg.svd(dense, full_matrices=False)

        def leaf(rank: int) -> Leaf:
            if rank == DENSE:
                return Leaf(*_place(rows, columns), (dense,), reason)
            u, s, vt = np.linalg.svd(dense, full_matrices=False)  # again: not kept, to save memory
            return Leaf(*_place(rows, columns), (u[:, :rank] * s[:rank], vt[:rank].copy()))

        tails = tails_squared(s)
        affordable = tails[: break_even(*dense.shape) + 1]
        candidate = Candidate(rows, columns, (), affordable, 0.0, leaf)
        kept = rank_within(s, self._share(MERGE_SHARE * self.budget, rows, columns))
        numbers = min(dense.size, kept * sum(dense.shape))
        left, right = u[:, :kept] * s[:kept], vt[:kept]
        return _Built(candidate, left, right, math.sqrt(tails[kept]), numbers, tails[0])

    def _joined(self, rows: Cluster, columns: Cluster, below: tuple[_Built, ...]) -> _Built:
        m, n = rows.size, columns.size
        children = tuple(part.candidate for part in below)
        numbers = sum(part.numbers for part in below)
        squared_norm = sum(part.squared_norm for part in below)
        merged = _merge(rows, columns, below) if self.coarsen else None
        if merged is not None:
            u, s, vt = merged
            kept = rank_within(s, self._share(MERGE_SHARE * self.budget, rows, columns))
            if kept <= break_even(m, n) and kept * (m + n) <= 2 * numbers:
                lost = float(np.linalg.norm(s[kept:])) + math.sqrt(sum(p.lost**2 for p in below))
                left, right = u[:, :kept] * s[:kept], vt[:kept].copy()
                accurate = lost <= self._share(self.budget, rows, columns) * LOSS_ALLOWED
                if accurate and kept * (m + n) <= numbers:
                    children = ()  # forgotten, to save memory: they would hardly be chosen
                numbers = min(numbers, kept * (m + n))
                joined = _low_rank(rows, columns, children, left, s[:kept], right, lost, numbers)
                return replace(joined, squared_norm=squared_norm)
        candidate = Candidate(rows, columns, children, None, None, _no_leaf)
        return _Built(candidate, None, None, 0.0, numbers, squared_norm)


def _low_rank(
    rows: Cluster,
    columns: Cluster,
    children: tuple[Candidate, ...],
    left: Array,
    values: Array,
    right: Array,
    lost: float,
    numbers: float,
) -> _Built:
    def leaf(rank: int) -> Leaf:
        return Leaf(*_place(rows, columns), (left[:, :rank].copy(), right[:rank].copy()))

    tails = tails_squared(values)
    candidate = Candidate(rows, columns, children, (np.sqrt(tails) + lost) ** 2, None, leaf)
    return _Built(candidate, left, right, lost, numbers, tails[0])


def _no_leaf(rank: int) -> Leaf:
    raise AssertionError("a block that must be cut was chosen as a leaf")


def _place(rows: Cluster, columns: Cluster) -> tuple[int, int, int, int]:
    return rows.start, rows.stop, columns.start, columns.stop


def _merge(
    rows: Cluster, columns: Cluster, below: tuple[_Built, ...]
) -> tuple[Array, Array, Array] | None:
    """The SVD of the block from the factors of its parts, or None where their ranks are too high.

    The parts of one row of blocks share an orthonormal basis for their columns, likewise those of one
    column for their rows; the singular values are those of the small matrix between the bases.
    """
    if any(part.left is None for part in below):
        return None
    m, n = rows.size, columns.size
    ranks = sum(part.left.shape[1] for part in below if part.left is not None)
    if max(m, n) <= LARGEST_DENSE_MERGE and ranks >= min(m, n):
        u, s, vt = np.linalg.svd(_assembled(rows, columns, below), full_matrices=False)
        return u, s, vt
    if ranks >= 2 * min(m, n):
        return None
    tops = sorted({part.candidate.rows.start for part in below})
    starts = sorted({part.candidate.columns.start for part in below})
    left_bases, right_bases = {}, {}
    for top in tops:
        group = [p.left for p in below if p.candidate.rows.start == top and p.left is not None]
        left_bases[top] = np.linalg.qr(np.hstack(group))[0]
    for start in starts:
        group = [
            p.right for p in below if p.candidate.columns.start == start and p.right is not None
        ]
        right_bases[start] = np.linalg.qr(np.vstack(group).T)[0]
    core = [[_core(below, top, start, left_bases[top], right_bases[start]) for start in starts]
            for top in tops]  # fmt: skip
    u, s, vt = np.linalg.svd(np.block(core), full_matrices=False)
    return (
        _stacked([left_bases[t] for t in tops], u),
        s,
        _stacked([right_bases[j] for j in starts], vt.T).T,
    )


def _stacked(bases: list[Array], coefficients: Array) -> Array:
    """blockdiag(bases) @ coefficients."""
    ends = np.cumsum([basis.shape[1] for basis in bases])[:-1]
    pieces = np.split(coefficients, ends)
    return np.concatenate([basis @ piece for basis, piece in zip(bases, pieces, strict=True)])


def _core(
    below: tuple[_Built, ...], top: int, start: int, left_basis: Array, right_basis: Array
) -> Array:
    (part,) = (
        p for p in below if (p.candidate.rows.start, p.candidate.columns.start) == (top, start)
    )
    assert part.left is not None
    assert part.right is not None
    return np.asarray((left_basis.T @ part.left) @ (part.right @ right_basis))


def _assembled(rows: Cluster, columns: Cluster, below: tuple[_Built, ...]) -> Array:
    values = np.empty((rows.size, columns.size))
    for part in below:
        r, c = part.candidate.rows, part.candidate.columns
        assert part.left is not None
        assert part.right is not None
        values[
            r.start - rows.start : r.stop - rows.start,
            c.start - columns.start : c.stop - columns.start,
        ] = part.left @ part.right
    return values
