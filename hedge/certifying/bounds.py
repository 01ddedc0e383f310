"""What is proved of each box: how far a small network is from a dense one, or how large a residual is."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hedge.analytic import UNIT, UP
from hedge.arrays import Array
from hedge.certifying.cover import Cover
from hedge.certifying.enclosure import SINGLE, Arithmetic, Enclosure, add, boxes
from hedge.certifying.monomials import Monomials
from hedge.certifying.network import Network
from hedge.errors import ModelError
from hedge.problems import Domain

# Room for a checker that encloses by other means, in radii and in whatever is stated.
FOR_CHECKER = 1.01
STATED = 1.0 + 1e-5
# Points of a box, −1 to 1 a variable, at which the difference is looked at from below.
_LOOKED_AT = (-1.0, -0.5, 0.0, 0.5, 1.0)


@dataclass(frozen=True)
class Bounds:
    """Of B boxes and m output columns. e is an error, u what it is compared with.

    largest and seen (B, m): |e| is at most the one anywhere, and at least the other somewhere in the box.
    square and square_seen (B, m): the mean of e² over the box lies between. mean (B, m) is the root of the
    mean square of e's polynomial p, radius (B, m) a bound of |e − p|, of which rounding (B, m) is that of
    the deployed network. value_largest, value_seen, value_square and value_square_seen: the same of u.
    steepest (B,): the variable in which halving helps most. inside and outside (B,): which boxes surely lie
    in the domain, and which surely have no point of it.
    """

    largest: Array
    seen: Array
    square: Array
    square_seen: Array
    mean: Array
    radius: Array
    rounding: Array
    value_largest: Array
    value_seen: Array
    value_square: Array
    value_square_seen: Array
    steepest: NDArray[np.intp]
    inside: NDArray[np.bool_]
    outside: NDArray[np.bool_]

    def __getitem__(self, which: Any) -> Bounds:
        return Bounds(*(getattr(self, field.name)[which] for field in fields(self)))

    @property
    def known(self) -> NDArray[np.bool_]:
        """The boxes (B,) of which something is proved: squares overflow before what they are of."""
        return np.asarray((np.isfinite(self.largest) & np.isfinite(self.square)).all(axis=1))

    def over(self, domain: Domain, cover: Cover) -> Bounds:
        """Of these boxes' parts in the domain's shape: of those outside nothing but zeros.

        Of boxes that lie in it partly, integrals over the part are at most those over the box; from below
        nothing is known of them.
        """
        if domain.shape is None:
            return self
        is_outside, is_inside = cover.in_shape(domain)
        outside, inside = is_outside[:, None], is_inside[:, None]
        below = ("seen", "square_seen", "value_seen", "value_square_seen")
        above = ("largest", "square", "rounding", "value_largest", "value_square")
        return replace(
            self,
            inside=is_inside,
            outside=is_outside,
            mean=np.where(inside, self.mean, 0.0),
            radius=np.where(inside, self.radius, np.where(outside, 0.0, self.mean + self.radius)),
            **{name: np.where(inside, getattr(self, name), 0.0) for name in below},
            **{name: np.where(outside, 0.0, getattr(self, name)) for name in above},
        )

    def joined(self, other: Bounds) -> Bounds:
        """Those of these boxes and then of those."""
        pairs = ((getattr(self, f.name), getattr(other, f.name)) for f in fields(self))
        return Bounds(*(np.concatenate(pair) for pair in pairs))


@dataclass(frozen=True)
class Pair:
    """The two networks over a domain, and the order of the polynomials."""

    small: Network
    dense: Network
    domain: Domain
    order: int

    @cached_property
    def monomials(self) -> Monomials:
        """Those of the polynomials."""
        return Monomials(self.domain.dimension, self.order)

    def bounds(self, cover: Cover) -> Bounds:
        """Of these boxes. Raises ModelError for nodes that enclosures don't cover."""
        monomials = self.monomials
        points = boxes(monomials, *cover.within(self.domain))
        exact = Arithmetic(monomials)
        with np.errstate(all="ignore"):  # what is not finite bounds nothing, and is bisected
            small = self.small.enclosed(Arithmetic(monomials, SINGLE), points)
            dense = self.dense.enclosed(exact, points)
            if small.shape != dense.shape:
                raise ModelError(
                    f"the small network has {small.shape[1]} output(s), the dense one {dense.shape[1]}"
                )
            found = bounds_of(monomials, add(exact, small, dense, sign=-1.0), dense)
        return found.over(self.domain, cover)

    @property
    def halved(self) -> Sequence[int]:
        """All variables."""
        return range(self.domain.dimension)

    @property
    def parameters(self) -> int:
        """Of both networks."""
        return self.small.parameters + self.dense.parameters

    @property
    def widest(self) -> int:
        """Numbers of the widest layer of both."""
        return max(self.small.widest, self.dense.widest)


