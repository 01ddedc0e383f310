"""Points at the places of conditions, and how what is read there makes rows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from hedge.arrays import Array
from hedge.problems.conditions import At, Condition, Faces, Inside, Period, Piece
from hedge.problems.domain import Domain

if TYPE_CHECKING:
    from hedge.problems.problem import Problem

Draw = Callable[[Domain, int, int], Array]
"""(domain, count, seed) -> points (count, d)."""

Reading = Literal["each", "between", "mean"]
"""What a row reads: each point; the difference between a point of the second half and that of the first; or
the mean of ``means`` of them, row k over the points k, k + means, k + 2 means, …"""

# Points of a mean over a place, for each of those asked for.
TIMES_OF_MEAN = 2
# Of means over some of the inputs: how many there are, at other values of the rest each time, and the points
# of each. These stay: means over new ones would be off by noise, whose squares pull towards constants.
MEANS, POINTS_OF_MEAN, SEED_OF_MEAN = 16, 512, 0


@dataclass(frozen=True, eq=False)
class Placed:
    """Points x (n, d) and outward unit normals (n, k), by the inputs' letters, k = 0 where there are none."""

    x: Array
    normals: Array
    reading: Reading = "each"
    means: int = 1


def points_of(
    problem: Problem, condition: Condition, count: int, seed: int, draw: Draw = Domain.spread
) -> Placed:
    """About ``count`` points on each face of a condition's place, drawn by the seed.

    ``draw`` is how, where no mean is taken over them: that is as exact as points are spread evenly.
    """
    if isinstance(condition.mean, str):
        return _of_means(problem, condition, condition.mean, seed)
    if condition.mean:
        x, normals = _points_on(problem, condition, count * TIMES_OF_MEAN, seed, Domain.spread)
        return Placed(x, normals, "mean")
    x, normals = _points_on(problem, condition, count, seed, draw)
    return Placed(x, normals, "between" if isinstance(condition.on, Period) else "each")


def _points_on(
    problem: Problem, condition: Condition, count: int, seed: int, draw: Draw
) -> tuple[Array, Array]:
    on, domain = condition.on, problem.domain
    if isinstance(on, At):
        return _without_normals(on.points)
    if isinstance(on, Inside):
        return _without_normals(draw(domain, count, seed))
    if isinstance(on, Piece):
        return domain.sample_piece(on.name, count, seed)
    i = problem.inputs.index(on.letter)
    faces = []
    for end in (0, 1) if isinstance(on, Period) else on.ends:
        # An end of an only input is a point.
        x = draw(domain, count if domain.dimension > 1 else 1, seed)
        x[:, i] = domain.intervals[i][end]
        faces.append(x)
    return _without_normals(np.concatenate(faces))


def _of_means(problem: Problem, condition: Condition, letters: str, seed: int) -> Placed:
    """The same points of the inputs with these letters, at each of some values of the others."""
    x, normals = _points_on(problem, condition, POINTS_OF_MEAN, SEED_OF_MEAN, Domain.spread)
    fixed = condition.on.letter if isinstance(condition.on, Faces) else ""
    others = [i for i, letter in enumerate(problem.inputs) if letter not in letters + fixed]
    values = problem.domain.spread(MEANS, seed)[:, others]
    x = np.repeat(x, MEANS, axis=0)
    x[:, others] = np.tile(values, (len(x) // MEANS, 1))
    return Placed(x, np.repeat(normals, MEANS, axis=0), "mean", MEANS)


def _without_normals(x: Array) -> tuple[Array, Array]:
    return x, np.zeros((len(x), 0))
