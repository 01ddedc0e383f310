"""What a tensor's numbers lie within, over a batch of boxes.

A box is s ∈ [−1, 1]ᵈ. A number a of a tensor is held by a polynomial q and two radii:

    |a(s) − q(s)| ≤ radius          as the function of real numbers that the network is,
    |â(s) − a(s)| ≤ rounding        for what is computed in its place; 0 for the dense network.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from hedge.arrays import Array, Indices
from hedge.certifying.checking.polynomials import UNIT, UP


@dataclass(frozen=True)
class Held:
    """N numbers of a tensor of this shape in B boxes: polynomials (K, N, B), radius and rounding (N, B).

    Of what is the same in all boxes K and B are 1.
    """

    polynomials: Array
    radius: Array
    rounding: Array
    shape: tuple[int, ...]

    @cached_property
    def spread(self) -> Array:
        """How far a polynomial goes from its constant."""
        return np.asarray(np.abs(self.polynomials[1:]).sum(axis=0) * UP)

    @cached_property
    def real(self) -> Array:
        """|a| is at most this."""
        return np.asarray((np.abs(self.polynomials[0]) + self.spread + self.radius) * UP)

    @cached_property
    def deployed(self) -> Array:
        """|â| is at most this."""
        return np.asarray((self.real + self.rounding) * UP)

    @property
    def is_constant(self) -> bool:
        """Whether it is the same in all boxes."""
        return len(self.polynomials) == 1

    def interval(self) -> tuple[Array, Array]:
        """Ends of an interval that holds both a and â."""
        middle = self.polynomials[0]
        far = (self.spread + self.radius + self.rounding + 4.0 * UNIT * np.abs(middle)) * UP
        return middle - far, middle + far

    def at(self, places: Indices) -> Held:
        """The numbers at these places of the flattened tensor, in the shape of ``places``."""
        flat = places.ravel()
        return Held(self.polynomials[:, flat], self.radius[flat], self.rounding[flat], places.shape)


def constant(values: Array) -> Held:
    """Numbers of a file. Those that may be flushed to zero may be off by themselves."""
    flat = values.reshape(-1, 1).astype(np.float64)
    flushed = np.where(np.abs(flat) < 2.0**-126, np.abs(flat), 0.0)
    return Held(flat[None], np.zeros_like(flat), flushed, values.shape)


def spread_to(x: Held, shape: tuple[int, ...]) -> Held:
    """Broadcast as numpy does."""
    if x.shape == shape:
        return x
    return x.at(np.broadcast_to(np.arange(x.radius.shape[0]).reshape(x.shape), shape))


def alike(x: Held, y: Held) -> tuple[Held, Held]:
    """Both in the shape that they have together."""
    shape = np.broadcast_shapes(x.shape, y.shape)
    return spread_to(x, shape), spread_to(y, shape)


def padded(x: Held, terms: int) -> Array:
    """Its polynomials with so many terms."""
    if len(x.polynomials) == terms:
        return x.polynomials
    return np.pad(x.polynomials, ((0, terms - len(x.polynomials)), (0, 0), (0, 0)))


def joined(parts: Sequence[Held], places: Indices) -> Held:
    """The numbers of all parts, one after the other, at these places."""
    terms = max(len(part.polynomials) for part in parts)
    boxes = max(part.radius.shape[1] for part in parts)

    def together(tables: Sequence[Array]) -> Array:
        wide = [np.broadcast_to(t, (*t.shape[:-1], boxes)) for t in tables]
        return np.concatenate(wide, axis=-2)

    return Held(
        together([padded(part, terms) for part in parts]),
        together([part.radius for part in parts]),
        together([part.rounding for part in parts]),
        (sum(part.radius.shape[0] for part in parts),),
    ).at(places)
