"""Whether what is stated of each box can be proved.

Where the enclosure of a box is not enough, it is halved, and its halves again: it holds for the box what is
the maximum of its parts' bounds, and of means their mean.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from hedge.arrays import Array
from hedge.certifying.checking.proving import FEW, Figures, Prover, Subject
from hedge.certifying.checking.tiling import Whole, fractions
from hedge.errors import InputError
from hedge.progress import Progress

MOST_HALVINGS = 4  # of a box, before its figures are refused
_AT_ONCE, _AT_FIRST = 512, 64  # boxes
_REFUSED_SOON = 16  # boxes that are halved before others, for most that is false is seen by a few


@dataclass(frozen=True)
class Stated:
    """Boxes (B, d) and what is stated of each; ``what`` they are about, in words.

    Of those that are ``outside`` (B,) nothing has to hold.
    """

    what: str
    levels: Whole
    places: Whole
    figures: Figures
    outside: NDArray[np.bool_]


def check_boxes(provers: Sequence[Prover], stated: Stated, on_progress: Progress) -> None:
    """All boxes, some at a time; those that need it are halved, some at a time, too.

    Small boxes come first. They are tried by polynomials of a low order, which are cheap, then by those of
    higher ones; an order is left out once it has not proved half of the boxes that it began with.
    """
    levels, places = stated.levels, stated.places
    waiting, lowest = _Parts.of_boxes(levels[:0], places[:0], np.zeros(0, dtype=np.intp)), 0
    smallest_first = np.argsort(-levels.sum(axis=1), kind="stable")
    smallest_first = smallest_first[~stated.outside[smallest_first]]
    count = len(smallest_first)
    edges = [0, *range(_AT_FIRST, count, _AT_ONCE), count]
    for start, end in pairwise(edges):
        some = smallest_first[start:end]
        boxes = _Parts.of_boxes(levels[some], places[some], some)
        for number, prover in list(enumerate(provers))[lowest:]:
            tried = boxes.evaluated(prover)
            boxes = tried[tried.figures.short(stated.figures.of(tried.box))]
            if number == lowest and 2 * len(boxes.box) > len(tried.box):
                lowest = min(lowest + 1, len(provers) - 1)
        waiting = waiting.joined(boxes)
        if len(waiting.box) >= _AT_ONCE or end == count:
            for few in (waiting[:_REFUSED_SOON], waiting[_REFUSED_SOON:]):
                _check_halved(provers[-1], few, stated)
            waiting = waiting[:0]
        on_progress(f"checking {stated.what}: {end} of {count} boxes hold")


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
            (share @ figures.least_square)[None] / FEW,
        )


def _check_halved(prover: Prover, parts: _Parts, stated: Stated) -> None:
    """Boxes whose own enclosure is not enough. Raises InputError for the first that fails."""
    for _ in range(MOST_HALVINGS):
        if not len(parts.box):
            return
        loose = parts.figures.short(stated.figures.of(parts.box))
        parts = parts[~loose].joined(parts[loose].halved().evaluated(prover))
        proved = [
            box
            for box in np.unique(parts.box)
            if not parts.together(box).short(stated.figures.of(np.array([box]))).any()
        ]
        parts = parts[~np.isin(parts.box, proved)]
    if len(parts.box):
        box = int(parts.box.min())
        _refuse(prover.subject, box, parts.together(box), stated)


_TABLES = {"largest": "largest", "square": "square", "least_square": "dense_square"}


def _refuse(subject: Subject, box: int, found: Figures, stated: Stated) -> NoReturn:
    place = fractions(stated.levels[box], stated.places[box])
    for (name, table), columns in zip(_TABLES.items(), subject.columns, strict=True):
        mine, theirs = getattr(found, name)[0], getattr(stated.figures, name)[box]
        fails = ~(mine >= theirs) if name == "least_square" else ~(mine <= theirs)
        if fails.any():
            j = int(np.flatnonzero(fails)[0])
            raise InputError(
                f"{stated.what}: box {box} ({place}): {table} of {columns[j]} is stated as "
                f"{theirs[j]:.17g}; {mine[j]:.17g} can be shown"
            )
    raise AssertionError("a box that holds is refused")
