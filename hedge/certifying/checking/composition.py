"""A function of one variable of what a number lies within."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.polynomial import chebyshev

from hedge.arrays import Array
from hedge.certifying.checking.functions import Function
from hedge.certifying.checking.held import Held
from hedge.certifying.checking.polynomials import TINY, UNIT, UP, Basis

_FURTHER = 3  # degrees of interpolation above the order


@dataclass(frozen=True)
class Composed:
    """f(x): a polynomial (K, ...), its radius, and the steepest slope of f on what x lies within."""

    polynomials: Array
    radius: Array
    slope: Array


def composed(basis: Basis, functions: Sequence[Function], x: Held) -> list[Composed]:
    """Each f of x.

    x = m + h t + r with |t| ≤ 1 a polynomial, |r| ≤ radius. g(t) = f(m + h t) is interpolated at L Chebyshev
    nodes, which errs by at most h^L sup|f_L|/2^(L−1); of its expansion Σ a_j T_j(t) the terms of degree
    above the order go to the radius, |a_j| each. The rest, Σ g_k tᵏ, is expanded. The mean value theorem
    gives slope · radius for r. Where the function's range is smaller than that radius, it is held by the
    range's middle.
    """
    order = basis.order if not x.is_constant else 0
    series = [_series(order, f, x) for f in functions]
    expanded = _expanded(basis, [each.g for each in series], x, x.spread)
    return [
        _bounded(f, x, each, *parts)
        for f, each, parts in zip(functions, series, expanded, strict=True)
    ]


def _bounded(f: Function, x: Held, series: _Series, found: Array, dropped: Array) -> Composed:
    """The narrower one of the polynomial and of the function's range."""
    radius = (series.radius + dropped) * UP + TINY
    middle, flat = _range(f, x, series.value, series.slope)
    is_flat = ~(radius <= flat)
    found[0] = np.where(is_flat, middle, found[0])
    found[1:][:, is_flat] = 0.0
    return Composed(found, np.where(is_flat, flat, radius), series.slope)


@dataclass(frozen=True)
class _Series:
    """f(x) lies within radius of Σ g_k tᵏ; f(m) is value."""

    g: Array
    radius: Array
    value: Array
    slope: Array


def _series(order: int, f: Function, x: Held) -> _Series:
    lower, upper = x.interval()
    slope = f.supremum(1, lower, upper)
    m, h = x.polynomials[0], x.spread
    count = order + 1 + _FURTHER
    nodes, transform = _interpolation(count)
    value = f.value(m)
    differences = f.value(m + nodes[:, None] * h) - value
    largest = np.abs(differences).max(axis=0)
    # of a value: its function's, that of the node where it is taken, that of the difference
    size = np.abs(m) + h
    library = f.library * (np.abs(value) + largest + f.absolute + f.relative * size)
    off = library + UNIT * slope * (2.0 * size + 16.0 * h) + 2.0 * UNIT * largest
    a = transform @ differences
    reach = np.maximum(h**count, 1e-300)  # a power that underflows is no zero
    radius = f.supremum(count, lower, upper) * reach * 2.0 ** (1 - count)
    radius = radius + np.abs(a[order + 1 :]).sum(axis=0)
    # Σ_j |δ_j| ≤ √L ‖δ‖ ≤ √L √(2/L) √L off; and each a_j is a sum of L products, cosines within 28 units
    radius = radius + np.sqrt(2.0 * count) * off
    radius = radius + 2.0 * count * (count + 32.0) * UNIT * largest
    powers = _powers(order)
    g = powers @ a[: order + 1]
    # each g_k is a sum of so many products, and Σ_k |powers| of each T_j is its growth
    growth = np.abs(powers).sum(axis=0)
    radius = radius + 2.0 * (order + 2) * UNIT * (growth @ np.abs(a[: order + 1]))
    g[0] += value
    radius = radius + UNIT * np.abs(g[0]) * UP
    return _Series(g, radius + slope * (x.radius + 4.0 * UNIT * h), value, slope)


