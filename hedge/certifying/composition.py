"""Functions of one variable of an enclosure: economised Taylor polynomials, constants and lines."""

from __future__ import annotations

from functools import reduce

import numpy as np

from hedge.analytic import UNIT, UP, Analytic
from hedge.arrays import Array
from hedge.certifying.enclosure import TINY, Arithmetic, Enclosure, above, bound
from hedge.certifying.monomials import Monomials, economy

FURTHER = 3  # Taylor coefficients beyond the order that are economised


def compose(
    arithmetic: Arithmetic, x: Enclosure, f: Analytic, absolute: float | Array, relative: float
) -> Enclosure:
    """f(x), number by number.

    f becomes its Taylor polynomial at the constant coefficient, a few orders more than are kept, which
    are economised by Chebyshev's polynomials; that polynomial of the polynomial is expanded by Horner's
    scheme. Where a constant is closer, it is one. absolute and relative bound the error of the deployed
    function: |fl(f(z)) − f(z)| ≤ absolute + relative |f(z)|.
    """
    lower, upper = x.interval()
    if f.beyond == 0.0 and not (lower > 0.0).all():
        lower = np.where(lower > 0.0, lower, np.nan)  # not finite from here on: the box is bisected
    steepest = f.supremum(1, lower, upper)
    polynomial, fresh = _expanded(arithmetic.monomials, x, f, lower, upper)
    radius = fresh + (steepest * x.radius) * UP
    middle, flat = _as_constant(x, f, steepest)
    is_flat = ~(radius <= flat)
    weights = x.weights(arithmetic.monomials.variables if not x.is_constant else 1)
    radii = np.where(is_flat, flat * weights, steepest * x.radii + fresh * weights) * UP
    polynomial[0] = np.where(is_flat, middle, polynomial[0])
    polynomial[1:] = np.where(is_flat, 0.0, polynomial[1:])
    radius = bound(np.where(is_flat, flat, radius))
    largest = np.minimum(np.abs(polynomial).sum(axis=0) + radius, max(abs(f.lower), abs(f.upper)))
    carried = steepest * x.rounding
    deployed = largest + carried
    rounding = (carried + absolute + relative * deployed) * UP + arithmetic.tiny
    if not arithmetic.unit:
        rounding = np.zeros_like(radius)
    return Enclosure(
        polynomial, bound(radii), bound(arithmetic.finite(rounding, deployed)), x.shape
    )


def rectified(x: Enclosure) -> Enclosure:
    """max(x, 0): where the sign changes within a box, a line with half its largest distance as radius.

    With the slope a = upper/(upper − lower), 0 ≤ max(x, 0) − a x ≤ max(−a lower, (1 − a) upper).
    """
    lower, upper = x.interval()
    crosses = (lower < 0.0) & (upper > 0.0)
    span = np.where(crosses, upper - lower, 1.0)
    slope = np.where(crosses, upper / span, (lower >= 0.0) * 1.0)
    slope = np.where(np.isfinite(upper - lower), slope, 0.0)
    gap = np.where(crosses, np.maximum(-slope * lower, (1.0 - slope) * upper), 0.0) * UP
    gap = np.where(np.isfinite(upper - lower), gap, np.maximum(upper, 0.0))
    found = x.coefficients * slope
    found[0] += 0.5 * gap
    norms = np.abs(found).sum(axis=0) * UP
    fresh = 0.5 * gap + 4.0 * UNIT * norms + TINY
    radii = (slope * x.radii + fresh * x.weights(len(x.radii))) * UP
    return Enclosure(found, bound(radii), x.rounding, x.shape)


def _as_constant(x: Enclosure, f: Analytic, steepest: Array) -> tuple[Array, Array]:
    """f over the box by the mean value theorem and its bounds, as a middle and a radius.

    Infinite where nothing is known of x: it may be none that f, or what it comes from, is defined at.
    """
    values, errors = f.series(x.coefficients[0], 0)
    far = steepest * x.reach * UP + errors[0]
    lower = np.fmax(values[0] - far, f.lower)
    upper = np.fmin(values[0] + far, f.upper)
    is_known = np.isfinite(far) & np.isfinite(values[0]) & np.isfinite(x.reach)
    middle = np.where(is_known, 0.5 * (lower + upper), 0.0)
    radius = (0.5 * (upper - lower) + 8.0 * UNIT * np.abs(middle)) * UP
    return middle, np.where(is_known, radius, np.inf)


def _expanded(
    monomials: Monomials, x: Enclosure, f: Analytic, lower: Array, upper: Array
) -> tuple[Array, Array]:
    """f of the polynomial of x, as a polynomial, and a bound of the difference."""
    order = monomials.order if not x.is_constant else 0
    highest = order + FURTHER
    values, errors = f.series(x.coefficients[0], highest)
    reach = x.slope
    powers = [np.ones_like(reach)]
    for _ in range(highest + 1):
        powers.append(powers[-1] * reach)
    saved = economy(order, highest)
    kept = list(values[: order + 1])
    for k in range(order + 1, highest + 1):
        for i, share in saved.kept_of(k):
            kept[i] = kept[i] + share * values[k] * powers[k - i]
    radius = f.supremum(highest + 1, lower, upper) * powers[highest + 1]
    for j in range(order + 1, highest + 1):
        terms = (
            saved.lost[k, j] * values[k] * powers[k]
            for k in range(j, highest + 1)
            if saved.lost[k, j]
        )
        radius = radius + np.abs(reduce(np.add, terms))
    # of the coefficients, and of economising and of Horner's scheme, each of a few roundings a term
    units = 4.0 * (len(monomials) + 8) * (order + 2) * UNIT
    for k in range(highest + 1):
        share = units * (np.abs(saved.kept[k]).sum() + np.abs(saved.lost[k]).sum())
        radius = radius + (errors[k] + share * np.abs(values[k])) * powers[k]
    polynomial, dropped = _horner(monomials, kept, x, reach)
    return polynomial, (radius + dropped) * UP + TINY


def _horner(
    monomials: Monomials, f: list[Array], x: Enclosure, reach: Array
) -> tuple[Array, Array]:
    """Σ f_k qᵏ of the polynomial q of x without its constant, and a bound of what is dropped.

    What stands behind j more factors q is needed up to degree order − j only.
    """
    q = x.coefficients
    if x.is_constant:
        return f[0][None], np.zeros_like(reach)
    norms = monomials.norms(q)
    norms[0] = np.zeros_like(reach)
    found, dropped = f[-1][None], np.zeros_like(reach)
    for power in range(monomials.order - 1, -1, -1):
        degree = monomials.order - power
        result = np.empty((monomials.starts[degree + 1], *reach.shape))
        result[0] = f[power]
        for k in range(1, len(result)):
            pairs = [(i, j) for i, j in monomials.pairs[k] if i < len(found) and j > 0]
            result[k] = found[pairs[0][0]] * q[pairs[0][1]]
            for i, j in pairs[1:]:
                result[k] += found[i] * q[j]
        below = [
            np.abs(found[monomials.starts[g] : monomials.starts[g + 1]]).sum(axis=0)
            for g in range(degree)
        ]
        dropped = dropped * reach + above(below, norms, degree)
        found = result
    return found, dropped
