"""H-matrices from an array or from entries alone, to a relative tolerance.

First every admissible block is compressed to a small part of the tolerance, or cut if it can't be.
Then blocks are merged upwards wherever low rank still pays, and the best pruning of the tree of all
blocks with the best ranks spends the rest of the tolerance where it saves most (the coarsening of
Grasedyck 2005, with one price for the whole matrix).
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from hedge.arrays import Indices
from hedge.errors import InputError, ToleranceError
from hedge.hmatrix.building import TINY, Builder, Built
from hedge.hmatrix.candidates import Cost, StorageCost, ballot
from hedge.hmatrix.checks import positive, positive_integer, squarable_matrix
from hedge.hmatrix.cluster import Admissible, ClusterTree, anywhere, in_given_order
from hedge.hmatrix.entries import Entries, as_entries
from hedge.hmatrix.hmatrix import HMatrix
from hedge.hmatrix.lowrank import Compressor, aca, randomized_svd
from hedge.hmatrix.pruning import best_pruning
from hedge.hmatrix.threads import each_in_threads, one_blas_thread

if TYPE_CHECKING:
    from hedge.hmatrix.nested import H2Matrix

FIRST_SHARE = 0.1  # of the tolerance, for the first compression; the pruning spends what is left
NORM_SAMPLES = 64  # rows and columns from which the norm is first estimated
FRONT = 100  # points of a front in the search for the best pruning, which is within ...
NEAR_LEAST = 1e-3  # ... of the least numbers
SAMPLED_AT_ONCE = 2**20  # entries that are compared at a time
ASYMMETRY = 1e-10  # relative to the largest entry: more than rounding leaves
ALARM = 3.0  # times the tolerance: what the error on sampled rows exceeds only if it is too large


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

    A large matrix is built on all cores that the process may use, in pieces that don't hang on how many
    there are; the result is the same on any number. BLAS has one thread meanwhile.

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
    with one_blas_thread(), each_in_threads() as each:
        builder = Builder(
            entries,
            rows,
            columns,
            admissible,
            compressor,
            rank_limit,
            0.0,
            coarsen,
            cost is not None,
            entries.symmetric and rows is columns,
            each,
        )
        found, budget = _within(tolerance, builder)
        votes = ballot(found.candidate, StorageCost() if cost is None else cost)
        pruning = best_pruning(
            votes.least_cost, max(budget, 0.0) ** 2, largest_front=FRONT, near=NEAR_LEAST
        )
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


def _within(tolerance: float, builder: Builder) -> tuple[Built, float]:
    """The matrix after first compression and merges, and the error that the pruning may add."""
    norm = _estimated_norm(builder.entries)
    if builder.symmetric:
        _check_symmetry(builder.entries)
    while True:
        first_budget = max(FIRST_SHARE * tolerance * norm, TINY)
        (found,) = replace(builder, budget=first_budget).built(
            [(builder.rows.root, builder.columns.root)]
        )
        norm = math.sqrt(found.squared_norm)
        budget = tolerance * norm - first_budget
        if budget > 0 or first_budget == TINY:
            return found, budget
        # else the norm was taken for more than ten times what it is: once more


def sampled_error(
    matrix: ArrayLike | Entries, h: HMatrix | H2Matrix, *, samples: int = 100, seed: int = 1
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
    parts = np.array_split(rows, min(-(-count * n // SAMPLED_AT_ONCE), count))

    def missed(part: Indices) -> float:
        difference = h.rows(part) - entries(part, np.arange(n))
        return float(np.vdot(difference, difference))

    with one_blas_thread(), each_in_threads() as each:
        total = sum((each if len(parts) > 1 else map)(missed, parts))
        norm = h.frobenius_norm()
    off = math.sqrt(total * m / count)
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


def _check_symmetry(entries: Entries) -> None:
    rng = np.random.default_rng(2)
    size = min(entries.shape[0], NORM_SAMPLES)
    i, j = (rng.choice(entries.shape[0], size, replace=False) for _ in range(2))
    upper, lower = entries(i, j), entries(j, i).T
    off = float(np.abs(upper - lower).max())
    if off > ASYMMETRY * float(np.abs(upper).max()):
        raise InputError(
            f"symmetric: entries across the diagonal differ by {off:.1e}; leave symmetric out"
        )
