"""A screened potential in a cube with four cavities: −Δu + k² u = f, no flux through any wall.

k is 8 below z = 1/2 and 10 above, f = 20 exp(sin πx + sin 10πy + sin 5πz) (|x|² − 1)/(|x|² + 1) + 100 sin
πx sin 10πy sin 5πz: "Poisson 3d-CG" in PINNacle (Hao et al., 2024). ``benchmarks/poisson_cavities.py``
computed the reference.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping, Sequence
from functools import reduce
from operator import add
from pathlib import Path

import numpy as np
import scipy

from hedge.arrays import Array
from hedge.geometry import Ball, Rectangle, Shape
from hedge.problems.conditions import Condition, Piece
from hedge.problems.domain import Domain
from hedge.problems.equations import Field, Math
from hedge.problems.problem import Problem

FILE = Path(__file__).with_suffix(".npz")
BALLS = (
    ((0.4, 0.3, 0.6), 0.2),
    ((0.6, 0.7, 0.6), 0.2),
    ((0.2, 0.8, 0.7), 0.1),
    ((0.6, 0.2, 0.3), 0.1),
)
SCREENING, MIDDLE = (8.0, 10.0), 0.5
# Of exponentials that fade from walls and from balls, the least and the most of their sums.
AT_WALLS, AT_BALLS = (0.0366, 1.0003), (0.0125, 1.818)
TINY = 1e-30  # keeps the slope of a root finite


def source(x: Field, y: Field, z: Field, math_: Math) -> Field:
    """f at points."""
    square = x * x + y * y + z * z
    along, across, up = (math_.sin(k * math.pi * each) for k, each in ((1, x), (10, y), (5, z)))
    even = 20.0 * math_.exp(along + across + up) * (square - 1.0) / (square + 1.0)
    return even + 100.0 * along * across * up


@functools.cache
def _coefficients() -> Array:
    """Of cubic splines through the values of the file beside this module."""
    with np.load(FILE, allow_pickle=False) as file:
        values = file["u"] * float(file["rounding"])
    return np.asarray(scipy.ndimage.spline_filter(values, 3, mode="reflect"))


def _reference(points: Array) -> Array:
    coefficients = _coefficients()
    at = points.T * np.array(coefficients.shape)[:, None] - 0.5
    return np.asarray(
        scipy.ndimage.map_coordinates(coefficients, at, prefilter=False, mode="reflect")
    )[:, None]


def _above(z: Field, math_: Math) -> tuple[Field, Field]:
    """|z − 1/2| and its sign."""
    away = z - MIDDLE
    size = math_.sqrt(away * away + TINY)
    return size, away / size


def _residual(x: Sequence[Field], d: Mapping[str, Field], math_: Math) -> Field:
    below, above = (k * k for k in SCREENING)
    _, sign = _above(x[2], math_)
    screening = 0.5 * (below + above) + 0.5 * (above - below) * sign
    return d["u_xx"] + d["u_yy"] + d["u_zz"] - screening * d["u"] + source(x[0], x[1], x[2], math_)


def _features(x: Sequence[Field], math_: Math) -> list[Field]:
    """The coordinates, the waves of the source, layers at walls and balls, and what bends where k jumps."""
    waves = [f(k * math.pi * x[i]) for i, k in ((1, 10), (2, 5)) for f in (math_.sin, math_.cos)]
    decay = SCREENING[0]
    walls = [math_.exp(-decay * each) + math_.exp(-decay * (1.0 - each)) for each in x]
    balls: Field = 0.0
    for centre, radius in BALLS:
        square = reduce(add, ((each - c) * (each - c) for each, c in zip(x, centre, strict=True)))
        balls = balls + math_.exp(decay * (radius - math_.sqrt(square)))
    size, _ = _above(x[2], math_)
    layers = [
        2.0 / (most - least) * (each - least) - 1.0
        for each, (least, most) in zip((*walls, balls), (*3 * (AT_WALLS,), AT_BALLS), strict=True)
    ]
    return [*(2.0 * each - 1.0 for each in x), *waves, *layers, 4.0 * (x[2] - MIDDLE) * size]


def _cavities() -> Shape:
    cube: Shape = Rectangle((0.0,) * 3, (1.0,) * 3, "walls")
    for centre, radius in BALLS:
        cube = cube - Ball(centre, radius, "balls")
    return cube


def _flux(x: Sequence[Field], d: Mapping[str, Field], math_: Math) -> Field:
    return reduce(add, (d[f"normal_{letter}"] * d[f"u_{letter}"] for letter in "xyz"))


poisson_cavities = Problem(
    name="poisson-cavities",
    title="Screened Poisson equation in a cube with four cavities, insulated everywhere",
    inputs="xyz",
    domain=Domain.over(_cavities()),
    derivatives=("u", "u_xx", "u_yy", "u_zz"),
    residual=_residual,
    reference=_reference,
    features=_features,
    conditions=tuple(Condition(Piece(p), _flux, ("u_x", "u_y", "u_z")) for p in ("walls", "balls")),
)
