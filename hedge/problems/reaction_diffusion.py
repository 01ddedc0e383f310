"""Reaction and diffusion: u_t = 3 u_xx + 5 u (1 − u) from a bump, periodic in x.

ν = 3 and ρ = 5 of Krishnapriyan et al. (2021, "Characterizing possible failure modes in physics-informed
neural networks"), u(x, 0) = exp(−8 (x/π − 1)²) on [0, 2π]; here the sum over all periods is taken, which is
3e-4 more at the ends, so that u is smooth there, too.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping, Sequence

import numpy as np

from hedge.arrays import Array
from hedge.problems.domain import Domain
from hedge.problems.equations import Field, Math
from hedge.problems.layers import Layers
from hedge.problems.periodic import Periodic, Waves, evolved
from hedge.problems.problem import Problem

DIFFUSIVITY, RATE = 3.0, 5.0
PERIOD = 2.0 * math.pi
# Periods to either side of which the sum takes the bumps; those left out are below 1e-30.
NEIGHBOURS = (-1, 0, 1)
MODES, NODES, STEPS = 48, 48, 2000


def _start(x: Field, math_: Math) -> Field:
    """The bump of every period."""
    total: Field = 0.0
    for period in NEIGHBOURS:
        away = (x - PERIOD * period) / math.pi - 1.0
        total = total + math_.exp(-8.0 * away * away)
    return total


@functools.cache
def solution(modes: int = MODES, nodes: int = NODES, steps: int = STEPS) -> Periodic:
    """u by its Fourier series.

    Absolute error, measured against doubled modes, nodes and steps: 2e-11.
    """

    def rest(u: Waves, k: Array) -> Waves:
        from scipy.fft import fft

        found: Waves = -RATE * fft(u.real**2)
        return found

    return evolved(
        (0.0, PERIOD),
        1.0,
        lambda x: np.asarray(_start(x, np)),
        lambda k: RATE - DIFFUSIVITY * k**2,
        rest,
        modes=modes,
        nodes=nodes,
        steps=steps,
    )


def _residual(x: Sequence[Field], d: Mapping[str, Field], math_: Math) -> Field:
    return d["u_t"] - DIFFUSIVITY * d["u_xx"] - RATE * d["u"] * (1.0 - d["u"])


reaction_diffusion = Problem(
    name="reaction-diffusion",
    title="Reaction and diffusion of a bump, x in [0, 2 pi] periodic, t in [0, 1]",
    inputs="xt",
    domain=Domain(((0.0, PERIOD), (0.0, 1.0))),
    derivatives=("u", "u_t", "u_xx"),
    residual=_residual,
    offset=lambda x, math_: _start(x[0], math_),
    distance=lambda x, math_: x[1],
    reference=lambda points: solution().at(points).real[:, None],
    # Even about the bump, as u is.
    features=lambda x, math_: [math_.cos(x[0]), 2.0 * x[1] - 1.0],
    layers=Layers(16, 2),
)
