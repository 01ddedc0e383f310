"""A flow that is pushed to and fro through a channel, to t = 5: "NS 2d-LT" in PINNacle (Hao et al., 2024).

(u, v)_t + (u, v) · ∇(u, v) + ∇p = Δ(u, v) / 100 + (0, −sin πx sin πy sin πt), u_x + v_y = 0 in [0, 2] × [0,
1]; u = sin πy (sin πt + sin 3πt + sin 5πt) at the inlet x = 0, velocities at walls and at the start are 0. At
the outlet x = 2 theirs has p = 0 and leaves one condition open; here v = 0, too. ``benchmarks/
channel_swing.py`` computed the reference.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from hedge.arrays import Array
from hedge.problems.biquadratic import Biquadratic
from hedge.problems.domain import Domain
from hedge.problems.equations import Field, Math
from hedge.problems.lagrange import shares
from hedge.problems.layers import Layers
from hedge.problems.navier_stokes import FLOW, UNSTEADY, navier_stokes
from hedge.problems.problem import Problem

FILE = Path(__file__).with_suffix(".npz")
VISCOSITY, LONG, END = 0.01, 2.0, 5.0
WAVES = (1.0, 3.0, 5.0)
SOON = 0.1  # a time in which walls are felt
RATE, FAST = 20.0, 120.0  # of layers at walls, and at the inlet where the flow leaves through it
NEAR = 0.05  # a distance from the inlet in which velocities change
TAMED = 0.03  # a distance from the inlet within which forces count less
WEIGHT = 3.0  # of continuity beside forces, which are ten times as large
CHUNK = 4_000
READ = 6  # times that a value is read from


def inflow(t: Field, math_: Math) -> Field:
    """The largest velocity at the inlet."""
    return sum(math_.sin(k * math.pi * t) for k in WAVES)


@dataclass(frozen=True, eq=False)
class Swing:
    """u, v and p as sums of flows.

    x, y     lines
    modes    (2m − 1, 2n − 1, k, 3) biquadratic between them
    counts   (T, k) what each counts, at even times from 0 to 5
    """

    x: Array
    y: Array
    modes: Array
    counts: Array

    def at(self, points: Array) -> Array:
        """u, v and p at points (n, 3) = (x, y, t), (n, 3)."""
        parts = [points[k : k + CHUNK] for k in range(0, max(len(points), 1), CHUNK)]
        return np.concatenate([self._at(part) for part in parts])

    def _at(self, points: Array) -> Array:
        flows = Biquadratic(self.x, self.y, self.modes.reshape(*self.modes.shape[:2], -1))
        at = points[:, 2] * ((len(self.counts) - 1) / END)
        first = np.clip(at.astype(np.intp) - READ // 2 + 1, 0, len(self.counts) - READ)
        near = self.counts[first[:, None] + np.arange(READ)]
        counts = np.einsum("nr,nrk->nk", shares(at - first, READ), near)
        found = flows.at(points[:, :2]).reshape(len(points), -1, 3)
        return np.asarray(np.einsum("nk,nkd->nd", counts, found))


@functools.cache
def channel_flow() -> Swing:
    """The reference."""
    with np.load(FILE, allow_pickle=False) as file:
        return Swing(file["x"], file["y"], file["modes"].astype(np.float64), file["counts"])


def _begun(t: Field) -> Field:
    """Zero at the start, soon one."""
    return t / (t + SOON)


def _offset(x: Sequence[Field], math_: Math) -> tuple[Field, Field, Field]:
    """The inlet's profile all along, and the pressure that moves so much."""
    faster: Field = sum(k * math.pi * math_.cos(k * math.pi * x[2]) for k in WAVES)
    return (
        math_.sin(math.pi * x[1]) * inflow(x[2], math_),
        0.0,
        2.0 / math.pi * (LONG - x[0]) * faster,
    )


def _distance(x: Sequence[Field], math_: Math) -> tuple[Field, Field, Field]:
    walls = 4.0 * x[1] * (1.0 - x[1]) * x[0] / (x[0] + NEAR) * _begun(x[2])
    return walls, walls * (LONG - x[0]), LONG - x[0]


def _features(x: Sequence[Field], math_: Math) -> list[Field]:
    """The coordinates, layers at the walls, and the phases of the inflow."""
    near = [
        2.0 * math_.exp(-rate * away) - 1.0
        for rate, away in ((RATE, x[0]), (FAST, x[0]), (RATE, x[1]), (RATE, 1.0 - x[1]))
    ]
    phases = [f(k * math.pi * x[2]) for k in (1.0, 3.0, 5.0) for f in (math_.sin, math_.cos)]
    return [x[0] - 1.0, 2.0 * x[1] - 1.0, 2.0 / END * x[2] - 1.0, *near, *phases]


def _residual(x: Sequence[Field], d: Mapping[str, Field], math_: Math) -> tuple[Field, ...]:
    push = math_.sin(math.pi * x[0]) * math_.sin(math.pi * x[1]) * math_.sin(math.pi * x[2])
    # Where the flow leaves through the inlet its layer there is thin, and its forces are large.
    tamed = x[0] / (x[0] + TAMED)
    along_x, along_y, divergence = navier_stokes(d, VISCOSITY, tamed)
    return along_x, along_y + tamed * push, WEIGHT * divergence


channel_swing = Problem(
    name="channel-swing",
    title="Channel through which a flow is pushed to and fro: velocities (u, v) and pressure p",
    inputs="xyt",
    domain=Domain(((0.0, LONG), (0.0, 1.0), (0.0, END))),
    fields=FLOW,
    derivatives=UNSTEADY,
    residual=_residual,
    offset=_offset,
    distance=_distance,
    reference=lambda points: channel_flow().at(points),
    features=_features,
    layers=Layers(32, 3),
)
