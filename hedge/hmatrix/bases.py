"""Nested bases: one for each cluster, made of those of its parts, and their construction from blocks."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import DTypeLike

from hedge.arrays import Array, Indices
from hedge.hmatrix.cluster import Cluster, ClusterTree
from hedge.hmatrix.stacks import alike, pieces, ranks_within, svd


@dataclass(frozen=True, eq=False)
class NestedBasis:
    """Orthonormal bases V_i of all clusters of a tree, of rank k_i.

    clusters has parents before their children. matrices[i] is V_i (size, k_i) itself at a leaf, and
    at a cluster with children c the transfer (Σ k_c, k_i): V_i is that of the children on top of each
    other, times it.
    """

    order: Indices
    clusters: tuple[Cluster, ...]
    matrices: tuple[Array, ...]

    @cached_property
    def ranks(self) -> Indices:
        """k_i of each cluster."""
        return np.array([matrix.shape[1] for matrix in self.matrices], dtype=np.intp)

    @property
    def numbers(self) -> int:
        """How many numbers it keeps."""
        return sum(matrix.size for matrix in self.matrices)

    @cached_property
    def children(self) -> tuple[tuple[int, ...], ...]:
        """Positions of the children of each cluster."""
        return children_of(self.clusters)

    @cached_property
    def parts(self) -> dict[int, tuple[int, Array]]:
        """Of each cluster but the root the position of its parent, and its rows of the transfer."""
        found = {}
        for at, (matrix, children) in enumerate(zip(self.matrices, self.children, strict=True)):
            ends = np.cumsum([0, *(self.ranks[child] for child in children)])
            for child, a, b in zip(children, ends, ends[1:], strict=False):
                found[child] = (at, matrix[a:b])
        return found

    def whole(self, at: int) -> Array:
        """V (size, k) of a cluster."""
        if not self.children[at]:
            return self.matrices[at]
        return np.concatenate(
            [self.whole(child) @ self.parts[child][1] for child in self.children[at]]
        )

    def astype(self, dtype: DTypeLike) -> NestedBasis:
        """The same in another type."""
        return replace(self, matrices=tuple(matrix.astype(dtype) for matrix in self.matrices))


def clusters_of(tree: ClusterTree) -> tuple[Cluster, ...]:
    """All clusters, level by level from the root."""
    found, level = [], [tree.root]
    while level:
        found += level
        level = [child for cluster in level for child in cluster.children]
    return tuple(found)


def children_of(clusters: Sequence[Cluster]) -> tuple[tuple[int, ...], ...]:
    """Positions of the children of each cluster, where all are listed level by level."""
    free = iter(range(1, len(clusters)))
    return tuple(tuple(next(free) for _ in cluster.children) for cluster in clusters)


@dataclass(frozen=True, eq=False)
class Sides:
    """One side of blocks: panels[i] (size, k_i) spans the rows that it needs at cluster clusters[i]."""

    clusters: Indices
    panels: tuple[Array, ...]


def nested_basis(
    order: Indices, clusters: tuple[Cluster, ...], sides: Sides, floor: float
) -> tuple[NestedBasis, list[Array]]:
    """Bases that miss all panels together by at most ``floor``, and each panel's coefficients (k, k_i).

    From the leaves upwards: the basis of a cluster is that of its rows of all its panels and of those
    of the clusters above, which go on as their coefficients. What one cluster misses is orthogonal
    to what others do, so that squared errors add up.
    """
    children = children_of(clusters)
    panels = _Panels.of(clusters, children, sides)
    limit = floor / math.sqrt(len(clusters))
    matrices: list[Array] = [np.zeros((0, 0))] * len(clusters)
    own: list[Array] = [np.zeros((0, 0))] * len(clusters)
    above: dict[int, Array] = {}  # coefficients of the panels of clusters above

    def panel(at: int) -> Array:
        if not children[at]:
            return panels.at_leaf(at)
        return np.concatenate([above.pop(child) for child in children[at]])

    for level in upwards(clusters):
        heights = [
            sum(len(above[child]) for child in children[at])
            or clusters[at].size * (not children[at])
            for at in level
        ]
        sizes = np.array([heights, panels.widths[level]]).T
        for which in in_pieces(sizes):
            stack = [panel(level[i]) for i in which]
            for i, matrix, (u, s) in zip(which, stack, left_vectors(stack), strict=True):
                at, own_width = level[i], panels.own[level[i]].shape[1]
                ranks, _ = ranks_within(s[None], np.array([limit]))
                matrices[at] = u[:, : int(ranks[0])].copy()
                coefficients = matrices[at].T @ matrix
                own[at], above[at] = coefficients[:, :own_width], coefficients[:, own_width:]
    return NestedBasis(order, clusters, tuple(matrices)), panels.apart(own)


@dataclass(frozen=True, eq=False)
class _Panels:
    """Panels side by side for each cluster; widths (c,) count those of the clusters above, too."""

    clusters: Sequence[Cluster]
    parents: dict[int, int]
    sides: Sides
    own: tuple[Array, ...]
    widths: Indices

    @staticmethod
    def of(clusters: Sequence[Cluster], children: Sequence[Sequence[int]], sides: Sides) -> _Panels:
        members: list[list[Array]] = [[np.zeros((cluster.size, 0))] for cluster in clusters]
        for at, panel in zip(sides.clusters, sides.panels, strict=True):
            members[at].append(panel)
        own = tuple(np.concatenate(panels, axis=1) for panels in members)
        parents = {child: at for at, below in enumerate(children) for child in below}
        widths = np.array([panel.shape[1] for panel in own])
        for at in range(1, len(clusters)):  # parents come first
            widths[at] += widths[parents[at]]
        return _Panels(clusters, parents, sides, own, widths)

    def at_leaf(self, at: int) -> Array:
        """(size, width) of the cluster itself and of its rows of all clusters above it."""
        cluster, found, above = self.clusters[at], [self.own[at]], at
        while above in self.parents:
            above = self.parents[above]
            first = cluster.start - self.clusters[above].start
            found.append(self.own[above][first : first + cluster.size])
        return np.concatenate(found, axis=1)

    def apart(self, own: Sequence[Array]) -> list[Array]:
        """For each panel its part of what stands side by side for its cluster."""
        used = np.zeros(len(self.clusters), dtype=np.intp)
        found = []
        for at, panel in zip(self.sides.clusters, self.sides.panels, strict=True):
            first = used[at]
            used[at] += panel.shape[1]
            found.append(own[at][:, first : used[at]])
        return found


def upwards(clusters: Sequence[Cluster]) -> Iterator[list[int]]:
    """Positions of the clusters of each level, from the lowest to the root."""
    levels: dict[int, list[int]] = {}
    for at, cluster in enumerate(clusters):
        levels.setdefault(cluster.level, []).append(at)
    yield from (levels[level] for level in sorted(levels, reverse=True))


def in_pieces(sizes: Indices) -> Iterator[Indices]:
    """Matrices of sizes (b, 2) in stacks of nearly one shape, as indices."""
    for group in alike(sizes):
        yield from pieces(group, int(sizes[group].max(axis=0).prod()))


def left_vectors(matrices: Sequence[Array]) -> list[tuple[Array, Array]]:
    """(m, r) and singular values (r,), r ≤ m, of each matrix (m, n), by one SVD of all."""
    u, s, _ = svd(narrowed(filled(matrices)))
    return [
        (u[at, : len(matrix), : len(matrix)], s[at, : len(matrix)])
        for at, matrix in enumerate(matrices)
    ]


def narrowed(stack: Array) -> Array:
    """(b, m, ≤ m) with the singular values and left vectors of (b, m, n)."""
    if stack.shape[2] <= stack.shape[1]:
        return stack
    return np.asarray(np.linalg.qr(stack.mT, mode="r")).mT


def filled(matrices: Sequence[Array]) -> Array:
    """All in one stack, filled up to one shape with zeros."""
    m, n = (max(matrix.shape[axis] for matrix in matrices) for axis in (0, 1))
    stack = np.zeros((len(matrices), m, n))
    for at, matrix in enumerate(matrices):
        stack[at, : matrix.shape[0], : matrix.shape[1]] = matrix
    return stack
