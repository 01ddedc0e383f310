"""Poisson's equation in an L: −Δu = 1 in [−1, 1]² without the quadrant x, y > 0, u = 0 on its sides.

The reference is the method of particular solutions (Fox, Henrici and Moler, 1967; Betcke and Trefethen,
2005): harmonic functions with the singularities that u has in its corners, fitted to the values on all sides.
What is left there bounds the error everywhere, for both satisfy the equation (maximum principle).
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from hedge.arrays import Array
from hedge.geometry import Polygon
from hedge.problems.domain import Domain
from hedge.problems.equations import Field, Math
from hedge.problems.layers import Layers
from hedge.problems.problem import Problem

Complex = NDArray[np.complex128]
SINGULAR, SMOOTH, SIDE_POINTS = 60, 30, 150
# Right angles, as x + iy, with the diagonals that lead into the L.
CORNERS = (1.0 + 0.0j, 1.0 - 1.0j, -1.0 - 1.0j, -1.0 + 1.0j, 0.0 + 1.0j)
INWARDS = (-1.0 - 1.0j, -1.0 + 1.0j, 1.0 + 1.0j, 1.0 - 1.0j, -1.0 - 1.0j)
SIZE = math.sqrt(2.0)
ROOT_HALF = math.sqrt(0.5)
TINY = 1e-30  # keeps the logarithm finite in the corner itself
# What the features take values up to, at (−1, −1) and at (1, −1).
LARGEST_EVEN = SIZE ** (2.0 / 3.0)
LARGEST_ODD = LARGEST_EVEN * math.sin(math.pi / 3.0)


@dataclass(frozen=True, eq=False)
class Particular:
    """u = −|x|²/4 + a sum of harmonic functions, whose last five are r² log r in the right angles."""

    singular: int
    smooth: int
    coefficients: Array

    def at(self, points: Array) -> Array:
        """u at points (n, 2) of the L: (n,)."""
        z = points[:, 0] + 1j * points[:, 1]
        found: Array = (
            _harmonics(z, self.singular, self.smooth) @ self.coefficients - 0.25 * np.abs(z) ** 2
        )
        return found


@functools.cache
def solution(singular: int = SINGULAR, smooth: int = SMOOTH) -> Particular:
    """u with powers r^(2k/3) up to k = singular and z^k up to k = smooth.

    Absolute error, by the values on the sides: 1e-13.
    """
    z = sides(SIDE_POINTS)
    columns = _harmonics(z, singular, smooth)
    sizes = np.linalg.norm(columns, axis=0)
    found, *_ = np.linalg.lstsq(columns / sizes, 0.25 * np.abs(z) ** 2, rcond=1e-15)
    return Particular(singular, smooth, found / sizes)


def sides(count: int) -> Complex:
    """Points of all six sides, ``count`` each, dense at their ends."""
    t = (1.0 - np.cos(math.pi * (np.arange(count) + 0.5) / count)) / 2.0
    corners = np.array([0.0, *CORNERS, 0.0])
    return np.concatenate([a + (b - a) * t for a, b in pairwise(corners)])


def _harmonics(z: Complex, singular: int, smooth: int) -> Array:
    """Harmonic functions at z (n,), side by side."""
    # From the side y = 0 clockwise to the side x = 0: 0 to 3π/2.
    theta = 0.75 * math.pi - np.angle(z * np.exp(0.75j * math.pi))
    r = np.abs(z) / SIZE
    log = np.log(np.where(r == 0.0, 1.0, r)) - 1j * theta
    columns = [
        r ** (2.0 / 3.0 * k) * np.sin(2.0 / 3.0 * k * theta)
        for k in range(1, singular + 1)
        if k % 3  # others are powers of z
    ]
    for k in range(smooth + 1):
        power = (z / SIZE) ** k
        columns += [power.real, power.imag] if k else [power.real]
        if k and k % 2 == 0:  # resonant: smooth values on the sides of the corner ask for it
            columns.append((power * log).imag)
    for corner, inwards in zip(CORNERS, INWARDS, strict=True):
        w = (z - corner) / (inwards / SIZE)
        columns.append((w * w * np.log(np.where(w == 0.0, 1.0, w))).real)
    return np.column_stack(columns)


def _reference(points: Array) -> Array:
    return solution().at(points)[:, None]


def _around_corner(x: Sequence[Field], math_: Math) -> tuple[Field, Field]:
    """r^(2/3) cos(2φ/3) and r^(2/3) sin(2φ/3), φ from the diagonal that leads into the L: −3π/4 to 3π/4.

    The first is harmonic and zero on the two sides of the re-entrant corner, like what is singular in u.
    """
    along, across = -ROOT_HALF * (x[0] + x[1]), ROOT_HALF * (x[0] - x[1])
    r = math_.sqrt(x[0] * x[0] + x[1] * x[1] + TINY)
    # Half of the angle, for the tangent of all of it has a pole inside.
    angle = 4.0 / 3.0 * math_.arctan(across / (r + along + TINY))
    power = math_.exp(2.0 / 3.0 * math_.log(r))
    return power * math_.cos(angle), power * math_.sin(angle)


def _distance(x: Sequence[Field], math_: Math) -> Field:
    even, _ = _around_corner(x, math_)
    return even * (1.0 - x[0] * x[0]) * (1.0 - x[1] * x[1])


def _features(x: Sequence[Field], math_: Math) -> list[Field]:
    even, odd = _around_corner(x, math_)
    return [x[0], x[1], 2.0 * even / LARGEST_EVEN - 1.0, odd / LARGEST_ODD]


poisson_l = Problem(
    name="poisson-l",
    title="Poisson's equation in an L, source 1, zero on its sides",
    inputs="xy",
    domain=Domain.over(Polygon(((0, 0), (1, 0), (1, -1), (-1, -1), (-1, 1), (0, 1)))),
    derivatives=("u_xx", "u_yy"),
    residual=lambda x, d, math_: d["u_xx"] + d["u_yy"] + 1.0,
    offset=None,
    distance=_distance,
    reference=_reference,
    features=_features,
    layers=Layers(16, 3),
)
