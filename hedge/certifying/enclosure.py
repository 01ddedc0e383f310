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

from hedge.analytic import UNIT, UP
from hedge.arrays import Array, Indices
from hedge.certifying.monomials import Monomials

SINGLE = 2.0**-24
TINY = 1e-290  # more than all that underflow can take from a float64 result
TINY_SINGLE = 1e-37  # the same of float32, denormal numbers being flushed to zero
LARGEST_SINGLE = 2.0**127


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
        bound(carried * up + TINY),
        bound(deployed * up + n * arithmetic.tiny),
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
    size_x = (np.abs(x.coefficients[0]) + x.slope) * UP
    size_y = (np.abs(y.coefficients[0]) + y.slope) * UP
    variables = arithmetic.monomials.variables if not x.is_constant else 1
    weights = x.weights(variables)
    terms = 2.0 * (len(x.coefficients) + 2) * UNIT
    radii = size_x * y.radii + (size_y + y.radius) * x.radii
    radii = radii + (terms * size_x * size_y + TINY) * weights
    if y.is_constant:
        found = x.coefficients * y.coefficients[0]
    else:
        found, due_to_x, due_to_y = _product(arithmetic.monomials, x.coefficients, y.coefficients)
        radii = radii + due_to_x * weights + due_to_y * y.weights(variables)
    radii = radii * UP
    carried = x.size * y.rounding + y.size * x.rounding
    deployed = x.size * y.size
    rounding = (carried + arithmetic.unit * deployed) * UP + arithmetic.tiny
    return Enclosure(found, bound(radii), bound(arithmetic.finite(rounding, deployed)), x.shape)


def bound(radius: Array) -> Array:
    """What came of infinities is unknown, that is, infinite."""
    return np.where(np.isnan(radius), np.inf, radius)


def _product(monomials: Monomials, a: Array, b: Array) -> tuple[Array, Array, Array]:
    """The product of polynomials up to the order, and a bound of what lies above, put down to either factor.

    A term of degrees i and j is put down to them as i to j.
    """
    found = np.empty(np.broadcast_shapes(a.shape, b.shape))
    for k, pairs in enumerate(monomials.pairs):
        found[k] = reduce(np.add, (a[i] * b[j] for i, j in pairs))
    due_to_a, due_to_b = np.zeros(found.shape[1:]), np.zeros(found.shape[1:])
    norms_a, norms_b = monomials.norms(a), monomials.norms(b)
    for i, x in enumerate(norms_a):
        for j in range(monomials.order + 1 - i, monomials.order + 1):
            term = x * norms_b[j] * (1.0 / (i + j))
            due_to_a += i * term
            due_to_b += j * term
    return found, due_to_a * UP, due_to_b * UP


def above(a: list[Array], b: list[Array], order: int) -> Array:
    """Of norms by degree, the part of the product of a degree above the order."""
    pairs = ((x, y) for i, x in enumerate(a) for j, y in enumerate(b) if i + j > order)
    return reduce(np.add, (x * y for x, y in pairs), np.zeros_like(b[0])) * UP
