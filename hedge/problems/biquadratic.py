"""Functions quadratic in x and in y in every cell between lines, which flows are stored as."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hedge.arrays import Array


@dataclass(frozen=True, eq=False)
class Biquadratic:
    """Values (2m − 1, 2n − 1, k) at the crossings of m lines x and n lines y, and halfway between them."""

    x: Array
    y: Array
    values: Array

    def at(self, points: Array) -> Array:
        """The functions at points (q, 2) between the outermost lines, (q, k)."""
        (i, along), (j, up) = (
            _place(lines, each) for lines, each in zip((self.x, self.y), points.T, strict=True)
        )
        found = np.zeros((len(points), self.values.shape[2]))
        for a, share in enumerate(shares(along)):
            for b, other in enumerate(shares(up)):
                found += (share * other)[:, None] * self.values[2 * i + a, 2 * j + b]
        return found


def shares(t: Array) -> tuple[Array, Array, Array]:
    """What the values at 0, 1/2 and 1 count for the parabola through them at t."""
    return (1.0 - t) * (1.0 - 2.0 * t), 4.0 * t * (1.0 - t), t * (2.0 * t - 1.0)


def _place(lines: Array, at: Array) -> tuple[NDArray[np.intp], Array]:
    """Which cell, and where in it, from 0 to 1."""
    cell = np.clip(np.searchsorted(lines, at, side="right") - 1, 0, len(lines) - 2)
    return cell, (at - lines[cell]) / (lines[cell + 1] - lines[cell])
