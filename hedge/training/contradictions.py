"""Conditions that can't hold together: that ask for different values of the same thing at the same place."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import combinations

import torch
from torch import Tensor

from hedge.errors import InputError
from hedge.geometry import BOUNDARY
from hedge.problems import Condition, Faces, Inside, Period, Piece, Problem
from hedge.problems.conditions import Place
from hedge.training.points import TORCH_MATH
from hedge.training.terms import conditions_term

# Points that are looked at, how alike two conditions' coefficients must be to ask for the same thing, and by
# how much what they ask for must differ.
POINTS, ALIKE, APART = 64, 1e-9, 1e-6


def check_consistent(problem: Problem, like: Tensor) -> None:
    """Raise InputError, naming both and what they ask for, if two conditions contradict each other.

    Only those that are linear in what they read are compared, where their coefficients are alike.
    """
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

    None for one that is not linear, or reads nothing.
    """
    there = replace(problem, conditions=(*problem.conditions[:number], replace(condition, on=on)))
    term = conditions_term(there, number, POINTS, 0, like)
    count = len(term)
    points = term.points[:count]
    columns = points.x.unbind(1)

    def at(values: Tensor) -> Tensor:
        named = dict(zip(names, values, strict=True))
        unknown = {
            u.name: points.x.new_full((count,), (u.lower + u.upper) / 2.0) for u in problem.unknowns
        }
        (found,) = points.equations.at(columns, {**unknown, **named, **points.given}, TORCH_MATH)
        return found if isinstance(found, Tensor) else points.x.new_full((count,), float(found))

    zero = points.x.new_zeros((len(names), count)).requires_grad_()
    value = at(zero)
    if not value.requires_grad:
        return None
    (slopes,) = torch.autograd.grad(value.sum(), zero)
    ones = torch.ones_like(slopes)
    size = slopes.norm(dim=0)
    value = value.detach()
    bent = (at(ones).detach() - value - slopes.sum(0)).abs()
    if not bool((size > 0.0).all()) or float((bent / size).max()) > ALIKE:
        return None
    return slopes / size, 0.0 - value / size
