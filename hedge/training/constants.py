"""The unknown constants of a problem as numbers that any step of an optimiser may change."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from hedge.problems import Problem, Unknown

# Nearer to a bound, in parts of half the way between both, a constant is at it: the bound decided.
AT_BOUND = 1e-4
# At a bound itself the slope is zero and a step would move nothing: where training begins, it is not nearer.
NEAREST = 1.0 - AT_BOUND / 2.0


def values_of(unknowns: Sequence[Unknown], parameters: Tensor) -> Tensor:
    """The values, between their bounds, that the parameters (K, …) stand for; of the same shape.

    c + h sin p, with c and h of the bounds or, where both are positive, e to that of their logarithms
    (James and Roos, 1975): unlike a function that levels off, it lets a step that went too far come back.
    """
    each = []
    for unknown, p in zip(unknowns, parameters, strict=True):
        center, half = _center_and_half(unknown)
        value = center + half * torch.sin(p)
        each.append(torch.exp(value) if unknown.in_log else value)
    return torch.stack(each)


def parameters_for(problem: Problem) -> Tensor | None:
    """The parameters (K,), float64, that stand for the values that the problem's unknowns have.

    Zero, the middle of the bounds, where one has no value; None where there are no unknowns. One at its bound
    begins so near to it that steps still move it.
    """
    each = [
        0.0
        if unknown.value is None
        else math.asin(max(-NEAREST, min(_place(unknown, unknown.value), NEAREST)))
        for unknown in problem.unknowns
    ]
    return torch.tensor(each, dtype=torch.float64) if each else None


def slope(unknown: Unknown, value: float) -> float:
    """How much the value changes with its parameter, there, without sign."""
    _, half = _center_and_half(unknown)
    return (
        half
        * math.sqrt(max(1.0 - _place(unknown, value) ** 2, 0.0))
        * (value if unknown.in_log else 1.0)
    )


def is_at_bound(unknown: Unknown, value: float) -> bool:
    """Whether it is a bound that stopped it."""
    return abs(_place(unknown, value)) > 1.0 - AT_BOUND


def _place(unknown: Unknown, value: float) -> float:
    """Where a value is between the bounds, from −1 to 1."""
    center, half = _center_and_half(unknown)
    return ((math.log(value) if unknown.in_log else value) - center) / half


def _center_and_half(unknown: Unknown) -> tuple[float, float]:
    lower, upper = unknown.lower, unknown.upper
    if unknown.in_log:
        lower, upper = math.log(lower), math.log(upper)
    return (upper + lower) / 2.0, (upper - lower) / 2.0
