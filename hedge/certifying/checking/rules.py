"""The operators: from what the operands' numbers lie within (held.py) to that of the result's.

Where float64 itself rounds, sums and products of numbers ≥ 0 are multiplied by UP, and a coefficient's
error, by the usual model fl(a ∘ b) = (a ∘ b)(1 + δ), |δ| ≤ UNIT, goes to the radius. What is not a number, or
not finite, ends as a bound that is not a number, or infinite: no comparison ever passes on it.

Float32 as deployed: |fl(a ∘ b) − a ∘ b| ≤ unit |a ∘ b| + FLUSHED, the latter since numbers below 2^-126 may
be taken for 0, when they are written and when they are read. A sum of n products, added up in any order and
fused or not, errs by γ_n Σ |products|, γ_n = n unit/(1 − n unit) (Higham, chapter 3). With a further term
among them there are n additions. The last one errs by unit times the sum; before it a product goes through
at most n roundings, its own among them, and the further term through n − 1. Where float32 may overflow,
rounding is infinite.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from hedge.arrays import Array
from hedge.certifying.checking.composition import composed
from hedge.certifying.checking.functions import Function
from hedge.certifying.checking.held import Held, alike, padded, spread_to
from hedge.certifying.checking.polynomials import TINY, UNIT, UP, Basis

FLUSHED = 2.0**-125
LARGEST = 2.0**127
SCALE = 2.0**20
_AT_ONCE = 2048  # numbers of a tensor whose polynomials stay in the cache


def unless_over(rounding: Array, largest: Array) -> Array:
    """A sum's rounding, infinite where parts of the sum may overflow float32."""
    return np.where(2.0 * largest < LARGEST, rounding, np.inf)


