"""Norms over a domain, from bounds on boxes that tile it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hedge.arrays import Array
from hedge.problems import Domain
from hedge.problems.stability import Kind

# More than what the few roundings of each term, and the sum of fewer than 2^22 terms, can lose.
_UP = 1.0 + 2.0**-28


@dataclass(frozen=True)
class BoxNorms:
    """Bounds of a function f's norms over a domain whose inputs have these letters.

    Of box b, levels and places (B, d) as in a certificate, |f| ≤ largest (B,) and the mean of f² is at most
    square (B,).
    """

    domain: Domain
    letters: str
    levels: NDArray[np.int64]
    places: NDArray[np.int64]
    largest: Array
    square: Array

    def of(self, kind: Kind, over: str) -> float:
        """The norm over these inputs, the largest over all others (:class:`hedge.problems.stability.Norms`).

        With no other input the mean of each box counts, with one its largest value, at each place of that
        one; with more of them the largest value of all.
        """
        if kind == "max":
            return float(self.largest.max())
        inner = [self.letters.index(letter) for letter in over]
        outer = [v for v in range(len(self.letters)) if v not in inner]
        power: float = {"L1": 1.0, "L2": 2.0}[kind]
        volume = float(np.prod(self._widths[inner]))
        if len(outer) > 1:
            return float(volume ** (1.0 / power) * self.largest.max() * _UP)
        shares = np.ldexp(1.0, -self.levels[:, inner].sum(axis=1)) * volume
        if not outer:
            means = np.minimum(np.sqrt(self.square), self.largest) ** power
            return float((shares @ means) ** (1.0 / power) * _UP)
        starts, ends, edges = self._along(outer[0])
        terms = shares * self.largest**power
        return float(_largest_sum(starts, ends, terms, len(edges)) ** (1.0 / power) * _UP)

    def of_largest(self, letter: str, rate: float = 0.0) -> float:
        """∫ e^(rate (T − t)) max|f(t)| dt over that input, which ends at T; the largest over all others."""
        variable = self.letters.index(letter)
        starts, ends, edges = self._along(variable)
        largest = _largest_on(starts, ends, self.largest, len(edges) - 1)
        lower, upper = self.domain.intervals[variable]
        # No difference of rounded numbers: boxes may be as narrow as these are off. Edges are exact.
        weights = np.diff(edges) * (upper - lower)
        if rate > 0.0:
            left = (1.0 - edges[1:]) * (upper - lower)  # to the end of the interval
            weights = np.exp(rate * left) * np.expm1(rate * weights) / rate
        return float(largest @ weights) * _UP

    @property
    def _widths(self) -> Array:
        return self.domain.upper - self.domain.lower

    def _along(self, variable: int) -> tuple[NDArray[np.intp], NDArray[np.intp], Array]:
        """The places in a variable where boxes begin or end, (n + 1,) from 0 to 1, and of each box which."""
        levels, places = self.levels[:, variable], self.places[:, variable]
        lower, upper = np.ldexp(1.0 * places, -levels), np.ldexp(places + 1.0, -levels)
        edges = np.unique(np.concatenate([lower, upper]))
        return np.searchsorted(edges, lower), np.searchsorted(edges, upper), edges


def _largest_sum(
    starts: NDArray[np.intp], ends: NDArray[np.intp], terms: Array, count: int
) -> float:
    """The largest sum, over places, of the terms (B,) ≥ 0 that run from starts to before ends there."""
    steps = np.zeros(count)
    np.add.at(steps, starts, terms)
    np.subtract.at(steps, ends, terms)
    lost = 4.0 * (2.0 * len(terms) + count) * 2.0**-53 * float(terms.sum())
    return float(np.cumsum(steps).max()) + lost


def _largest_on(
    starts: NDArray[np.intp], ends: NDArray[np.intp], values: Array, count: int
) -> Array:
    """At each of the places the largest of the values (B,) ≥ 0 that run from starts to before ends.

    Each run is two, of a length that is a power of two; those of every length are then halved.
    """
    lengths = ends - starts
    levels = np.frexp(lengths)[1] - 1
    found = np.zeros((int(levels.max()) + 1, count))
    np.maximum.at(found, (levels, starts), values)
    np.maximum.at(found, (levels, ends - (1 << levels)), values)
    for level in range(len(found) - 1, 0, -1):
        half = 1 << (level - 1)
        np.maximum(found[level - 1], found[level], out=found[level - 1])
        np.maximum(found[level - 1, half:], found[level, :-half], out=found[level - 1, half:])
    return np.asarray(found[0])
