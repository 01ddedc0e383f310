"""Whether a certificate is true.

Theorem. Let u be the function of real numbers that the dense model defines at one row, and û(x) what the
small one computes there as float32 arithmetic, deployed in the way that rules.py describes, with its
functions as close as the certificate's ``errors`` say; e = û − u. If ``check`` returns, then

    1. the certificate's boxes tile its domain;
    2. on box b and for output column j, |e_j| ≤ largest[b][j], the mean of e_j² is at most square[b][j], and
       the mean of u_j² is at least dense_square[b][j];
    3. so that |e_j| ≤ claims[j].largest on the whole domain, and ‖e_j‖ ≤ claims[j].relative_l2 ‖u_j‖ in
       L²(domain).

At points that are no float32 numbers, e stands for any values within the rounding that is bounded, so that
the means of 2. are those of such an e.

It rests on numpy (its float64 arithmetic is IEEE's, its functions and the C library's erf within 4 ulp, its
matrix products add up products in any order), on onnx (it decodes the weights, and its reference
implementation moves numbers), and on the code of this folder, which shares nothing with the search that
made the certificate: polynomials.py, functions.py, composition.py and rules.py state each rule and why it
holds, graphs.py which operator is which rule, tiling.py how 1. is decided.

Not checked: ``largest_seen``, ``relative_l2_seen`` and ``rounding``, which the theorem does without, but that
what was seen is no more than what is claimed; the names and SHA-256 of the files, which whoever reads
the files compares; the digest, which reading the certificate compares; ``evaluated`` and ``ended``.
``order`` says how fine the search's polynomials were. The theorem does without it, too: the polynomials
here are of one degree more, since they must not be looser, and an order that is too high to compute
with is refused.

Proof of 2., box by box: held.py holds e = q + r with |r| ≤ R for a polynomial q on [−1, 1]ᵈ, and u alike.
|e| ≤ Σ|coefficients| + R. With ‖·‖ the root of the mean over the box, ‖e‖ lies within R of ‖q‖, and ‖q‖² is
cᵀ G c with the means G of the products of two monomials. Where that is not enough, a box is halved, and
its halves again: it holds for the box what is the maximum of its parts' bounds, and of means their mean.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto

from hedge.arrays import Array
from hedge.certifying.certificate import Certificate
from hedge.certifying.checking.functions import FLOAT32
from hedge.certifying.checking.graphs import Graph, graph_of
from hedge.certifying.checking.held import Held
from hedge.certifying.checking.polynomials import UNIT, UP, Basis
from hedge.certifying.checking.rules import FLUSHED, Rules
from hedge.certifying.checking.tiling import Whole, check_tiling, fractions
from hedge.errors import InputError
from hedge.progress import Progress, silent

SINGLE = 2.0**-24
MOST_HALVINGS = 4  # of a box, before its figures are refused
MOST_MONOMIALS = 1000
_TOGETHER = 256  # boxes
_FEW = 1.0 + 256.0 * UNIT  # room for the roundings of fewer than 128 operations on numbers ≥ 0


def check(
    certificate: Certificate,
    small: ModelProto,
    dense: ModelProto,
    on_progress: Progress = silent,
) -> None:
    """Raise InputError, with what is wrong and where, unless the certificate is true of these models."""
    graphs = graph_of(small, "the small model"), graph_of(dense, "the dense model")
    _check_frame(certificate, *graphs)
    tables = certificate.boxes
    levels, places = (np.array(t, dtype=np.int64) for t in (tables.levels, tables.places))
    check_tiling(levels, places)
    stated = _Figures(
        *(
            np.array(t, dtype=np.float64)
            for t in (tables.largest, tables.square, tables.dense_square)
        )
    )
    _check_claims(certificate, levels, stated)
    held = _Enclosure(certificate, *graphs)
    _check_boxes(held, levels, places, stated, on_progress)


# ------------------------------------------------------------------------------------- what is around boxes


def _check_frame(certificate: Certificate, small: Graph, dense: Graph) -> None:
    """4.: the domain, order, unit and errors of the certificate are such as the models need."""
    dimension = len(certificate.domain)
    for graph in (small, dense):
        if graph.dimension != dimension:
            raise InputError(
                f"domain: has {dimension} variable(s), {graph.name} {graph.dimension} input(s)"
            )
    for variable, ends in enumerate(certificate.domain):
        if not (all(math.isfinite(end) for end in ends) and ends[0] < ends[1]):
            raise InputError(f"domain: variable {variable} has no width")
    order = certificate.order
    if not 1 <= order <= 12 or math.comb(order + 1 + dimension, dimension) > MOST_MONOMIALS:
        raise InputError(f"order: {order} can't be checked in {dimension} variable(s)")
    if not SINGLE <= certificate.unit < 1.0:
        raise InputError(f"unit: {certificate.unit:g} is not that of float32, {SINGLE:g}")
    used = {node.op_type for node in small.model.graph.node}
    for name in sorted(used & set(FLOAT32)):
        given, least = certificate.errors.get(name, (0.0, 0.0)), FLOAT32[name]
        if not all(
            np.isfinite(g) and g >= at_least for g, at_least in zip(given, least, strict=True)
        ):
            raise InputError(f"errors: {name} is assumed closer than {least}, which was measured")


@dataclass(frozen=True)
class _Figures:
    """Of boxes and columns (B, m): bounds of |e|, of the mean of e², and from below of the mean of u²."""

    largest: Array
    square: Array
    dense_square: Array

    def of(self, which: slice | NDArray[np.intp]) -> _Figures:
        """Those of some boxes."""
        return _Figures(self.largest[which], self.square[which], self.dense_square[which])

    def worst(self, stated: _Figures) -> NDArray[np.bool_]:
        """The boxes (B,) for which these do not prove what is stated. NaN proves nothing."""
        proved = self.largest <= stated.largest
        proved &= self.square <= stated.square
        proved &= self.dense_square >= stated.dense_square
        return np.asarray(~proved.all(axis=1))


def _check_claims(certificate: Certificate, levels: Whole, stated: _Figures) -> None:
    """3., from 2.; the boxes' shares of the domain are powers of two, sums are rounded once."""
    for table in (stated.largest, stated.square, stated.dense_square):
        if not np.isfinite(table).all() or (table < 0.0).any():
            raise InputError("boxes: a bound is negative or not finite")
    halvings = levels.sum(axis=1)
    if halvings.max() > 900:
        raise InputError(f"box {int(halvings.argmax())}: is too small to compute with")
    shares = np.ldexp(1.0, -halvings)
    for j, claim in enumerate(certificate.claims):
        where = f"claim of column {claim.column!r}"
        largest = float(stated.largest[:, j].max())
        if not claim.largest >= largest:
            raise InputError(f"{where}: largest is {claim.largest:g}, that of a box {largest:g}")
        above, below = (
            math.fsum(shares * squares[:, j]) for squares in (stated.square, stated.dense_square)
        )
        # each of the few roundings is one unit; underflow of a product takes less than 1e-300
        ratio = (above + 1e-300) / below if below > 1e-280 else math.inf
        relative = math.sqrt(ratio * (1.0 + 16.0 * UNIT)) * (1.0 + 4.0 * UNIT)
        claimed = math.inf if claim.relative_l2 is None else claim.relative_l2
        if not claimed >= relative:
            raise InputError(f"{where}: relative_l2 is {claimed:g}, its boxes give {relative:g}")
        if not claim.largest_seen <= claim.largest:
            raise InputError(f"{where}: more is seen than the largest one claimed")
        if not claim.relative_l2_seen <= claimed:
            raise InputError(f"{where}: more is seen than the relative_l2 claimed")


