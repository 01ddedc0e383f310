"""The unknown constants of a problem as numbers that any step of an optimiser may change."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from hedge.problems import Problem, Unknown


def values_of(unknowns: Sequence[Unknown], parameters: Tensor) -> Tensor:
    """The values, between their bounds, that the parameters (K, …) stand for; of the same shape.

    c + h tanh p, with c and h of the bounds or, where both are positive, e to that of their logarithms.
    """
    each = []
    for unknown, p in zip(unknowns, parameters, strict=True):
        center, half = _center_and_half(unknown)
        value = center + half * torch.tanh(p)
        each.append(torch.exp(value) if unknown.in_log else value)
    return torch.stack(each)


def parameters_for(problem: Problem) -> Tensor | None:
    """The parameters (K,), float64, that stand for the values the problem's unknowns have.

    Zero, the middle of the bounds, where one has no value, and bounded where it lies at a bound.
    """
    each = [_parameter(unknown) for unknown in problem.unknowns]
    return torch.tensor(each, dtype=torch.float64) if each else None


def slope(unknown: Unknown, value: float) -> float:
    """How the value changes with its parameter, there."""
    center, half = _center_and_half(unknown)
    place = ((math.log(value) if unknown.in_log else value) - center) / half
    return half * (1.0 - place**2) * (value if unknown.in_log else 1.0)


def _parameter(unknown: Unknown) -> float:
    if unknown.value is None:
        return 0.0
    center, half = _center_and_half(unknown)
    value = min(max(unknown.value, unknown.lower), unknown.upper)
    place = ((math.log(value) if unknown.in_log else value) - center) / half
    return math.atanh(max(min(place, 1.0 - 1e-12), 1e-12 - 1.0))


def _center_and_half(unknown: Unknown) -> tuple[float, float]:
    lower, upper = unknown.lower, unknown.upper
    if unknown.in_log:
        lower, upper = math.log(lower), math.log(upper)
    return (upper + lower) / 2.0, (upper - lower) / 2.0
