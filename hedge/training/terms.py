"""The terms of the loss: the residual, the conditions that the form does not meet, and what was measured."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from hedge.errors import InputError
from hedge.problems import Measurements, Problem
from hedge.problems.places import Reading, points_of
from hedge.training.points import TORCH_MATH, Points, place

# Of the points of the residual's term, those of each face or piece that a condition is on, and at least.
SHARE_OF_CONDITION, LEAST_OF_CONDITION = 8, 64
# What measurements give their equations beside derivatives: by no name that an unknown can have.
MEASURED, DEVIATION = "what was measured", "its deviation"


@dataclass(frozen=True)
class Term:
    """balance · mean(w r²) over the rows r of equations at some points.

    reading   what a row reads: each point; the differences between a point of the second half and that of the
              first; or means: of ``means`` of them row k over the points k, k + means, k + 2 means, …
    balance   what the term counts beside others
    weights   w (n,) of the points, where each is a row; one if not given
    """

    points: Points
    reading: Reading = "each"
    balance: float = 1.0
    weights: Tensor | None = None
    means: int = 1

    def __len__(self) -> int:
        """Rows of an equation."""
        return {"each": len(self.points), "between": len(self.points) // 2, "mean": self.means}[
            self.reading
        ]

    def __getitem__(self, rows: slice) -> Term:
        """Some of the rows, of those that read each point."""
        weights = None if self.weights is None else self.weights[rows]
        return Term(self.points[rows], self.reading, self.balance, weights)


def conditions_term(problem: Problem, number: int, count: int, seed: int, like: Tensor) -> Term:
    """That of the condition with this number, from 0, with about ``count`` points on each face of it."""
    condition = problem.conditions[number]
    equations = problem.equations_of(
        condition.title(number), condition.derivatives, condition.mismatch
    )
    placed = points_of(problem, condition, count, seed)
    given = {
        f"normal_{letter}": torch.from_numpy(column.copy()).to(like)
        for letter, column in zip(problem.inputs, placed.normals.T, strict=False)
    }
    points = place(problem, torch.from_numpy(placed.x).to(like), equations, given)
    return Term(points, placed.reading, means=placed.means)


def measured_term(problem: Problem, data: Measurements, like: Tensor) -> Term:
    """That of measurements: misfits in standard deviations or, without them, in the values' size."""
    equations = problem.equations_of(
        data.name,
        data.reads,
        lambda x, d, math: (data.expected(x, d, math) - d[MEASURED]) / d[DEVIATION],
    )
    given = {MEASURED: data.values, DEVIATION: data.scale}
    x = torch.from_numpy(data.points.copy()).to(like)
    on_device = {name: torch.from_numpy(values.copy()).to(like) for name, values in given.items()}
    return Term(place(problem, x, equations, on_device))


def points_of_condition(points: int) -> int:
    """How many points a condition takes on each face, beside so many of the residual."""
    return max(points // SHARE_OF_CONDITION, LEAST_OF_CONDITION)


def check_terms(problem: Problem, terms: Sequence[Term]) -> None:
    """Raise InputError for a field or an unknown that no term depends on: nothing would train it."""
    used: set[str] = set()
    for term in terms:
        points = term.points[:1]
        equations, like = points.equations, points.x[:, 0]
        names = (*equations.derivatives, *(unknown.name for unknown in problem.unknowns))
        named = {name: torch.ones_like(like).requires_grad_() for name in names}
        found = equations.at(points.x.unbind(1), {**named, **points.given}, TORCH_MATH)
        differentiable = [r for r in found if isinstance(r, Tensor) and r.requires_grad]
        if not differentiable:
            return  # which is refused as soon as it is differentiated
        slopes = torch.autograd.grad(
            torch.cat(differentiable).sum(), list(named.values()), allow_unused=True
        )
        used |= {name for name, slope in zip(names, slopes, strict=True) if slope is not None}
    _check_used(problem, used)


def _check_used(problem: Problem, used: set[str]) -> None:
    fields = {
        problem.fields[problem.field(name)] for name in used - {u.name for u in problem.unknowns}
    }
    beside = " nor any condition or measurement" if problem.conditions or problem.data else ""
    unused = [name for name in problem.fields if name not in fields]
    if unused:
        raise InputError(
            f"problem {problem.name!r}: its residual does not depend on {', '.join(unused)}{beside}, so "
            "nothing would train it; add what it has to solve, or leave the field out"
        )
    idle = [unknown.name for unknown in problem.unknowns if unknown.name not in used]
    if idle:
        raise InputError(
            f"problem {problem.name!r}: nothing depends on its unknown {', '.join(idle)}; use it in the "
            "residual or a condition, or leave it out"
        )
