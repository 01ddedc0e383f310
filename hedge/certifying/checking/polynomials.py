"""Polynomials in d variables of total degree ≤ p on [−1, 1]ᵈ, by their coefficients.

On [−1, 1]ᵈ a monomial is at most 1, so that |polynomial| ≤ Σ |coefficient|.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import combinations_with_replacement

import numpy as np

from hedge.arrays import Array

# A sum of fewer than 2^22 numbers ≥ 0, or a product of so many factors, is off by less than 2^22 2^-53 of
# itself (Higham, Accuracy and Stability of Numerical Algorithms, lemma 3.1): times UP it is above.
UP = 1.0 + 2.0**-30
UNIT = 2.0**-53
TINY = 1e-290  # more than float64 loses by underflow in one rule

Run = tuple[slice, slice]


@dataclass(frozen=True)
class Basis:
    """The monomials, degree after degree; the first is 1, then come the variables."""

    variables: int
    order: int

    @cached_property
    def exponents(self) -> tuple[tuple[int, ...], ...]:
        """One number a variable of each monomial."""
        variables = range(self.variables)
        return tuple(
            tuple(factors.count(variable) for variable in variables)
            for degree in range(self.order + 1)
            for factors in combinations_with_replacement(variables, degree)
        )

    def __len__(self) -> int:
        return len(self.exponents)

    @cached_property
    def starts(self) -> tuple[int, ...]:
        """Where the monomials of each degree begin, and at last the end."""
        degrees = [sum(e) for e in self.exponents]
        return tuple(int(i) for i in np.searchsorted(degrees, range(self.order + 2)))

    @cached_property
    def runs(self) -> tuple[tuple[Run, ...], ...]:
        """Of monomial i: that times the monomials of the first slice are those of the second."""
        number = {e: k for k, e in enumerate(self.exponents)}
        found = []
        for e in self.exponents:
            pairs = [
                (j, number[together])
                for j, other in enumerate(self.exponents)
                if (together := tuple(map(sum, zip(e, other, strict=True)))) in number
            ]
            cuts = [n for n in range(1, len(pairs)) if pairs[n][1] != pairs[n - 1][1] + 1]
            edges = zip([0, *cuts], [*cuts, len(pairs)], strict=True)
            found.append(tuple(_run(pairs[a], pairs[b - 1]) for a, b in edges))
        return tuple(found)

    @cached_property
    def means(self) -> Array:
        """The mean of the product of every two monomials over [−1, 1]ᵈ: 1/(e + 1) for each even power e."""
        powers = np.array(self.exponents)
        both = powers[:, None, :] + powers[None, :, :]
        return np.asarray(np.where(both % 2 == 0, 1.0 / (both + 1.0), 0.0).prod(axis=2))

    def norms(self, polynomial: Array, least: int = 0) -> list[Array]:
        """Σ |coefficients| of each degree, of one that begins at degree ``least``."""
        starts = self.starts
        zero = np.zeros(polynomial.shape[1:])
        return [
            np.abs(polynomial[starts[g] : starts[g + 1]]).sum(axis=0) if g >= least else zero
            for g in range(self.order + 1)
        ]

    def above(self, a: list[Array], b: list[Array]) -> Array:
        """What the product of two polynomials with these norms has in degrees above the order."""
        total = np.zeros(np.broadcast_shapes(a[0].shape, b[0].shape))
        behind = np.zeros_like(b[0])
        for i in range(1, self.order + 1):
            behind = behind + b[self.order + 1 - i]
            total += a[i] * behind
        return total * UP

    def multiplied(self, a: Array, b: Array, least_a: int = 0, least_b: int = 0) -> Array:
        """The product up to the order, of polynomials that begin at these degrees.

        Each coefficient is a sum of at most K products, so that all together are off by at most
        (K + 1) u Σ|a| Σ|b|, up to UP.
        """
        found = np.zeros((len(self), *np.broadcast_shapes(a.shape[1:], b.shape[1:])))
        first = self.starts[least_b]
        for i in range(self.starts[least_a], self.starts[self.order + 1 - least_b]):
            for js, ks in self.runs[i]:
                skipped = max(first - js.start, 0)
                if js.start + skipped < js.stop:
                    found[ks.start + skipped : ks.stop] += a[i] * b[js.start + skipped : js.stop]
        return found

    def squared(self, a: Array, least: int) -> Array:
        """The same of a and a."""
        found = np.zeros_like(a)
        twice = 2.0 * a
        for i in range(self.starts[least], self.starts[self.order + 1 - least]):
            for js, ks in self.runs[i]:
                if js.start <= i < js.stop:
                    found[ks.start + i - js.start] += a[i] * a[i]
                skipped = max(i + 1 - js.start, 0)
                if js.start + skipped < js.stop:
                    found[ks.start + skipped : ks.stop] += (
                        a[i] * twice[js.start + skipped : js.stop]
                    )
        return found


def _run(first: tuple[int, int], last: tuple[int, int]) -> Run:
    return slice(first[0], last[0] + 1), slice(first[1], last[1] + 1)
