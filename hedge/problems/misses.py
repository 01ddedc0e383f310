"""What any function misses a problem's conditions and measurements by."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from hedge.arrays import Array
from hedge.problems.domain import Domain
from hedge.problems.places import Placed, points_of
from hedge.problems.quotients import derivative

if TYPE_CHECKING:
    from hedge.problems.problem import Problem

POINTS = 1000  # of a condition, on each face


@dataclass(frozen=True)
class Misfit:
    """How far a function is from ``count`` measurements called ``name``.

    rms is the root mean square of the misfits, in their standard deviations where these are ``known``, else
    in the rms of the values.
    """

    name: str
    rms: float
    count: int
    known: bool

    @property
    def is_large(self) -> bool:
        """Whether errors of the stated deviations would give as much by chance less than once in 10^8 times.

        The mean of n squares of standard normal numbers has the variance 2 / n.
        """
        return self.known and self.rms**2 > 1.0 + 6.0 * math.sqrt(2.0 / self.count)

    def __str__(self) -> str:
        of = "of the stated deviations" if self.known else "of the values' size"
        return f"{self.count} measurements of {self.name}: rms misfit {self.rms:.3g} {of}"


def missed_conditions(
    problem: Problem, solution: Callable[[Array], Array], seed: int
) -> dict[str, float]:
    """Root mean square of what (n, d) -> (n, m) leaves of each condition at random points, by its title.

    Derivatives are central differences, which look a little beyond the domain; where the function has
    no finite values there, nan is told.
    """
    found = {}
    for number, condition in enumerate(problem.conditions):
        placed = points_of(problem, condition, POINTS, seed, Domain.sample)
        named = _named(problem, solution, placed.x, condition.derivatives)
        x = placed.x
        if placed.reading == "between":
            half = len(x) // 2
            x = x[:half]
            named = {name: values[half:] - values[:half] for name, values in named.items()}
        named |= {
            f"normal_{letter}": column
            for letter, column in zip(problem.inputs, placed.normals.T, strict=False)
        }
        title = condition.title(number)
        equations = problem.equations_of(title, condition.derivatives, condition.mismatch)
        with np.errstate(over="ignore", invalid="ignore"):
            rows = equations.at(list(x.T), named, np)
            found[title] = _rms(np.stack([_read(np.asarray(r), placed) for r in rows]))
    return found


def misfits(problem: Problem, solution: Callable[[Array], Array]) -> tuple[Misfit, ...]:
    """How far (n, d) -> (n, m) is from each of the measurements."""
    found = []
    for data in problem.data:
        named = _named(problem, solution, data.points, data.reads)
        known = {unknown.name: unknown.value for unknown in problem.unknowns}
        expected = data.expected(list(data.points.T), {**known, **named}, np)
        rms = _rms((np.asarray(expected) - data.values) / data.scale)
        found.append(Misfit(data.name, rms, len(data.values), data.state_errors))
    return tuple(found)


def _named(
    problem: Problem, solution: Callable[[Array], Array], x: Array, names: tuple[str, ...]
) -> dict[str, Array]:
    widths = problem.domain.upper - problem.domain.lower
    with np.errstate(over="ignore", invalid="ignore"):
        return {
            name: derivative(solution, x, problem.axes(name), widths)[:, problem.field(name)]
            for name in names
        }


def _read(values: Array, placed: Placed) -> Array:
    if placed.reading != "mean":
        return values
    return np.asarray(values.reshape(-1, placed.means).mean(axis=0))


def _rms(values: Array) -> float:
    return float(np.sqrt(np.mean(values**2)))
