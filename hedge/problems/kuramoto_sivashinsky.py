"""Kuramoto–Sivashinsky: u_t + α u u_x + β u_xx + γ u_xxxx = 0 from (1 + sin x) cos x, periodic in x.

α = 100/16, β = 100/16² and γ = 100/16⁴ on [0, 2π] × [0, 1]: "KS" in PINNacle (Hao et al., 2024) and in
jaxpi (Wang et al., 2023). In lengths of 1/16 and times of 1/100 it is u_t + u u_x + u_xx + u_xxxx = 0 on a
period of 32π until t = 100, of Kassam and Trefethen (2005); after a third of that it is chaotic.
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

STEEPENING, GROWTH, DAMPING = 100.0 / 16.0, 100.0 / 16.0**2, 100.0 / 16.0**4
PERIOD = 2.0 * math.pi
MODES, NODES, STEPS = 192, 320, 12_000


def _start(x: Field, math_: Math) -> Field:
    return math_.cos(x) * (1.0 + math_.sin(x))


@functools.cache
def solution(modes: int = MODES, nodes: int = NODES, steps: int = STEPS) -> Periodic:
    """u by its Fourier series.

    Absolute error, measured against finer ones: 4e-6, in relative L2 2e-7.
    """

    def rest(u: Waves, k: Array) -> Waves:
        from scipy.fft import fft

        found: Waves = -0.5j * STEEPENING * k * fft(u.real**2)
        return found

    return evolved(
        (0.0, PERIOD),
        1.0,
        lambda x: np.asarray(_start(x, np)),
        lambda k: GROWTH * k**2 - DAMPING * k**4,
        rest,
        modes=modes,
        nodes=nodes,
        steps=steps,
    )


def _residual(x: Sequence[Field], d: Mapping[str, Field], math_: Math) -> Field:
    steepening = STEEPENING * d["u"] * d["u_x"]
    return d["u_t"] + steepening + GROWTH * d["u_xx"] + DAMPING * d["u_xxxx"]


kuramoto_sivashinsky = Problem(
    name="kuramoto-sivashinsky",
    title="Kuramoto-Sivashinsky equation, chaotic, x in [0, 2 pi] periodic, t in [0, 1]",
    inputs="xt",
    domain=Domain(((0.0, PERIOD), (0.0, 1.0))),
    derivatives=("u", "u_x", "u_t", "u_xx", "u_xxxx"),
    residual=_residual,
    offset=lambda x, math_: _start(x[0], math_),
    distance=lambda x, math_: x[1],
    reference=lambda points: solution().at(points).real[:, None],
    features=lambda x, math_: [math_.cos(x[0]), math_.sin(x[0]), 2.0 * x[1] - 1.0],
    layers=Layers(30, 3),
)
