"""A function of many coordinates that couples every pair of them, for problems in many dimensions.

    w = exp(−s²),  s = (cos πx_1 + … + cos πx_n) / √n,

has no slope across the faces of the unit cube, and varies as much with 100 coordinates as with five.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import reduce
from operator import add

import numpy as np

from hedge.arrays import Array
from hedge.problems.equations import Field, Math

# Of the alphabets of three languages, but for what fields are called.
LETTERS = (
    "abcdefghijklmnopqrstvwxyz"
    "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
    "αβγδεζηθικλμνξοπρστυφχψω"
    "абвгдежзийклмнопрстуфхцчш"
)


def total(terms: Sequence[Field]) -> Field:
    """Their sum."""
    return reduce(add, terms)


def coupled(x: Sequence[Field], math_: Math) -> tuple[Field, Field]:
    """w, and Δw / (π² w), at columns of the coordinates."""
    cosines = [math_.cos(math.pi * c) for c in x]
    s = total(cosines) * (1.0 / math.sqrt(len(x)))
    # |∇s|² = π² (mean of sin² πx_i) and Δs = −π² s.
    slope = 1.0 - total([c * c for c in cosines]) * (1.0 / len(x))
    return math_.exp(-(s * s)), (4.0 * s * s - 2.0) * slope + 2.0 * s * s


def coupled_values(points: Array) -> Array:
    """w at points (n, d), (n, 1)."""
    s = np.cos(math.pi * points).sum(axis=1, keepdims=True) / math.sqrt(points.shape[1])
    return np.asarray(np.exp(-(s**2)))
