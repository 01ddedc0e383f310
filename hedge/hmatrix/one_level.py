"""Bases of one level: every cluster of it has one for its whole row of blocks.

A ≈ blockdiag(U) C blockdiag(V)ᵀ: U_i spans the rows of cluster i, V_j the columns of cluster j, and the core
C (Σ k_i, Σ l_j) couples all of them, so that a block takes k_i l_j numbers instead of factors of its own
(Ashcraft, Buttari and Mary, 2021, who call it BLR²). U_i and V_j are the leading singular vectors of whole
rows and
columns of blocks; one price tells their ranks.

It pays wherever clusters see much of the same: smooth kernels, distances, in the plane and in space.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike

from hedge.arrays import Array, Indices
from hedge.errors import InputError
from hedge.hmatrix.bases import NestedBasis
from hedge.hmatrix.checks import positive, squarable_matrix
from hedge.hmatrix.cluster import Cluster, ClusterTree
from hedge.hmatrix.leaf import Leaf
from hedge.hmatrix.levels import Fit
from hedge.hmatrix.nested import Coupling, H2Matrix
from hedge.hmatrix.optimum import chosen_trees

HALVINGS = 60  # of the interval in which the price lies
ROUNDS = 4  # of ranks that hang on each other through the core


def shared_bases(
    matrix: ArrayLike,
    *,
    budget: float,
    rows: ClusterTree | None = None,
    columns: ClusterTree | None = None,
    leaf_size: int = 16,
) -> Fit:
    """The best found of at most ``budget`` numbers, over all levels of the trees.

    Raises InputError for a matrix that is not real, finite and non-empty, or a budget that is not positive
    or pays for nothing.

    >>> x = np.linspace(0, 1, 128)
    >>> fitted = shared_bases(np.exp(-abs(x[:, None] - x)), budget=2048)
    >>> fitted.matrix.numbers <= 2048
    True
    """
    dense = squarable_matrix("matrix", matrix)
    positive("budget", budget)
    rows, columns = chosen_trees(dense, rows, columns, leaf_size)
    if budget < 1 + sum(dense.shape):
        raise InputError(f"budget: {budget:g} pays for no rank of the whole; give more")
    reordered = dense[np.ix_(rows.order, columns.order)]
    norm = max(float(np.linalg.norm(dense)), np.finfo(np.float64).tiny)
    best: Fit | None = None
    symmetric = rows is columns and np.array_equal(reordered, reordered.T)
    depth = max(rows.depth, columns.depth)
    for level in range(min(1, depth), depth + 1):
        own = _Side.of(rows, level, reordered)
        other = own if symmetric else _Side.of(columns, level, reordered.T)
        found = _fitted(reordered, own, other, budget)
        if best is None or found.error < best.error:
            best = found
    assert best is not None
    return Fit(best.matrix, best.error / norm)


@dataclass(frozen=True, eq=False)
class _Side:
    """Clusters of a level that make up one side, with the singular values and vectors of their strips."""

    order: Indices
    clusters: tuple[Cluster, ...]
    vectors: tuple[Array, ...]
    squares: tuple[Array, ...]

    @staticmethod
    def of(tree: ClusterTree, level: int, matrix: Array) -> _Side:
        clusters = tuple(_of_level(tree.root, level))
        found = [np.linalg.svd(matrix[c.start : c.stop], full_matrices=False)[:2] for c in clusters]
        return _Side(
            tree.order, clusters, tuple(u for u, _ in found), tuple(s**2 for _, s in found)
        )

    @property
    def sizes(self) -> Array:
        return np.array([cluster.size for cluster in self.clusters], dtype=np.float64)

    def ranks(self, price: float, across: float) -> Indices:
        """Of each cluster, where a rank costs its basis vector and a line of the core, ``across`` long."""
        return np.array(
            [
                np.count_nonzero(squares > price * (cluster.size + across))
                for cluster, squares in zip(self.clusters, self.squares, strict=True)
            ]
        )

    def basis(self, ranks: Indices) -> NestedBasis:
        """Below a root that has none of its own."""
        size = len(self.order)
        leaves = [replace(c, level=1, number=i, children=()) for i, c in enumerate(self.clusters)]
        matrices = [u[:, :k].copy() for u, k in zip(self.vectors, ranks, strict=True)]
        if len(leaves) == 1:
            return NestedBasis(self.order, (replace(leaves[0], level=0),), tuple(matrices))
        root = Cluster(0, size, 0, 0, tuple(leaves))
        return NestedBasis(
            self.order, (root, *leaves), (np.zeros((int(ranks.sum()), 0)), *matrices)
        )


def _of_level(cluster: Cluster, level: int) -> list[Cluster]:
    if cluster.level == level or not cluster.children:
        return [cluster]
    return [own for child in cluster.children for own in _of_level(child, level)]


def _fitted(matrix: Array, rows: _Side, columns: _Side, budget: float) -> Fit:
    """With its absolute error."""
    ranks = _ranks_within(rows, columns, budget)
    left, right = rows.basis(ranks[0]), columns.basis(ranks[1])
    of_rows = list(zip(rows.clusters, _leaves_of(left), strict=True))
    of_columns = list(zip(columns.clusters, _leaves_of(right), strict=True))
    couplings, zeros = [], []
    rest = matrix.copy()
    for r, i in of_rows:
        u = left.matrices[i]
        strip = u.T @ matrix[r.start : r.stop]
        for c, j in of_columns:
            v = right.matrices[j]
            values = strip[:, c.start : c.stop] @ v
            rest[r.start : r.stop, c.start : c.stop] -= u @ values @ v.T
            if values.size:
                couplings.append(Coupling(i, j, (values,)))
            else:
                none = np.zeros((r.size, 0)), np.zeros((0, c.size))
                zeros.append(Leaf(r.start, r.stop, c.start, c.stop, none))
    found = H2Matrix(left, right, tuple(couplings), tuple(zeros))
    return Fit(found, float(np.linalg.norm(rest)))


def _leaves_of(basis: NestedBasis) -> range:
    """Positions of the clusters below the root, or of the root alone."""
    count = len(basis.clusters)
    return range(1, count) if count > 1 else range(count)


def _ranks_within(rows: _Side, columns: _Side, budget: float) -> tuple[Indices, Indices]:
    """By the lowest price that the budget allows."""
    free = sum(float(squares[0]) for squares in (*rows.squares, *columns.squares))
    low, high = 0.0, max(free, np.finfo(np.float64).tiny)
    best = (
        np.zeros(len(rows.clusters), dtype=np.intp),
        np.zeros(len(columns.clusters), dtype=np.intp),
    )
    for _ in range(HALVINGS):
        price = math.sqrt(low * high) if low > 0.0 else high * 1e-30
        ranks = _ranks_at(rows, columns, price)
        numbers = ranks[0] @ rows.sizes + ranks[1] @ columns.sizes + ranks[0].sum() * ranks[1].sum()
        if numbers <= budget:
            high, best = price, ranks
        else:
            low = price
    return best


def _ranks_at(rows: _Side, columns: _Side, price: float) -> tuple[Indices, Indices]:
    """Where a rank is worth this price for each number it takes; those of one side hang on the other's."""
    high = wide = 0.0
    for _ in range(ROUNDS):
        ranks = rows.ranks(price, wide), columns.ranks(price, high)
        # between this and the last: ranks that jump from few to many and back would never settle
        high, wide = (high + ranks[0].sum()) / 2.0, (wide + ranks[1].sum()) / 2.0
    return ranks
