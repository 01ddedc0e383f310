"""Taylor models: a polynomial and a radius that hold a tensor's every value over a batch of boxes.

On each box, whose points are centre + half s with s in [−1, 1]ᵈ, a number a of a tensor lies within

    |a(s) − Σ_k c_k s^(e_k)| ≤ radius,

and what the deployed network computes in its place, â, within |â − a| ≤ rounding (0 where a network is
taken as a function of real numbers). Both hold whatever float64 rounds here: rounding is bounded along
by the usual model, n additions and multiplications in any order and fused or not being within
γ_n Σ|terms|, γ_n = n u/(1 − n u) (Higham, Accuracy and Stability of Numerical Algorithms, chapter 3), and
sums of terms that aren't negative are made larger by UP.

Makino, Berz: Taylor models and other validated functional inclusion methods (2003).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial, reduce

import numpy as np

from hedge.analytic import UNIT, UP, Analytic
from hedge.arrays import Array, Indices
from hedge.certifying.monomials import Monomials, economy

SINGLE = 2.0**-24
TINY = 1e-290  # more than all that underflow can take from a float64 result
TINY_SINGLE = 1e-37  # the same of float32, denormal numbers being flushed to zero
LARGEST_SINGLE = 2.0**127
FURTHER = 3  # Taylor coefficients beyond the order that are economised


@dataclass(frozen=True)
class Arithmetic:
    """What enclosures are computed in: these monomials, and the unit roundoff of what is deployed.

    unit is 0 where the network is a function of real numbers.
    """

    monomials: Monomials
    unit: float = 0.0

    @property
    def tiny(self) -> float:
        """What underflow takes from one operation of the deployed network."""
        return TINY_SINGLE if self.unit else 0.0

    def finite(self, rounding: Array, size: Array) -> Array:
        """The rounding of a deployed operation whose results are up to ``size``, none where it overflows."""
        if not self.unit:
            return rounding
        return np.where(size < LARGEST_SINGLE, rounding, np.inf)

    def gamma(self, operations: int) -> float:
        """γ of so many operations of the deployed network."""
        product = operations * self.unit * UP
        return product / (1.0 - product) if product < 0.5 else np.inf


@dataclass(frozen=True)
class Enclosure:
    """A tensor of shape ``shape``, its row axis included, whose N numbers are flattened.

    coefficients (K, B, N), radii (d, B, N) and rounding (B, N) of B boxes in d variables; of a constant K,
    d and B are 1. radii are the parts of the radius that are put down to each variable, to know in which
    to halve a box.
    """

    coefficients: Array
    radii: Array
    rounding: Array
    shape: tuple[int, ...]

    @cached_property
    def radius(self) -> Array:
        """How far values are from the polynomial, (B, N)."""
        return np.asarray(self.radii.sum(axis=0) * UP)

    @cached_property
    def slope(self) -> Array:
        """How far the polynomial goes from its constant, (B, N)."""
        return np.asarray(np.abs(self.coefficients[1:]).sum(axis=0) * UP)

    @cached_property
    def reach(self) -> Array:
        """How far values, as real numbers, are from the constant coefficient, (B, N)."""
        return (self.slope + self.radius) * UP

    @cached_property
    def size(self) -> Array:
        """The largest |value|, as deployed, (B, N)."""
        return np.asarray((np.abs(self.coefficients[0]) + self.reach + self.rounding) * UP)

    @property
    def is_constant(self) -> bool:
        """Whether it is the same in all boxes."""
        return len(self.coefficients) == 1

    def interval(self) -> tuple[Array, Array]:
        """Lower and upper ends of the values as deployed, outwards, (B, N) each."""
        middle = self.coefficients[0]
        far = (self.reach + self.rounding + 4.0 * UNIT * np.abs(middle)) * UP
        return middle - far, middle + far

    def taken(self, places: Indices, shape: tuple[int, ...]) -> Enclosure:
        """Its numbers at ``places``, an array of indices of that shape."""
        flat = places.ravel()
        return Enclosure(
            self.coefficients[:, :, flat], self.radii[:, :, flat], self.rounding[:, flat], shape
        )

    def negated(self) -> Enclosure:
        """−x, which rounds nothing."""
        return replace(self, coefficients=-self.coefficients)

    def weights(self, variables: int) -> Array:
        """The share of each variable in how far values reach, (d, B, N); they add up to 1."""
        linear = np.abs(self.coefficients[1 : 1 + variables])
        reaches = (linear if len(linear) else 0.0) + self.radii + TINY
        shares = reaches / reaches.sum(axis=0)
        return np.where(np.isfinite(shares), shares, 1.0 / variables) * UP


def constant(values: Array) -> Enclosure:
    """A tensor of exact numbers; those that are denormal in float32 may be taken for zero."""
    flat = values.reshape(1, -1).astype(np.float64)
    flushed = np.where(np.abs(flat) < TINY_SINGLE, np.abs(flat), 0.0)
    return Enclosure(flat[None], np.zeros_like(flat)[None], flushed, values.shape)


def boxes(monomials: Monomials, centres: Array, halves: Array, off: Array) -> Enclosure:
    """The points (1, d) of boxes: their centres and half widths (B, d), and how far they are ``off`` (d,)."""
    coefficients = np.zeros((len(monomials), *centres.shape))
    coefficients[0] = centres
    for variable in range(centres.shape[1]):
        coefficients[1 + variable, :, variable] = halves[:, variable]
    radii = np.zeros((centres.shape[1], *centres.shape))
    for variable, each in enumerate(off):
        radii[variable, :, variable] = each
    flushed = np.full_like(centres, TINY_SINGLE)
    return Enclosure(coefficients, radii, flushed, (1, centres.shape[1]))


def affine(arithmetic: Arithmetic, x: Enclosure, matrix: Enclosure, n: int) -> Enclosure:
    """x W for a constant W (n, m): rows of x's last axis, n long, become rows of m."""
    weights = matrix.coefficients[0, 0].reshape(n, -1)
    magnitudes = np.abs(weights)
    rows, m = x.radius.shape[1] // n, weights.shape[1]

    def through(values: Array, weights: Array) -> Array:
        return (values.reshape(-1, n) @ weights).reshape(*values.shape[:-1], rows * m)

    norms = (np.abs(x.coefficients[0]) + x.slope) * UP
    gamma = 2.0 * (n + 2) * UNIT
    carried = through(x.radii + gamma * norms / len(x.radii), magnitudes)
    deployed = np.zeros(carried.shape[1:])
    if arithmetic.unit:
        gamma_of_sum = arithmetic.gamma(n)
        deployed = through(x.rounding + gamma_of_sum * x.size, magnitudes)
        deployed = np.where(deployed > gamma_of_sum * LARGEST_SINGLE, np.inf, deployed)
    if matrix.radius.any() or matrix.rounding.any():
        loose = (matrix.radius[0] + matrix.rounding[0]).reshape(n, -1)
        carried = carried + through(x.size, loose) / len(x.radii)
    up = 1.0 + 2.0 * (n + 64) * UNIT
    return Enclosure(
        through(x.coefficients, weights),
        _bound(carried * up + TINY),
        _bound(deployed * up + n * arithmetic.tiny),
        (*x.shape[:-1], m),
    )


