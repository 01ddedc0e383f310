"""Heat in 100 dimensions: u_t = Δu / 10 + f in the unit cube, insulated, from t = 0 to 1; u = 0 at the start.

f is such that u = (1 − exp(−t)) w, with the function w of :mod:`hedge.problems.coupled`. The network reads
cos πx_i, which have no slope across the faces, and time.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from hedge.arrays import Array
from hedge.problems.conditions import vanishes
from hedge.problems.coupled import LETTERS, coupled, coupled_values
from hedge.problems.domain import Domain
from hedge.problems.equations import Field, Math
from hedge.problems.layers import Layers
from hedge.problems.problem import Problem

DIMENSION, DIFFUSIVITY = 100, 0.1
SPACE = LETTERS.replace("t", "")[: DIMENSION - 1] + "ъ"


def _residual(x: Sequence[Field], d: Mapping[str, Field], math_: Math) -> Field:
    w, laplacian = coupled(x[:-1], math_)
    left = math_.exp(-x[-1])
    source = w * (left - DIFFUSIVITY * math.pi**2 * (1.0 - left) * laplacian)
    return d["u_t"] - DIFFUSIVITY * d["u_laplacian"] - source


def _reference(points: Array) -> Array:
    return np.asarray((1.0 - np.exp(-points[:, -1:])) * coupled_values(points[:, :-1]))


heat_cube = Problem(
    name="heat-100d",
    title="Heat equation in the unit cube of 100 dimensions, insulated, heated from zero",
    inputs=SPACE + "t",
    domain=Domain(((0.0, 1.0),) * (DIMENSION + 1)),
    derivatives=("u_t", "u_laplacian"),
    residual=_residual,
    offset=None,
    distance=lambda x, math_: x[-1],
    reference=_reference,
    features=lambda x, math_: [*(math_.cos(math.pi * c) for c in x[:-1]), 2.0 * x[-1] - 1.0],
    conditions=(vanishes("u", "t", 0),),
    space=SPACE,
    layers=Layers(10, 2),
)
