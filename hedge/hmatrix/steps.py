"""Products as steps over one vector of places, each step a few stacks of small products of one shape."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from hedge.arrays import Array, Indices

CALL = 16384  # numbers that take as long to read as another call over a stack
FILLING = 0.25  # of a stack's numbers that may be zeros put in to make its shapes one


@dataclass(frozen=True, eq=False)
class Strip:
    """Places ``given`` (k,) become values (k, t) times places ``taken`` (t,)."""

    values: Array
    taken: Indices
    given: Indices


@dataclass(frozen=True, eq=False)
class Batch:
    """Strips filled up to one shape: taken (b, t), values (b, k, t), given (b, k).

    What is filled up takes from a place that is always zero, and gives to one that nobody reads.
    """

    taken: Indices
    values: Array
    given: Indices

    @staticmethod
    def of(strips: Sequence[Strip], zero: int) -> Batch:
        """Zeros come from place ``zero``; what is filled up gives to the next one."""
        k = max(len(strip.given) for strip in strips)
        t = max(len(strip.taken) for strip in strips)
        taken = np.full((len(strips), t), zero, dtype=np.intp)
        given = np.full((len(strips), k), zero + 1, dtype=np.intp)
        values = np.zeros((len(strips), k, t), dtype=strips[0].values.dtype)
        for at, strip in enumerate(strips):
            taken[at, : len(strip.taken)] = strip.taken
            given[at, : len(strip.given)] = strip.given
            values[at, : len(strip.given), : len(strip.taken)] = strip.values
        return Batch(taken, values, given)


@dataclass(frozen=True, eq=False)
class Steps:
    """y = A x by batches that follow each other, over places: those of x first, of y from ``out`` on.

    >>> double = Strip(2.0 * np.eye(2), np.array([0, 1]), np.array([2, 3]))
    >>> Steps.of([[double]], columns=2, rows=2, between=0).apply(np.array([1.0, 3.0]))
    array([2., 6.])
    """

    batches: tuple[Batch, ...]
    columns: int
    rows: int
    out: int

    @staticmethod
    def of(levels: Sequence[Sequence[Strip]], *, columns: int, rows: int, between: int) -> Steps:
        """Strips of a level take nothing that one of the same level gives, and give to places of
        their own. Places: ``columns`` of x, ``between`` of coefficients, ``rows`` of y.
        """
        zero = columns + between + rows
        batches = [Batch.of(own, zero) for level in levels for own in _stacked(level)]
        return Steps(tuple(batches), columns, rows, columns + between)

    def apply(self, x: Array) -> Array:
        """(m,) or (m, p) of x (n,) or (n, p)."""
        places = np.zeros((self.out + self.rows + 2, *x.shape[1:]), dtype=x.dtype)
        places[: self.columns] = x
        for batch in self.batches:
            taken = places[batch.taken]
            if x.ndim == 1:
                places[batch.given] = (batch.values @ taken[:, :, None])[:, :, 0]
            else:
                places[batch.given] = batch.values @ taken
        return places[self.out : self.out + self.rows]


def _stacked(strips: Sequence[Strip]) -> list[list[Strip]]:
    """Strips that are nearly of one shape together, and few of any shape together, too."""
    own = sorted((s for s in strips if s.values.size), key=lambda s: s.values.shape)
    stacks: list[list[Strip]] = []
    k = t = used = 0
    for strip in own:
        wide, high = max(t, len(strip.taken)), max(k, len(strip.given))
        total = used + strip.values.size
        filled = (len(stacks[-1]) + 1) * wide * high - total if stacks else 0
        if not stacks or filled > CALL + FILLING * total:
            stacks.append([])
            wide, high, total = len(strip.taken), len(strip.given), strip.values.size
        stacks[-1].append(strip)
        k, t, used = high, wide, total
    return stacks
