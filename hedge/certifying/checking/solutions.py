"""Whether what a certificate says of a file as a problem's solution is true: 4. to 8. of verdict.py."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TypeVar

import numpy as np
from onnx import ModelProto

from hedge.arrays import Array
from hedge.certifying.certificate import Certificate, Face, ResidualBoxes, Solution
from hedge.certifying.checking.boxes import Stated, check_boxes
from hedge.certifying.checking.frame import check_frame, check_tables, orders, shares_of
from hedge.certifying.checking.graphs import graph_of
from hedge.certifying.checking.nodes import Graph
from hedge.certifying.checking.polynomials import UNIT
from hedge.certifying.checking.proving import Figures, Prover, Subject
from hedge.certifying.checking.residuals import Mismatch, Residual, Rounding
from hedge.certifying.checking.shapes import places_of
from hedge.certifying.checking.tiling import check_tiling
from hedge.certifying.distances import as_deployed, by_theorems
from hedge.errors import InputError, quoted
from hedge.problems import GALLERY, Problem
from hedge.problems.conditions import Condition, Period
from hedge.progress import Progress, silent

T = TypeVar("T")

# What is computed again may differ by a few roundings, as machines do; distances.py allows for 2^-40.
_SAME = 1.0 + 2.0**-42
_LOW = 2  # the order of polynomials at which rounding is tried first


def problem_of(certificate: Certificate, given: Problem | None) -> Problem:
    """The one that all its solutions are of, from the gallery if it is not given.

    Raises InputError if there is none, or more than one.
    """
    names = {solution.problem for solution in certificate.solutions}
    if len(names) != 1:
        raise InputError(
            "distances: there is no solution that they follow from"
            if not names
            else f"solutions: are of several problems, {', '.join(map(quoted, sorted(names)))}"
        )
    (name,) = names
    if given is not None and given.name != name:
        raise InputError(f"problem: is {quoted(name)}, not the given {given.name!r}")
    found = given or GALLERY.get(name)
    if found is None:
        raise InputError(
            f"problem: {quoted(name)} is not known; give the file that has it, --problem FILE.py:NAME, or in "
            "Python check_certificate(…, problem=…)"
        )
    found.check_certifiable()
    return found


def check_solution(
    solution: Solution, model: ModelProto, problem: Problem, on_progress: Progress = silent
) -> None:
    """Raise InputError, with what is wrong and where, unless it is true of this model."""
    try:
        _check(solution, graph_of(model, "the model"), problem, on_progress)
    except InputError as error:
        raise InputError(f"solution of {solution.file.name!r}: {error}") from error


def _check(solution: Solution, graph: Graph, problem: Problem, on_progress: Progress) -> None:
    if solution.problem != problem.name:
        raise InputError(f"problem: is {quoted(solution.problem)}, not {problem.name!r}")
    check_frame(solution, [graph], deployed=graph)
    _check_domain(solution, problem)
    faces = _faces(solution, problem)
    _check_mismatch(solution, problem)
    residual = _residual_boxes(solution)
    _check_claims(solution, shares_of(residual.levels), residual)
    _check_distances(solution, problem)
    domain = np.array(solution.domain)
    if solution.rounding is not None:
        rounded = _rounding_boxes(solution.rounding, residual)
        _prove(solution, Rounding(graph, solution), rounded, on_progress)
    _prove(solution, Residual(graph, problem, domain), residual, on_progress)
    for subject, stated in faces:
        _prove(solution, Mismatch(graph, problem, *subject), stated, on_progress)


def _prove(solution: Solution, subject: Subject, stated: Stated, on_progress: Progress) -> None:
    tried = orders(solution)
    if isinstance(subject, Rounding):
        tried = [each for each in (_LOW,) if each < tried[-1]] + tried[-1:]
    check_boxes([Prover(subject, each) for each in tried], stated, on_progress)


# -------------------------------------------------------------------------------------- what is stated


def _check_domain(solution: Solution, problem: Problem) -> None:
    if len(solution.domain) != problem.dimension:
        raise InputError(
            f"domain: has {len(solution.domain)} variable(s), problem {problem.name!r} "
            f"{problem.dimension} input(s)"
        )
    shape = problem.domain.shape
    is_same = shape is not None and solution.where.shape == shape
    of_shape = problem.inputs[: shape.dimension] if shape is not None else ""
    for letter, mine, theirs in zip(
        problem.inputs, solution.domain, problem.domain.intervals, strict=True
    ):
        if is_same and letter in of_shape:
            continue  # both are the box around the shape
        if not (theirs[0] <= mine[0] and mine[1] <= theirs[1]):
            raise InputError(f"domain: reaches beyond that of problem {problem.name!r} in {letter}")
    if shape is not None and not is_same:
        k = shape.dimension
        one = np.zeros((1, k), dtype=np.int64)
        if not places_of(shape, np.array(solution.domain)[:k], one, one).inside.all():
            raise InputError(f"domain: is not surely within {shape}, that of {problem.name!r}")


def is_whole(solution: Solution, problem: Problem) -> bool:
    """Whether it is over the problem's own domain, a box, of which its theorems are."""
    return problem.domain.shape is None and solution.where == problem.domain


