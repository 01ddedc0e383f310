"""Points of the unit cube, as many as it takes."""

from __future__ import annotations

from collections.abc import Iterator
from math import ceil, log2

import numpy as np

from hedge.arrays import Array
from hedge.errors import InputError

# A sequence that is so many times doubled has found next to nothing.
_MOST_DOUBLINGS = 16


def even(dimension: int, count: int) -> Array:
    """``count`` points (n, d) that lie evenly in the unit cube: x_i = 1/2 + i (1/g, 1/g², …) modulo 1.

    g is the root of g^(d + 1) = g + 1 (Roberts 2018; 1/g is the golden ratio for d = 1). It takes
    a thousandth of the time that scipy.stats is imported in, which whoever names a shape would wait for.

    >>> even(1, 3).ravel().round(3)
    array([0.5  , 0.118, 0.736])
    """
    g = 2.0
    for _ in range(64):
        g = (1.0 + g) ** (1.0 / (dimension + 1))
    steps = g ** -np.arange(1.0, dimension + 1.0)
    return (0.5 + np.arange(count)[:, None] * steps) % 1.0


def sobol(dimension: int, count: int, seed: int) -> Iterator[Array]:
    """Parts (n, d) of a scrambled Sobol sequence: ``count`` of them first, then each doubles it.

    Raises InputError after 65,536 times as many.
    """
    from scipy.stats import qmc  # half a second that nothing else of a shape needs

    sequence = qmc.Sobol(dimension, seed=seed)
    base = ceil(log2(max(count, 2)))
    yield sequence.random_base2(base)
    for doubling in range(_MOST_DOUBLINGS):
        yield sequence.random_base2(base + doubling)
    raise InputError("shape: too thin to find points of it in the box around it; check its numbers")
