"""A plate with holes: Δu = 0 in [−1/2, 1/2]² outside of four discs, u = 1 on the sides, 0 on the rims.

The domain and its values are those of "Poisson 2D-C" in PINNacle (Hao et al., 2023). The reference fits
multipoles in the holes, with their images behind the sides, and polynomials to the values on the boundary;
what is left there bounds the error everywhere (maximum principle).
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hedge.arrays import Array
from hedge.geometry import Disc, Rectangle, Shape
from hedge.problems.domain import Domain
from hedge.problems.equations import Field, Math
from hedge.problems.layers import Layers
from hedge.problems.problem import Problem

Complex = NDArray[np.complex128]
HALF, RADIUS = 0.5, 0.1
CENTRES = ((0.3, 0.3), (-0.3, 0.3), (0.3, -0.3), (-0.3, -0.3))
# At the corner of the square that is farthest from a centre.
LARGEST_LOG = math.log(2.0 * (0.8 / RADIUS) ** 2)
POLES, POWERS = 20, 32
RIM_POINTS, SIDE_POINTS = 80, 80


@dataclass(frozen=True, eq=False)
class Multipoles:
    """u = 1 + a sum of harmonic functions."""

    poles: int
    powers: int
    coefficients: Array

    def at(self, points: Array) -> Array:
        """u at points (n, 2) outside the holes: (n,)."""
        z = points[:, 0] + 1j * points[:, 1]
        found: Array = 1.0 + _harmonics(z, self.poles, self.powers) @ self.coefficients
        return found


@functools.cache
def solution(poles: int = POLES, powers: int = POWERS) -> Multipoles:
    """u with so many multipoles in every hole.

    Absolute error, by the values on the boundary: 5e-12.
    """
    z, is_rim = boundary(RIM_POINTS, SIDE_POINTS)
    columns, wanted = _harmonics(z, poles, powers), np.where(is_rim, -1.0, 0.0)
    found, *_ = np.linalg.lstsq(columns, wanted, rcond=1e-15)
    return Multipoles(poles, powers, np.asarray(found, dtype=np.float64))


def boundary(on_rim: int, on_side: int) -> tuple[Complex, NDArray[np.bool_]]:
    """Points of all rims and sides, and which are of a rim."""
    turn = np.exp(2j * math.pi * np.arange(on_rim) / on_rim)
    rims = [complex(*centre) + RADIUS * turn for centre in CENTRES]
    t = -HALF * np.cos(math.pi * (np.arange(on_side) + 0.5) / on_side)
    sides = [way * (HALF + 1j * t) for way in (1.0, 1j, -1.0, -1j)]
    z = np.concatenate([*rims, *sides])
    return z, np.arange(len(z)) < len(rims) * on_rim


def _harmonics(z: Complex, poles: int, powers: int) -> Array:
    """Harmonic functions at z (n,), side by side; the multipoles all but vanish on the sides."""
    columns = [z.real * 0.0 + 1.0]
    for k in range(1, powers + 1):
        power = (z / HALF) ** k
        columns += [power.real, power.imag]
    for centre in CENTRES:
        total = np.zeros((2 * poles + 1, len(z)))
        for i in (-1, 0, 1):
            for j in (-1, 0, 1):
                sign = (-1.0) ** (i + j)
                seen = (2.0 * HALF * i + (-1.0) ** i * z.real) + 1j * (
                    2.0 * HALF * j + (-1.0) ** j * z.imag
                )
                near = RADIUS / (seen - complex(*centre))
                moments = near ** np.arange(1, poles + 1)[:, None]
                total += sign * np.vstack([np.log(np.abs(near)), moments.real, moments.imag])
        columns += list(total)
    return np.column_stack(columns)


def _reference(points: Array) -> Array:
    return solution().at(points)[:, None]


def _squares(x: Sequence[Field]) -> list[Field]:
    """Squares of the distances from the centres, in those of the rims."""
    return [
        ((x[0] - a) * (x[0] - a) + (x[1] - b) * (x[1] - b)) / (RADIUS * RADIUS) for a, b in CENTRES
    ]


def _levels(x: Sequence[Field]) -> tuple[Field, Field]:
    """Zero on the sides and on the rims, of size one elsewhere."""
    sides = 16.0 * (HALF * HALF - x[0] * x[0]) * (HALF * HALF - x[1] * x[1])
    rims: Field = 1.0
    for square in _squares(x):
        rims = rims * (square - 1.0) / (square + 1.0)
    return sides, rims


def _offset(x: Sequence[Field], math_: Math) -> Field:
    sides, rims = _levels(x)
    return rims / (rims + sides)


def _distance(x: Sequence[Field], math_: Math) -> Field:
    sides, rims = _levels(x)
    return sides * rims


def _features(x: Sequence[Field], math_: Math) -> list[Field]:
    """The coordinates, and logarithms: harmonic, and steep where the solution is, near the rims."""
    logs = [2.0 / LARGEST_LOG * math_.log(square) - 1.0 for square in _squares(x)]
    return [x[0] / HALF, x[1] / HALF, *logs]


def _plate() -> Shape:
    plate: Shape = Rectangle((-HALF, -HALF), (HALF, HALF), "sides")
    for centre in CENTRES:
        plate = plate - Disc(centre, RADIUS, "rims")
    return plate


poisson_holes = Problem(
    name="poisson-holes",
    title="Laplace's equation in a square with four holes: 1 on its sides, 0 on the rims",
    inputs="xy",
    domain=Domain.over(_plate()),
    derivatives=("u_xx", "u_yy"),
    residual=lambda x, d, math_: d["u_xx"] + d["u_yy"],
    offset=_offset,
    distance=_distance,
    reference=_reference,
    features=_features,
    layers=Layers(20, 3),
)
