"""What can be proved of boxes: bounds of functions, and of the means of their squares.

held.py holds a number e = q + r with |r| ≤ R for a polynomial q on [−1, 1]ᵈ. |e| ≤ Σ|coefficients| + R.
With ‖·‖ the root of the mean over the box, ‖e‖ lies within R of ‖q‖, and ‖q‖² is cᵀ G c with the means G of
the products of two monomials.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from hedge.arrays import Array
from hedge.certifying.checking.held import Held
from hedge.certifying.checking.polynomials import UNIT, UP, Basis
from hedge.certifying.checking.rules import FLUSHED
from hedge.certifying.checking.tiling import Whole

FEW = 1.0 + 256.0 * UNIT  # room for the roundings of fewer than 128 operations on numbers ≥ 0
_NUMBERS = 2**21


@dataclass(frozen=True)
class Figures:
    """Of B boxes: bounds of |e| (B, m), of the mean of e² (B, n), and from below of the mean of u² (B, k).

    Which e and u these are, some or none, is the subject's.
    """

    largest: Array
    square: Array
    least_square: Array

    def of(self, which: slice | NDArray[np.intp]) -> Figures:
        """Those of some boxes."""
        return Figures(self.largest[which], self.square[which], self.least_square[which])

    @staticmethod
    def of_all(parts: Sequence[Figures]) -> Figures:
        """Those of all boxes, one after the other."""
        tables = ((part.largest, part.square, part.least_square) for part in parts)
        return Figures(*(np.concatenate(table) for table in zip(*tables, strict=True)))

    def short(self, stated: Figures) -> NDArray[np.bool_]:
        """The boxes (B,) of which these do not prove what is stated. NaN proves nothing."""
        proved = (self.largest <= stated.largest).all(axis=1)
        proved &= (self.square <= stated.square).all(axis=1)
        proved &= (self.least_square >= stated.least_square).all(axis=1)
        return np.asarray(~proved)


class Subject(Protocol):
    """What is claimed of boxes of a domain."""

    @property
    def domain(self) -> Array:
        """The ends, (d, 2)."""

    @property
    def widest(self) -> int:
        """Numbers of the widest tensor."""

    @property
    def columns(self) -> tuple[Sequence[str], Sequence[str], Sequence[str]]:
        """What the columns of each table of Figures are called."""

    def figures(self, basis: Basis, points: Held) -> tuple[Figures, Held]:
        """Of the boxes of these points, and the number that halving a box is to serve."""


@dataclass(frozen=True)
class Prover:
    """A subject by polynomials of this order."""

    subject: Subject
    order: int

    @cached_property
    def basis(self) -> Basis:
        """The polynomials."""
        return Basis(len(self.subject.domain), self.order)

    @cached_property
    def together(self) -> int:
        """How many boxes are looked at at once: the widest tensor takes some megabytes."""
        return min(max(_NUMBERS // (len(self.basis) * self.subject.widest), 16), 512)

    def proved(self, levels: Whole, places: Whole) -> tuple[Figures, NDArray[np.intp]]:
        """What this code proves of boxes (B, d), and the variable in which to halve each."""
        parts = []
        for start in range(0, len(levels), self.together):
            some = slice(start, start + self.together)
            points = points_of(self.basis, self.subject.domain, levels[some], places[some])
            with np.errstate(all="ignore"):
                figures, served = self.subject.figures(self.basis, points)
                parts.append((figures, _steepest(self.basis, served, levels[some])))
        return Figures.of_all([f for f, _ in parts]), np.concatenate([v for _, v in parts])


def points_of(basis: Basis, domain: Array, levels: Whole, places: Whole) -> Held:
    """The points (d,) of boxes: centre + half s. Each rounding is below one unit of the furthest end.

    So many are in the width, the product, the sum and the half; the radius takes eight of them. A point
    may be flushed to zero where it is read.
    """
    lower, upper = domain[:, :1], domain[:, 1:]
    width = upper - lower
    count, d = levels.shape
    polynomials = np.zeros((len(basis), d, count))
    polynomials[0] = lower + width * np.ldexp(2.0 * places.T + 1.0, -levels.T - 1)
    for variable in range(d):
        polynomials[1 + variable, variable] = np.ldexp(width[variable], -levels[:, variable] - 1)
    furthest = np.maximum(np.abs(lower), np.abs(upper))
    radius = np.broadcast_to(8.0 * UNIT * furthest + 1e-300, (d, count))
    return Held(polynomials, radius, np.full((d, count), FLUSHED), (d,))


def largest_of(f: Held, boxes: int) -> Array:
    """Of numbers (m,) the largest |f̂| in each box, (B, m)."""
    return np.broadcast_to(f.deployed.T, (boxes, *f.shape))


def mean_squares(basis: Basis, f: Held, boxes: int) -> tuple[Array, Array]:
    """The mean of f² over each box from above and below, (B, m): (‖q‖ ± R)², and at most the largest f².

    cᵀ G c, K² terms added up in 2K roundings each, is off by at most (2K + 4) u Σ|c| Σ|c|.
    """
    c = f.polynomials
    means = basis.means[: len(c), : len(c)]
    found = (c * np.tensordot(means, c, axes=1)).sum(axis=0)
    off = 2.0 * (2 * len(c) + 4) * UNIT * np.abs(c).sum(axis=0) ** 2 + 1e-300
    far = (f.radius + f.rounding) * UP
    above = (np.sqrt(np.maximum(found + off, 0.0)) + far) ** 2 * FEW
    above = np.minimum(above, f.deployed**2 * UP)
    below = np.maximum(np.sqrt(np.maximum(found - off, 0.0)) / FEW - far, 0.0) ** 2 / FEW
    shape = (boxes, *f.shape)
    return np.broadcast_to(above.T, shape), np.broadcast_to(below.T, shape)


def _steepest(basis: Basis, served: Held, levels: Whole) -> NDArray[np.intp]:
    """The variable that the highest coefficients hang on; the longest one where nothing is known."""
    longest = levels.argmin(axis=1)
    if served.is_constant:
        return np.asarray(longest)
    high = slice(basis.starts[basis.order - 1], None)
    weights = np.abs(served.polynomials[high]).sum(axis=1).T @ np.array(basis.exponents)[high]
    known = np.isfinite(weights).all(axis=1)
    return np.asarray(np.where(known, weights.argmax(axis=1), longest))
