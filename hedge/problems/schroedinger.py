"""Nonlinear Schrödinger equation: i h_t + h_xx / 2 + |h|² h = 0, h = u + iv, periodic in x.

The benchmark of Raissi, Perdikaris and Karniadakis (2019) from h(x, 0) = 2 sech x on [−5, 5], where the
sum over all periods is taken, so that h is smooth at the ends, too.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping, Sequence

import numpy as np

from hedge.arrays import Array
from hedge.problems.domain import Domain
from hedge.problems.equations import Field, Math
from hedge.problems.periodic import Periodic, Waves, evolved
from hedge.problems.problem import Problem

HALF_PERIOD = 5.0
END = math.pi / 2.0
# Periods to either side of which the sum takes the pulses; those left out are below 1e-10.
NEIGHBOURS = (-2, -1, 0, 1, 2)
PULSE = 0.7  # width of the feature that rises where h does
MODES, NODES, STEPS = 256, 96, 5000


def _start(x: Field, math_: Math) -> Field:
    """2 sech of x in every period."""
    grown = math_.exp(x)
    total: Field = 0.0
    for period in NEIGHBOURS:
        away = math.exp(2.0 * HALF_PERIOD * period)
        total = total + 4.0 / (away * grown + 1.0 / (away * grown))
    return total


@functools.cache
def solution(modes: int = MODES, nodes: int = NODES, steps: int = STEPS) -> Periodic:
    """h by its Fourier series.

    Absolute error, measured against doubled modes, nodes and steps: 3e-11.
    """

    def rest(h: Waves, k: Array) -> Waves:
        from scipy.fft import fft

        found: Waves = fft(1j * np.abs(h) ** 2 * h)
        return found

    return evolved(
        (-HALF_PERIOD, HALF_PERIOD),
        END,
        lambda x: np.asarray(_start(x, np)),
        lambda k: -0.5j * k**2,
        rest,
        modes=modes,
        nodes=nodes,
        steps=steps,
    )


def _reference(points: Array) -> Array:
    h = solution().at(points)
    return np.column_stack([h.real, h.imag])


def _residual(x: Sequence[Field], d: Mapping[str, Field], math_: Math) -> tuple[Field, Field]:
    u, v = d["u"], d["v"]
    size = u * u + v * v
    return d["u_t"] + 0.5 * d["v_xx"] + size * v, d["v_t"] - 0.5 * d["u_xx"] - size * u


def _features(x: Sequence[Field], math_: Math) -> list[Field]:
    """Even and periodic in x, as h is: a wave, and a pulse as wide as h."""
    wave = math_.cos(math.pi / HALF_PERIOD * x[0])
    width = 1.0 - math.cos(math.pi / HALF_PERIOD * PULSE)
    pulse = width * (1.0 + wave) / (1.0 + width - wave) - 1.0
    return [wave, pulse, 2.0 / END * x[1] - 1.0]


schroedinger = Problem(
    name="schroedinger",
    title="Nonlinear Schroedinger equation from 2 sech x, periodic, h = u + iv",
    inputs="xt",
    domain=Domain(((-HALF_PERIOD, HALF_PERIOD), (0.0, END))),
    fields=("u", "v"),
    derivatives=("u", "v", "u_t", "v_t", "u_xx", "v_xx"),
    residual=_residual,
    offset=lambda x, math_: (_start(x[0], math_), 0.0),
    distance=lambda x, math_: (x[1], x[1]),
    reference=_reference,
    features=_features,
)