def _stated(
    what: str,
    solution: Solution,
    tables: Face | ResidualBoxes,
    figures: Sequence[Sequence[object]],
) -> Stated:
    """A table's boxes, which must tile the domain, with these three tables of figures."""
    levels, places = (np.array(t, dtype=np.int64) for t in (tables.levels, tables.places))
    columns = [np.array(table, dtype=np.float64) for table in figures]
    found = Figures(
        *(c.reshape(len(levels), -1) if c.size else _none(len(levels)) for c in columns)
    )
    try:
        check_tiling(levels, places)
        check_tables(found)
    except InputError as error:
        raise InputError(f"{what}: {error}") from error
    where = places_of(solution.where.shape, np.array(solution.domain), levels, places)
    return Stated(what, levels, places, found, where.outside)


def _none(boxes: int) -> Array:
    return np.zeros((boxes, 0))


def _residual_boxes(solution: Solution) -> Stated:
    """Of r and u."""
    tables = solution.boxes
    largest = [[each, solution.value] for each in tables.largest]
    return _stated("residual", solution, tables, (largest, tables.square, ()))


def _rounding_boxes(rounding: float, residual: Stated) -> Stated:
    boxes = len(residual.levels)
    largest = np.full((boxes, 1), rounding)
    figures = Figures(largest, _none(boxes), _none(boxes))
    return replace(residual, what="rounding", figures=figures)


_Needed = tuple[Condition, tuple[float, ...]]


def _faces(solution: Solution, problem: Problem) -> list[tuple[_Needed, Stated]]:
    """Those of all conditions, each once. Raises InputError for one too few or too many."""
    needed = _needed(problem) if is_whole(solution, problem) else {}
    found: dict[tuple[int, int | None], tuple[_Needed, Stated]] = {}
    for face in solution.faces:
        key = (face.condition, face.end)
        if key not in needed or key in found:
            raise InputError(f"faces: one of {_name(problem, *key)} is of no use, or there twice")
        stated = _stated(_name(problem, *key), solution, face, (face.largest, (), ()))
        most = float(stated.figures.largest.max())
        mismatch = solution.mismatch[face.condition :][:1]
        if not (mismatch and mismatch[0] >= most):
            raise InputError(f"mismatch: {_name(problem, *key)} is missed by up to {most:g}")
        found[key] = needed[key], stated
    missing = [key for key in needed if key not in found]
    if missing:
        raise InputError(f"faces: that of {_name(problem, *missing[0])} is missing")
    return list(found.values())


def _needed(problem: Problem) -> dict[tuple[int, int | None], _Needed]:
    """Of each face its condition, and the ends at which that is looked at."""
    found: dict[tuple[int, int | None], _Needed] = {}
    for number, condition in enumerate(problem.conditions):
        interval = problem.domain.intervals[problem.inputs.index(condition.face.letter)]
        if isinstance(condition.face, Period):
            found[number, None] = condition, interval
        else:
            found.update(
                {(number, end): (condition, (interval[end],)) for end in condition.face.ends}
            )
    return found


def _name(problem: Problem, number: int, end: int | None) -> str:
    if number >= len(problem.conditions):
        return f"condition {number + 1}"
    letter = problem.conditions[number].face.letter
    side = "from end to end" if end is None else f"at the {('lower', 'upper')[end]} end"
    return f"condition {number + 1} {side} of {letter}"


