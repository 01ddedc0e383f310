"""Theorems of stability against known errors: never exceeded, and nearly reached where they are sharp."""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from hedge.problems import GALLERY, Problem, find_problem
from hedge.problems.allen_cahn import evaluate, expansion
from hedge.problems.conditions import Period, vanishes
from hedge.problems.helmholtz import GREEN as HELMHOLTZ_GREEN
from hedge.problems.helmholtz import TORSION as HELMHOLTZ_TORSION
from hedge.problems.poisson import GREEN as POISSON_GREEN
from hedge.problems.poisson import TORSION as POISSON_TORSION
from tests.problems.extremal import (
    ODD,
    PI,
    Columns,
    about_the_middle,
    ahead,
    green,
    grown,
    heat_green,
    heated,
    kernel_backwards,
    layer,
    moved_at_its_ends,
    moving,
    resonance,
    sign,
    struck,
    torsion,
)
from tests.problems.quadrature import Disturbed, Grid, axis

Shape = Callable[[Columns], np.ndarray]
PROVED = [name for name, problem in GALLERY.items() if problem.stability]
DOCS = Path(__file__).parents[2] / "docs"
# Quadrature of |r| is not exact where r changes sign, nor is that of max|r(t)|.
SLACK = 1.01

EVEN = ((0.0, 0.25, 0.5, 0.75, 1.0), 12)  # parts of the interval, nodes in each
COARSE = ((0.0, 1.0), 3)
TO_FRONT = (0.0, 0.25, 0.4, 0.47, 0.49, 0.5, 0.51, 0.53, 0.6, 0.75, 1.0)
AXES = {
    "burgers": ((TO_FRONT, 14), EVEN),
    "burgers-wide": ((TO_FRONT, 10), EVEN),
    "burgers-half": (((0.0, 0.03, 0.1, 0.3, 1.0), 14), EVEN),
    "burgers-nu": ((TO_FRONT, 10), ((0.0, 0.3, 0.6, 1.0), 8), COARSE),
    "heat-family": (EVEN, ((0.0, 0.1, 1.0), 12), COARSE, COARSE, COARSE),
    "poisson-5d": (((0.0, 0.5, 1.0), 8), ((0.0, 1.0), 9), *[((0.0, 1.0), 6)] * 3),
    "poisson-10d": (COARSE,) * 10,
    "pendulum": (((0.0, 1.0), 12), ((0.0, 0.5, 1.0), 8), COARSE, COARSE),
    "allen-cahn": (((0.0, 0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99, 1.0), 10), EVEN),
}


def solve_for_the_last(problem: Problem, named: dict[str, np.ndarray], columns: Columns) -> None:
    """Sets the last derivative, in which every residual is linear, so that the equation holds."""
    name = problem.derivatives[-1]
    without = problem.residual(columns, named | {name: 0.0 * columns[0]}, np)
    slope = problem.residual(columns, named | {name: 0.0 * columns[0] + 1.0}, np) - without
    named[name] = -without / slope


@functools.cache
def undisturbed(name: str) -> Disturbed:
    """The reference solution on a grid."""
    problem = find_problem(name)
    parts = AXES.get(name, (EVEN,) * problem.dimension)
    grid = Grid(
        problem,
        tuple(
            axis(a + (b - a) * np.array(breaks), count)
            for (a, b), (breaks, count) in zip(problem.domain.intervals, parts, strict=True)
        ),
    )
    columns = grid.columns
    points = np.column_stack([c.ravel() for c in columns])
    if name == "allen-cahn":  # to six digits: the full one takes seconds
        u = evaluate(expansion(modes=512, nodes=24, steps=256), points)
    else:
        u = problem.reference(points)
    needed = {d for c in problem.conditions for d in c.derivatives} | set(problem.derivatives)
    named = {d: grid.derivative(u.reshape(columns[0].shape), d) for d in needed}
    for d in needed - set(problem.derivatives):
        named[d] *= 0.0  # conditions say of these that they are 0, or don't jump
    solve_for_the_last(problem, named, columns)
    return Disturbed(grid, named, 0.0 * columns[0])


def disturbed(name: str, error: np.ndarray) -> Disturbed:
    return replace(undisturbed(name), error=error)


