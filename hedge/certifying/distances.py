"""From what is proved of two files to how far the small one, as deployed, is from the solution."""

from __future__ import annotations

import math
from typing import TypeGuard

import numpy as np

from hedge.certifying.certificate import By, Difference, Distance, Solution
from hedge.certifying.norms import BoxNorms
from hedge.errors import InputError
from hedge.problems import Domain, Problem
from hedge.problems.stability import Evidence, Stability

# More than what the few operations here can lose.
_UP = 1.0 + 2.0**-40


def by_theorems(problem: Problem, solution: Solution) -> list[float]:
    """‖u − u*‖ by each of the problem's theorems, of what is proved over the problem's domain.

    Raises InputError for a bound that is none.
    """
    table = solution.boxes
    norms = BoxNorms(
        problem.domain,
        problem.inputs,
        np.array(table.levels),
        np.array(table.places),
        np.array(table.largest),
        np.array(table.square),
    )
    evidence = Evidence(norms, solution.mismatch, solution.value)
    return [_bound(problem, theorem, evidence) for theorem in problem.stability]


def _bound(problem: Problem, theorem: Stability, evidence: Evidence) -> float:
    found = float(theorem.bound(evidence)) * _UP
    if not 0.0 <= found < math.inf:
        raise InputError(
            f"problem {problem.name!r}: by theorem {theorem.theorem!r} ‖e‖ ≤ {found:g}"
        )
    return found


def as_deployed(
    problem: Problem,
    own: Solution | None,
    dense: Solution | None = None,
    difference: Difference | None = None,
) -> list[Distance]:
    """By each theorem the smaller one of both ways: ‖û − u‖ + ‖u − u*‖ and ‖û − u_dense‖ + ‖u_dense − u*‖."""
    found = []
    for number, theorem in enumerate(problem.stability):
        ways = []
        if own is not None and own.distances:
            one = _of_one(theorem, problem)
            rounding = None if own.rounding is None else own.rounding * one * _UP
            ways.append(_distance(theorem, "residual", own.distances[number], rounding))
        if dense is not None and dense.distances and _is_whole(difference, problem):
            apart = _norms_of(difference, problem).of(theorem.kind, theorem.over)
            ways.append(_distance(theorem, "dense", dense.distances[number], apart))
        found += [min(ways, key=_size)] if ways else []
    return found


def is_of_theorems(domain: Domain, problem: Problem) -> bool:
    """Whether the problem's theorems are about it: its own domain, if that is a box."""
    return domain.shape is None and domain == problem.domain


def _is_whole(difference: Difference | None, problem: Problem) -> TypeGuard[Difference]:
    return difference is not None and is_of_theorems(difference.where, problem)


def _size(distance: Distance) -> float:
    return math.inf if distance.bound is None else distance.bound


def _distance(theorem: Stability, by: By, exact: float, further: float | None) -> Distance:
    return Distance(
        kind=theorem.kind,
        over=theorem.over,
        theorem=theorem.theorem,
        by=by,
        bound=None if further is None else (exact + further) * _UP,
        further=further,
    )


def _of_one(theorem: Stability, problem: Problem) -> float:
    """The norm of a function that is 1 everywhere."""
    over = [problem.inputs.index(letter) for letter in theorem.over]
    volume = float(np.prod((problem.domain.upper - problem.domain.lower)[over]))
    return {"max": 1.0, "L1": volume, "L2": float(np.sqrt(volume))}[theorem.kind]


def _norms_of(difference: Difference, problem: Problem) -> BoxNorms:
    table = difference.boxes
    return BoxNorms(
        Domain(tuple(difference.domain)),
        problem.inputs,
        np.array(table.levels),
        np.array(table.places),
        np.array(table.largest)[:, 0],
        np.array(table.square)[:, 0],
    )
