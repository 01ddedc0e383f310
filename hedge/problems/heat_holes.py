"""Heat from the rims of seventeen holes in a plate: u_t = Δu, u = 0 at the start, to t = 3.

On the rims of eleven large holes ∂u/∂n = 5 − u, of six small ones 1 − u, on the sides 0.1 − u: "Heat 2d-CG"
in PINNacle (Hao et al., 2024). The plate is [−8, 8] × [−12, 12]. The reference has linear elements on a
quarter of it and is exact in time.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import scipy
from numpy.typing import NDArray
from scipy.sparse.linalg import spsolve

from hedge.arrays import Array
from hedge.geometry import Disc, Rectangle, Shape
from hedge.problems.conditions import Condition, Faces, Piece
from hedge.problems.domain import Domain
from hedge.problems.equations import Field, Math
from hedge.problems.problem import Problem
from hedge.problems.triangles import Mesh, edge_mass, fading, outer_edges, stiffness_and_mass

WIDE, HIGH, END = 8.0, 12.0, 3.0
LARGE, SMALL = 1.0, 0.4
# In the quarter x, y ≥ 0; the others are their mirror images.
OF_LARGE = ((4.0, 3.0), (4.0, 9.0), (0.0, 0.0), (0.0, 6.0))
OF_SMALL = ((3.2, 6.0), (3.2, 0.0))
HOLES = (*((c, LARGE) for c in OF_LARGE), *((c, SMALL) for c in OF_SMALL))
WARMTH = {"large": 5.0, "small": 1.0, "sides": 0.1}
ON_RIM, SPACING = 192, 0.08  # points of a rim, and between points far from them
SHIFT, FADING = 0.05, 50
# A time in which the rims warm up, and a length that heat reaches.
SOON, REACH = 0.1, 1.0
# Of the sums that tell how near the holes are, the least and the most.
NEAR_LARGE, NEAR_SMALL = (0.0187, 1.1073), (0.0007, 1.0116)


@dataclass(frozen=True, eq=False)
class Warming:
    """u = Σ parts_i exp(−rate_i t), linear in triangles of the quarter x, y ≥ 0; rate 0 is last."""

    mesh: Mesh
    parts: Array
    rates: Array

    def at(self, points: Array) -> Array:
        """u at points (n, 3) = (x, y, t) of the plate: (n, 1)."""
        read = self.mesh.read(self.parts, np.abs(points[:, :2]))
        found: Array = np.sum(read * np.exp(-np.outer(points[:, 2], self.rates)), axis=1)
        return found[:, None]


@functools.cache
def warming(on_rim: int = ON_RIM, spacing: float = SPACING) -> Warming:
    """u by a mesh that fine; relative L2 error of those taken: 7e-4."""
    mesh = _mesh(on_rim, spacing)
    stiffness, mass = stiffness_and_mass(mesh)
    edges = outer_edges(mesh.corners)
    load = np.zeros(len(mesh.points))
    for piece, is_part in _pieces(mesh.points[edges].mean(axis=1)).items():
        on_part = edge_mass(mesh, edges[is_part])
        stiffness = stiffness + on_part
        load += WARMTH[piece] * (on_part @ np.ones(len(load)))
    steady = spsolve(stiffness.tocsc(), load)
    parts, rates = fading(stiffness, mass, -steady, SHIFT, FADING)
    return Warming(mesh, np.column_stack([parts, steady]), np.append(rates, 0.0))


def _mesh(on_rim: int, spacing: float) -> Mesh:
    """Rings about the holes that grow apart, and a grid between them."""
    across, up = (round(size / spacing) + 1 for size in (WIDE, HIGH))
    grid = np.meshgrid(np.linspace(0.0, WIDE, across), np.linspace(0.0, HIGH, up))
    points = np.column_stack([each.ravel() for each in grid])
    rings = []
    for centre, radius in HOLES:
        count = 4 * round(on_rim / 4.0 * math.sqrt(radius))
        angles = 2.0 * math.pi / count * np.arange(count)
        ring = np.column_stack([np.cos(angles), np.sin(angles)])
        at, step = radius, 2.0 * math.pi * radius / count
        while step < spacing:
            rings.append(np.array(centre) + at * ring)
            at, step = at + step, 1.25 * step
        points = points[np.hypot(*(points - np.array(centre)).T) > at]
    around = np.concatenate(rings)
    around[np.abs(around) < 1e-9] = 0.0
    points = np.concatenate([points, around[(around >= 0.0).all(axis=1)]])
    triangles = scipy.spatial.Delaunay(points)
    middles = points[triangles.simplices].mean(axis=1)
    in_hole = np.any([np.hypot(*(middles - np.array(c)).T) < r for c, r in HOLES], axis=0)
    return Mesh(points, triangles, triangles.simplices[~in_hole].astype(np.int64))


def _pieces(middles: Array) -> dict[str, NDArray[np.bool_]]:
    """Which of the edges with these middles (m, 2) are of which piece; those of the axes are of none."""
    on_axis = (middles < 1e-9).any(axis=1)
    on_side = (middles[:, 0] > WIDE - 1e-9) | (middles[:, 1] > HIGH - 1e-9)
    to_large, to_small = (
        np.min([np.hypot(*(middles - np.array(c)).T) for c in centres], axis=0) - radius
        for centres, radius in ((OF_LARGE, LARGE), (OF_SMALL, SMALL))
    )
    is_large = ~on_axis & ~on_side & (to_large < to_small)
    return {
        "large": is_large,
        "small": ~on_axis & ~on_side & ~is_large,
        "sides": on_side & ~on_axis,
    }


def _mirrored(centre: tuple[float, float]) -> list[tuple[float, float]]:
    """All holes that a hole of the quarter stands for."""
    x, y = centre
    return sorted({(p * x + 0.0, q * y + 0.0) for p in (-1.0, 1.0) for q in (-1.0, 1.0)})


def _plate() -> Shape:
    plate: Shape = Rectangle((-WIDE, -HIGH), (WIDE, HIGH), "sides")
    for name, centres, radius in (("large", OF_LARGE, LARGE), ("small", OF_SMALL, SMALL)):
        for centre in (each for hole in centres for each in _mirrored(hole)):
            plate = plate - Disc(centre, radius, name)
    return plate


def _begun(x: Sequence[Field]) -> Field:
    """Zero at the start, where cold rims contradict their conditions, soon one."""
    return x[2] / (x[2] + SOON)


def _time(t: Field, math_: Math) -> Field:
    """A clock that runs fast at first, from -1 to 1."""
    return 2.0 * math_.log(t * (1.0 / SOON) + 1.0) * (1.0 / math.log(END / SOON + 1.0)) - 1.0


def _nearness(
    x: Sequence[Field], centres: tuple[tuple[float, float], ...], radius: float, math_: Math
) -> Field:
    """One on the rims of the holes of one size, less away from them."""
    total: Field = 0.0
    for a, b in (each for hole in centres for each in _mirrored(hole)):
        r = math_.sqrt((x[0] - a) * (x[0] - a) + (x[1] - b) * (x[1] - b))
        total = total + math_.exp((radius - r) * (1.0 / REACH))
    return total


def _features(x: Sequence[Field], math_: Math) -> list[Field]:
    """Distances from the axes, time, and how near the holes are: even in x and y, as the plate is."""
    even = [
        2.0 * (math_.sqrt(1.0 + each * each) - 1.0) * (1.0 / (math.sqrt(1.0 + size**2) - 1.0)) - 1.0
        for each, size in zip(x, (WIDE, HIGH), strict=False)
    ]
    near = [
        2.0 / (most - least) * (_nearness(x, centres, radius, math_) - least) - 1.0
        for centres, radius, (least, most) in (
            (OF_LARGE, LARGE, NEAR_LARGE), (OF_SMALL, SMALL, NEAR_SMALL)
        )
    ]  # fmt: skip
    return [*even, _time(x[2], math_), *near]


def _flux(piece: str) -> Condition:
    warmth = WARMTH[piece]

    def missed(x: Sequence[Field], d: Mapping[str, Field], math_: Math) -> Field:
        slope = d["normal_x"] * d["u_x"] + d["normal_y"] * d["u_y"]
        return _begun(x) * (slope + d["u"] - warmth)

    return Condition(Piece(piece), missed, ("u", "u_x", "u_y"))


heat_holes = Problem(
    name="heat-holes",
    title="2D heat equation in a plate with 17 holes that warm it, Robin conditions on all rims",
    inputs="xyt",
    domain=Domain.over(_plate(), (0.0, END)),
    derivatives=("u_t", "u_xx", "u_yy"),
    residual=lambda x, d, math_: _begun(x) * (d["u_t"] - d["u_xx"] - d["u_yy"]),
    distance=lambda x, math_: _begun(x),
    reference=lambda points: warming().at(points),
    features=_features,
    conditions=(
        Condition(Faces("t", (0,)), lambda x, d, math_: d["u"]),
        *(_flux(piece) for piece in WARMTH),
    ),
)