# ----------------------------------------------------------------------------------------------- the boxes


@dataclass(frozen=True)
class _Enclosure:
    """Both models over the certificate's domain."""

    certificate: Certificate
    small: Graph
    dense: Graph

    @cached_property
    def basis(self) -> Basis:
        """Polynomials of one degree more than the search's."""
        return Basis(len(self.certificate.domain), self.certificate.order + 1)

    def figures(self, levels: Whole, places: Whole) -> tuple[_Figures, NDArray[np.intp]]:
        """What this code proves of boxes (B, d), and the variable in which to halve each."""
        certificate, basis = self.certificate, self.basis
        points = _points(basis, np.array(certificate.domain), levels, places)
        with np.errstate(all="ignore"):
            deployed = Rules(basis, certificate.unit, certificate.errors)
            small = self.small.outputs(deployed, points)
            dense = self.dense.outputs(Rules(basis), points)
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
            return _Figures(largest, square, dense_square), _steepest(basis, error, levels)


def _points(basis: Basis, domain: Array, levels: Whole, places: Whole) -> Held:
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
    above = (np.sqrt(np.maximum(found + off, 0.0)) + far) ** 2 * _FEW
    below = np.maximum(np.sqrt(np.maximum(found - off, 0.0)) / _FEW - far, 0.0) ** 2 / _FEW
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


def _check_boxes(
    held: _Enclosure, levels: Whole, places: Whole, stated: _Figures, on_progress: Progress
) -> None:
    """2.: all boxes, so many at a time; those that need it are halved, so many at a time, too."""
    waiting = _Parts.of_boxes(levels[:0], places[:0], np.zeros(0, dtype=np.intp))
    for start in range(0, len(levels), _TOGETHER):
        part = np.arange(start, min(start + _TOGETHER, len(levels)))
        boxes = _Parts.of_boxes(levels[part], places[part], part).evaluated(held)
        waiting = waiting.joined(boxes[boxes.figures.worst(stated.of(part))])
        end = part[-1] + 1
        if len(waiting.box) >= _TOGETHER or end == len(levels):
            _check_halved(held, waiting, stated)
            waiting = waiting[:0]
        on_progress(f"{end} of {len(levels)} boxes hold")