def waves(z: Columns) -> np.ndarray:
    return math.prod((np.cos((2.0 - i / 5.0) * x + i) for i, x in enumerate(z)), start=1.0)


def bump(z: Columns, *centre: float) -> np.ndarray:
    return np.exp(-sum(((x - c) / 0.25) ** 2 for x, c in zip(z, centre, strict=False)))


# Of numbers in [−1, 1].
SHAPES: dict[str, Shape] = {
    "constant": lambda z: 1.0 + 0.0 * z[0],
    "linear": lambda z: z[0] - 0.3 * z[1],
    "waves": waves,
    "fast": lambda z: np.sin(17.0 * z[0]) * np.cos(13.0 * z[1] + 1.0),
    "bump": lambda z: bump(z, 0.2, 0.5),
    "corner": lambda z: bump(z, -1.0, -1.0),
    "end": lambda z: bump(z, 0.9, 1.0),
    "early": lambda z: np.exp(-6.0 * (z[1] + 1.0)) * np.cos(z[0]),
    "growing": lambda z: np.exp(3.0 * (z[1] - 1.0)) * (1.0 + 0.5 * np.sin(5.0 * z[0])),
}


def scaled(name: str, columns: Columns) -> Columns:
    intervals = find_problem(name).domain.intervals
    return [(2.0 * x - a - b) / (b - a) for x, (a, b) in zip(columns, intervals, strict=True)]


def errors(name: str) -> dict[str, np.ndarray]:
    """Errors that meet every condition, errors that meet none, and both."""
    problem, columns = find_problem(name), undisturbed(name).grid.columns
    distance = problem.distance(columns, np)
    read, z = problem.network_inputs(columns, np), scaled(name, columns)
    found = {f"{key}, kept": distance * shape(read) for key, shape in SHAPES.items()}
    found |= {f"{key}, of another form": distance * shape(z) for key, shape in SHAPES.items()}
    found |= {f"{key}, missed": shape(z) for key, shape in SHAPES.items()}
    found |= {
        f"{key}, missed by little": distance * shape(read) + 1e-3 * waves(z)
        for key, shape in SHAPES.items()
    }
    return found


def used(case: Disturbed) -> dict[str, float]:
    """The error as a part of what each theorem says it is at most, by the kind of norm."""
    evidence = case.evidence()
    return {
        s.kind: case.grid.norm(case.error, s.kind, s.over) / s.bound(evidence)
        for s in case.grid.problem.stability
    }


@pytest.mark.parametrize("name", PROVED)
def test_no_error_is_beyond_what_a_theorem_says(name: str) -> None:
    """Small errors and, where the equation isn't linear, large ones."""
    linear = not name.startswith("burgers") and name not in ("allen-cahn", "pendulum")
    for key, error in errors(name).items():
        for size in (1.0,) if linear else (1e-2, 1.0, -1.0):
            parts = used(disturbed(name, size * error))
            assert max(parts.values()) <= SLACK, (key, size, parts)


