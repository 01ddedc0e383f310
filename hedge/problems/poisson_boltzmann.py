"""A screened potential beside holes: −Δu + 64 u = f in [−1, 1]² outside of four discs.

u is 0.2 on the sides and 1 on the rims, f = 10 (17 + x² + y²) sin πx sin 4πy: "Poisson 2d-CG" in PINNacle
(Hao et al., 2024). The reference adds a particular solution in closed form and functions that solve the
equation with f = 0: multipoles in the holes, regular ones around the middle, and sources that crowd behind
the corners (Gopal and Trefethen, 2019), fitted to the boundary's values. What is left there bounds the
error everywhere (maximum principle).
"""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import special

from hedge.arrays import Array
from hedge.geometry import Disc, Rectangle, Shape
from hedge.problems.domain import Domain
from hedge.problems.equations import Field, Math
from hedge.problems.problem import Problem

Complex = NDArray[np.complex128]
SCREENING, STRENGTH = 8.0, 10.0
SIDES, RIMS = 0.2, 1.0
HOLES = (((0.5, 0.5), 0.2), ((0.4, -0.4), 0.4), ((-0.2, -0.7), 0.1), ((-0.6, 0.5), 0.3))
WAVES = (math.pi, 4.0 * math.pi)
POLES, REGULAR, SOURCES = 32, 100, 30
SIDE_POINTS, RIM_POINTS = 160, 100


@functools.cache
def coefficients(poles: int = POLES, regular: int = REGULAR, sources: int = SOURCES) -> Array:
    """Of the functions with f = 0, fitted on all rims and sides.

    Absolute error of u, by the values there: 4e-9.
    """
    z, wanted = boundary(RIM_POINTS, SIDE_POINTS)
    columns = _solutions(z, poles, regular, sources)
    sizes = np.linalg.norm(columns, axis=0)
    found, *_ = np.linalg.lstsq(columns / sizes, wanted - _particular(z.real, z.imag), rcond=1e-14)
    return np.asarray(found / sizes)


def boundary(on_rim: int, on_side: int) -> tuple[Complex, Array]:
    """Points of all rims and sides, those of sides dense at their ends, and the values there."""
    turn = np.exp(2j * math.pi * np.arange(on_rim) / on_rim)
    rims = np.concatenate([complex(*centre) + radius * turn for centre, radius in HOLES])
    t = np.tanh(np.linspace(-14.0, 14.0, on_side))
    t = np.concatenate([t, np.cos(math.pi * (np.arange(on_side) + 0.5) / on_side)])
    sides = np.concatenate([way * (1.0 + 1j * t) for way in (1.0, 1j, -1.0, -1j)])
    values = np.where(np.arange(len(rims) + len(sides)) < len(rims), RIMS, SIDES)
    return np.concatenate([rims, sides]), values


def solution(points: Array) -> Array:
    """u at points (n, 2): (n,)."""
    z = points[:, 0] + 1j * points[:, 1]
    found: Array = (
        _particular(z.real, z.imag) + _solutions(z, POLES, REGULAR, SOURCES) @ coefficients()
    )
    return found


def _particular(x: Array, y: Array) -> Array:
    """Of the equation with f, whatever its values on the boundary.

    Where L = −Δ + k², s = sin ax sin by and c = k² + a² + b²: L s = c s, and
    L (x² s) = c x² s − 2 s − 4 a x cos ax sin by, L (x cos ax sin by) = c x cos ax sin by + 2 a s.
    """
    a, b = WAVES
    c = SCREENING**2 + a * a + b * b
    s = np.sin(a * x) * np.sin(b * y)
    along = x * np.cos(a * x) * np.sin(b * y)
    across = y * np.sin(a * x) * np.cos(b * y)
    found: Array = (
        (x * x + y * y) * s / c
        + 4.0 * (a * along + b * across) / c**2
        + s * ((17.0 * c + 4.0) / c**2 - 8.0 * (a * a + b * b) / c**3)
    )
    return STRENGTH * found


def _solutions(z: Complex, poles: int, regular: int, sources: int) -> Array:
    """Solutions with f = 0 at z (n,), side by side."""
    angle, r = np.angle(z), SCREENING * np.abs(z)
    decaying = np.exp(r - SCREENING * math.sqrt(2.0))
    columns = []
    for m in range(regular + 1):
        level = special.ive(m, r) * decaying
        columns += [level * np.cos(m * angle), level * np.sin(m * angle)] if m else [level]
    for centre, radius in HOLES:
        columns += _multipoles(z - complex(*centre), radius, poles)
    distances = 2.0 * np.exp(-4.0 * (math.sqrt(sources) - np.sqrt(np.arange(1, sources + 1))))
    for corner in (1 + 1j, -1 + 1j, -1 - 1j, 1 - 1j):
        for away in distances:
            columns += _multipoles(z - corner * (1.0 + away / math.sqrt(2.0)), away, 1)
    return np.column_stack(columns)


def _multipoles(z: Complex, radius: float, poles: int) -> list[Array]:
    """K_m(k|z|) cos and sin, relative to what K_m is at the radius."""
    angle, r = np.angle(z), np.concatenate([np.abs(z), [radius]]) * SCREENING
    below, level = special.k0(r), special.k1(r)
    columns = [below[:-1] / below[-1]]
    for m in range(1, poles + 1):
        scaled = level[:-1] / level[-1]
        columns += [scaled * np.cos(m * angle), scaled * np.sin(m * angle)]
        below, level = level, below + 2.0 * m / r * level  # stable upwards
    return columns


def _residual(x: Sequence[Field], d: Mapping[str, Field], math_: Math) -> Field:
    waves = math_.sin(WAVES[0] * x[0]) * math_.sin(WAVES[1] * x[1])
    source = STRENGTH * (17.0 + x[0] * x[0] + x[1] * x[1]) * waves
    return d["u_xx"] + d["u_yy"] - SCREENING**2 * d["u"] + source


def _squares(x: Sequence[Field]) -> list[Field]:
    """Squares of the distances from the centres, in those of the rims."""
    return [
        ((x[0] - a) * (x[0] - a) + (x[1] - b) * (x[1] - b)) / (radius * radius)
        for (a, b), radius in HOLES
    ]


def _levels(x: Sequence[Field]) -> tuple[Field, Field]:
    """Zero on the sides and on the rims, of size one elsewhere."""
    sides = (1.0 - x[0] * x[0]) * (1.0 - x[1] * x[1])
    rims: Field = 1.0
    for square in _squares(x):
        rims = rims * (square - 1.0) / (square + 1.0)
    return sides, rims


def _offset(x: Sequence[Field], math_: Math) -> Field:
    sides, rims = _levels(x)
    return (SIDES * rims + RIMS * sides) / (rims + sides)


def _distance(x: Sequence[Field], math_: Math) -> Field:
    sides, rims = _levels(x)
    return sides * rims


def _plate() -> Shape:
    plate: Shape = Rectangle((-1.0, -1.0), (1.0, 1.0), "sides")
    for centre, radius in HOLES:
        plate = plate - Disc(centre, radius, "rims")
    return plate


poisson_boltzmann = Problem(
    name="poisson-boltzmann",
    title="Linear Poisson-Boltzmann equation in a square with four holes of different sizes",
    inputs="xy",
    domain=Domain.over(_plate()),
    derivatives=("u", "u_xx", "u_yy"),
    residual=_residual,
    offset=_offset,
    distance=_distance,
    reference=lambda points: solution(points)[:, None],
)
