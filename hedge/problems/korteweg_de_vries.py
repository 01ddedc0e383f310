"""Korteweg–de Vries: u_t + u u_x + 0.0025 u_xxx = 0 from u(x, 0) = cos πx, periodic in x.

A wave that steepens and breaks into solitons, on a scale of time and space of its own (Zabusky and Kruskal,
1965: 0.022² u_xxx on [0, 2]; the constants here are those of Raissi, Perdikaris and Karniadakis, 2019).
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

DISPERSION = 0.0025
MODES, NODES, STEPS = 256, 128, 8000


@functools.cache
def solution(modes: int = MODES, nodes: int = NODES, steps: int = STEPS) -> Periodic:
    """u by its Fourier series.

    Absolute error, measured against doubled modes, nodes and steps: 2e-11.
    """

    def rest(u: Waves, k: Array) -> Waves:
        from scipy.fft import fft

        found: Waves = -0.5j * k * fft(u.real**2)
        return found

    return evolved(
        (-1.0, 1.0),
        1.0,
        lambda x: np.cos(math.pi * x),
        lambda k: 1j * DISPERSION * k**3,
        rest,
        modes=modes,
        nodes=nodes,
        steps=steps,
    )


def _reference(points: Array) -> Array:
    return solution().at(points).real[:, None]


def _residual(x: Sequence[Field], d: Mapping[str, Field], math_: Math) -> Field:
    return d["u_t"] + d["u"] * d["u_x"] + DISPERSION * d["u_xxx"]


korteweg_de_vries = Problem(
    name="kdv",
    title="Korteweg-de Vries: a wave that breaks into solitons, x in [-1, 1], t in [0, 1], periodic",
    inputs="xt",
    domain=Domain(((-1.0, 1.0), (0.0, 1.0))),
    derivatives=("u", "u_x", "u_t", "u_xxx"),
    residual=_residual,
    offset=lambda x, math_: math_.cos(math.pi * x[0]),
    distance=lambda x, math_: x[1],
    reference=_reference,
    features=lambda x, math_: [
        math_.cos(math.pi * x[0]),
        math_.sin(math.pi * x[0]),
        2.0 * x[1] - 1.0,
    ],
    layers=Layers(30, 3),
    windows=6,
)