@dataclass(frozen=True)
class Rules:
    """The operators. unit is 2^-24 for the deployed network, and 0 for one of real numbers.

    errors are those of its functions in float32, (a, b) for a + b |f|.
    """

    basis: Basis
    unit: float = 0.0
    errors: Mapping[str, tuple[float, float]] | None = None

    def gamma(self, operations: int) -> float:
        """γ of so many operations of the deployed network, from above."""
        product = operations * self.unit
        return product / (1.0 - product) * UP if product < 0.5 else np.inf

    def rounded(self, x: Held, own: Array | float, flushes: int = 1) -> Held:
        """A result with what its own operation adds to the rounding."""
        if not self.unit:
            return Held(x.polynomials, x.radius, np.zeros_like(x.radius), x.shape)
        rounding = (x.rounding + own + flushes * FLUSHED) * UP
        fits = (x.real + rounding) * UP < LARGEST
        return Held(x.polynomials, x.radius, np.where(fits, rounding, np.inf), x.shape)

    def add(self, x: Held, y: Held, sign: float = 1.0) -> Held:
        """x + y, or x − y for a ``sign`` of −1."""
        found = self.combined(x, y, sign)
        return self.rounded(found, self.unit * found.deployed)

    def combined(self, x: Held, y: Held, sign: float) -> Held:
        """x + y or x − y with no rounding of its own: radii add up, each coefficient is rounded once."""
        x, y = alike(x, y)
        if y.is_constant and not x.is_constant:
            found = x.polynomials.copy()
            found[0] += sign * y.polynomials[0]
            size = np.abs(found[0])
        else:
            terms = max(len(x.polynomials), len(y.polynomials))
            found = padded(x, terms) + sign * padded(y, terms)
            size = np.abs(found).sum(axis=0)
        radius = (x.radius + y.radius + 2.0 * UNIT * size) * UP
        return Held(found, radius, (x.rounding + y.rounding) * UP, x.shape)

    def total(self, x: Held, axes: tuple[int, ...], keep: bool) -> Held:
        """The sum over these axes: n numbers in n − 1 additions, here and there."""
        n = int(np.prod([x.shape[a] for a in axes], dtype=np.int64))
        shape = tuple(
            1 if a in axes else size for a, size in enumerate(x.shape) if keep or a not in axes
        )
        order = [a for a in range(len(x.shape)) if a not in axes] + list(axes)
        places = np.arange(x.radius.shape[0]).reshape(x.shape).transpose(order).reshape(-1, n)

        def summed(table: Array) -> Array:
            return np.asarray(table[..., places, :].sum(axis=-2))

        size = (np.abs(x.polynomials[0]) + x.spread) * UP
        radius = summed(x.radius + 2.0 * n * UNIT * size) * UP
        found = Held(summed(x.polynomials), radius, summed(x.rounding) * UP, shape)
        total = summed(x.deployed) * UP
        return self.rounded(found, unless_over(self.gamma(n) * total, total), 2 * n)

    def multiply(self, x: Held, y: Held) -> Held:
        """x y: what the product has above the order, and each radius times the other's size, is radius."""
        x, y = alike(x, y)
        if x.is_constant:
            x, y = y, x
        size_x, size_y = ((np.abs(z.polynomials[0]) + z.spread) * UP for z in (x, y))
        if y.is_constant:
            found, dropped = x.polynomials * y.polynomials[0], np.zeros(1)
        else:
            found = self.basis.multiplied(x.polynomials, y.polynomials)
            norms = self.basis.norms(x.polynomials), self.basis.norms(y.polynomials)
            dropped = self.basis.above(*norms)
        inexact = dropped + 2.0 * (len(self.basis) + 2) * UNIT * size_x * size_y
        radius = (inexact + size_x * y.radius + (size_y + y.radius) * x.radius) * UP + TINY
        carried = (x.deployed * y.rounding + y.real * x.rounding) * UP
        result = Held(found, radius, carried, x.shape)
        return self.rounded(result, self.unit * x.deployed * y.deployed * UP)

    def affine(self, x: Held, matrix: Held, bias: Held | None, extra: int = 0) -> Held:
        """x W + b for a constant W (n, m), x's last axis of n.

        ``extra`` is 1 where each term is rounded once more, for a factor of at least 1/SCALE.
        """
        n, m = matrix.shape
        weights = matrix.polynomials[0].reshape(n, m)
        loose = (matrix.radius + matrix.rounding).reshape(n, m) * UP
        magnitudes = (np.abs(weights) + loose) * UP
        rows = x.radius.shape[0] // n

        def through(table: Array, weights: Array) -> Array:
            ahead, boxes = table.shape[:-2], table.shape[-1]
            product = weights.T @ table.reshape(*ahead, rows, n, boxes)
            return np.asarray(product.reshape(*ahead, rows * m, boxes))

        size = (np.abs(x.polynomials[0]) + x.spread) * UP
        # each coefficient is a sum of n products in any order
        radius = through(x.radius + 2.0 * (n + 2) * UNIT * size, magnitudes)
        radius = radius + through(x.real, matrix.radius.reshape(n, m))
        carried = through(x.rounding, magnitudes) + through(x.real, matrix.rounding.reshape(n, m))
        products = through(x.deployed, magnitudes) * UP
        found = Held(
            through(x.polynomials, weights),
            radius * UP + TINY,
            carried * UP,
            (*x.shape[:-1], m),
        )
        own, largest = self.gamma(n + extra) * products, products
        if bias is not None:
            bias = spread_to(bias, found.shape)
            found = self.combined(found, bias, 1.0)
            before = self.gamma(n + extra) * products + self.gamma(n - 1 + extra) * bias.deployed
            own = before + self.unit * (found.deployed + before)
            largest = products + bias.deployed
        own = unless_over(own, largest * SCALE**extra)
        return self.rounded(found, own, 2 * n + 2 + extra)

    def bent(self, x: Held, left: Array | float) -> Held:
        """x where x ≥ 0 and left·x elsewhere: Relu (0), Abs (−1), LeakyRelu; PRelu with left (N, 1).

        With any slope a, f(x) − a x is linear on both sides of 0: it lies between its least and largest
        value at lower, 0 and upper. a is the chord's slope where the sign changes.
        """
        lower, upper = x.interval()
        known = np.isfinite(lower) & np.isfinite(upper)
        crosses = known & (lower < 0.0) & (upper > 0.0)
        span = np.where(crosses, upper - lower, 1.0)
        chord = np.where(crosses, (upper - left * lower) / span, np.where(lower >= 0.0, 1.0, left))
        slope = np.where(known, chord, np.nan)
        ends = np.stack([(left - slope) * lower, 0.0 * lower, (1.0 - slope) * upper])
        least, most = np.where(crosses, [ends.min(axis=0), ends.max(axis=0)], 0.0)
        found = x.polynomials * slope
        found[0] += 0.5 * (least + most)
        off = 8.0 * UNIT * (np.abs(found).sum(axis=0) + (1.0 + np.abs(left)) * (upper - lower))
        off += 8.0 * UNIT * np.abs(slope) * x.real
        radius = (np.abs(slope) * x.radius + 0.5 * (most - least) + off) * UP + TINY
        steepest = np.maximum(1.0, np.abs(left))
        result = Held(found, radius, steepest * x.rounding * UP, x.shape)
        own = np.where(np.isin(left, (0.0, -1.0)), 0.0, self.unit * np.abs(left) * x.deployed)
        return self.rounded(result, own)

    def larger(self, x: Held, y: Held, sign: float) -> Held:
        """max(x, y) = y + max(x − y, 0), or min(x, y) = y − max(y − x, 0) for a sign of −1.

        max(x̂, ŷ) is no further from max(x, y) than x̂ from x or ŷ from y.
        """
        x, y = alike(x, y)
        exact = Rules(self.basis)
        apart = exact.bent(exact.rounded(exact.combined(x, y, -1.0), 0.0), 0.0)
        if sign < 0.0:
            apart = exact.bent(exact.rounded(exact.combined(y, x, -1.0), 0.0), 0.0)
        found = exact.combined(y, apart, sign)
        rounding = np.broadcast_to(np.maximum(x.rounding, y.rounding), found.radius.shape)
        return self.rounded(Held(found.polynomials, found.radius, rounding, found.shape), 0.0)

    def apply(self, f: Function, x: Held, error: tuple[Array | float, float]) -> Held:
        """f(x), a block of numbers after the other; |fl(f(z)) − f(z)| ≤ error[0] + error[1] |f(z)|."""
        absolute = np.broadcast_to(error[0], x.radius.shape).ravel()

        def applied(part: slice, block: Mapping[str, Held]) -> dict[str, Held]:
            (found,) = composed(self.basis, [f], block["x"])
            size = np.abs(found.polynomials).sum(axis=0) * UP + found.radius
            size = np.minimum(size, max(abs(f.least), abs(f.most)))
            carried = found.slope * block["x"].rounding
            own = absolute[part] + error[1] * (size + carried)
            rounding = (carried + own) * UP if self.unit else np.zeros_like(own)
            return {"y": Held(found.polynomials, found.radius, rounding, ())}

        return self.rounded(in_blocks(applied, {"x": x})["y"], 0.0)


