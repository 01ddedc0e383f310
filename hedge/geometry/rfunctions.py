"""R-functions: zero sets of functions, put together by arithmetic (Rvachev, 1982; Shapiro, 2007).

All are of functions that are normalised to first order, and give such ones: zero on what they stand for,
with a derivative of 1 across it. They are written with ``+ - * /`` and a square root, so that numpy, torch
and graphs under construction read them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import reduce
from typing import Any, Protocol

# Keeps 0 / 0 away, in float32 as well, where two pieces meet.
_TINY = 1e-30
Field = Any
"""Values of a function at n points, (n,): of numpy, torch or a graph under construction."""


class Roots(Protocol):
    """What can take a square root."""

    @property
    def sqrt(self) -> Callable[[Field], Field]:
        """Square root."""


def conjunction(f: Field, g: Field, math: Roots) -> Field:
    """Positive where f and g both are, zero where the smaller one is: R₀ of an intersection."""
    return f + g - math.sqrt(f * f + g * g)


def disjunction(f: Field, g: Field, math: Roots) -> Field:
    """Positive where f or g is, zero where the larger one is: R₀ of a union."""
    return f + g + math.sqrt(f * f + g * g)


def trimmed(f: Field, t: Field, math: Roots) -> Field:
    """Zero where f is and t ≥ 0, else positive (Biswas and Shapiro, 2004; Sukumar and Srivastava, 2022)."""
    square = f * f
    beyond = (math.sqrt(t * t + square * square) - t) * 0.5
    return math.sqrt(square + beyond * beyond)


def joined(functions: Sequence[Field]) -> Field:
    """Zero where any of these is, which are positive elsewhere: R-equivalence, 1 / Σ 1/f."""
    return reduce(lambda f, g: f * g / (f + g + _TINY), functions)