def with_bias(arithmetic: Arithmetic, product: Enclosure, bias: Enclosure, n: int) -> Enclosure:
    """x W + b, where b may be the first of the n + 1 terms that are added up, or the last."""
    found = add(arithmetic, product, bias)
    if not arithmetic.unit:
        return found
    first = arithmetic.gamma(n) * _spread(bias, found.shape).size
    return replace(found, rounding=(found.rounding + first) * UP)


def summed(arithmetic: Arithmetic, x: Enclosure, axes: tuple[int, ...], keep: bool) -> Enclosure:
    """The sum over these axes, of a tensor as of its shape."""
    count = int(np.prod([x.shape[axis] for axis in axes], dtype=np.int64))

    def over(values: Array) -> Array:
        ahead = values.ndim - 1
        wide = values.reshape(*values.shape[:ahead], *x.shape)
        totals = np.asarray(wide.sum(axis=tuple(ahead + axis for axis in axes)))
        return totals.reshape(*values.shape[:ahead], -1)

    kept = tuple(
        1 if axis in axes else size for axis, size in enumerate(x.shape) if keep or axis not in axes
    )
    norms = (np.abs(x.coefficients[0]) + x.slope) * UP
    up = 1.0 + 2.0 * (count + 64) * UNIT
    return Enclosure(
        over(x.coefficients),
        over(x.radii + 2.0 * count * UNIT * norms / len(x.radii)) * up,
        arithmetic.finite(
            over(x.rounding + arithmetic.gamma(count) * x.size) * up + count * arithmetic.tiny,
            over(x.size),
        ),
        kept,
    )


def _spread(x: Enclosure, shape: tuple[int, ...]) -> Enclosure:
    """Broadcast, as numpy would."""
    if x.shape == shape:
        return x
    places = np.broadcast_to(np.arange(x.radius.shape[1]).reshape(x.shape), shape)
    return x.taken(places, shape)