# (problem, kind of norm, error, part of the bound at least): first of the residual, then of what is missed.
SHARP: list[tuple[str, str, Shape, float]] = [
    ("heat", "max", heat_green, 0.9),
    ("heat", "L2", lambda x: np.sin(PI * x[0]) * np.sin(2.02 * x[1]), 0.8),
    (
        "heat-family",
        "L2",
        lambda x: (0.2 - x[2]) ** 2 * np.sin(PI * x[0]) * np.sin(1.6 * x[1]),
        0.9,
    ),
    ("wave", "max", struck, 0.6),
    ("wave", "L2", resonance, 0.999),
    ("poisson", "max", lambda x: torsion(about_the_middle(x), 1e-3), 0.98),
    ("poisson", "max", lambda x: green(about_the_middle(x), 0.0), 0.99),
    ("poisson", "L2", lambda x: np.sin(PI * x[0]) * np.sin(PI * x[1]), 0.999),
    ("helmholtz", "max", torsion, 0.98),
    ("helmholtz", "max", green, 0.99),
    ("helmholtz", "L2", lambda x: np.cos(PI / 2.0 * x[0]) * np.cos(PI / 2.0 * x[1]), 0.999),
    ("poisson-5d", "max", lambda x: x[0] * (1.0 - x[0]), 0.999),
    ("poisson-5d", "L2", lambda x: np.sin(PI * x[0]), 0.999),
    ("poisson-10d", "max", lambda x: x[0] * (1.0 - x[0]), 0.999),
    ("burgers", "L1", lambda x: grown(x, 0.7), 0.9),
    ("burgers-nu", "L1", lambda x: grown(x, -0.7), 0.7),
    ("heat", "max", lambda x: 1.0 + 0.0 * x[0], 0.999),
    ("heat-family", "L2", lambda x: 1.0 + 0.0 * x[0], 0.999),
    ("wave", "max", lambda x: np.sin(PI * x[0]) * np.cos(2.0 * PI * x[1]), 0.999),
    ("wave", "L2", lambda x: np.sin(PI * x[0]) * np.sin(2.0 * PI * x[1]), 0.7),
    ("poisson", "max", lambda x: 2.0 + x[0] - x[1], 0.999),
    ("helmholtz", "max", lambda x: 1.0 + torsion(x), 0.98),
    ("poisson-5d", "max", lambda x: 1.0 + 0.0 * x[0], 0.999),
    ("poisson-5d", "max", heated, 0.6),
    ("burgers", "L1", ahead, 0.55),
    ("wave", "max", moved_at_its_ends, 0.9),
    ("burgers", "L1", moving, 0.45),
    ("pendulum", "max", lambda x: 1e-3 * x[0] ** 2, 0.79),
    ("pendulum", "max", lambda x: 1e-3 * np.cosh(math.sqrt(9.81) * x[0]), 0.5),
]


@pytest.mark.parametrize(("name", "kind", "error", "least"), SHARP)
def test_constants_are_as_small_as_some_error_allows(
    name: str, kind: str, error: Shape, least: float
) -> None:
    """With a constant smaller than this part of it the theorem would be false."""
    parts = used(disturbed(name, error(undisturbed(name).grid.columns)))

    assert least <= parts[kind]
    assert max(parts.values()) <= SLACK


def about_zero(error: np.ndarray) -> Disturbed:
    """u = p for the solution u* = 0 of the Allen–Cahn equation, which is as unstable as it can be."""
    found = undisturbed("allen-cahn")
    problem = found.grid.problem
    problem = replace(problem, conditions=(vanishes("u", "t", 0), *problem.conditions[1:]))
    nothing = {name: 0.0 * values for name, values in found.solution.items()}
    return Disturbed(Grid(problem, found.grid.axes), nothing, error)


def test_errors_of_the_unstable_solution_of_allen_cahn_are_within_the_theorem() -> None:
    for key, error in errors("allen-cahn").items():
        for size in (1e-6, 1.0, -1.0):
            parts = used(about_zero(size * error))
            assert max(parts.values()) <= SLACK, (key, size, parts)


UNSTABLE: list[tuple[str, Shape, float]] = [
    ("max", lambda x: np.expm1(5.0 * x[1]), 0.999),
    ("max", kernel_backwards, 0.95),
    ("L2", lambda x: np.sinh(5.0 * x[1]), 0.999),
    ("max", lambda x: np.exp(5.0 * x[1]), 0.999),
    ("L2", lambda x: np.exp(5.0 * x[1]), 0.999),
]


@pytest.mark.parametrize(("kind", "error", "least"), UNSTABLE)
def test_constants_of_allen_cahn_are_reached_about_its_unstable_solution(
    kind: str, error: Shape, least: float
) -> None:
    p = error(undisturbed("allen-cahn").grid.columns)
    case = about_zero(1e-6 / np.abs(p).max() * p)
    assert least <= used(case)[kind] <= SLACK


@pytest.mark.parametrize(("order", "side"), [(2, -1.0), (3, 1.0)])
def test_jumps_alone_are_in_the_bound_of_allen_cahn(order: int, side: float) -> None:
    """Errors without a residual that jump in value and not in slope, and in slope and not in value."""
    x, t = undisturbed("allen-cahn").grid.columns
    error = np.exp(5.0 * t) * (layer(1.0 - x, t, order) + side * layer(1.0 + x, t, order))
    case = about_zero(1e-6 / np.abs(error).max() * error)
    evidence = case.evidence()
    assert max(used(case).values()) <= 1.0
    without = replace(evidence, mismatch=(evidence.mismatch[0], 0.0, 0.0))
    for stability in case.grid.problem.stability:
        found = case.grid.norm(case.error, stability.kind, stability.over)
        assert stability.bound(without) < found / 50.0


