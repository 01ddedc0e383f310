"""Sums and truncation of H-matrices."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from hedge.errors import InputError
from hedge.hmatrix.candidates import DENSE, Candidate, StorageCost, ballot
from hedge.hmatrix.checks import positive
from hedge.hmatrix.cluster import Cluster
from hedge.hmatrix.hmatrix import HMatrix
from hedge.hmatrix.leaf import Leaf, overlaps
from hedge.hmatrix.lowrank import svd_of_product
from hedge.hmatrix.pruning import best_pruning
from hedge.hmatrix.spectrum import tails_squared
from hedge.hmatrix.stacks import break_even


def add(a: HMatrix, b: HMatrix, *, tolerance: float) -> HMatrix:
    """A + B, truncated: ‖(A + B) − result‖_F ≤ tolerance · ‖A + B‖_F.

    Where the leaves of the two differ, the result has their common refinement. Raises InputError for
    a tolerance that is not positive, matrices of other shapes or orders, and overlapping leaves.

    >>> from hedge.hmatrix import build
    >>> x = np.linspace(0, 1, 200)
    >>> h = build(np.exp(-abs(x[:, None] - x)), tolerance=1e-6)
    >>> twice = add(h, h, tolerance=1e-6)
    >>> bool(np.allclose(twice @ x, 2 * (h @ x), rtol=1e-5)), twice.nbytes <= h.nbytes
    (True, True)
    """
    same = np.array_equal(a.row_order, b.row_order) and np.array_equal(
        a.column_order, b.column_order
    )
    if not same:
        raise InputError("add: the matrices differ in shape or order; build both on the same trees")
    if a.overlapping or b.overlapping:
        raise InputError(
            "add: the leaves of a multilevel sum overlap; only leaves that tile add up"
        )
    by_place = {(leaf.top, leaf.bottom, leaf.start, leaf.stop): leaf for leaf in b.leaves}
    leaves, others = [], []
    for leaf in a.leaves:
        twin = by_place.pop((leaf.top, leaf.bottom, leaf.start, leaf.stop), None)
        if twin is None:
            others.append(leaf)
        else:
            leaves.append(_sum(leaf, twin))
    mixed = (*others, *by_place.values())
    leaves += [_sum(p.part(*box), q.part(*box)) for p, q, box in overlaps(mixed)]
    return truncate(replace(a, leaves=tuple(leaves)), tolerance=tolerance)


def _sum(a: Leaf, b: Leaf) -> Leaf:
    if a.is_dense or b.is_dense:
        reason = a.reason or b.reason
        return replace(a, factors=(a.values() + b.values(),), reason=reason)
    left = np.hstack((a.factors[0], b.factors[0]))
    right = np.vstack((a.factors[1], b.factors[1]))
    if left.shape[1] > break_even(*a.shape):
        return replace(a, factors=(left @ right,), reason="the sum's rank is too high")
    return replace(a, factors=(left, right))


def truncate(h: HMatrix, *, tolerance: float) -> HMatrix:
    """Lower the ranks: ‖H − result‖_F ≤ tolerance · ‖H‖_F with the fewest numbers, leaf by leaf.

    QR and SVD give each leaf's singular values without forming it; which to drop is decided by one
    price for all leaves. Raises InputError for a tolerance that is not positive or overlapping leaves.
    """
    positive("tolerance", tolerance)
    if h.overlapping:
        raise InputError("truncate: the leaves of a multilevel sum overlap; fit it again instead")
    children = tuple(_candidate(leaf) for leaf in h.leaves)
    whole = Cluster(0, h.shape[0], 0, 0, ()), Cluster(0, h.shape[1], 0, 0, ())
    root = Candidate(*whole, children, None, None, children[0].leaf)
    votes = ballot(root, StorageCost())
    norm = math.sqrt(sum(float(c.tails[0]) for c in children if c.tails is not None))
    pruning = best_pruning(votes.least_cost, (tolerance * norm) ** 2)
    assert pruning is not None  # keeping every leaf costs no error
    return replace(h, leaves=votes.leaves(pruning.chosen))


def _candidate(leaf: Leaf) -> Candidate:
    if leaf.is_dense:
        u, s, vt = np.linalg.svd(leaf.factors[0], full_matrices=False)
        most = break_even(*leaf.shape)
    else:
        product = svd_of_product(*leaf.factors)
        u, s, vt = product.left, product.values, product.right
        most = len(s)
    tails = tails_squared(s)[: most + 1]

    def chosen(rank: int) -> Leaf:
        if rank == DENSE:
            return leaf
        return replace(leaf, factors=(u[:, :rank] * s[:rank], vt[:rank].copy()), reason="")

    rows, columns = (
        Cluster(leaf.top, leaf.bottom, 1, 0, ()),
        Cluster(leaf.start, leaf.stop, 1, 0, ()),
    )
    return Candidate(rows, columns, (), tails, 0.0 if leaf.is_dense else None, chosen)
