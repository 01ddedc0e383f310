"""One price λ for many choices of ranks: what is left out counts against λ times the numbers saved."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from hedge.arrays import Array, Indices

T = TypeVar("T")

HALVINGS = 50  # of the interval in which the price lies
LOWEST, HIGHEST = -100.0, 1.0  # the interval, in powers of ten of the largest square


@dataclass(frozen=True, eq=False)
class Spectra:
    """Squares of singular values (b, r), descending and filled up with zeros; tails (b, r + 1) sum them."""

    squares: Array
    tails: Array

    @staticmethod
    def of(values: Sequence[Array]) -> Spectra:
        """From the singular values (r_i,) of each matrix."""
        squares = np.zeros((len(values), max((len(own) for own in values), default=0)))
        for at, own in enumerate(values):
            squares[at, : len(own)] = own**2
        tails = np.zeros((squares.shape[0], squares.shape[1] + 1))
        tails[:, :-1] = np.cumsum(squares[:, ::-1], axis=1)[:, ::-1]
        return Spectra(squares, tails)

    @property
    def largest(self) -> float:
        """The largest square, 0 without any."""
        return float(self.squares.max(initial=0.0))

    def ranks(self, limits: Array) -> Indices:
        """How many squares of each matrix (b,) are above its limit."""
        return np.asarray((self.squares > limits[:, None]).sum(axis=1))

    def left_out(self, ranks: Indices) -> Array:
        """Squared errors (b,) of these ranks."""
        return np.asarray(self.tails[np.arange(len(ranks)), ranks])


def at_highest_price(
    choose: Callable[[float, T], tuple[T, float]], start: T, largest: float, budget: float
) -> T:
    """What is chosen at the highest price that keeps the squared error within budget².

    ``choose`` answers, for a price and the last choice that kept it, a choice and its squared error;
    ``start`` is what stands if none does.
    """
    kept, low, high = start, LOWEST, HIGHEST
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        choice, lost = choose(largest * 10.0**middle, kept)
        if lost <= budget**2:
            kept, low = choice, middle
        else:
            high = middle
    return kept
