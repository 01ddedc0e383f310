"""Values that sensors would read of a solution that is known, with noise of a given size."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from hedge.arrays import Array
from hedge.errors import InputError
from hedge.problems.domain import Domain
from hedge.problems.measurements import Measurements


def read_by_sensors(
    solution: Callable[[Array], Array],
    domain: Domain,
    count: int,
    noise: float,
    seed: int,
    of: str = "u",
) -> Measurements:
    """``solution`` (n, d) -> (n,) at ``count`` random points, with independent Gaussian errors.

    noise is their standard deviation, relative to the rms of the values.

    Raises InputError for no points, or a noise that is negative.
    """
    if count < 1:
        raise InputError(f"count: {count} is too small; at least 1")
    if not 0.0 <= noise < np.inf:
        raise InputError(f"noise: {noise} is no size of errors; 0 or more")
    points = domain.sample(count, seed)
    values = solution(points)
    if noise == 0.0:
        return Measurements(points, values, 0.0, of, name=f"sensors of {of}")
    deviation = noise * float(np.sqrt(np.mean(values**2)))
    # A stream of its own: the seed alone would repeat the numbers that made the points.
    errors = np.random.default_rng((seed, 1)).normal(0.0, deviation, count)
    return Measurements(points, values + errors, deviation, of, name=f"sensors of {of}")
