"""The wake of a cylinder, inverse: viscosity and pressure of a vortex street from readings of its velocity.

Navier–Stokes behind a cylinder of diameter 1 in a stream of speed 1 at Re 100, one period of the flow in the
window of Raissi, Perdikaris and Karniadakis (2019): x from 1 to 8 diameters behind its centre, y within two.
The pressure's mean over the window is zero at all times. ``benchmarks/cylinder_wake.py`` computed the flow.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.polynomial import chebyshev

from hedge.arrays import Array
from hedge.problems.conditions import Condition, Inside
from hedge.problems.domain import Domain
from hedge.problems.equations import Field, Math
from hedge.problems.layers import Layers
from hedge.problems.measurements import Measurements
from hedge.problems.navier_stokes import FLOW, UNSTEADY, navier_stokes
from hedge.problems.problem import Problem
from hedge.problems.sensors import read_by_sensors
from hedge.problems.unknowns import Unknown

FILE = Path(__file__).with_suffix(".npz")
VISCOSITY, PERIOD = 0.01, 5.992433154628785
LEFT, RIGHT, HALF = 1.0, 8.0, 2.0
DOMAIN = Domain(((LEFT, RIGHT), (-HALF, HALF), (0.0, PERIOD)))
WAVENUMBER = 1.5  # of the street, roughly: vortices of a side are four diameters apart
CHUNK = 1_000
READINGS = 1_000


@dataclass(frozen=True, eq=False)
class Wake:
    """u, v and p, (3, 2H + 1, nx, ny): Fourier series in time, Chebyshev polynomials in x and y.

    Relative to the velocities, a coarser computation is off by 4e-4 (u) and 5e-4 (v).
    """

    coefficients: Array

    def at(self, points: Array) -> Array:
        """u, v and p at points (n, 3) = (x, y, t) of the window, (n, 3)."""
        parts = [points[k : k + CHUNK] for k in range(0, max(len(points), 1), CHUNK)]
        return np.concatenate([self._at(*part.T) for part in parts])

    def _at(self, x: Array, y: Array, t: Array) -> Array:
        _, waves, along, across = self.coefficients.shape
        in_x = chebyshev.chebvander((x - LEFT) / (RIGHT - LEFT) * 2.0 - 1.0, along - 1)
        in_y = chebyshev.chebvander(y / HALF, across - 1)
        angle = np.outer(t, 2.0 * math.pi / PERIOD * np.arange(1, waves // 2 + 1))
        in_time = np.stack([np.cos(angle), np.sin(angle)], axis=2).reshape(len(t), -1)
        in_time = np.column_stack([np.ones(len(t)), in_time])
        found: Array = np.einsum(
            "nfhj,nh,nj->nf", np.tensordot(in_x, self.coefficients, (1, 2)), in_time, in_y
        )
        return found


@functools.cache
def wake() -> Wake:
    """The flow of the file beside this module."""
    with np.load(FILE, allow_pickle=False) as file:
        parts = np.stack([file[name] for name in ("u", "v", "p")])
        return Wake(parts * float(file["rounding"]))


def _velocity(field: int, points: Array) -> Array:
    """One of u and v at points (n, 3): (n,)."""
    return wake().at(points)[:, field]


def _features(x: Sequence[Field], math_: Math) -> list[Field]:
    """The coordinates, and the phase of a street that is carried along: periodic in time."""
    phase = 2.0 * math.pi / PERIOD * x[2] - WAVENUMBER * x[0]
    middle, half = (LEFT + RIGHT) / 2.0, (RIGHT - LEFT) / 2.0
    return [(x[0] - middle) / half, x[1] / HALF, math_.cos(phase), math_.sin(phase)]


def cylinder_wake_from(count: int = READINGS, noise: float = 0.0, seed: int = 0) -> Problem:
    """The problem with readings of u and of v at ``count`` points, with errors relative to the rms of each.

    >>> cylinder_wake_from(count=100, noise=0.01).data[1].of
    'v'
    """
    return _problem(
        tuple(
            read_by_sensors(
                functools.partial(_velocity, field),
                DOMAIN,
                count,
                noise,
                seed,
                of,
            )
            for field, of in enumerate(("u", "v"))
        )
    )


def _problem(data: tuple[Measurements, ...]) -> Problem:
    return Problem(
        name="cylinder-wake",
        title="Wake of a cylinder at Re 100: viscosity nu and pressure from readings of (u, v)",
        inputs="xyt",
        domain=DOMAIN,
        fields=FLOW,
        derivatives=UNSTEADY,
        residual=lambda x, d, math_: navier_stokes(d, d["nu"]),
        # Of p the equations know slopes only, whose mean squares a value at one point does not move: in the
        # plane it has no capacity. The mean at each time has.
        conditions=(Condition(Inside(), lambda x, d, math_: d["p"], ("p",), mean="xy"),),
        reference=lambda points: wake().at(points),
        features=_features,
        unknowns=(Unknown("nu", 0.001, 0.1),),
        data=data,
        layers=Layers(40, 3),
    )


def _stored_readings() -> tuple[Measurements, ...]:
    """Those of the usual count and no noise: in the file, so that an import computes nothing."""
    with np.load(FILE, allow_pickle=False) as file:
        values = file["readings"].astype(np.float64)
    points = DOMAIN.sample(values.shape[1], 0)
    return tuple(
        Measurements(points, of_field, 0.0, of, name=f"sensors of {of}")
        for of, of_field in zip(("u", "v"), values, strict=True)
    )


cylinder_wake = _problem(_stored_readings())
