"""What can be proved of boxes: bounds of the error, and of the means of squares.

held.py holds e = q + r with |r| ≤ R for a polynomial q on [−1, 1]ᵈ, and u alike. |e| ≤ Σ|coefficients| + R.
With ‖·‖ the root of the mean over the box, ‖e‖ lies within R of ‖q‖, and ‖q‖² is cᵀ G c with the means G of
the products of two monomials.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from hedge.arrays import Array
from hedge.certifying.certificate import Difference
from hedge.certifying.checking.graphs import outputs
from hedge.certifying.checking.held import Held
from hedge.certifying.checking.nodes import Graph
from hedge.certifying.checking.polynomials import UNIT, UP, Basis
from hedge.certifying.checking.rules import FLUSHED, Rules
from hedge.certifying.checking.tiling import Whole
from hedge.errors import InputError

FEW = 1.0 + 256.0 * UNIT  # room for the roundings of fewer than 128 operations on numbers ≥ 0
_NUMBERS = 2**21


@dataclass(frozen=True)
class Figures:
    """Of boxes and columns (B, m): bounds of |e|, of the mean of e², and from below of the mean of u²."""

    largest: Array
    square: Array
    dense_square: Array

    def of(self, which: slice | NDArray[np.intp]) -> Figures:
        """Those of some boxes."""
        return Figures(self.largest[which], self.square[which], self.dense_square[which])

    @staticmethod
    def of_all(parts: Sequence[Figures]) -> Figures:
        """Those of all boxes, one after the other."""
        tables = ((part.largest, part.square, part.dense_square) for part in parts)
        return Figures(*(np.concatenate(table) for table in zip(*tables, strict=True)))

    def short(self, stated: Figures) -> NDArray[np.bool_]:
        """The boxes (B,) of which these do not prove what is stated. NaN proves nothing."""
        proved = self.largest <= stated.largest
        proved &= self.square <= stated.square
        proved &= self.dense_square >= stated.dense_square
        return np.asarray(~proved.all(axis=1))


@dataclass(frozen=True)
class Prover:
    """Both models over the certificate's domain, by polynomials of this order."""

    certificate: Difference
    small: Graph
    dense: Graph
    order: int

    @cached_property
    def basis(self) -> Basis:
        """The polynomials."""
        return Basis(len(self.certificate.domain), self.order)

    @cached_property
    def together(self) -> int:
        """How many boxes are looked at at once: the widest tensor takes some megabytes."""
        widest = max(self.small.widest, self.dense.widest)
        return min(max(_NUMBERS // (len(self.basis) * widest), 16), 512)

    def proved(self, levels: Whole, places: Whole) -> tuple[Figures, NDArray[np.intp]]:
        """What figures says, so many boxes at once."""
        starts = range(0, len(levels), self.together)
        parts = [
            self.figures(levels[i : i + self.together], places[i : i + self.together])
            for i in starts
        ]
        return Figures.of_all([f for f, _ in parts]), np.concatenate([v for _, v in parts])

    def figures(self, levels: Whole, places: Whole) -> tuple[Figures, NDArray[np.intp]]:
        """What this code proves of boxes (B, d), and the variable in which to halve each."""
        certificate, basis = self.certificate, self.basis
        points = points_of(basis, np.array(certificate.domain), levels, places)
        with np.errstate(all="ignore"):
            deployed = Rules(basis, certificate.unit, certificate.errors)
            small = outputs(self.small, deployed, points)
            dense = outputs(self.dense, Rules(basis), points)
            columns = len(certificate.claims)
            for name, found in ((self.small.name, small), (self.dense.name, dense)):
                if found.shape != (columns,):
                    raise InputError(
                        f"claims: are of {columns} column(s), {name} has {found.shape[0]}"
                    )
            error = deployed.combined(small, dense, -1.0)
            count = len(levels)
            square, _ = _mean_squares(basis, error, count)
            _, dense_square = _mean_squares(basis, dense, count)
            largest = np.broadcast_to(error.deployed.T, (count, columns))
            square = np.minimum(square, largest**2 * UP)
            return Figures(largest, square, dense_square), _steepest(basis, error, levels)


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


def _mean_squares(basis: Basis, f: Held, boxes: int) -> tuple[Array, Array]:
    """The mean of f² over each box from above and below, (B, m): (‖q‖ ± R)².

    cᵀ G c, K² terms added up in 2K roundings each, is off by at most (2K + 4) u Σ|c| Σ|c|.
    """
    c = f.polynomials
    means = basis.means[: len(c), : len(c)]
    found = (c * np.tensordot(means, c, axes=1)).sum(axis=0)
    off = 2.0 * (2 * len(c) + 4) * UNIT * np.abs(c).sum(axis=0) ** 2 + 1e-300
    far = (f.radius + f.rounding) * UP
    above = (np.sqrt(np.maximum(found + off, 0.0)) + far) ** 2 * FEW
    below = np.maximum(np.sqrt(np.maximum(found - off, 0.0)) / FEW - far, 0.0) ** 2 / FEW
    shape = (boxes, f.shape[0])
    return np.broadcast_to(above.T, shape), np.broadcast_to(below.T, shape)


def _steepest(basis: Basis, error: Held, levels: Whole) -> NDArray[np.intp]:
    """The variable that the highest coefficients hang on; the longest one where nothing is known."""
    longest = levels.argmin(axis=1)
    if error.is_constant:
        return np.asarray(longest)
    high = slice(basis.starts[basis.order - 1], None)
    weights = np.abs(error.polynomials[high]).sum(axis=1).T @ np.array(basis.exponents)[high]
    known = np.isfinite(weights).all(axis=1)
    return np.asarray(np.where(known, weights.argmax(axis=1), longest))