@dataclass(frozen=True)
class _Parts:
    """Parts of boxes: of which box of the certificate, what share of it, and what is proved of it."""

    levels: Whole
    places: Whole
    box: NDArray[np.intp]
    share: Array
    figures: _Figures
    variables: NDArray[np.intp]

    @staticmethod
    def of_boxes(levels: Whole, places: Whole, box: NDArray[np.intp]) -> _Parts:
        """Whole boxes, of which nothing is known yet."""
        nothing = np.zeros((len(box), 0))
        figures = _Figures(nothing, nothing, nothing)
        return _Parts(levels, places, box, np.ones(len(box)), figures, np.zeros_like(box))

    def __getitem__(self, which: Any) -> _Parts:
        return _Parts(
            self.levels[which],
            self.places[which],
            self.box[which],
            self.share[which],
            self.figures.of(which),
            self.variables[which],
        )

    def joined(self, other: _Parts) -> _Parts:
        """These and those; figures of none have no columns."""
        if not len(self.box):
            return other
        mine, theirs = self.figures, other.figures
        return _Parts(
            np.concatenate([self.levels, other.levels]),
            np.concatenate([self.places, other.places]),
            np.concatenate([self.box, other.box]),
            np.concatenate([self.share, other.share]),
            _Figures(
                np.concatenate([mine.largest, theirs.largest]),
                np.concatenate([mine.square, theirs.square]),
                np.concatenate([mine.dense_square, theirs.dense_square]),
            ),
            np.concatenate([self.variables, other.variables]),
        )

    def evaluated(self, held: _Enclosure) -> _Parts:
        """With figures."""
        proved = [
            held.figures(
                self.levels[start : start + _TOGETHER], self.places[start : start + _TOGETHER]
            )
            for start in range(0, len(self.box), _TOGETHER)
        ]
        figures = _Figures(
            np.concatenate([f.largest for f, _ in proved]),
            np.concatenate([f.square for f, _ in proved]),
            np.concatenate([f.dense_square for f, _ in proved]),
        )
        variables = np.concatenate([v for _, v in proved])
        return replace(self, figures=figures, variables=variables)

    def halved(self) -> _Parts:
        """Every part as its two halves, of which nothing is known yet."""
        rows = np.arange(len(self.box))
        levels, lower = self.levels.copy(), self.places.copy()
        levels[rows, self.variables] += 1
        lower[rows, self.variables] *= 2
        upper = lower.copy()
        upper[rows, self.variables] += 1
        return _Parts(
            np.concatenate([levels, levels]),
            np.concatenate([lower, upper]),
            np.concatenate([self.box, self.box]),
            np.concatenate([self.share, self.share]) / 2.0,
            self.figures,
            np.concatenate([self.variables, self.variables]),
        )

    def together(self, box: int) -> _Figures:
        """What is proved of a box by its parts, at most 2^MOST_HALVINGS of them."""
        mine = self.box == box
        figures, share = self.figures.of(np.flatnonzero(mine)), self.share[mine]
        return _Figures(
            figures.largest.max(axis=0, keepdims=True),
            (share @ figures.square)[None] * _FEW,
            (share @ figures.dense_square)[None] / _FEW,
        )


def _check_halved(held: _Enclosure, parts: _Parts, stated: _Figures) -> None:
    """2. for boxes whose own enclosure is not enough. Raises InputError for the first that fails."""
    for _ in range(MOST_HALVINGS):
        if not len(parts.box):
            return
        loose = parts.figures.worst(stated.of(parts.box))
        parts = parts[~loose].joined(parts[loose].halved().evaluated(held))
        proved = [
            box
            for box in np.unique(parts.box)
            if not parts.together(box).worst(stated.of(np.array([box]))).any()
        ]
        parts = parts[~np.isin(parts.box, proved)]
    if len(parts.box):
        box = int(parts.box.min())
        _refuse(held, box, parts.together(box), stated.of(np.array([box])))


def _refuse(held: _Enclosure, box: int, found: _Figures, stated: _Figures) -> NoReturn:
    tables = held.certificate.boxes
    where = fractions(np.array(tables.levels[box]), np.array(tables.places[box]))
    for name in ("largest", "square", "dense_square"):
        mine, theirs = getattr(found, name)[0], getattr(stated, name)[0]
        fails = ~(mine >= theirs) if name == "dense_square" else ~(mine <= theirs)
        if fails.any():
            j = int(np.flatnonzero(fails)[0])
            column = held.certificate.claims[j].column
            raise InputError(
                f"box {box} ({where}): {name} of column {column!r} is stated as {theirs[j]:.17g}; "
                f"{mine[j]:.17g} can be shown"
            )
    raise AssertionError("a box that holds is refused")
