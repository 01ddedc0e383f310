"""Polynomials of several variables on [−1, 1]ᵈ, by the coefficients of their monomials of degree ≤ p."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import combinations_with_replacement, product

import numpy as np
from numpy.polynomial import chebyshev

from hedge.arrays import Array


@dataclass(frozen=True)
class Monomials:
    """All monomials of total degree ≤ order in so many variables, by degree; the first one is 1."""

    variables: int
    order: int

    @cached_property
    def exponents(self) -> tuple[tuple[int, ...], ...]:
        """Of each monomial, one number a variable; those of degree 1 in the order of the variables."""
        found = [
            tuple(factors.count(variable) for variable in range(self.variables))
            for degree in range(self.order + 1)
            for factors in combinations_with_replacement(range(self.variables), degree)
        ]
        return tuple(sorted(found, key=lambda powers: (sum(powers), [-each for each in powers])))

    def __len__(self) -> int:
        return len(self.exponents)

    @cached_property
    def starts(self) -> tuple[int, ...]:
        """Where each degree begins, and behind all the end."""
        degrees = [sum(powers) for powers in self.exponents]
        return tuple(int(i) for i in np.searchsorted(degrees, range(self.order + 2)))

    @cached_property
    def pairs(self) -> tuple[tuple[tuple[int, int], ...], ...]:
        """Of each monomial, the pairs of monomials whose product it is."""
        place = {powers: i for i, powers in enumerate(self.exponents)}
        found: list[list[tuple[int, int]]] = [[] for _ in self.exponents]
        for (i, a), (j, b) in product(enumerate(self.exponents), repeat=2):
            powers = tuple(x + y for x, y in zip(a, b, strict=True))
            if powers in place:
                found[place[powers]].append((i, j))
        return tuple(tuple(each) for each in found)

    @cached_property
    def means(self) -> Array:
        """Means of the products of every two monomials over [−1, 1]ᵈ, (K, K)."""
        powers = np.array(self.exponents)[:, None, :] + np.array(self.exponents)[None, :, :]
        return np.asarray(np.where(powers % 2, 0.0, 1.0 / (powers + 1.0)).prod(axis=2))

    def norms(self, coefficients: Array) -> list[Array]:
        """The sum of |coefficients| (K, …) by degree."""
        return [
            np.abs(coefficients[self.starts[g] : self.starts[g + 1]]).sum(axis=0)
            for g in range(self.order + 1)
        ]

    def values(self, coefficients: Array, points: Array) -> Array:
        """Of polynomials (K, …) at points (n, d) of [−1, 1]ᵈ: (n, …)."""
        powers = (points[:, None, :] ** np.array(self.exponents)[None, :, :]).prod(axis=2)
        return np.asarray(np.tensordot(powers, coefficients, axes=1))


@dataclass(frozen=True)
class Economy:
    """What tᵏ, k ≤ highest, becomes on [−1, 1] as a polynomial of degree ≤ order, and what is lost.

    Of its Chebyshev expansion the terms T_j of j > order are dropped, each of which is at most 1.
    """

    kept: Array  # (highest + 1, order + 1): coefficients of 1, t, …, t^order
    lost: Array  # (highest + 1, highest + 1): those of T_j, zero for j ≤ order

    def kept_of(self, k: int) -> Iterator[tuple[int, float]]:
        """The powers i that tᵏ adds to, and their coefficients."""
        return ((i, float(c)) for i, c in enumerate(self.kept[k]) if c)


@lru_cache
def economy(order: int, highest: int) -> Economy:
    """All numbers here are dyadic fractions of few digits, so that they are exact."""
    kept, lost = np.zeros((highest + 1, order + 1)), np.zeros((highest + 1, highest + 1))
    for k in range(highest + 1):
        expansion = chebyshev.poly2cheb(np.eye(highest + 1)[k][: k + 1])
        low = chebyshev.cheb2poly(expansion[: order + 1])
        kept[k, : len(low)] = low
        lost[k, order + 1 : k + 1] = expansion[order + 1 :]
    return Economy(kept, lost)
