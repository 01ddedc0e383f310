"""Where the largest error hides: a search around the points that are worst already."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from hedge.arrays import Array
from hedge.problems import Domain

# The worst points are kept, and as many times drawn around them, in boxes of these parts of the domain.
STARTS, AROUND = 32, 32
RADII = (3e-2, 1e-2, 3e-3, 1e-3, 3e-4)


def largest_nearby(
    error_at: Callable[[Array], Array], points: Array, box: Domain, seed: int
) -> float:
    """The largest error (n,) that is found around the worst of ``points`` (n, d), in the domain.

    Needs no derivatives, so that kinks are no hindrance; what no point is near stays unseen.
    """
    rng = np.random.default_rng(seed)
    errors = error_at(points)
    for radius in RADII:
        worst = np.argsort(-errors)[:STARTS]
        points, errors = points[worst], errors[worst]
        moves = rng.uniform(-radius, radius, (AROUND, *points.shape)) * (box.upper - box.lower)
        drawn = np.clip(points + moves, box.lower, box.upper).reshape(-1, box.dimension)
        drawn = drawn[box.contains(drawn)]
        points = np.concatenate([points, drawn])
        errors = np.concatenate([errors, error_at(drawn)])
    return float(errors.max())
