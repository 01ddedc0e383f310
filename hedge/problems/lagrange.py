"""Lagrange's polynomials between evenly spaced values."""

from __future__ import annotations

import numpy as np

from hedge.arrays import Array


def shares(at: Array, count: int) -> Array:
    """Shares (n, count) of the values at 0, 1, …, count − 1 in that at (n,), all float64.

    >>> shares(np.array([0.5, 1.0]), 3)
    array([[ 0.375,  0.75 , -0.125],
           [-0.   ,  1.   ,  0.   ]])
    """
    nodes = np.arange(count)
    others = np.array([np.delete(nodes, k) for k in nodes])
    gaps = np.prod(nodes[:, None] - others, axis=1)
    return np.asarray(np.prod(at[:, None, None] - others, axis=2) / gaps)
