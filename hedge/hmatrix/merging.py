"""Blocks merged from their parts, many at once: the SVD of a block from the SVDs of two or four."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from hedge.arrays import Array, Indices
from hedge.hmatrix.stacks import Triplets, alike, pieces, ranks_within, svd


@dataclass(frozen=True, eq=False)
class Parts:
    """The parts of one block, row by row: ``grid[i][j]`` is that of its i-th rows and j-th columns."""

    grid: tuple[tuple[Triplets, ...], ...]

    @property
    def sizes(self) -> tuple[int, int, int, int, int]:
        """Rows and columns of the grid, largest height, width and rank of a part."""
        every = [part for row in self.grid for part in row]
        return (
            len(self.grid),
            len(self.grid[0]),
            max(len(row[0].left) for row in self.grid),
            max(part.right.shape[1] for part in self.grid[0]),
            max(part.rank for part in every),
        )


@dataclass(frozen=True, eq=False)
class Merged:
    """A block from its parts; ``lost`` is the error of the merge, in the Frobenius norm."""

    triplets: Triplets
    lost: float


def groups(blocks: Sequence[Parts]) -> list[Indices]:
    """Which blocks to merge together, as indices."""
    sizes = np.array([block.sizes for block in blocks])
    found = []
    for group in alike(sizes):
        rows, columns, height, width, rank = sizes[group].max(axis=0)
        entries = int(rows * columns * max(rank, 1) * (height + width))
        found += pieces(group, entries)
    return found


def merge(blocks: Sequence[Parts], tolerances: Array) -> list[Merged]:
    """Each within its tolerance (b,) of its parts; all grids and nearly all sizes are alike.

    First the parts side by side in each row of the grid, then the rows: what one step leaves out is
    orthogonal to what the other does, so that squared errors add up.
    """
    sizes = np.array([block.sizes for block in blocks]).max(axis=0)
    rows = int(sizes[0])
    each = tolerances * np.sqrt(0.5 / rows)
    lefts, rights, spent = [], [], np.zeros(len(blocks))
    for i in range(rows):
        left, right, lost = _side_by_side([block.grid[i] for block in blocks], sizes, each)
        lefts.append(left)
        rights.append(right)
        spent += lost**2
    u, s, vt = svd(np.concatenate(rights, axis=1))
    ranks, lost = ranks_within(s, np.sqrt(np.maximum(tolerances**2 - spent, 0.0)))
    most = int(ranks.max())
    ends = np.cumsum([left.shape[2] for left in lefts])[:-1]
    tops = [a @ b for a, b in zip(lefts, np.split(u[:, :, :most], ends, axis=1), strict=True)]
    total = np.sqrt(spent + lost**2)
    return [
        Merged(
            _unfilled(block, [top[at] for top in tops], s[at], vt[at], int(ranks[at])),
            float(total[at]),
        )
        for at, block in enumerate(blocks)
    ]


def _side_by_side(
    rows: Sequence[tuple[Triplets, ...]], sizes: Indices, tolerances: Array
) -> tuple[Array, Array, Array]:
    """One row of each grid: orthonormal (b, m, r), the rest (b, r, columns · n) and errors (b,)."""
    _, columns, height, width, rank = (int(size) for size in sizes)
    rank = max(rank, 1)
    scaled = np.zeros((len(rows), height, columns * rank))
    right = np.zeros((len(rows), columns, rank, width))
    for at, row in enumerate(rows):
        for j, part in enumerate(row):
            k = part.rank
            scaled[at, : len(part.left), j * rank : j * rank + k] = part.left * part.values
            right[at, j, :k, : part.right.shape[1]] = part.right
    u, s, vt = svd(scaled)
    ranks, lost = ranks_within(s, tolerances)
    most = max(int(ranks.max()), 1)
    kept = np.where(np.arange(most) < ranks[:, None], s[:, :most], 0.0)
    weights = (kept[:, :, None] * vt[:, :most]).reshape(len(rows), most, columns, rank)
    wide = weights.swapaxes(1, 2) @ right
    return u[:, :, :most], wide.swapaxes(1, 2).reshape(len(rows), most, columns * width), lost


def _unfilled(block: Parts, tops: list[Array], values: Array, right: Array, rank: int) -> Triplets:
    """The block's own rows and columns, without what they were filled up with."""
    width = right.shape[1] // len(block.grid[0])
    heights = [len(row[0].left) for row in block.grid]
    left = np.concatenate([top[:h, :rank] for top, h in zip(tops, heights, strict=True)])
    spans = [
        right[:rank, j * width : j * width + part.right.shape[1]]
        for j, part in enumerate(block.grid[0])
    ]
    return Triplets(left, values[:rank].copy(), np.concatenate(spans, axis=1))
