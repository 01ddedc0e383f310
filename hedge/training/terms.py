"""The terms of the loss: the residual, the conditions that the form does not meet, and what was measured."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from hedge.arrays import Array
from hedge.errors import InputError
from hedge.problems import At, Faces, Inside, Measurements, Period, Piece, Problem
from hedge.problems.conditions import Condition
from hedge.training.points import TORCH_MATH, Points, place

Reading = Literal["each", "between", "mean"]

# Of the points of the residual's term, those of each face or piece that a condition is on, and at least.
SHARE_OF_CONDITION, LEAST_OF_CONDITION = 8, 64
# What measurements give their equations beside derivatives: by no name that an unknown can have.
MEASURED, DEVIATION = "what was measured", "its deviation"
# Points of a mean over a place, for each of those.
TIMES_OF_MEAN = 2
# Of means over some of the inputs: how many there are, at other values of the rest each time, and the points
# of each. These stay: means over new ones would be off by noise, whose squares pull towards constants.
MEANS, POINTS_OF_MEAN, SEED_OF_MEAN = 16, 512, 0


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
        f"condition {number + 1} ({condition.on})", condition.derivatives, condition.mismatch
    )
    if isinstance(condition.mean, str):
        x, normals = _points_of_means(problem, condition, condition.mean, seed)
    else:
        drawn = count * TIMES_OF_MEAN if condition.mean else count
        x, normals = _points_on(problem, condition, drawn, seed)
    given = {
        f"normal_{letter}": torch.from_numpy(column.copy()).to(like)
        for letter, column in zip(problem.inputs, normals.T, strict=False)
    }
    points = place(problem, torch.from_numpy(x).to(like), equations, given)
    if condition.mean:
        return Term(points, "mean", means=MEANS if isinstance(condition.mean, str) else 1)
    return Term(points, "between" if isinstance(condition.on, Period) else "each")


def _points_on(
    problem: Problem, condition: Condition, count: int, seed: int
) -> tuple[Array, Array]:
    """Points (n, d) of a condition's place, and normals (n, k) where it has them, else (n, 0)."""
    on, domain = condition.on, problem.domain
    if isinstance(on, At):
        return on.points, np.zeros((len(on.points), 0))
    if isinstance(on, Inside):
        return _without_normals(domain.spread(count, seed))
    if isinstance(on, Piece):
        return domain.sample_piece(on.name, count, seed)
    i = problem.inputs.index(on.letter)
    faces = []
    for end in (0, 1) if isinstance(on, Period) else on.ends:
        # An end of an only input is a point.
        x = domain.spread(count if domain.dimension > 1 else 1, seed)
        x[:, i] = domain.intervals[i][end]
        faces.append(x)
    return _without_normals(np.concatenate(faces))


def _points_of_means(
    problem: Problem, condition: Condition, letters: str, seed: int
) -> tuple[Array, Array]:
    """The same points of the inputs with these letters, at each of some values of the others, and normals."""
    x, normals = _points_on(problem, condition, POINTS_OF_MEAN, SEED_OF_MEAN)
    fixed = condition.on.letter if isinstance(condition.on, Faces) else ""
    others = [i for i, letter in enumerate(problem.inputs) if letter not in letters + fixed]
    values = problem.domain.spread(MEANS, seed)[:, others]
    x = np.repeat(x, MEANS, axis=0)
    x[:, others] = np.tile(values, (len(x) // MEANS, 1))
    return x, np.repeat(normals, MEANS, axis=0)


def _without_normals(x: Array) -> tuple[Array, Array]:
    return x, np.zeros((len(x), 0))


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
            differentiable,
            list(named.values()),
            [torch.ones_like(r) for r in differentiable],
            allow_unused=True,
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
