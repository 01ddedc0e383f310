"""Filling a table: what is measured, what that foretells, and what is odd and measured again."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import product
from math import log

import numpy as np

from hedge.arrays import Array
from hedge.benching.calibration.timing import DISTURBED

_Index = tuple[int, ...]
Axes = tuple[tuple[int, ...], ...]

# Time grows with the size where it grows at least as this power of it: below, starting the node is
# what there is.
GROWS = 0.5
# What a difference of two measured times may be off by, as a part of the longer one.
UNSURE = 0.05
# From a size to the next, time per number does not grow by more, whatever the caches.
MOST_JUMP = 10.0
# No entry is faster than this many times the rate that the fastest few reach, where there are entries
# enough that a few of them come near the machine's roofline.
ROOF, FASTEST, ENOUGH = 1.5, 5, 50
# So many measured entries are tried, the nearest first, where no axis foretells.
NEAREST = 5
# Runs of a model that is measured once: at its start, and in its windows.
RUNS = 5
AGAIN = 5


@dataclass(frozen=True)
class Difference:
    """Seconds of two models that differ by ``copies`` pieces, and of a fixed loop beside them."""

    without: float
    within: float
    copies: int
    loop_s: float = 0.0

    @property
    def piece(self) -> float:
        """Of one piece."""
        return (self.within - self.without) / self.copies

    @property
    def unsure(self) -> float:
        """What that may be off by."""
        return UNSURE * self.within / self.copies

    def shortest(self, other: Difference | None) -> Difference:
        """Of each model the shorter time, or both from where the loop was clearly faster.

        This one's where the other is of other pieces.
        """
        if other is None or other.copies != self.copies or other.slowed(self.loop_s):
            return self
        if self.slowed(other.loop_s):
            return other
        return Difference(
            min(self.without, other.without),
            min(self.within, other.within),
            self.copies,
            max(self.loop_s, other.loop_s),
        )

    def slowed(self, loop_s: float) -> bool:
        """Whether the machine was slower than where the loop takes so long."""
        return self.loop_s > DISTURBED * loop_s


_Found = Mapping[_Index, Difference]
Measure = Callable[[tuple[int, ...], float], Difference]
"""sizes, about how many seconds a piece takes -> what it takes."""


class Spending:
    """The seconds that runs have taken, as counted from what they were measured to take."""

    def __init__(self, limit_s: float) -> None:
        self._left = limit_s

    def take(self, seconds: float) -> None:
        """Count a model that was measured."""
        self._left -= RUNS * seconds

    @property
    def over(self) -> bool:
        """Whether nothing is to be measured that can be foretold, and nothing again."""
        return self._left < 0.0


class Filling:
    """The entries of one table, over all combinations of the sizes of its ``axes``.

    ``usual`` tells what the loop beside measurements usually takes. An entry is measured if its work,
    the product of its sizes, is at most ``most``.
    A larger one is foretold from two measured ones between which time grows with the size, and measured
    all the same where there are none. Entries that take over ``long_s`` are measured once only.
    """

    def __init__(
        self,
        axes: Axes,
        measure: Measure,
        most: float,
        long_s: float,
        spending: Spending,
        usual: Callable[[], float],
    ) -> None:
        self.axes = axes
        self._measure, self._most, self._long_s, self._spending = measure, most, long_s, spending
        self._usual = usual
        self._work = np.array([np.prod(sizes, dtype=float) for sizes in product(*axes)])
        self._work = self._work.reshape([len(axis) for axis in axes])
        self._found: dict[_Index, Difference] = {}
        self._values = np.zeros(self._work.shape)

    def sweep(self) -> None:
        """Go over all entries once."""
        for at in self._places():
            known = self._found.get(at)
            foretold = self._foretold(at)
            if known is None and foretold is not None and self._beyond(at):
                self._values[at] = foretold
            elif known is None or not (known.piece > self._long_s or self._spending.over):
                self._take(at, foretold)

    def mend(self) -> None:
        """Measure again what is odd, as long as it is and there is time; no more than all entries once."""
        left = len(self._found)
        for _ in range(AGAIN):
            odd = self._odd()[:left]
            if not odd or self._spending.over:
                return
            left -= len(odd)
            for at in odd:
                self._take(at, None)
            self._foretell_again()

    @property
    def disturbed(self) -> list[bool]:
        """Of every entry that was measured, whether the machine was slowed down each time."""
        usual = self._usual()
        return [one.slowed(usual) for one in self._found.values()]

    @property
    def values(self) -> Array:
        """Seconds of all entries, none less than of a smaller size: more is never faster."""
        found = np.maximum(self._values, 0.0)
        for axis in range(found.ndim):
            found = np.maximum.accumulate(found, axis=axis)
        return found

    def _places(self) -> Iterator[_Index]:
        return product(*(range(len(axis)) for axis in self.axes))

    def _beyond(self, at: _Index) -> bool:
        return bool(self._work[at] > self._most or self._spending.over)

    def _take(self, at: _Index, expected: float | None) -> None:
        known = self._found.get(at)
        if known is not None:
            expected = known.piece
        sizes = tuple(axis[i] for axis, i in zip(self.axes, at, strict=True))
        found = self._measure(sizes, self._largest_below(at) if expected is None else expected)
        self._spending.take(found.without + found.within)
        self._found[at] = found.shortest(known)
        self._values[at] = self._found[at].piece

    def _largest_below(self, at: _Index) -> float:
        return max((self._values[place] for place in self._smaller(at)), default=0.0)

    def _smaller(self, at: _Index) -> list[_Index]:
        """One step smaller along an axis."""
        return [(*at[:axis], i - 1, *at[axis + 1 :]) for axis, i in enumerate(at) if i]

    def _foretell_again(self) -> None:
        for at in self._places():
            if at not in self._found:
                foretold = self._foretold(at)
                self._values[at] = self._values[at] if foretold is None else foretold

    def _foretold(self, at: _Index) -> float | None:
        """From measured entries that were not disturbed; if these tell nothing, from all.

        None where time grows with the size nowhere.
        """
        usual = self._usual()
        calm = {place: one for place, one in self._found.items() if not one.slowed(usual)}
        found = self._foretold_by(calm, at)
        return self._foretold_by(self._found, at) if found is None else found

    def _foretold_by(self, found: _Found, at: _Index) -> float | None:
        """By the two largest sizes along the axis on which time grows most like the size.

        Where there are none, by the entry nearest below and one below that, and their work.
        """
        along = [line for axis in range(len(at)) if (line := self._along(found, at, axis))]
        if along:
            return max(along)[1]
        below = [p for p in found if p != at and all(i <= j for i, j in zip(p, at, strict=True))]
        for place in sorted(below, key=self._work.__getitem__, reverse=True)[:NEAREST]:
            for first in self._smaller(place):
                if first in found:
                    sizes = (self._work[first], self._work[place])
                    line = _line(found[first], found[place], sizes, float(self._work[at]))
                    if line is not None:
                        return line[1]
        return None

    def _along(self, found: _Found, at: _Index, axis: int) -> tuple[float, float] | None:
        on_axis = [(*at[:axis], i, *at[axis + 1 :]) for i in range(at[axis])]
        two = [place for place in on_axis if place in found][-2:]
        if len(two) < 2:
            return None
        sizes = self.axes[axis]
        between = (sizes[two[0][axis]], sizes[two[1][axis]])
        return _line(found[two[0]], found[two[1]], between, sizes[at[axis]])

    def _odd(self) -> list[_Index]:
        """Entries that were disturbed, or that their neighbours or the machine's fastest contradict."""
        found: dict[_Index, None] = {}
        roof, usual = ROOF * self._fastest(), self._usual()
        for at, here in self._found.items():
            if here.slowed(usual) or self._work[at] > roof * (here.piece + here.unsure):
                found[at] = None
            for place in self._smaller(at):
                if place in self._found and self._contradict(place, at):
                    found |= {place: None, at: None}
        return list(found)

    def _contradict(self, smaller: _Index, larger: _Index) -> bool:
        """Whether more is faster, or time per number jumps."""
        few, many = self._found[smaller], self._found[larger]
        slack = few.unsure + many.unsure
        ratio = float(self._work[larger] / self._work[smaller])
        faster = many.piece + slack < few.piece
        return faster or many.piece - slack > MOST_JUMP * ratio * (max(few.piece, 0.0) + few.unsure)

    def _fastest(self) -> float:
        """The work a second that the fastest few reach in the median; unknown where entries are few."""
        if len(self._found) < ENOUGH:
            return np.inf
        rates = sorted(
            self._work[at] / (max(d.piece, 0.0) + d.unsure) for at, d in self._found.items()
        )
        return float(np.median(rates[-FASTEST:]))


def _line(
    smaller: Difference, larger: Difference, sizes: tuple[float, float], size: float
) -> tuple[float, float] | None:
    """(how nearly time grows as the size, time at ``size``) on the line through two measured entries."""
    first, second = smaller.piece, larger.piece
    if first <= 0.0 or second <= first:
        return None
    power = log(second / first) / log(sizes[1] / sizes[0])
    if power < GROWS:
        return None
    slope = (second - first) / (sizes[1] - sizes[0])
    return min(power, 1.0), second + slope * (size - sizes[1])
