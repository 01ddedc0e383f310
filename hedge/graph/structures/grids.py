"""Grids whose points come row by row, and the order in which they stand box by box."""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike

from hedge.arrays import Indices
from hedge.hmatrix import kd_tree

Sides = tuple[int, ...]

# Sides of a grid are no shorter, and no more than so many times as long as each other.
LEAST_STEPS, MOST_OBLONG = 8, 16


@lru_cache(maxsize=64)
def grid_order(shape: Sides) -> Indices:
    """The points of a grid that comes row by row, box by box: (n,), not to be written to.

    >>> grid_order((2, 3))
    array([0, 1, 2, 3, 4, 5])
    """
    points = np.stack(np.unravel_index(np.arange(math.prod(shape)), shape), axis=1)
    order = kd_tree(points.astype(np.float64), leaf_size=8).order
    order.setflags(write=False)
    return order


def grids(size: int) -> list[Sides]:
    """The shapes of two and three dimensions that ``size`` points may be a grid of, squarest first.

    >>> grids(4096)
    [(64, 64), (16, 16, 16), (32, 128), (128, 32), (16, 256), (256, 16)]
    """
    sides = [a for a in range(LEAST_STEPS, size // LEAST_STEPS + 1) if size % a == 0]
    flat = [(a, size // a) for a in sides if max(a, size // a) <= MOST_OBLONG * min(a, size // a)]
    cube = round(size ** (1 / 3))
    cubes = [(cube,) * 3] if cube >= LEAST_STEPS and cube**3 == size else []
    return sorted([*flat, *cubes], key=lambda shape: max(shape) / min(shape) + len(shape) / 100)


def grid_of(order: ArrayLike) -> Sides | None:
    """The grid whose points are in that order; None where it is no grid's.

    >>> grid_of(grid_order((16, 64)))
    (16, 64)
    """
    indices = np.asarray(order)
    return next((s for s in grids(len(indices)) if np.array_equal(indices, grid_order(s))), None)
