"""Whether a certificate is true.

Theorem. Let u be the function of real numbers that the dense model defines at one row, and û(x) what the
small one computes there as float32 arithmetic, deployed in the way that rules.py describes, with its
functions as close as the certificate's ``errors`` say; e = û − u. If ``check_difference`` returns, then

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
here are of one degree more, since they must not be looser, or of fewer where these are enough; an order
that is too high to compute with is refused.

Proof of 2., box by box: proving.py. Where its bounds are not enough, a box is halved, and its halves again:
it holds for the box what is the maximum of its parts' bounds, and of means their mean.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto

from hedge.arrays import Array
from hedge.certifying.certificate import Certificate, CertifiedFile, Difference
from hedge.certifying.checking.functions import FLOAT32
from hedge.certifying.checking.graphs import graph_of
from hedge.certifying.checking.nodes import Graph
from hedge.certifying.checking.polynomials import UNIT
from hedge.certifying.checking.proving import FEW, Figures, Prover
from hedge.certifying.checking.tiling import Whole, check_tiling, fractions
from hedge.errors import InputError
from hedge.problems import Problem
from hedge.progress import Progress, silent

SINGLE = 2.0**-24
MOST_HALVINGS = 4  # of a box, before its figures are refused
MOST_MONOMIALS = 1000
_AT_ONCE, _AT_FIRST = 512, 64  # boxes


def check(
    certificate: Certificate,
    models: Mapping[CertifiedFile, ModelProto],
    problem: Problem | None = None,
    on_progress: Progress = silent,
) -> None:
    """Raise InputError, with what is wrong and where, unless the certificate is true of these models."""
    if certificate.solutions or certificate.distances:
        raise InputError("solutions: are not checked by this version; certify without --problem")
    difference = certificate.difference
    if difference is not None:
        check_difference(
            difference, models[certificate.model], models[difference.dense], on_progress
        )


def check_difference(
    certificate: Difference,
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
    stated = Figures(
        *(
            np.array(t, dtype=np.float64)
            for t in (tables.largest, tables.square, tables.dense_square)
        )
    )
    _check_claims(certificate, levels, stated)
    order = certificate.order
    provers = [
        Prover(certificate, *graphs, each) for each in (order - 1, order, order + 1) if each > 1
    ]
    _check_boxes(provers, levels, places, stated, on_progress)


# ------------------------------------------------------------------------------------- what is around boxes


def _check_frame(certificate: Difference, small: Graph, dense: Graph) -> None:
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


def _check_claims(certificate: Difference, levels: Whole, stated: Figures) -> None:
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


def _check_boxes(
    provers: Sequence[Prover],
    levels: Whole,
    places: Whole,
    stated: Figures,
    on_progress: Progress,
) -> None:
    """2.: all boxes, some at a time; those that need it are halved, some at a time, too.

    Small boxes come first. They are tried by polynomials of a low order, which are cheap, then by those of
    higher ones; an order is left out once it has not proved half of the boxes that it began with.
    """
    waiting, lowest = _Parts.of_boxes(levels[:0], places[:0], np.zeros(0, dtype=np.intp)), 0
    smallest_first = np.argsort(-levels.sum(axis=1), kind="stable")
    edges = [0, *range(_AT_FIRST, len(levels), _AT_ONCE), len(levels)]
    for start, end in pairwise(edges):
        some = smallest_first[start:end]
        boxes = _Parts.of_boxes(levels[some], places[some], some)
        for number, prover in list(enumerate(provers))[lowest:]:
            tried = boxes.evaluated(prover)
            boxes = tried[tried.figures.short(stated.of(tried.box))]
            if number == lowest and 2 * len(boxes.box) > len(tried.box):
                lowest = min(lowest + 1, len(provers) - 1)
        waiting = waiting.joined(boxes)
        if len(waiting.box) >= _AT_ONCE or end == len(levels):
            _check_halved(provers[-1], waiting, stated)
            waiting = waiting[:0]
        on_progress(f"{end} of {len(levels)} boxes hold")


@dataclass(frozen=True)
class _Parts:
    """Parts of boxes: of which box of the certificate, what share of it, and what is proved of it."""

    levels: Whole
    places: Whole
    box: NDArray[np.intp]
    share: Array
    figures: Figures
    variables: NDArray[np.intp]

    @staticmethod
    def of_boxes(levels: Whole, places: Whole, box: NDArray[np.intp]) -> _Parts:
        """Whole boxes, of which nothing is known yet."""
        nothing = np.zeros((len(box), 0))
        figures = Figures(nothing, nothing, nothing)
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
        return _Parts(
            np.concatenate([self.levels, other.levels]),
            np.concatenate([self.places, other.places]),
            np.concatenate([self.box, other.box]),
            np.concatenate([self.share, other.share]),
            Figures.of_all([self.figures, other.figures]),
            np.concatenate([self.variables, other.variables]),
        )

    def evaluated(self, prover: Prover) -> _Parts:
        """With figures."""
        if not len(self.box):
            return self
        figures, variables = prover.proved(self.levels, self.places)
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

    def together(self, box: int) -> Figures:
        """What is proved of a box by its parts, at most 2^MOST_HALVINGS of them."""
        mine = self.box == box
        figures, share = self.figures.of(np.flatnonzero(mine)), self.share[mine]
        return Figures(
            figures.largest.max(axis=0, keepdims=True),
            (share @ figures.square)[None] * FEW,
            (share @ figures.dense_square)[None] / FEW,
        )


def _check_halved(prover: Prover, parts: _Parts, stated: Figures) -> None:
    """2. for boxes whose own enclosure is not enough. Raises InputError for the first that fails."""
    for _ in range(MOST_HALVINGS):
        if not len(parts.box):
            return
        loose = parts.figures.short(stated.of(parts.box))
        parts = parts[~loose].joined(parts[loose].halved().evaluated(prover))
        proved = [
            box
            for box in np.unique(parts.box)
            if not parts.together(box).short(stated.of(np.array([box]))).any()
        ]
        parts = parts[~np.isin(parts.box, proved)]
    if len(parts.box):
        box = int(parts.box.min())
        _refuse(prover, box, parts.together(box), stated.of(np.array([box])))


def _refuse(prover: Prover, box: int, found: Figures, stated: Figures) -> NoReturn:
    tables = prover.certificate.boxes
    where = fractions(np.array(tables.levels[box]), np.array(tables.places[box]))
    for name in ("largest", "square", "dense_square"):
        mine, theirs = getattr(found, name)[0], getattr(stated, name)[0]
        fails = ~(mine >= theirs) if name == "dense_square" else ~(mine <= theirs)
        if fails.any():
            j = int(np.flatnonzero(fails)[0])
            column = prover.certificate.claims[j].column
            raise InputError(
                f"box {box} ({where}): {name} of column {column!r} is stated as {theirs[j]:.17g}; "
                f"{mine[j]:.17g} can be shown"
            )
    raise AssertionError("a box that holds is refused")
