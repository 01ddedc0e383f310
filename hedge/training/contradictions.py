"""Conditions that can't hold together: that ask for different values of the same thing at the same place."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import combinations

import numpy as np
import torch
from torch import Tensor

from hedge.errors import InputError
from hedge.geometry import BOUNDARY
from hedge.problems import At, Condition, Faces, Inside, Period, Piece, Problem
from hedge.problems.conditions import Place
from hedge.training.points import TORCH_MATH
from hedge.training.terms import conditions_term

# Points that are looked at, how alike two conditions' coefficients must be to ask for the same thing, and by
# how much what they ask for must differ.
POINTS, ALIKE, APART = 64, 1e-9, 1e-6


def check_consistent(problem: Problem, like: Tensor) -> None:
    """Raise InputError, naming both and what they ask for, if two conditions contradict each other.

    Only those that are linear in what they read are compared, where their coefficients are alike. Those over
    a period must be linear.
    """
    for number, condition in enumerate(problem.conditions):
        if isinstance(condition.on, Period):
            _check_period(problem, number, like)
    for (i, one), (j, other) in combinations(enumerate(problem.conditions), 2):
        on = _common_place(one.on, other.on)
        if on is None or one.mean or other.mean:
            continue
        names = tuple(dict.fromkeys((*one.derivatives, *other.derivatives)))
        asked = [_asked(problem, k, each, on, names, like) for k, each in ((i, one), (j, other))]
        if None in asked:
            continue
        (a, first), (b, second) = asked  # type: ignore[misc]
        sign = torch.sign((a * b).sum(0))
        if float((a - sign * b).abs().max()) > ALIKE:
            continue
        apart = (first - sign * second).abs()
        worst = int(apart.argmax())
        if float(apart[worst]) > APART * (1.0 + float(first[worst].abs())):
            raise InputError(
                f"problem {problem.name!r}: conditions {i + 1} and {j + 1} contradict each other on the "
                f"{on}: one asks for {float(first[worst]):.4g} where the other asks for "
                f"{float(sign[worst] * second[worst]):.4g}; leave one of them out"
            )


def _common_place(one: Place, other: Place) -> Place | None:
    """Where both hold, if that is told by their names."""
    if isinstance(one, Faces) and isinstance(other, Faces) and one.letter == other.letter:
        ends = tuple(end for end in one.ends if end in other.ends)
        return Faces(one.letter, ends) if ends else None
    if isinstance(one, Piece) and isinstance(other, Piece):
        if BOUNDARY in (one.name, other.name):
            return one if other.name == BOUNDARY else other
        return one if one.name == other.name else None
    if isinstance(one, At) and isinstance(other, At):
        return one if np.array_equal(one.points, other.points) else None
    alike = isinstance(one, Inside | Period) and one == other
    return one if alike else None


def _asked(
    problem: Problem,
    number: int,
    condition: Condition,
    on: Place,
    names: Sequence[str],
    like: Tensor,
) -> tuple[Tensor, Tensor] | None:
    """Coefficients (D, n) of what a linear condition reads, of length one, and what it asks for, (n,).

    None for one that is not linear, reads nothing, or depends on an unknown constant.
    """
    there = replace(problem, conditions=(*problem.conditions[:number], replace(condition, on=on)))
    linear = _linear(there, number, names, like)
    if linear is None:
        return None
    slopes, value = linear
    size = slopes.norm(dim=0)
    if not bool((size > 0.0).all()):
        return None
    return slopes / size, 0.0 - value / size


def _linear(
    problem: Problem, number: int, names: Sequence[str], like: Tensor
) -> tuple[Tensor, Tensor] | None:
    """Coefficients (D, n) of what a condition reads, and what it is where that is zero, (n,).

    None for one that is not linear, or depends on an unknown constant.
    """
    at = _Reader(problem, number, names, like)
    constants = at.constants.requires_grad_()
    zero, some = at.zero.requires_grad_(), at.some
    value, elsewhere = at(zero, constants), at(some, constants)
    if value is None or elsewhere is None or not value.requires_grad:
        return None
    slopes, by_constants = torch.autograd.grad(value.sum(), (zero, constants), allow_unused=True)
    if slopes is None or by_constants is not None:
        return None
    value, elsewhere = value.detach(), elsewhere.detach()
    bent = (elsewhere - value - (slopes * some).sum(0)).abs()
    return None if bool((bent > ALIKE * slopes.norm(dim=0)).any()) else (slopes, value)


def _check_period(problem: Problem, number: int, like: Tensor) -> None:
    """Raise InputError unless a condition over a period is linear: what it reads are differences."""
    at = _Reader(problem, number, problem.conditions[number].derivatives, like)
    values = [at(times * at.some, at.constants) for times in (0.0, 1.0, 2.0)]
    found = [value for value in values if value is not None]
    if len(found) < len(values):
        return
    zero, one, two = found
    if bool(((two - 2.0 * one + zero).abs() > ALIKE * (1.0 + two.abs())).any()):
        raise InputError(
            f"problem {problem.name!r}: condition {number + 1} ({problem.conditions[number].on}) is not "
            "linear in what it reads, which are differences between both ends; write one condition for each "
            "that vanishes"
        )


class _Reader:
    """A condition as a function of what it reads, (D, n), at some points, and of the unknowns, (K, n)."""

    def __init__(self, problem: Problem, number: int, names: Sequence[str], like: Tensor) -> None:
        term = conditions_term(problem, number, POINTS, 0, like)
        self.points = term.points[: len(term)]
        self.names = (*names, *(unknown.name for unknown in problem.unknowns))
        of_each = self.points.x.new_ones((1, len(self.points)))
        self.zero = (0.0 * of_each).repeat(len(names), 1)
        self.some = (1.0 + 0.37 * torch.arange(len(names)).to(of_each))[:, None] * of_each
        self.constants = of_each.repeat(len(problem.unknowns), 1)

    def __call__(self, values: Tensor, constants: Tensor) -> Tensor | None:
        """What it leaves, (n,); None of one that has several parts, or reads nothing."""
        named = dict(zip(self.names, (*values, *constants), strict=True))
        points = self.points
        given = {**named, **points.given}
        found = points.equations.at(points.x.unbind(1), given, TORCH_MATH)
        return found[0] if len(found) == 1 and isinstance(found[0], Tensor) else None
