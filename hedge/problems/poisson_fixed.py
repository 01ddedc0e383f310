"""Poisson's equation on the unit cube of five dimensions, u given on all ten faces.

−Δu = π²/4 Σ sin(πx_i/2), whose solution is Σ sin(πx_i/2): "PNd" in PINNacle (Hao et al., 2024). A form that
takes the values on all faces, blended linearly between them, would be the solution itself; here they are
terms of the loss.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import reduce
from operator import add

import numpy as np

from hedge.arrays import Array
from hedge.problems.conditions import Condition, Faces
from hedge.problems.domain import Domain
from hedge.problems.equations import Field, Math
from hedge.problems.layers import Layers
from hedge.problems.problem import Problem

LETTERS = "abcde"
HALF = math.pi / 2.0


def _sines(x: Sequence[Field], math_: Math) -> Field:
    return reduce(add, (math_.sin(HALF * each) for each in x))


def _residual(x: Sequence[Field], d: Mapping[str, Field], math_: Math) -> Field:
    laplacian = reduce(add, (d[f"u_{letter}{letter}"] for letter in LETTERS))
    return laplacian + HALF**2 * _sines(x, math_)


def _reference(points: Array) -> Array:
    u: Array = np.sin(HALF * points).sum(axis=1, keepdims=True)
    return u


poisson_fixed = Problem(
    name="poisson-5d-fixed",
    title="Poisson equation on the unit cube of 5 dimensions, values given on all faces",
    inputs=LETTERS,
    domain=Domain(((0.0, 1.0),) * len(LETTERS)),
    derivatives=tuple(f"u_{letter}{letter}" for letter in LETTERS),
    residual=_residual,
    reference=_reference,
    conditions=tuple(
        Condition(Faces(letter), lambda x, d, math_: d["u"] - _sines(x, math_))
        for letter in LETTERS
    ),
    layers=Layers(20, 2),
)
