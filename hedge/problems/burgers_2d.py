"""Burgers' equation in the plane: "Burgers 2d-C" in PINNacle (Hao et al., 2024).

(u, v)_t + (u, v) · ∇(u, v) = Δ(u, v) / 1000, periodic in the square [0, 4]², to t = 1. Theirs starts from a
file's waves of up to three periods in a unit, all about as large; those of hedge are of the same kind, by a
seed. So u and v have the period 1, and fronts that are some thousandths wide. ``benchmarks/
burgers_2d.py`` computed the reference.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hedge.arrays import Array
from hedge.problems.domain import Domain
from hedge.problems.equations import Field, Math
from hedge.problems.lagrange import shares
from hedge.problems.layers import Layers
from hedge.problems.problem import Problem

FILE = Path(__file__).with_suffix(".npz")
VISCOSITY, SIDE, END = 1e-3, 4.0, 1.0
SEED, LONGEST = 0, 3
MEANS, SPREAD = (1.6, -0.4), 0.6  # of u and v at the start, and their deviation from it
FINEST = 1.0 / 128.0  # of what is stored
AXES = (0, 3, 2)
READ = 4  # times, and points each way, that a value is read from
STEEP = 10.0  # slopes beyond which an equation counts less
SOON = 0.2  # a time in which the start fades


@dataclass(frozen=True)
class Start:
    """mean + Σ amplitude cos(2π(kx + ny) + phase), of waves (k, n, amplitude, phase)."""

    mean: float
    waves: tuple[tuple[int, int, float, float], ...]

    def change(self, x: Field, y: Field, math_: Math) -> Field:
        """What it is beside its mean."""
        total: Field = 0.0
        for k, n, amplitude, phase in self.waves:
            total = total + amplitude * math_.cos(2.0 * math.pi * (k * x + n * y) + phase)
        return total


def _starts() -> tuple[Start, Start]:
    """Of u and v."""
    numbers = [
        (k, n)
        for k in range(LONGEST + 1)
        for n in range(-LONGEST, LONGEST + 1)
        if k > 0 or n > 0
    ]  # fmt: skip
    random = np.random.default_rng(SEED)
    found = []
    for mean in MEANS:
        parts = random.standard_normal((len(numbers), 2))
        parts *= SPREAD / math.sqrt(float(np.sum(parts**2)) / 2.0)
        waves = tuple(
            (k, n, math.hypot(p, q), math.atan2(q, p))
            for (k, n), (p, q) in zip(numbers, parts.tolist(), strict=True)
        )
        found.append(Start(mean, waves))
    return found[0], found[1]


STARTS = _starts()


@dataclass(frozen=True, eq=False)
class Evolution:
    """What u and v have changed by since the start, where the mean velocity carries it.

    values  (s, 2, n, n) at even times, on a grid of a period
    """

    values: NDArray[np.float32]

    def at(self, points: Array) -> Array:
        """u and v at points (n, 3) = (x, y, t): (n, 2)."""
        count, _, across, _ = self.values.shape
        columns = list(points.T)
        x, y = carried(columns)
        places = np.column_stack([points[:, 2] * ((count - 1) / END), x * across, y * across])
        first = np.floor(places).astype(np.intp) - (READ // 2 - 1)
        first[:, 0] = np.clip(first[:, 0], 0, count - READ)
        parts = [shares(places[:, i] - first[:, i], READ) for i in range(3)]
        found = np.column_stack([start.mean + start.change(x, y, np) for start in STARTS])
        for i, j, k in np.ndindex(READ, READ, READ):
            read = self.values[
                first[:, 0] + i, :, (first[:, 1] + j) % across, (first[:, 2] + k) % across
            ]
            found += (parts[0][:, i] * parts[1][:, j] * parts[2][:, k])[:, None] * read
        return found


@functools.cache
def evolution() -> Evolution:
    """The reference."""
    with np.load(FILE, allow_pickle=False) as file:
        return Evolution(unpacked(file["packed"]))


def packed(values: NDArray[Any]) -> NDArray[np.int16]:
    """Values (s, 2, n, n) as differences of multiples of FINEST along time, y and x, most of them small."""
    whole = np.rint(values / FINEST).astype(np.int16)
    for axis in AXES:
        whole = np.diff(whole, axis=axis, prepend=np.int16(0))
    return whole


def unpacked(differences: NDArray[np.int16]) -> NDArray[np.float32]:
    """The values again, to half of FINEST."""
    whole = differences.astype(np.float32)
    for axis in AXES:
        whole = np.cumsum(whole, axis=axis, dtype=np.float32)
    return whole * np.float32(FINEST)


def carried(x: Sequence[Field]) -> tuple[Field, Field]:
    """Where what is at x was at the start, had the mean velocity carried it."""
    return x[0] - STARTS[0].mean * x[2], x[1] - STARTS[1].mean * x[2]


def _begun(t: Field) -> Field:
    """Zero at the start, soon near one."""
    return t / (t + SOON)


def _offset(x: Sequence[Field], math_: Math) -> tuple[Field, Field]:
    """The start, which fades."""
    at, left = carried(x), 1.0 - _begun(x[2])
    u, v = (start.mean + left * start.change(*at, math_) for start in STARTS)
    return u, v


def _distance(x: Sequence[Field], math_: Math) -> tuple[Field, Field]:
    begun = _begun(x[2])
    return begun, begun


def _features(x: Sequence[Field], math_: Math) -> list[Field]:
    """Waves of the period and half of it and the start, as the mean velocity carries them, and the time."""
    at = carried(x)
    phases = [
        f(2.0 * math.pi * k * each) for each in at for k in (1, 2) for f in (math_.sin, math_.cos)
    ]
    starts = [start.change(*at, math_) / (3.0 * SPREAD) for start in STARTS]
    return [*phases, *starts, 2.0 * _begun(x[2]) / (END / (END + SOON)) - 1.0]


def _residual(x: Sequence[Field], d: Mapping[str, Field], math_: Math) -> tuple[Field, Field]:
    """Weighed, for fronts to count as much as what is between them, and as what is missed early lasts."""
    squares = d["u_x"] * d["u_x"] + d["u_y"] * d["u_y"] + d["v_x"] * d["v_x"] + d["v_y"] * d["v_y"]
    weight = (1.0 - _begun(x[2])) / math_.sqrt(1.0 + squares / STEEP**2)
    of_u, of_v = (
        d[f"{f}_t"]
        + d["u"] * d[f"{f}_x"]
        + d["v"] * d[f"{f}_y"]
        - VISCOSITY * (d[f"{f}_xx"] + d[f"{f}_yy"])
        for f in "uv"
    )
    return weight * of_u, weight * of_v


burgers_2d = Problem(
    name="burgers-2d",
    title="Burgers' equation in the plane, periodic, velocities (u, v)",
    inputs="xyt",
    fields=("u", "v"),
    domain=Domain(((0.0, SIDE), (0.0, SIDE), (0.0, END))),
    derivatives=(
        "u", "v", "u_t", "v_t", "u_x", "u_y", "v_x", "v_y", "u_xx", "u_yy", "v_xx", "v_yy",
    ),
    residual=_residual,
    offset=_offset,
    distance=_distance,
    reference=lambda points: evolution().at(points),
    features=_features,
    layers=Layers(32, 3),
)  # fmt: skip