def _together(x: Enclosure, y: Enclosure) -> tuple[Enclosure, Enclosure]:
    shape = np.broadcast_shapes(x.shape, y.shape)
    return _spread(x, shape), _spread(y, shape)


def _padded(x: Enclosure, terms: int) -> Array:
    missing = terms - len(x.coefficients)
    return np.pad(x.coefficients, ((0, missing), (0, 0), (0, 0))) if missing else x.coefficients


def add(arithmetic: Arithmetic, x: Enclosure, y: Enclosure, sign: float = 1.0) -> Enclosure:
    """x + y, or x − y for a ``sign`` of −1."""
    x, y = _together(x, y)
    terms = max(len(x.coefficients), len(y.coefficients))
    found = _padded(x, terms) + sign * _padded(y, terms)
    norms = np.abs(found).sum(axis=0) * UP
    radii = x.radii + y.radii
    radii = (radii + 2.0 * UNIT * norms / len(radii)) * UP
    together = (norms + radii.sum(axis=0)) * UP
    carried = x.rounding + y.rounding
    deployed = together + carried
    rounding = (carried + arithmetic.unit * deployed) * UP + arithmetic.tiny
    return Enclosure(found, radii, arithmetic.finite(rounding, deployed), x.shape)


def added_up(arithmetic: Arithmetic, terms: Sequence[Enclosure]) -> Enclosure:
    """Any number of terms in any order: γ of the sum of their sizes."""
    found = reduce(partial(add, Arithmetic(arithmetic.monomials)), terms)
    sizes = reduce(np.add, (_spread(term, found.shape).size for term in terms))
    own = arithmetic.gamma(len(terms) - 1) * sizes + len(terms) * arithmetic.tiny
    return replace(found, rounding=arithmetic.finite((found.rounding + own) * UP, sizes))


def multiply(arithmetic: Arithmetic, x: Enclosure, y: Enclosure) -> Enclosure:
    """x y, number by number; the terms of a degree above the order go to the radius."""
    x, y = _together(x, y)
    if x.is_constant:
        x, y = y, x
    if y.is_constant:
        found, dropped = x.coefficients * y.coefficients[0], np.zeros(1)
    else:
        found, dropped = _product(arithmetic.monomials, x.coefficients, y.coefficients)
    size_x = (np.abs(x.coefficients[0]) + x.slope) * UP
    size_y = (np.abs(y.coefficients[0]) + y.slope) * UP
    terms = 2.0 * (len(x.coefficients) + 2) * UNIT
    carried_radii = size_x * y.radii + (size_y + y.radius) * x.radii
    fresh = dropped + terms * size_x * size_y + TINY
    variables = arithmetic.monomials.variables if not x.is_constant else 1
    radii = (carried_radii + fresh * x.weights(variables)) * UP
    carried = x.size * y.rounding + y.size * x.rounding
    deployed = x.size * y.size
    rounding = (carried + arithmetic.unit * deployed) * UP + arithmetic.tiny
    return Enclosure(found, _bound(radii), _bound(arithmetic.finite(rounding, deployed)), x.shape)


def _bound(radius: Array) -> Array:
    """What came of infinities is unknown, that is, infinite."""
    return np.where(np.isnan(radius), np.inf, radius)


def _product(monomials: Monomials, a: Array, b: Array) -> tuple[Array, Array]:
    """The product of polynomials up to the order, and a bound of what lies above."""
    found = np.empty(np.broadcast_shapes(a.shape, b.shape))
    for k, pairs in enumerate(monomials.pairs):
        found[k] = reduce(np.add, (a[i] * b[j] for i, j in pairs))
    return found, _above(monomials.norms(a), monomials.norms(b), monomials.order)


def _above(a: list[Array], b: list[Array], order: int) -> Array:
    """Of norms by degree, the part of the product of a degree above the order."""
    pairs = ((x, y) for i, x in enumerate(a) for j, y in enumerate(b) if i + j > order)
    return reduce(np.add, (x * y for x, y in pairs), np.zeros_like(b[0])) * UP


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
    radius = _bound(np.where(is_flat, flat, radius))
    largest = np.minimum(np.abs(polynomial).sum(axis=0) + radius, max(abs(f.lower), abs(f.upper)))
    carried = steepest * x.rounding
    deployed = largest + carried
    rounding = (carried + absolute + relative * deployed) * UP + arithmetic.tiny
    if not arithmetic.unit:
        rounding = np.zeros_like(radius)
    return Enclosure(
        polynomial, _bound(radii), _bound(arithmetic.finite(rounding, deployed)), x.shape
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
    return Enclosure(found, _bound(radii), x.rounding, x.shape)


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
        dropped = dropped * reach + _above(below, norms, degree)
        found = result
    return found, dropped
