"""Points of the unit cube, as many as it takes."""

from __future__ import annotations

from collections.abc import Iterator
from math import ceil, log2

from hedge.arrays import Array
from hedge.errors import InputError

# A sequence that is so many times doubled has found next to nothing.
_MOST_DOUBLINGS = 16


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