Key = TypeVar("Key", bound=Hashable)


def in_blocks(
    rule: Callable[[slice, Mapping[Key, Held]], Mapping[Key, Held]], given: Mapping[Key, Held]
) -> dict[Key, Held]:
    """What a rule that goes number by number makes of tensors of one shape, a block after the other.

    Blocks are so small that their polynomials stay in the cache.
    """
    first = next(iter(given.values()))
    n, boxes = first.radius.shape[0], max(x.radius.shape[1] for x in given.values())
    flat = {key: _flat(x, boxes) for key, x in given.items()}
    found: dict[Key, list[Held]] = {}
    for start in range(0, n * boxes, _AT_ONCE):
        part = slice(start, start + _AT_ONCE)
        block = {
            key: Held(x.polynomials[:, part], x.radius[part], x.rounding[part], ())
            for key, x in flat.items()
        }
        for key, each in rule(part, block).items():
            found.setdefault(key, []).append(each)
    return {key: _whole(parts, (n, boxes), first.shape) for key, parts in found.items()}


def _flat(x: Held, boxes: int) -> Held:
    """Its numbers in all boxes in a row; what is the same in all of them is written out."""
    n = x.radius.shape[0]
    polynomials, radius, rounding = (
        np.broadcast_to(table, (*table.shape[:-1], boxes)).reshape(*table.shape[:-2], n * boxes)
        for table in (x.polynomials, x.radius, x.rounding)
    )
    return Held(polynomials, radius, rounding, ())


def _whole(parts: Sequence[Held], size: tuple[int, int], shape: tuple[int, ...]) -> Held:
    polynomials = np.concatenate([part.polynomials for part in parts], axis=1)
    return Held(
        polynomials.reshape(len(polynomials), *size),
        np.concatenate([part.radius for part in parts]).reshape(size),
        np.concatenate([part.rounding for part in parts]).reshape(size),
        shape,
    )