@dataclass(frozen=True)
class Lines:
    """A network whose first output is what a problem's lines make of a function, its residual or what it
    misses a condition by, and whose second one is the function; both as of real numbers.

    On a face of the domain one variable has the number that ``ends`` holds; of two the lines at the first
    one are taken from those at the second one.
    """

    network: Network
    domain: Domain
    order: int
    variable: int | None = None
    ends: tuple[float, ...] = ()

    @cached_property
    def monomials(self) -> Monomials:
        """Those of the polynomials."""
        return Monomials(self.domain.dimension, self.order)

    def bounds(self, cover: Cover) -> Bounds:
        """Of these boxes; those of a face reach over the whole interval of its variable."""
        points, exact = (
            boxes(self.monomials, *cover.within(self.domain)),
            Arithmetic(self.monomials),
        )
        places = [_at_end(points, self.variable, end) for end in self.ends] or [points]
        with np.errstate(all="ignore"):
            found = [self.network.enclosed(exact, place) for place in places]
            lines = [each.taken(np.array([[0]]), (1, 1)) for each in found]
            value = found[-1].taken(np.array([[1]]), (1, 1))
            error = lines[0] if len(lines) == 1 else add(exact, lines[1], lines[0], sign=-1.0)
            bounds = bounds_of(self.monomials, error, value)
        return bounds.over(self.domain, cover)

    @property
    def halved(self) -> Sequence[int]:
        """All variables but that of the face; where there is no other one, that, which changes nothing."""
        every = range(self.domain.dimension)
        return [v for v in every if v != self.variable] or every

    @property
    def parameters(self) -> int:
        """Of the network, as often as its derivatives read them."""
        return 4 * self.network.parameters

    @property
    def widest(self) -> int:
        """Numbers of its widest layer."""
        return self.network.widest


def _at_end(points: Enclosure, variable: int | None, end: float) -> Enclosure:
    coefficients, radii = points.coefficients.copy(), points.radii.copy()
    coefficients[:, :, variable] = 0.0
    coefficients[0, :, variable] = end
    radii[:, :, variable] = 0.0
    return replace(points, coefficients=coefficients, radii=radii)


def bounds_of(monomials: Monomials, error: Enclosure, value: Enclosure) -> Bounds:
    """Of an error and of what it is compared with, as they are enclosed."""
    radius = _finite((error.radius + error.rounding) * FOR_CHECKER)
    largest = _finite((error.size + (FOR_CHECKER - 1.0) * radius) * STATED)
    square, square_seen = _mean_squares(monomials, error.coefficients, radius)
    value_radius = _finite(value.radius * FOR_CHECKER)
    value_square, value_square_seen = _mean_squares(monomials, value.coefficients, value_radius)
    return Bounds(
        largest=largest,
        seen=_seen(monomials, error.coefficients, radius),
        square=np.minimum(square, largest**2 * UP),
        square_seen=square_seen,
        mean=np.sqrt(_mean_squares(monomials, error.coefficients, np.zeros_like(radius))[0]),
        radius=radius,
        rounding=_finite(error.rounding * FOR_CHECKER),
        value_largest=_finite((value.size + (FOR_CHECKER - 1.0) * value_radius) * STATED),
        value_seen=_seen(monomials, value.coefficients, value.radius),
        value_square=value_square,
        value_square_seen=value_square_seen,
        steepest=_steepest(monomials, error),
        inside=np.ones(len(largest), dtype=bool),
        outside=np.zeros(len(largest), dtype=bool),
    )


def _finite(bound: Array) -> Array:
    """What is not a number is unknown."""
    return np.where(np.isnan(bound), np.inf, bound)


def _seen(monomials: Monomials, polynomial: Array, radius: Array) -> Array:
    """|e| at some points of the box is at least so much; the sum of K terms is off by γ_K Σ|c_k|."""
    looked_at = _LOOKED_AT if monomials.variables <= 3 else (0.0,)
    points = np.array(list(product(looked_at, repeat=monomials.variables)))
    values = np.abs(monomials.values(polynomial, points)).max(axis=0)
    off = (4.0 * (len(monomials) + 8) * UNIT) * np.abs(polynomial).sum(axis=0)
    found = (values - radius - off) / UP
    return np.where(np.isfinite(found), np.maximum(found, 0.0), 0.0)


def _mean_squares(monomials: Monomials, polynomial: Array, radius: Array) -> tuple[Array, Array]:
    """The mean of f² over the box lies between these, for |f − p| ≤ radius: (‖p‖ ± radius)².

    The mean of p² is cᵀ G c with the means G of products of monomials.
    """
    product_of_all: Callable[..., Array] = np.einsum
    found = product_of_all("kbm,kl,lbm->bm", polynomial, monomials.means, polynomial, optimize=True)
    norm = np.abs(polynomial).sum(axis=0)
    off = 4.0 * (len(monomials) + 8) * UNIT * norm**2 + 1e-300
    above = (np.sqrt(np.maximum(found + off, 0.0)) + radius) ** 2
    below = np.maximum(np.sqrt(np.maximum(found - off, 0.0)) / UP - radius, 0.0) ** 2
    below = below / STATED
    return _finite(above * STATED), np.where(np.isfinite(below), below, 0.0)


def _steepest(monomials: Monomials, error: Enclosure) -> NDArray[np.intp]:
    """The variable that the radius and the coefficients of the two highest degrees are due to most."""
    high = [k for k, powers in enumerate(monomials.exponents) if sum(powers) >= monomials.order - 1]
    sizes = np.abs(error.coefficients[high]).sum(axis=2) / monomials.order
    powers = np.array(monomials.exponents, dtype=np.float64)[high]
    weights = sizes.T @ powers + error.radii.sum(axis=2).T
    return np.asarray(np.nan_to_num(weights).argmax(axis=1))
