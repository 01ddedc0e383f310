"""Whether boxes tile a domain, by whole numbers alone.

Box b reaches in variable v from places/2^levels to (places + 1)/2^levels of the domain. Boxes that halving
has made can be taken apart again: a region is either one box, or a plane through its middle cuts no box of
it, and both its halves are tiled. That is what is looked for here. If it is found, every point lies in a
box and no two boxes share more than an edge: a region that is one box is tiled, and so is one with two
tiled halves.
"""

from __future__ import annotations

from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from hedge.errors import InputError

Whole = NDArray[np.int64]
DEEPEST = 48


def check_tiling(levels: Whole, places: Whole) -> None:
    """Raise InputError, with the box or the hole, unless the boxes (B, d) tile the domain.

    All regions of one size of the recursion are looked at together; boxes are kept sorted by region.
    """
    _check_ranges(levels, places)
    boxes = np.arange(len(levels))
    region_levels = np.zeros((1, levels.shape[1]), dtype=np.int64)
    region_places = region_levels.copy()
    region = np.zeros(len(levels), dtype=np.int64)  # of each box
    while len(boxes):
        starts = np.flatnonzero(np.diff(region, prepend=-1))
        finer = np.minimum.reduceat(levels[boxes], starts) - region_levels
        variable = finer.argmax(axis=1)
        whole = finer.max(axis=1) == 0  # some box is as wide as the region, whatever the variable
        counts = np.diff(np.append(starts, len(boxes)))
        if (whole & (counts > 1)).any():
            first = starts[np.flatnonzero(whole & (counts > 1))[0]]
            _refuse_overlap(boxes[first : first + 2])
        left = ~whole[region]
        boxes, region = boxes[left], region[left]
        kept = np.flatnonzero(~whole)
        region = np.searchsorted(kept, region)
        halved = variable[kept]
        region_levels, region_places = _halves(region_levels[kept], region_places[kept], halved)
        cut = halved[region]
        behind = levels[boxes, cut] - region_levels[2 * region, cut]
        region = 2 * region + ((places[boxes, cut] >> behind) & 1)
        order = np.argsort(region, kind="stable")
        boxes, region = boxes[order], region[order]
        filled = np.isin(np.arange(len(region_levels)), region)
        if not filled.all():
            hole = int(np.flatnonzero(~filled)[0])
            raise InputError(
                f"boxes: none covers {fractions(region_levels[hole], region_places[hole])}"
            )


def _check_ranges(levels: Whole, places: Whole) -> None:
    wrong = (levels < 0) | (levels > DEEPEST)
    wrong |= (places < 0) | (places >= np.int64(1) << np.clip(levels, 0, DEEPEST))
    if wrong.any():
        raise InputError(
            f"box {int(np.flatnonzero(wrong.any(axis=1))[0])}: lies outside the domain"
        )


def _halves(levels: Whole, places: Whole, variables: NDArray[np.intp]) -> tuple[Whole, Whole]:
    """Of each region the lower and the upper half, next to each other."""
    rows = np.arange(len(levels))
    levels, places = levels.copy(), places.copy()
    levels[rows, variables] += 1
    places[rows, variables] *= 2
    levels, places = np.repeat(levels, 2, axis=0), np.repeat(places, 2, axis=0)
    places[2 * rows + 1, variables] += 1
    return levels, places


def _refuse_overlap(boxes: NDArray[Any]) -> NoReturn:
    raise InputError(
        f"boxes {int(boxes[0])} and {int(boxes[1])}: overlap, or halving does not make them"
    )


def fractions(levels: Whole, places: Whole) -> str:
    """A box in words, as fractions of the domain.

    >>> fractions(np.array([1, 0]), np.array([1, 0]))
    '1/2 to 2/2 of variable 0, 0/1 to 1/1 of variable 1'
    """
    return ", ".join(
        f"{place}/{2**level} to {place + 1}/{2**level} of variable {v}"
        for v, (level, place) in enumerate(zip(levels.tolist(), places.tolist(), strict=True))
    )
