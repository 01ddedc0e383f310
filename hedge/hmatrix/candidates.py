"""A block tree in which every node knows how well low rank would do: what a pruning chooses from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from hedge.arrays import Array
from hedge.hmatrix.cluster import Cluster
from hedge.hmatrix.leaf import Leaf
from hedge.hmatrix.pruning import Options

DENSE = -1
"""In place of a rank: the block is kept as it is."""


class Cost(Protocol):
    """What a leaf costs; a pruning minimises the sum over its leaves."""

    def low_rank(self, rows: int, columns: int, ranks: Array) -> Array:
        """Costs (r,) of a block of that shape at each of the ranks (r,)."""

    def dense(self, rows: int, columns: int) -> float:
        """Cost of keeping the block as it is."""


@dataclass(frozen=True)
class StorageCost:
    """How many numbers are kept, k (m + n) or m n; a product takes twice as many flops.

    >>> StorageCost().low_rank(8, 8, np.array([1.0, 2.0]))
    array([16., 32.])
    """

    def low_rank(self, rows: int, columns: int, ranks: Array) -> Array:
        """k (m + n)."""
        return ranks * float(rows + columns)

    def dense(self, rows: int, columns: int) -> float:
        """m n."""
        return float(rows * columns)


@dataclass(frozen=True, eq=False)
class Candidate:
    """One block of the tree.

    tails (r + 1,) is the squared error at ranks 0 … r, None if low rank is out of the question.
    dense_error is the squared error of the block as it is kept, None if it can't be kept.
    leaf makes the leaf of a rank, or of DENSE. A mirrored one stands for the block across the diagonal
    of a symmetric matrix, too; so do all below it.
    """

    rows: Cluster
    columns: Cluster
    children: tuple[Candidate, ...]
    tails: Array | None
    dense_error: float | None
    leaf: Callable[[int], Leaf]
    mirrored: bool = False


@dataclass(frozen=True, eq=False)
class Ballot:
    """The options of a tree of candidates as arrays, with what each option stands for."""

    nodes: tuple[Candidate, ...]
    owner: NDArray[np.intp]  # node of each option
    ranks: NDArray[np.intp]  # its rank, or DENSE
    cost: Array
    error: Array  # squared
    first_option: NDArray[np.intp]
    first_child: NDArray[np.intp]
    children: NDArray[np.intp]

    @property
    def least_cost(self) -> Options:
        """Minimise cost, limit squared error."""
        return Options(self.first_option, self.first_child, self.children, self.cost, self.error)

    @property
    def least_error(self) -> Options:
        """Minimise squared error, limit cost."""
        return Options(self.first_option, self.first_child, self.children, self.error, self.cost)

    def leaves(self, chosen: NDArray[np.intp]) -> tuple[Leaf, ...]:
        """The leaves that the chosen options stand for."""
        found = []
        for i in chosen:
            node = self.nodes[self.owner[i]]
            leaf = node.leaf(int(self.ranks[i]))
            found += [leaf, leaf.transposed()] if node.mirrored else [leaf]
        return tuple(found)


def ballot(root: Candidate, cost: Cost) -> Ballot:
    """Number the nodes breadth first and list all their options."""
    nodes, level = [root], [root]
    first_child, children = [], []
    while level:
        following = [child for node in level for child in node.children]
        start = len(nodes)
        for node in level:
            first_child.append(start)
            children.append(len(node.children))
            start += len(node.children)
        nodes += following
        level = following
    ranks, costs, errors, counts = [], [], [], []
    for node in nodes:
        m, n = node.rows.size, node.columns.size
        own, copies = 0, 2.0 if node.mirrored else 1.0
        if node.tails is not None:
            k = np.arange(len(node.tails))
            ranks.append(k)
            costs.append(copies * cost.low_rank(m, n, k.astype(np.float64)))
            errors.append(copies * node.tails)
            own += len(k)
        if node.dense_error is not None:
            ranks.append(np.array([DENSE]))
            costs.append(np.array([copies * cost.dense(m, n)]))
            errors.append(np.array([copies * node.dense_error]))
            own += 1
        counts.append(own)
    return Ballot(
        tuple(nodes),
        np.repeat(np.arange(len(nodes)), counts),
        np.concatenate(ranks),
        np.concatenate(costs),
        np.concatenate(errors),
        np.concatenate(([0], np.cumsum(counts))),
        np.array(first_child, dtype=np.intp),
        np.array(children, dtype=np.intp),
    )
