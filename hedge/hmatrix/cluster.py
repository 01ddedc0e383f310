"""Cluster trees: an order of the indices, and a tree of contiguous ranges of that order.

A *splitter* takes the indices of a cluster and returns those of its two children; the four trees of
this file differ in nothing else. An admissibility says which pairs of clusters may be of low rank.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import product

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hedge.arrays import Array, Indices
from hedge.errors import InputError
from hedge.hmatrix.checks import positive, positive_integer, real_matrix

Splitter = Callable[[Indices], tuple[Indices, Indices]]

LEAF_SIZE = 64
"""Clusters no larger than this are not cut: below it, a call costs more than the arithmetic."""

LOPSIDED = 16  # a cut that leaves less than this part on one side is no cut


@dataclass(frozen=True, eq=False)
class Cluster:
    """The range ``start:stop`` of a tree's order, with its two children or none.

    level and number place it in the tree (the root is 0, 0; children 2i and 2i + 1). lower and upper
    (d,) are the bounding box of its points, None in a tree without coordinates.
    """

    start: int
    stop: int
    level: int
    number: int
    children: tuple[Cluster, ...]
    lower: Array | None = None
    upper: Array | None = None

    @property
    def size(self) -> int:
        """How many indices it holds."""
        return self.stop - self.start

    def leaves(self) -> Iterator[Cluster]:
        """The clusters below it that are not cut, from left to right."""
        if not self.children:
            yield self
        for child in self.children:
            yield from child.leaves()


@dataclass(frozen=True, eq=False)
class ClusterTree:
    """``order[i]`` (n,) is the original index at position i; ``root`` covers 0:n."""

    order: Indices
    root: Cluster

    def __len__(self) -> int:
        return len(self.order)

    @cached_property
    def depth(self) -> int:
        """Levels below the root."""
        return max(leaf.level for leaf in self.root.leaves())


def in_given_order(size: int, leaf_size: int = LEAF_SIZE) -> ClusterTree:
    """Halve 0:size again and again; for matrices whose order already means something.

    Raises InputError unless size and leaf_size are positive integers.

    >>> [(c.start, c.stop) for c in in_given_order(10, 3).root.leaves()]
    [(0, 2), (2, 5), (5, 7), (7, 10)]
    """
    positive_integer("size", size)
    return _grow(np.arange(size), _halves, leaf_size, None)


def bisect_geometrically(points: ArrayLike, leaf_size: int = LEAF_SIZE) -> ClusterTree:
    """Cut the bounding box of ``points`` (n, d) in the middle of its longest side.

    Boxes stay near square, so that admissible blocks are large (Börm, Grasedyck, Hackbusch 2003). Where
    one half would hold next to nothing the cut is at the median, so that the tree is never deep.
    Raises InputError for points that are not a finite (n, d) array.
    """
    x = real_matrix("points", points)

    def splitter(indices: Indices) -> tuple[Indices, Indices]:
        own = x[indices]
        lower, upper = own.min(axis=0), own.max(axis=0)
        axis = int(np.argmax(upper - lower))
        left = own[:, axis] <= (lower[axis] + upper[axis]) / 2
        if min(left.sum(), (~left).sum()) * LOPSIDED < len(indices):
            return _halves(indices[np.argsort(own[:, axis], kind="stable")])
        return indices[left], indices[~left]

    return _grow(np.arange(len(x)), splitter, leaf_size, x)


def kd_tree(points: ArrayLike, leaf_size: int = LEAF_SIZE) -> ClusterTree:
    """Cut ``points`` (n, d) at the median of their widest coordinate; all leaves are alike in size.

    Raises InputError for points that are not a finite (n, d) array.
    """
    x = real_matrix("points", points)

    def splitter(indices: Indices) -> tuple[Indices, Indices]:
        own = x[indices]
        axis = int(np.argmax(own.max(axis=0) - own.min(axis=0)))
        return _halves(indices[np.argsort(own[:, axis], kind="stable")])

    return _grow(np.arange(len(x)), splitter, leaf_size, x)


def by_similarity(vectors: ArrayLike, leaf_size: int = LEAF_SIZE) -> ClusterTree:
    """Order the rows of ``vectors`` (n, m) so that those alike stand together; for matrices without
    geometry (the rows or, transposed, the columns of a weight matrix).

    Each cluster is cut at the median along the direction in which its rows, scaled to unit length,
    vary most (principal direction divisive partitioning, Boley 1998).
    Raises InputError for vectors that are not a finite (n, m) array.
    """
    rows = real_matrix("vectors", vectors)
    norms = np.linalg.norm(rows, axis=1, keepdims=True)
    unit = rows / np.where(norms > 0, norms, 1.0)

    def splitter(indices: Indices) -> tuple[Indices, Indices]:
        own = unit[indices] - unit[indices].mean(axis=0)
        gram = own @ own.T if len(own) <= own.shape[1] else own.T @ own
        leading = np.linalg.eigh(gram)[1][:, -1]
        along = leading if len(own) <= own.shape[1] else own @ leading
        return _halves(indices[np.argsort(along, kind="stable")])

    return _grow(np.arange(len(rows)), splitter, leaf_size, None)


def _halves(indices: Indices) -> tuple[Indices, Indices]:
    middle = len(indices) // 2
    return indices[:middle], indices[middle:]


def _grow(
    indices: Indices, splitter: Splitter, leaf_size: int, points: Array | None
) -> ClusterTree:
    positive_integer("leaf_size", leaf_size)
    if len(indices) == 0:
        raise InputError("cluster tree: there is nothing to cluster; give at least one index")
    order: list[Indices] = []

    def grow(own: Indices, start: int, level: int, number: int) -> Cluster:
        box = (None, None) if points is None else (points[own].min(axis=0), points[own].max(axis=0))
        children: tuple[Cluster, ...] = ()
        if len(own) <= leaf_size:
            order.append(own)
        else:
            first, second = splitter(own)
            children = (
                grow(first, start, level + 1, 2 * number),
                grow(second, start + len(first), level + 1, 2 * number + 1),
            )
        return Cluster(start, start + len(own), level, number, children, *box)

    root = grow(indices, 0, 0, 0)
    whole = np.concatenate(order)
    whole.setflags(write=False)
    return ClusterTree(whole, root)


Admissible = Callable[[Cluster, Cluster], bool]
"""(rows, columns) -> whether their block is worth a low-rank approximation."""


def weak(rows: Cluster, columns: Cluster) -> bool:
    """Every block beside the diagonal: a HODLR matrix (hierarchically off-diagonal low rank)."""
    return (rows.level, rows.number) != (columns.level, columns.number)


def strong(eta: float = 2.0) -> Admissible:
    """Blocks of boxes that are far apart for their size, min(diam X, diam Y) ≤ η dist(X, Y).

    The standard condition, under which the rank of asymptotically smooth kernels does not grow
    (Hackbusch 2015, section 5.2). Raises InputError for η ≤ 0, and where clusters have no boxes.
    """
    return _Strong(positive("eta", eta))


@dataclass(frozen=True)
class _Strong:
    eta: float

    def __call__(self, rows: Cluster, columns: Cluster) -> bool:
        return bool(self.of_pairs(((rows, columns),))[0])

    def of_pairs(self, pairs: Sequence[tuple[Cluster, Cluster]]) -> NDArray[np.bool_]:
        """Of each pair, (b,)."""
        x_low, x_high = _boxes([rows for rows, _ in pairs])
        y_low, y_high = _boxes([columns for _, columns in pairs])
        gaps = np.maximum(np.maximum(x_low - y_high, y_low - x_high), 0.0)
        distance = np.linalg.norm(gaps, axis=1)
        diameter = np.minimum(
            np.linalg.norm(x_high - x_low, axis=1), np.linalg.norm(y_high - y_low, axis=1)
        )
        return np.asarray((distance > 0) & (diameter <= self.eta * distance))


def _boxes(clusters: Sequence[Cluster]) -> tuple[Array, Array]:
    if any(cluster.lower is None for cluster in clusters):
        raise InputError(
            "strong admissibility: a cluster tree has no coordinates; build both trees with "
            "kd_tree or bisect_geometrically, or use weak or anywhere"
        )
    return np.array([c.lower for c in clusters]), np.array([c.upper for c in clusters])


def which_admissible(
    admissible: Admissible, pairs: Sequence[tuple[Cluster, Cluster]]
) -> NDArray[np.bool_]:
    """Of each pair of clusters whether its block is worth a low-rank approximation, (b,)."""
    if isinstance(admissible, _Strong):
        return admissible.of_pairs(pairs)
    slip: object = strong  # an easy one, for strong()
    is_function = callable(admissible) and admissible is not slip
    found = [admissible(*pair) for pair in pairs] if is_function else [None]
    if not all(isinstance(each, bool | np.bool_) for each in found):
        raise InputError(
            "admissible: is no function of two clusters that says True or False; give weak, strong() or "
            "anywhere"
        )
    return np.array(found, dtype=bool)


def anywhere(rows: Cluster, columns: Cluster) -> bool:
    """Every block: low rank is tried from the whole matrix downwards (an adaptive quadtree)."""
    return True


def cut(rows: Cluster, columns: Cluster) -> tuple[tuple[Cluster, Cluster], ...]:
    """The blocks that a block is cut into: four, two where one side is a leaf, none at leaves."""
    if not rows.children and not columns.children:
        return ()
    return tuple(product(rows.children or (rows,), columns.children or (columns,)))