def _range(f: Function, x: Held, value: Array, slope: Array) -> tuple[Array, Array]:
    """The middle and the radius of what f takes, by the mean value theorem and f's own bounds.

    Nothing is known where x isn't: it may be undefined there.
    """
    m = x.polynomials[0]
    far = slope * (x.spread + x.radius) * UP
    far = far + f.library * (np.abs(value) + f.absolute + f.relative * np.abs(m))
    lower = np.where(value - far > f.least, value - far, f.least)
    upper = np.where(value + far < f.most, value + far, f.most)
    known = np.isfinite(lower) & np.isfinite(upper)
    known &= np.isfinite(m + x.spread + x.radius)
    middle = np.where(known, 0.5 * (lower + upper), 0.0)
    radius = (0.5 * (upper - lower) + 8.0 * UNIT * (np.abs(lower) + np.abs(upper))) * UP
    return middle, np.where(known, radius, np.inf)


@lru_cache
def _interpolation(count: int) -> tuple[Array, Array]:
    """Chebyshev's nodes, and the matrix from values there to the coefficients of T_0 … T_{count−1}.

    a_j = (2/L) Σ_i f(t_i) cos(j θ_i), θ_i = (2i + 1)π/(2L), half of that for j = 0. Angles are reduced as
    whole numbers.
    """
    i, j = np.arange(count), np.arange(count)[:, None]
    nodes = np.cos((2 * i + 1) * np.pi / (2 * count))
    transform = np.cos((j * (2 * i + 1) % (4 * count)) * np.pi / (2 * count)) * (2.0 / count)
    transform[0] *= 0.5
    return nodes, transform


@lru_cache
def _powers(order: int) -> Array:
    """Column j holds the coefficients of T_j: whole numbers, exact."""
    columns = [chebyshev.cheb2poly(np.eye(order + 1)[j]) for j in range(order + 1)]
    return np.stack([np.pad(c, (0, order + 1 - len(c))) for c in columns], axis=1)


def _expanded(basis: Basis, each: Sequence[Array], x: Held, h: Array) -> list[tuple[Array, Array]]:
    """Each Σ g_k tᵏ for t = (x's polynomial − m)/h, and a bound of what is dropped and of all rounding.

    h is a little above Σ|coefficients|, so that |t| ≤ 1 as computed. tᵏ = tᵃ tᵇ, a + b = k: if each is
    within d of what is computed, their product is within d_a + d_b (1 + d_a) of the product of these, of
    which what lies above the order is dropped.
    """
    found = [np.zeros((len(x.polynomials), *h.shape)) for _ in each]
    for mine, g in zip(found, each, strict=True):
        mine[0] = g[0]
    if len(each[0]) == 1:
        return [(mine, np.zeros_like(h)) for mine in found]
    steps = 2.0 * (len(basis) + 4) * UNIT
    with np.errstate(divide="ignore"):
        t = x.polynomials * np.where(h > 0.0, 1.0 / h, 0.0)
    t[0] = 0.0
    powers, off = [t, t], [np.zeros_like(h), np.full_like(h, 4.0 * UNIT)]
    norms = [basis.norms(t, 1), basis.norms(t, 1)]
    totals = [np.abs(g[1]) * off[1] for g in each]
    for mine, g in zip(found, each, strict=True):
        mine += g[1] * t
    for k in range(2, len(each[0])):
        a = k // 2 if k % 2 == 0 else k - 1
        b = k - a
        if a == b:
            powers.append(basis.squared(powers[a], a))
        else:
            powers.append(basis.multiplied(powers[a], powers[b], a, b))
        dropped = basis.above(norms[a], norms[b])
        off.append((off[a] + off[b] * (1.0 + off[a]) + dropped + steps) * UP)
        norms.append(basis.norms(powers[k], k))
        start = basis.starts[k]
        for number, g in enumerate(each):
            found[number][start:] += g[k] * powers[k][start:]
            totals[number] = totals[number] + np.abs(g[k]) * off[k]
    ends = [steps * np.abs(g[1:]).sum(axis=0) for g in each]
    return [
        (mine, (total + end) * UP) for mine, total, end in zip(found, totals, ends, strict=True)
    ]
