"""Whether what a certificate says of a model and the dense one is true: 1. to 3. of verdict.py."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto

from hedge.arrays import Array
from hedge.certifying.certificate import Difference
from hedge.certifying.checking.boxes import Stated, check_boxes
from hedge.certifying.checking.frame import check_frame, check_tables, orders, shares_of
from hedge.certifying.checking.graphs import graph_of, outputs
from hedge.certifying.checking.held import Held
from hedge.certifying.checking.nodes import Graph
from hedge.certifying.checking.polynomials import UNIT, Basis
from hedge.certifying.checking.proving import Figures, Prover, largest_of, mean_squares
from hedge.certifying.checking.rules import Rules
from hedge.certifying.checking.shapes import places_of
from hedge.certifying.checking.tiling import check_tiling
from hedge.errors import InputError, quoted
from hedge.progress import Progress, silent


def check_difference(
    certificate: Difference,
    small: ModelProto,
    dense: ModelProto,
    on_progress: Progress = silent,
) -> None:
    """Raise InputError, with what is wrong and where, unless the certificate is true of these models."""
    graphs = graph_of(small, "the small model"), graph_of(dense, "the dense model")
    check_frame(certificate, graphs, deployed=graphs[0])
    tables = certificate.boxes
    levels, places = (np.array(t, dtype=np.int64) for t in (tables.levels, tables.places))
    check_tiling(levels, places)
    stated = Figures(*map(np.array, (tables.largest, tables.square, tables.dense_square)))
    where = places_of(certificate.where.shape, np.array(certificate.domain), levels, places)
    _check_claims(certificate, shares_of(levels), stated, where.inside)
    subject = Apart(certificate, *graphs)
    provers = [Prover(subject, each) for each in orders(certificate)]
    check_boxes(provers, Stated("difference", levels, places, stated, where.outside), on_progress)


@dataclass(frozen=True)
class Apart:
    """e, the deployed model minus the dense one, and u, the dense one: |e|, and the means of e² and u²."""

    certificate: Difference
    small: Graph
    dense: Graph

    @cached_property
    def domain(self) -> Array:
        """Of the boxes."""
        return np.array(self.certificate.domain)

    @property
    def widest(self) -> int:
        """Of both."""
        return max(self.small.widest, self.dense.widest)

    @property
    def columns(self) -> tuple[list[str], list[str], list[str]]:
        """The same in all tables."""
        names = [f"column {quoted(claim.column)}" for claim in self.certificate.claims]
        return names, names, names

    def figures(self, basis: Basis, points: Held) -> tuple[Figures, Held]:
        """Of the boxes of these points, and e."""
        certificate, boxes = self.certificate, points.radius.shape[1]
        deployed = Rules(basis, certificate.unit, certificate.errors)
        small = outputs(self.small, deployed, points)
        dense = outputs(self.dense, Rules(basis), points)
        columns = len(certificate.claims)
        for name, found in ((self.small.name, small), (self.dense.name, dense)):
            if found.shape != (columns,):
                raise InputError(f"claims: are of {columns} column(s), {name} has {found.shape[0]}")
        error = deployed.combined(small, dense, -1.0)
        square, _ = mean_squares(basis, error, boxes)
        _, dense_square = mean_squares(basis, dense, boxes)
        return Figures(largest_of(error, boxes), square, dense_square), error


def _check_claims(
    certificate: Difference, shares: Array, stated: Figures, inside: NDArray[np.bool_]
) -> None:
    """3., from 2.; the boxes' shares of the domain are powers of two, sums are rounded once.

    Of u² the boxes count that lie in the shape.
    """
    check_tables(stated)
    for j, claim in enumerate(certificate.claims):
        where = f"claim of column {quoted(claim.column)}"
        largest = float(stated.largest[:, j].max())
        if not claim.largest >= largest:
            raise InputError(f"{where}: largest is {claim.largest:g}, that of a box {largest:g}")
        above = math.fsum(shares * stated.square[:, j])
        below = math.fsum((shares * stated.least_square[:, j])[inside])
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
