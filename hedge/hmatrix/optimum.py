"""The best H-matrix there is on a quadtree: every pruning, every rank (docs/mathematics.md, one price).

The squared Frobenius error and the cost are both sums over leaves, so that the best pruning of the
tree with the best rank in each leaf is a separable problem, solved exactly by ``pruning``. One global
low-rank block, plain SVD, HODLR and all-dense are among the candidates, as are the results of the
paper's Algorithms 1, 3 and 4 on the same tree: none can be better.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from hedge.arrays import Array
from hedge.errors import InputError
from hedge.hmatrix.candidates import DENSE, Ballot, Candidate, Cost, StorageCost, ballot
from hedge.hmatrix.checks import positive, squarable_matrix
from hedge.hmatrix.cluster import Cluster, ClusterTree, cut, in_given_order
from hedge.hmatrix.construction import trees
from hedge.hmatrix.hmatrix import HMatrix
from hedge.hmatrix.leaf import Leaf
from hedge.hmatrix.pruning import Pruning, best_pruning
from hedge.hmatrix.spectrum import tails_squared


@dataclass(frozen=True, eq=False)
class Optimum:
    """The best H-matrix, its cost, its error ‖A − H‖_F (absolute), and what proves it.

    lower_bound is what no other pruning can go below, in cost (or, from :func:`most_accurate`, in
    squared error); with ``exact`` this one reaches it.
    """

    matrix: HMatrix
    cost: float
    error: float
    lower_bound: float
    exact: bool


def cheapest(
    matrix: ArrayLike,
    *,
    tolerance: float,
    cost: Cost | None = None,
    rows: ClusterTree | None = None,
    columns: ClusterTree | None = None,
    leaf_size: int = 16,
) -> Optimum:
    """The cheapest H-matrix with ‖A − H‖_F ≤ tolerance · ‖A‖_F.

    cost is what leaves cost, the numbers kept by default. Without trees the given order is halved
    down to ``leaf_size``. Raises InputError for a matrix that is not real, finite and non-empty or a
    tolerance that is not positive.

    >>> x = np.linspace(0, 1, 128)
    >>> best = cheapest(np.exp(-30 * abs(x[:, None] - x)), tolerance=1e-3)
    >>> best.exact, best.cost == best.matrix.numbers
    (True, True)
    """
    dense = squarable_matrix("matrix", matrix)
    tolerance = min(positive("tolerance", tolerance), 1.0)  # at 1 nothing at all is near enough
    rows, columns = chosen_trees(dense, rows, columns, leaf_size)
    votes = ballot(_quadtree(dense, rows, columns), StorageCost() if cost is None else cost)
    found = best_pruning(votes.least_cost, (tolerance * float(np.linalg.norm(dense))) ** 2)
    assert found is not None  # all-dense costs no error
    return _optimum(votes, found, found.objective, found.limited, rows, columns)


def most_accurate(
    matrix: ArrayLike,
    *,
    budget: float,
    cost: Cost | None = None,
    rows: ClusterTree | None = None,
    columns: ClusterTree | None = None,
    leaf_size: int = 16,
) -> Optimum:
    """The H-matrix with the least ‖A − H‖_F whose cost is at most ``budget``.

    Arguments as for :func:`cheapest`. Raises InputError, too, if the budget pays for no H-matrix.
    """
    dense = squarable_matrix("matrix", matrix)
    positive("budget", budget)
    rows, columns = chosen_trees(dense, rows, columns, leaf_size)
    votes = ballot(_quadtree(dense, rows, columns), StorageCost() if cost is None else cost)
    found = best_pruning(votes.least_error, budget)
    if found is None:
        raise InputError(f"budget: {budget:g} pays for no H-matrix on this tree; give more")
    return _optimum(votes, found, found.limited, found.objective, rows, columns)


def chosen_trees(
    matrix: Array, rows: ClusterTree | None, columns: ClusterTree | None, leaf_size: int
) -> tuple[ClusterTree, ClusterTree]:
    """The trees given, or halvings of the given order down to ``leaf_size``."""
    m, n = matrix.shape
    if rows is None and (columns is None or m != n):
        rows = in_given_order(m, leaf_size)
    if columns is None and m != n:
        columns = in_given_order(n, leaf_size)
    return trees((m, n), rows, columns)


def _optimum(
    votes: Ballot,
    found: Pruning,
    cost: float,
    squared: float,
    rows: ClusterTree,
    columns: ClusterTree,
) -> Optimum:
    h = HMatrix(rows.order, columns.order, votes.leaves(found.chosen))
    return Optimum(h, cost, math.sqrt(max(squared, 0.0)), found.lower_bound, found.exact)


def _quadtree(matrix: Array, rows: ClusterTree, columns: ClusterTree) -> Candidate:
    """Every block of the two trees with its singular values; factors are computed when asked for."""
    reordered = matrix[np.ix_(rows.order, columns.order)]
    blocks = _blocks(rows.root, columns.root)
    values = _singular_values(reordered, blocks)

    def candidate(r: Cluster, c: Cluster) -> Candidate:
        block = reordered[r.start : r.stop, c.start : c.stop]

        def leaf(rank: int) -> Leaf:
            place = (r.start, r.stop, c.start, c.stop)
            if rank == DENSE:
                return Leaf(*place, (block.copy(),), "cheaper than low rank")
            u, s, vt = np.linalg.svd(block, full_matrices=False)
            return Leaf(*place, (u[:, :rank] * s[:rank], vt[:rank].copy()))

        s = values[r.start, r.stop, c.start, c.stop]
        tails = tails_squared(s)
        children = tuple(candidate(*part) for part in cut(r, c))
        return Candidate(r, c, children, tails, 0.0, leaf)

    return candidate(rows.root, columns.root)


def _blocks(rows: Cluster, columns: Cluster) -> list[tuple[int, int, int, int]]:
    found = [(rows.start, rows.stop, columns.start, columns.stop)]
    for part in cut(rows, columns):
        found += _blocks(*part)
    return found


def _singular_values(
    matrix: Array, blocks: list[tuple[int, int, int, int]]
) -> dict[tuple[int, int, int, int], Array]:
    """Singular values of all blocks; those of one shape go through LAPACK in one call."""
    by_shape: dict[tuple[int, int], list[tuple[int, int, int, int]]] = {}
    for block in blocks:
        by_shape.setdefault((block[1] - block[0], block[3] - block[2]), []).append(block)
    found: dict[tuple[int, int, int, int], Array] = {}
    for group in by_shape.values():
        stack = np.stack([matrix[a:b, c:d] for a, b, c, d in group])
        found.update(zip(group, np.linalg.svd(stack, compute_uv=False), strict=True))
    return found
