"""Boxes that cover a domain: halves of halves of it, by whole numbers, so that a hole would be seen."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hedge.analytic import UNIT
from hedge.arrays import Array
from hedge.problems import Domain

Whole = NDArray[np.int64]
Truths = NDArray[np.bool_]


@dataclass(frozen=True)
class Cover:
    """B boxes of a domain of d variables.

    Box b reaches in variable v from places/2^levels to (places + 1)/2^levels of the domain; both are
    (B, d).
    """

    levels: Whole
    places: Whole

    def __len__(self) -> int:
        return len(self.levels)

    @property
    def shares(self) -> Array:
        """Of the domain's volume, (B,), exact."""
        return np.asarray(np.ldexp(1.0, -self.levels.sum(axis=1)))

    def __getitem__(self, which: Any) -> Cover:
        return Cover(self.levels[which], self.places[which])

    def joined(self, other: Cover) -> Cover:
        """These boxes and then those."""
        return Cover(
            np.concatenate([self.levels, other.levels]), np.concatenate([self.places, other.places])
        )

    def halved(self, variables: NDArray[np.intp]) -> Cover:
        """Every box as two, halves in its variable (B,); all lower halves come first."""
        rows = np.arange(len(self))
        levels, lower = self.levels.copy(), self.places.copy()
        levels[rows, variables] += 1
        lower[rows, variables] *= 2
        upper = lower.copy()
        upper[rows, variables] += 1
        return Cover(np.concatenate([levels, levels]), np.concatenate([lower, upper]))

    def within(self, domain: Domain) -> tuple[Array, Array, Array]:
        """Centres and half widths (B, d), and by how much (d,) points are off that these give, at most."""
        lower, upper = np.asarray(domain.lower), np.asarray(domain.upper)
        width = upper - lower
        centres = lower + width * np.ldexp(2.0 * self.places + 1.0, -self.levels - 1)
        halves = np.ldexp(width, -self.levels - 1)
        return centres, halves, 8.0 * UNIT * (np.abs(lower) + np.abs(upper))

    def in_shape(self, domain: Domain) -> tuple[Truths, Truths]:
        """Which boxes surely have no point of the domain's shape, and which surely lie in it, (B,) each."""
        centres, halves, off = self.within(domain)
        lower = np.maximum(centres - halves - 2.0 * off, domain.lower)
        upper = np.minimum(centres + halves + 2.0 * off, domain.upper)
        return domain.excludes(lower, upper), domain.fills(lower, upper)


def whole(dimension: int) -> Cover:
    """The domain as one box."""
    zero = np.zeros((1, dimension), dtype=np.int64)
    return Cover(zero, zero)
