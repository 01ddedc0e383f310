"""Multilevel sums: low-rank terms on the diagonal blocks of every level, added up.

A = Σ_levels blockdiag(U V), so that a block may add to the low-rank term of its parent. Fitting is
block coordinate descent: each block is replaced by the truncated SVD of what the others leave over. A
rank costs m + n numbers wherever it is; one price for all blocks moves ranks between levels to where
they lower the error most (after Parshakova, Hastie, Darve and Boyd, 2023, who move them by level).

It pays where a matrix is a smooth part of moderate rank plus corrections near the diagonal: points in
three and more dimensions, distance matrices. In one and two dimensions the best tiling is as a rule
better; ``fit`` takes the best.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from hedge.arrays import Array
from hedge.errors import InputError
from hedge.hmatrix.checks import positive, positive_integer, squarable_matrix
from hedge.hmatrix.cluster import Cluster, ClusterTree
from hedge.hmatrix.hmatrix import HMatrix
from hedge.hmatrix.leaf import Leaf
from hedge.hmatrix.nested import H2Matrix
from hedge.hmatrix.optimum import chosen_trees
from hedge.hmatrix.spectrum import leading

SPARE_RANK = 8  # singular values found beyond those in use, so that a rank can grow


@dataclass(frozen=True, eq=False)
class Fit:
    """The fitted matrix and its relative error ‖A − H‖_F / ‖A‖_F."""

    matrix: HMatrix | H2Matrix
    error: float


def multilevel(
    matrix: ArrayLike,
    *,
    budget: float,
    rows: ClusterTree | None = None,
    columns: ClusterTree | None = None,
    leaf_size: int = 16,
    sweeps: int = 40,
    seed: int = 0,
) -> Fit:
    """A multilevel sum of at most ``budget`` numbers, fitted by descent from the coarsest level down.

    Where one tree ends before the other, so do the blocks. Raises InputError as :func:`fit` does.

    >>> x = np.linspace(0, 1, 64)
    >>> fitted = multilevel(1 / (1 + 20 * abs(x[:, None] - x)), budget=1024)
    >>> fitted.matrix.numbers <= 1024, fitted.matrix.overlapping
    (True, True)
    """
    dense = squarable_matrix("matrix", matrix)
    positive("budget", budget)
    positive_integer("sweeps", sweeps)
    rows, columns = chosen_trees(dense, rows, columns, leaf_size)
    blocks = _diagonal_blocks(rows.root, columns.root)
    if budget < min(sum(block.shape) for block in blocks):
        raise InputError(f"budget: {budget:g} pays for no rank of any block; give more")
    rng = np.random.default_rng(seed)
    rest = dense[np.ix_(rows.order, columns.order)].copy()
    terms = [
        Leaf(*_place(b), (np.zeros((b.shape[0], 0)), np.zeros((0, b.shape[1])))) for b in blocks
    ]
    norm = max(float(np.linalg.norm(dense)), np.finfo(np.float64).tiny)
    best, price = (np.inf, tuple(terms)), 0.0
    start = int(budget // sum(dense.shape))
    for sweep in range(sweeps):
        worths: list[tuple[Array, int]] = []
        for i, block in enumerate(blocks):
            part = rest[block.top : block.bottom, block.start : block.stop]
            part += terms[i].values()
            known = max(terms[i].factors[0].shape[1], start if i == 0 else 0) + SPARE_RANK
            u, s, vt = leading(part, known, rng)
            cost = sum(block.shape)
            worths.append((s**2 / cost, cost))
            if (
                sweep == 0
            ):  # coarsest first: half of what is left to the block, halved level by level
                rank = start // 2 ** (block.level + 1)
            else:
                rank = int(np.count_nonzero(s**2 > price * cost))
            terms[i] = Leaf(*_place(block), (u[:, :rank] * s[:rank], vt[:rank]))
            part -= terms[i].values()
        error = float(np.linalg.norm(rest)) / norm
        if sum(term.numbers for term in terms) <= budget and error < best[0]:
            best = (error, tuple(terms))
        price = _price(worths, budget)
    kept = tuple(term for term in best[1] if term.numbers) or best[1][:1]
    return Fit(HMatrix(rows.order, columns.order, kept, overlapping=True), best[0])


@dataclass(frozen=True)
class _Block:
    top: int
    bottom: int
    start: int
    stop: int
    level: int

    @property
    def shape(self) -> tuple[int, int]:
        return self.bottom - self.top, self.stop - self.start


def _place(block: _Block) -> tuple[int, int, int, int]:
    return block.top, block.bottom, block.start, block.stop


def _diagonal_blocks(rows: Cluster, columns: Cluster) -> list[_Block]:
    """Level by level, coarsest first."""
    found, level = [], [(rows, columns)]
    while level:
        found += [_Block(r.start, r.stop, c.start, c.stop, r.level) for r, c in level]
        level = [pair for r, c in level for pair in zip(r.children, c.children, strict=False)]
    return found


def _price(worths: list[tuple[Array, int]], budget: float) -> float:
    """The worth σ² / (m + n) of a rank at which the budget is spent, over all blocks."""
    worth = np.concatenate([values for values, _ in worths])
    cost = np.concatenate([np.full(len(values), float(cost)) for values, cost in worths])
    order = np.argsort(-worth)
    spent = np.cumsum(cost[order])
    first_too_dear = int(np.searchsorted(spent, budget, side="right"))
    return float(worth[order[min(first_too_dear, len(order) - 1)]])