def test_sums_in_closed_form_are_those_of_their_terms() -> None:
    m, n = np.meshgrid(*[np.arange(1.0, 1000.0, 2.0)] * 2)
    square = math.sqrt(4.0 / PI**4 * np.sum((m * m + n * n) ** -2.0))
    assert square <= POISSON_GREEN < square + 1e-6
    wide = math.sqrt(np.sum((PI**2 / 4.0 * (m * m + n * n) - 1.0) ** -2.0))
    assert wide <= HELMHOLTZ_GREEN < 1.001 * wide
    centre = 0.125 - 4.0 / PI**3 * sum(sign(k) / (k**3 * math.cosh(k * PI / 2.0)) for k in ODD)
    assert centre <= POISSON_TORSION < centre + 1e-5
    assert torsion([np.zeros(1)] * 2)[0] <= HELMHOLTZ_TORSION < torsion([np.zeros(1)] * 2)[0] + 1e-4


@pytest.mark.parametrize("name", PROVED)
def test_every_face_that_the_solution_hangs_on_has_a_condition(name: str) -> None:
    """Of an error that is 1 on a face, with a slope, and 0 without one on the opposite face."""
    problem, columns = find_problem(name), undisturbed(name).grid.columns
    letters = {letter for d in problem.derivatives for letter in d.partition("_")[2]}
    for letter, end in itertools.product(letters, (0, 1)):
        z = scaled(name, columns)[problem.inputs.index(letter)]
        evidence = disturbed(name, ((1.0 + z if end else 1.0 - z) / 2.0) ** 2).evidence()
        told = [
            missed > 0.5
            for condition, missed in zip(problem.conditions, evidence.mismatch, strict=True)
            if condition.face.letter == letter
        ]
        assert any(told) == ((letter, end) != ("t", 1))


@pytest.mark.parametrize("name", PROVED)
def test_a_jump_is_that_of_the_derivatives(name: str) -> None:
    """The mismatch's difference is the difference's mismatch, wherever that is read."""
    problem = find_problem(name)
    rng = np.random.default_rng(0)
    for condition in (c for c in problem.conditions if isinstance(c.on, Period)):
        lower, upper = list(problem.sample(50, 1).T), list(problem.sample(50, 1).T)
        for x, end in zip((lower, upper), (0, 1), strict=True):
            i = problem.inputs.index(condition.face.letter)
            x[i] = np.full(50, problem.domain.intervals[i][end])
        below, above = ({d: rng.normal(size=50) for d in condition.derivatives} for _ in range(2))
        apart = {d: above[d] - below[d] for d in condition.derivatives}
        found = condition.mismatch(upper, above, np) - condition.mismatch(lower, below, np)
        for x in (lower, upper):
            np.testing.assert_allclose(condition.mismatch(x, apart, np), found, rtol=1e-12)


def test_proofs_are_where_theorems_say_that_they_are() -> None:
    """Each is a heading of its own under one section."""
    text = (DOCS / "mathematics.md").read_text("utf-8")
    section = text.partition("\n## From a residual to an error\n")[2].partition("\n## ")[0]
    headings = [line[4:] for line in section.splitlines() if line.startswith("### ")]
    theorems = {s.theorem for problem in GALLERY.values() for s in problem.stability}
    assert len(headings) == len(set(headings))
    assert theorems <= set(headings)
    systems_and_shapes = {
        "kovasznay", "schroedinger", "kdv", "beam", "lid-cavity", "poisson-holes", "poisson-l",
        "heat-inverse", "helmholtz-inverse", "cylinder-wake", "heat-5d", "heat-holes", "heat-long",
        "heat-multiscale", "heat-varying",
        "poisson-5d-fixed", "poisson-boltzmann", "poisson-cavities",
        "poisson-coefficient", "heat-coefficient", "helmholtz-high",
        "poisson-100d", "heat-100d",
        "cavity-parabola", "lid-cavity-1000", "back-step", "poisson-areas", "wave-long", "advection",
        "reaction-diffusion", "kuramoto-sivashinsky", "wave-varying", "gray-scott",
        "channel-swing", "burgers-2d",
    }  # fmt: skip
    assert GALLERY.keys() - PROVED == systems_and_shapes
