"""Algorithms 1 to 4 of the paper, to the letter; what each leaves open is stated in its docstring.

They are here to be compared with: ``cheapest`` is never worse at the same error and cost, and
``refit`` is the sound form of Algorithm 2.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike

from hedge.arrays import Array
from hedge.errors import InputError
from hedge.hmatrix.checks import positive, positive_integer, squarable_matrix
from hedge.hmatrix.cluster import Cluster, ClusterTree, cut
from hedge.hmatrix.hmatrix import HMatrix
from hedge.hmatrix.leaf import Leaf
from hedge.hmatrix.lowrank import rank_within
from hedge.hmatrix.optimum import chosen_trees
from hedge.paper.costs import PaperEnergy

LOW, HIGH = 0.5, 2.0
"""Below LOW times the mean energy a block counts as low in energy, above HIGH times as high."""


def adaptive(
    matrix: ArrayLike,
    *,
    tolerance: float,
    rank: int = 1,
    rows: ClusterTree | None = None,
    columns: ClusterTree | None = None,
    leaf_size: int = 16,
) -> HMatrix:
    """Algorithm 1: cut every block whose rank-``rank`` error ‖A_ij − H_ij‖_F is above ``tolerance``.

    The tolerance is absolute and per block, so that ‖A − H‖_F ≤ tolerance · √(number of leaves). The
    paper leaves open the first partition (here the whole matrix), the rank (here given), and blocks
    that can't be cut (here dense). Raises InputError for bad arguments.

    >>> h = adaptive(np.arange(1.0, 17.0).reshape(4, 4), tolerance=0.5, leaf_size=2)
    >>> [leaf.rank for leaf in h.leaves]  # the example of section V: quadrants of rank 1
    [1, 1, 1, 1]
    """
    dense = squarable_matrix("matrix", matrix)
    positive("tolerance", tolerance)
    positive_integer("rank", rank)
    rows, columns = chosen_trees(dense, rows, columns, leaf_size)
    reordered = dense[np.ix_(rows.order, columns.order)]
    leaves = []
    queue = [(rows.root, columns.root)]
    while queue:
        r, c = queue.pop(0)
        block = _Block.of(reordered, r, c)
        if block.error(rank) <= tolerance:
            leaves.append(block.leaf(rank))
        elif parts := cut(r, c):
            queue += parts
        else:
            leaves.append(block.leaf(None))
    return HMatrix(rows.order, columns.order, tuple(leaves))


@dataclass(frozen=True, eq=False)
class Adjusted:
    """What Algorithm 2 returns: H̃, the dependencies D (leaves, leaves), D[p, q] of leaf p on q."""

    matrix: HMatrix
    dependencies: Array


def dependency_adjusted(h: HMatrix, *, gamma: float) -> Adjusted:
    """Algorithm 2: H'_ij = H_ij + Σ_kl D_kl,ij H_kl with D_kl,ij = γ ‖H_ij H_klᵀ‖_F.

    The sum runs over the other blocks (as in example 2), which must all have one shape. It adds
    blocks onto a block they have nothing to do with, so the error as a rule grows; Theorem 8 bounds
    by how much. ``refit`` is the sound form. Raises InputError if shapes differ, or γ ≤ 0.
    """
    positive("gamma", gamma)
    if h.overlapping or len({leaf.shape for leaf in h.leaves}) > 1:
        raise InputError(
            "Algorithm 2 adds blocks onto each other: all must tile and have one shape"
        )
    values = [leaf.values() for leaf in h.leaves]
    d = np.array([[gamma * float(np.linalg.norm(p @ q.T)) for q in values] for p in values])
    np.fill_diagonal(d, 0.0)
    adjusted = tuple(
        replace(
            leaf,
            factors=(np.asarray(leaf.values() + np.tensordot(d[i], values, axes=1)),),
            reason="sum of all blocks (Algorithm 2)",
        )
        for i, leaf in enumerate(h.leaves)
    )
    return Adjusted(replace(h, leaves=adjusted), d)


def adaptive_partition(
    matrix: ArrayLike,
    *,
    target: float,
    energy: PaperEnergy,
    blocks: int = 8,
    rows: ClusterTree | None = None,
    columns: ClusterTree | None = None,
    leaf_size: int = 1,
) -> HMatrix:
    """Algorithm 3: merge blocks of low energy, cut those of high energy, once; then least ranks.

    target is ‖A − H‖_F, absolute; a block's ε_ij is its share by area, so that Σ ε_ij² = target². The
    partition starts with ``blocks`` × ``blocks`` (8 in example 3). The energy of a block is that of
    the least rank that keeps ε_ij. "Low" is below LOW times the mean, "high" above HIGH times;
    "merge with adjacent blocks" is to join the four parts of one cut if all are low. Raises
    InputError for bad arguments.
    """
    plan = _Plan.of(matrix, target, energy, rows, columns, leaf_size)
    partition = plan.at_level(_level_of(blocks, plan))
    mean = float(np.mean([plan.energy_of(*block) for block in partition]))
    low = {block for block in partition if plan.energy_of(*block) < LOW * mean}
    high = {block for block in partition if plan.energy_of(*block) > HIGH * mean}
    result, merged = [], set()
    for family, parent in plan.families(partition):
        if parent is not None and all(block in low for block in family):
            result.append(parent)
            merged.update(family)
    for block in partition:
        if block not in merged:
            result += (cut(*block) or (block,)) if block in high else (block,)
    return plan.matrix_of(result)


def energy_efficient(
    matrix: ArrayLike,
    *,
    target: float,
    energy: PaperEnergy,
    blocks: int = 8,
    rows: ClusterTree | None = None,
    columns: ClusterTree | None = None,
    leaf_size: int = 1,
) -> HMatrix:
    """Algorithm 4: merge and cut as long as that lowers Σ E_ij, then least ranks.

    As Algorithm 3, but every move is taken only if it lowers the total energy, and moves are repeated
    until none does: a descent, which the exact ``cheapest`` can only equal or beat.
    """
    plan = _Plan.of(matrix, target, energy, rows, columns, leaf_size)
    partition = plan.at_level(_level_of(blocks, plan))
    while True:
        before = partition
        merged: list[_Place] = []
        for family, parent in plan.families(partition):
            pays = parent is not None and plan.energy_of(*parent) < plan.total(family)
            merged += [parent] if pays and parent is not None else family
        partition = []
        for block in merged:
            parts = cut(*block)
            partition += parts if parts and plan.total(parts) < plan.energy_of(*block) else (block,)
        if set(partition) == set(before):
            return plan.matrix_of(partition)


def total_energy(h: HMatrix, energy: PaperEnergy) -> float:
    """Σ α k² + β over the leaves (Theorem 10); a dense leaf has full rank."""
    return float(sum(energy.alpha * leaf.rank**2 + energy.beta for leaf in h.leaves))


_Place = tuple[Cluster, Cluster]


@dataclass(frozen=True, eq=False)
class _Block:
    rows: Cluster
    columns: Cluster
    values: Array
    u: Array
    s: Array
    vt: Array

    @staticmethod
    def of(matrix: Array, rows: Cluster, columns: Cluster) -> _Block:
        values = matrix[rows.start : rows.stop, columns.start : columns.stop]
        return _Block(rows, columns, values, *np.linalg.svd(values, full_matrices=False))

    def error(self, rank: int) -> float:
        return float(np.linalg.norm(self.s[rank:]))

    def leaf(self, rank: int | None) -> Leaf:
        place = (self.rows.start, self.rows.stop, self.columns.start, self.columns.stop)
        if rank is None:
            return Leaf(*place, (self.values.copy(),), "can't be cut further")
        return Leaf(*place, (self.u[:, :rank] * self.s[:rank], self.vt[:rank].copy()))


@dataclass(frozen=True, eq=False)
class _Plan:
    """A matrix with the errors and energies of its blocks."""

    matrix: Array
    rows: ClusterTree
    columns: ClusterTree
    target: float
    energy: PaperEnergy
    known: dict[tuple[int, int, int, int], _Block]

    @staticmethod
    def of(
        matrix: ArrayLike,
        target: float,
        energy: PaperEnergy,
        rows: ClusterTree | None,
        columns: ClusterTree | None,
        leaf_size: int,
    ) -> _Plan:
        dense = squarable_matrix("matrix", matrix)
        positive("target", target)
        rows, columns = chosen_trees(dense, rows, columns, leaf_size)
        return _Plan(dense[np.ix_(rows.order, columns.order)], rows, columns, target, energy, {})

    def block(self, rows: Cluster, columns: Cluster) -> _Block:
        place = (rows.start, rows.stop, columns.start, columns.stop)
        if place not in self.known:
            self.known[place] = _Block.of(self.matrix, rows, columns)
        return self.known[place]

    def rank(self, rows: Cluster, columns: Cluster) -> int:
        """The least rank that keeps the block's share of the target."""
        share = self.target * math.sqrt(rows.size * columns.size / self.matrix.size)
        return rank_within(self.block(rows, columns).s, share)

    def energy_of(self, rows: Cluster, columns: Cluster) -> float:
        return self.energy.alpha * self.rank(rows, columns) ** 2 + self.energy.beta

    def total(self, blocks: list[_Place] | tuple[_Place, ...]) -> float:
        return sum(self.energy_of(*block) for block in blocks)

    def at_level(self, level: int) -> list[_Place]:
        """All blocks after ``level`` cuts; what can't be cut so often stays larger."""
        blocks: list[_Place] = [(self.rows.root, self.columns.root)]
        for _ in range(level):
            blocks = [part for block in blocks for part in (cut(*block) or (block,))]
        return blocks

    def families(self, partition: list[_Place]) -> list[tuple[list[_Place], _Place | None]]:
        """The blocks by parent, which is None where not all its parts are in the partition."""
        present = set(partition)
        complete: dict[_Place, _Place] = {}
        queue = [(self.rows.root, self.columns.root)]
        while queue:
            block = queue.pop()
            parts = cut(*block) if block not in present else ()
            if parts and all(part in present for part in parts):
                complete.update(dict.fromkeys(parts, block))
            queue += parts
        groups: dict[_Place | None, list[_Place]] = {}
        for block in partition:
            groups.setdefault(complete.get(block), []).append(block)
        return [(family, parent) for parent, family in groups.items()]

    def matrix_of(self, partition: list[_Place]) -> HMatrix:
        leaves = tuple(self.block(*block).leaf(self.rank(*block)) for block in partition)
        return HMatrix(self.rows.order, self.columns.order, leaves)


def _level_of(blocks: int, plan: _Plan) -> int:
    """Cuts that make ``blocks`` × ``blocks``. Raises InputError unless it is a power of two that fits."""
    positive_integer("blocks", blocks)
    level = blocks.bit_length() - 1
    if 2**level != blocks or level > min(plan.rows.depth, plan.columns.depth):
        raise InputError(
            f"blocks: {blocks} is not a power of two up to 2^{min(plan.rows.depth, plan.columns.depth)}; "
            "the quadtree can't start there"
        )
    return level
