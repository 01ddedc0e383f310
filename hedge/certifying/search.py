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
from hedge.problems.stability import Kind
from hedge.progress import Progress

GAP = 0.05  # what is proved may be so much more than what is seen
UNDECIDED = 0.1  # of the domain's volume may be in boxes that lie in its shape partly
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
    def value_seen(self) -> Array:
        """max|u| is at least this, (m,)."""
        return np.asarray(self.bounds.value_seen.max(axis=0))

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
        below = np.add.reduceat(self._mean(self.bounds.value_square_seen), starts)
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.asarray(np.where(below > 0.0, np.sqrt(above / below) * up, np.inf))

    @property
    def relative_l2_seen(self) -> Array:
        """‖e‖/‖u‖ is at least this, (m,)."""
        below, above = self._mean(self.bounds.square_seen), self._mean(self.bounds.value_square)
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
    halved: Sequence[int],
    gap: float,
    most: int,
    at_once: int,
    is_over: Callable[[], bool],
    on_progress: Progress,
    norms: Sequence[Kind] = ("max", "L2"),
    floor: float = 0.0,
    of_shape: Sequence[int] = (),
) -> Proof:
    """Boxes are halved until these norms' bounds are within ``gap`` of what is seen, or ``most`` looked at.

    They are halved in the variables ``halved`` only; those of the domain's shape are ``of_shape``. Bounds
    below the ``floor`` are close enough. At most ``at_once`` are halved in a round, those that each norm's
    bound hangs on most. ``is_over`` ends it earlier: what is proved by then holds.
    """
    cover = whole(dimension)
    bounds, evaluated = bounds_of(cover), 1
    while True:
        weights = [_weights(norm, bounds, cover.shares, gap, floor) for norm in norms]
        wanted = np.any([weight > 0.0 for weight in weights], axis=0)
        chosen = _heaviest(weights, at_once) & (cover.levels.max(axis=1) < DEEPEST)
        if not chosen.any():
            return Proof(cover, bounds, evaluated, "depth" if wanted.any() else "close")
        if evaluated + 2 * chosen.sum() > most:
            return Proof(cover, bounds, evaluated, "boxes")
        if is_over():
            return Proof(cover, bounds, evaluated, "budget")
        variables = _variables(cover[chosen], bounds[chosen], halved)
        if of_shape:  # only halving in these tells how much of a box lies in the domain
            longest = np.asarray(of_shape)[cover.levels[:, of_shape].argmin(axis=1)]
            is_open = _undecided(bounds, cover.shares) > 0.0
            variables = np.where(is_open[chosen], longest[chosen], variables)
        halves = cover[chosen].halved(variables)
        found = bounds_of(halves)
        evaluated += len(halves)
        cover, bounds = cover[~chosen].joined(halves), bounds[~chosen].joined(found)
        proof = Proof(cover, bounds, evaluated, "budget")
        on_progress(
            f"{evaluated} boxes: at most {proof.largest.max():.3e}, seen {proof.largest_seen.max():.3e}"
        )


def _variables(cover: Cover, bounds: Bounds, halved: Sequence[int]) -> NDArray[np.intp]:
    """Of those that may be halved the steepest one of each box, or the longest one where nothing is known."""
    levels = cover.levels[:, halved]
    known = np.isfinite(bounds.radius).all(axis=1) & np.isin(bounds.steepest, halved)
    known &= levels.max(axis=1) - levels.min(axis=1) < THINNEST
    return np.where(known, bounds.steepest, np.asarray(halved)[levels.argmin(axis=1)])


def _weights(norm: Kind, bounds: Bounds, shares: Array, gap: float, floor: float) -> Array:
    """Of each box, how much the norm's bound hangs on it; 0 where halving is not worth while.

    float32's rounding is left out, which halving hardly helps.
    """
    rounding = np.where(np.isfinite(bounds.rounding), bounds.rounding, 0.0)
    if norm == "max":
        most, least = bounds.largest - rounding, (bounds.seen + rounding).max(axis=0)
        wanted = (most > np.maximum((1.0 + gap) * least, floor)).any(axis=1)
        return np.where(wanted, bounds.largest.max(axis=1), 0.0)
    radius = bounds.radius - rounding
    columns = range(radius.shape[1])
    parts = [_loose(norm, shares, bounds.mean[:, j], radius[:, j], gap, floor) for j in columns]
    parts.append(_undecided(bounds, shares))
    return np.asarray(np.max(parts, axis=0))


def _heaviest(weights: Sequence[Array], count: int) -> NDArray[np.bool_]:
    """The boxes that some norm hangs on; of more than ``count`` an equal part for each norm, the heaviest."""
    wanted = np.stack([weight > 0.0 for weight in weights])
    if wanted.any(axis=0).sum() <= count:
        return np.asarray(wanted.any(axis=0))
    each = max(count // int(wanted.any(axis=1).sum()), 1)
    chosen = np.zeros(wanted.shape[1], dtype=bool)
    for weight in weights:
        first = np.argsort(-weight, kind="stable")[:each]
        chosen[first[weight[first] > 0.0]] = True
    return chosen


def _loose(
    norm: Kind, shares: Array, mean: Array, radius: Array, gap: float, floor: float
) -> Array:
    """Boxes with the most of what ‖e‖ᵖ may be more than what is seen of it, half of which may stay."""
    power = {"L1": 1, "L2": 2}[norm]
    with np.errstate(over="ignore"):
        most = shares * (mean + radius) ** power
    if not (is_known := np.isfinite(most)).all():
        return np.where(is_known, 0.0, shares)
    below = shares * np.maximum(mean - radius, 0.0) ** power
    excess = most - below
    return _largest_of(excess, max(((1.0 + gap) ** power - 1.0) * below.sum(), floor**power))


def _undecided(bounds: Bounds, shares: Array) -> Array:
    """Boxes of which it is open how much lies in the domain, with their shares; some of them may stay."""
    partly = np.where(bounds.inside | bounds.outside, 0.0, shares)
    return _largest_of(partly, UNDECIDED * float(shares[bounds.inside].sum()))


def _largest_of(excess: Array, allowed: float) -> Array:
    """The largest ones, of the rest of which half of what is allowed is left; none, if it is all allowed."""
    if excess.sum() <= allowed:
        return np.zeros(len(excess))
    order = np.argsort(-excess, kind="stable")
    left = excess.sum() - np.cumsum(excess[order])
    chosen = order[: int((left > 0.5 * allowed).sum()) + 1]
    found = np.zeros(len(excess))
    found[chosen] = excess[chosen]
    return found
