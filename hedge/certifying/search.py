"""Bisecting boxes until what is proved is close to what is seen."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hedge.analytic import UNIT
from hedge.arrays import Array
from hedge.certifying.bounds import Bounds
from hedge.certifying.certificate import Ended
from hedge.certifying.cover import Cover, whole
from hedge.progress import Progress

GAP = 0.05  # what is proved may be so much more than what is seen
DEEPEST = 40  # halvings of one variable
THINNEST = 8  # one variable of a box may be halved so many times more than another
Of = Callable[[Cover], Bounds]


@dataclass(frozen=True)
class Proof:
    """A cover and what is proved of its boxes; evaluated counts all boxes looked at on the way.

    ended says why the search did: "close", what was used up, or that boxes are as small as they may be.
    """

    cover: Cover
    bounds: Bounds
    evaluated: int
    ended: Ended

    @property
    def largest(self) -> Array:
        """max|e| is at most this, by column (m,)."""
        return np.asarray(self.bounds.largest.max(axis=0))

    @property
    def largest_seen(self) -> Array:
        """max|e| is at least this, (m,)."""
        return np.asarray(self.bounds.seen.max(axis=0))

    @property
    def dense_seen(self) -> Array:
        """max|u| is at least this, (m,)."""
        return np.asarray(self.bounds.dense_seen.max(axis=0))

    @property
    def rounding(self) -> Array:
        """What float32 adds, anywhere, is at most this, (m,)."""
        return np.asarray(self.bounds.rounding.max(axis=0))

    @property
    def relative_l2(self) -> Array:
        """‖e‖/‖u‖ is at most this, (m,)."""
        return self.relative_l2_of([1] * len(self.largest))

    def relative_l2_of(self, fields: Sequence[int]) -> Array:
        """The same for fields of so many columns each, one after the other."""
        starts, up = np.cumsum([0, *fields[:-1]]), self._rounded_up
        above = np.add.reduceat(self._mean(self.bounds.square), starts)
        below = np.add.reduceat(self._mean(self.bounds.dense_square_seen), starts)
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.asarray(np.where(below > 0.0, np.sqrt(above / below) * up, np.inf))

    @property
    def relative_l2_seen(self) -> Array:
        """‖e‖/‖u‖ is at least this, (m,)."""
        below, above = self._mean(self.bounds.square_seen), self._mean(self.bounds.dense_square)
        with np.errstate(divide="ignore", invalid="ignore"):
            shares = np.where(above > 0.0, np.sqrt(below / above), 0.0)
        return np.asarray(shares / self._rounded_up)

    @property
    def _rounded_up(self) -> float:
        """More than sums over all boxes can lose, and a quotient and a root of them."""
        return 1.0 + 4.0 * (len(self.cover) + 64) * UNIT

    def _mean(self, squares: Array) -> Array:
        """Over the domain, of means over the boxes."""
        return np.asarray(self.cover.shares @ squares)


def search(
    bounds_of: Of,
    dimension: int,
    *,
    gap: float,
    most: int,
    at_once: int,
    is_over: Callable[[], bool],
    on_progress: Progress,
) -> Proof:
    """Boxes are halved until both bounds are within ``gap`` of what is seen, or ``most`` were evaluated.

    At most ``at_once`` are halved in a round, those with the largest bounds. ``is_over`` ends it earlier:
    what is proved by then holds.
    """
    cover = whole(dimension)
    bounds, evaluated = bounds_of(cover), 1
    while True:
        wanted = _worth_halving(bounds, cover.shares, gap)
        chosen = _first(wanted & (cover.levels.max(axis=1) < DEEPEST), bounds.largest, at_once)
        if not chosen.any():
            return Proof(cover, bounds, evaluated, "depth" if wanted.any() else "close")
        if evaluated + 2 * chosen.sum() > most:
            return Proof(cover, bounds, evaluated, "boxes")
        if is_over():
            return Proof(cover, bounds, evaluated, "budget")
        halves = cover[chosen].halved(_variables(cover[chosen], bounds[chosen]))
        found = bounds_of(halves)
        evaluated += len(halves)
        cover, bounds = cover[~chosen].joined(halves), bounds[~chosen].joined(found)
        proof = Proof(cover, bounds, evaluated, "budget")
        on_progress(
            f"{evaluated} boxes: at most {proof.largest.max():.3e}, seen {proof.largest_seen.max():.3e}"
        )


def _variables(cover: Cover, bounds: Bounds) -> NDArray[np.intp]:
    """The steepest one of each box, or the longest one where nothing is known yet."""
    known = np.isfinite(bounds.radius).all(axis=1) & (
        cover.levels.max(axis=1) - cover.levels.min(axis=1) < THINNEST
    )
    return np.where(known, bounds.steepest, cover.levels.argmin(axis=1))


def _worth_halving(bounds: Bounds, shares: Array, gap: float) -> NDArray[np.bool_]:
    """Boxes that the bounds hang on, but for float32's rounding, which halving hardly helps."""
    rounding = np.where(np.isfinite(bounds.rounding), bounds.rounding, 0.0)
    most, least = bounds.largest - rounding, (bounds.seen + rounding).max(axis=0)
    found = np.asarray((most > (1.0 + gap) * least).any(axis=1))
    for column in range(most.shape[1]):
        radius = (bounds.radius - rounding)[:, column]
        found |= _loose(shares, bounds.mean[:, column], radius, gap)
    return found


def _first(wanted: NDArray[np.bool_], bounds: Array, count: int) -> NDArray[np.bool_]:
    """So many of the wanted boxes, those with the largest bounds (B, m)."""
    if wanted.sum() <= count:
        return wanted
    most = np.where(wanted, bounds.max(axis=1), -1.0)
    return wanted & np.isin(np.arange(len(wanted)), np.argsort(-most, kind="stable")[:count])


def _loose(shares: Array, mean: Array, radius: Array, gap: float) -> NDArray[np.bool_]:
    """Boxes with the most of what ‖e‖² may be more than what is seen of it, half of which may stay."""
    most = shares * (mean + radius) ** 2
    if not (is_known := np.isfinite(most)).all():
        return ~is_known
    below = shares * np.maximum(mean - radius, 0.0) ** 2
    excess = most - below
    allowed = ((1.0 + gap) ** 2 - 1.0) * below.sum()
    found = np.zeros(len(shares), dtype=bool)
    if excess.sum() <= allowed:
        return found
    order = np.argsort(-excess, kind="stable")
    left = excess.sum() - np.cumsum(excess[order])
    chosen = order[: int((left > 0.5 * allowed).sum()) + 1]
    found[chosen] = excess[chosen] > 0.0
    return found