def _check_mismatch(solution: Solution, problem: Problem) -> None:
    """One of each condition, each at least 0; none where faces are not the problem's."""
    count = len(problem.conditions) if is_whole(solution, problem) else 0
    if len(solution.mismatch) != count:
        raise InputError(f"mismatch: has {len(solution.mismatch)} numbers, conditions are {count}")
    if not all(0.0 <= each < math.inf for each in solution.mismatch):
        raise InputError("mismatch: a bound is negative or not finite")


# ------------------------------------------------------------------------------------ what follows of it


def _check_claims(solution: Solution, shares: Array, residual: Stated) -> None:
    """From the boxes to the domain; each of the few roundings is one unit, sums are rounded once.

    A shape is at least as large as the boxes that lie in it.
    """
    claim, stated = solution.residual, residual.figures
    largest, square = stated.largest[:, 0], stated.square[:, 0]
    few = 1.0 + 16.0 * UNIT
    means = np.minimum(np.sqrt(square), largest)
    where = places_of(
        solution.where.shape, np.array(solution.domain), residual.levels, residual.places
    )
    size = math.fsum(shares[where.inside])
    if size == 0.0:
        raise InputError("boxes: none lies in the shape, so that no mean follows")
    found = {
        "largest": float(largest.max()),
        "rms": math.sqrt(math.fsum(shares * square) / size) * few,
        "mean": math.fsum(shares * means) / size * few,
    }
    for name, least in found.items():
        if not getattr(claim, name) >= least:
            raise InputError(
                f"residual: {name} is {getattr(claim, name):.17g}, its boxes give {least:.17g}"
            )
    if not (claim.largest_seen <= claim.largest and claim.rms_seen <= claim.rms):
        raise InputError("residual: more is seen than is claimed")
    rounding = 0.0 if solution.rounding is None else solution.rounding
    if not 0.0 <= solution.value < math.inf or not 0.0 <= rounding < math.inf:
        raise InputError("value, rounding: one is negative or not finite")


def _check_distances(solution: Solution, problem: Problem) -> None:
    """By each theorem, of what the boxes, the mismatch and the value are stated to be."""
    if not solution.distances:
        return
    if not is_whole(solution, problem):
        raise InputError(f"distances: are claimed of a part of the domain of {problem.name!r} only")
    if len(solution.distances) != len(problem.stability):
        raise InputError(
            f"distances: are {len(solution.distances)}, problem {problem.name!r} has "
            f"{len(problem.stability)} theorem(s)"
        )
    found = _computed(lambda: by_theorems(problem, solution))
    for theorem, claimed, least in zip(problem.stability, solution.distances, found, strict=True):
        if not claimed * _SAME >= least:
            raise InputError(
                f"distances: by {theorem.theorem!r} it is {claimed:.17g}, what is stated gives {least:.17g}"
            )


def _computed(what: Callable[[], T]) -> T:
    """Of numbers that anyone may have written. Raises InputError where these are too large."""
    try:
        with np.errstate(all="ignore"):
            return what()
    except (ArithmeticError, ValueError) as error:
        raise InputError("distances: what they follow from is too large to compute with") from error


def check_distances(certificate: Certificate, problem: Problem) -> None:
    """Of the model as deployed: Raise InputError for one that does not follow from the rest."""
    theorems = {(each.kind, each.over, each.theorem) for each in problem.stability}
    difference = certificate.difference
    own = certificate.solution_of(certificate.model.sha256)
    dense = None if difference is None else certificate.solution_of(difference.dense.sha256)
    ways = _computed(
        lambda: [
            *as_deployed(problem, own),
            *as_deployed(problem, None, dense, difference),
        ]
    )
    found = {(way.kind, way.over, way.theorem, way.by): way for way in ways}
    for claimed in certificate.distances:
        key = (claimed.kind, claimed.over, claimed.theorem)
        if key not in theorems:
            raise InputError(
                f"distances: {quoted(claimed.theorem)} is no theorem of {problem.name!r}, or there twice"
            )
        theorems.remove(key)
        way = found.get((*key, claimed.by))
        if way is None:
            raise InputError(
                f"distances: {quoted(claimed.theorem)} by {claimed.by!r} follows from nothing"
            )
        for name in ("bound", "further"):
            mine, theirs = getattr(way, name), getattr(claimed, name)
            if theirs is None:
                continue  # nothing is claimed
            mine = math.inf if mine is None else mine
            if not theirs * _SAME >= mine:
                raise InputError(
                    f"distances: {name} by {quoted(claimed.theorem)} is {theirs:.17g}, the rest gives "
                    f"{mine:.17g}"
                )
