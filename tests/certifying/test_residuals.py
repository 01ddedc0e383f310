"""Residuals: what is proved of them holds at every point, and is close to what is seen."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from onnx import ModelProto, numpy_helper

from hedge.certifying.bounds import Lines
from hedge.certifying.certificate import CertifiedFile
from hedge.certifying.enclosure import Arithmetic, boxes
from hedge.certifying.monomials import Monomials
from hedge.certifying.network import network_of
from hedge.certifying.proving import searched
from hedge.certifying.residual import residual_model, with_lines
from hedge.certifying.solution import order_for, prove_solution
from hedge.clusters import alone
from hedge.errors import InputError, ModelError
from hedge.graph import Evaluator
from hedge.problems import GALLERY, Domain, Problem, find_problem
from hedge.problems.conditions import Condition, Faces
from hedge.problems.quotients import reach
from hedge.problems.stability import Stability
from tests.certifying.problems import SOLUTIONS, formula, untrained
from tests.conftest import random_mlp

PROVED = [name for name, problem in GALLERY.items() if problem.stability]
FILE = CertifiedFile(name="m.onnx", sha256="0" * 64)


def _sampled(model: ModelProto, problem: Problem, count: int) -> np.ndarray:
    return np.abs(Evaluator(residual_model(model, problem))(problem.sample(count, seed=1))[:, 0])


@pytest.mark.parametrize("name", PROVED)
def test_the_residual_as_a_graph_is_that_of_the_problem(name: str) -> None:
    """Against difference quotients of the model, on points that keep as far from the faces."""
    problem = GALLERY[name]
    model = untrained(problem)
    by_quotients = problem.residual_rms(Evaluator(model), seed=0)
    away = reach(map(problem.axes, problem.derivatives), problem.dimension)
    middle = (problem.domain.lower + problem.domain.upper) / 2
    points = middle + (problem.sample(4_000, seed=1) - middle) * (1 - 2 * away)
    found = Evaluator(residual_model(model, problem))(points)[:, 0]
    assert np.sqrt(np.mean(found**2)) == pytest.approx(by_quotients, rel=1e-4)


@pytest.mark.parametrize("name", PROVED)
def test_no_residual_and_no_term_of_it_is_outside(name: str) -> None:
    """10⁵ points: those of 200 boxes, large and small ones."""
    problem = GALLERY[name]
    model = untrained(problem, seed=1)
    terms = [lambda x, d, m, term=term: d[term] for term in problem.derivatives]
    lines = with_lines(model, problem, problem.derivatives, [*terms, problem.residual])
    monomials, rng = (
        Monomials(problem.dimension, order_for(problem.dimension)),
        np.random.default_rng(2),
    )
    widths = problem.domain.upper - problem.domain.lower
    halves = 0.5 * widths * 10.0 ** rng.uniform(-3, -0.5, (200, 1))
    centres = rng.uniform(problem.domain.lower + halves, problem.domain.upper - halves)
    points = boxes(monomials, centres, halves * (1 + 1e-12), np.zeros(problem.dimension))
    with np.errstate(all="ignore"):
        enclosed = network_of(lines).enclosed(Arithmetic(monomials), points)
    inside = rng.uniform(-1, 1, (200, 500, problem.dimension))
    given = centres[:, None] + halves[:, None] * inside
    exact = Evaluator(lines)(given.reshape(-1, problem.dimension)).reshape(200, 500, -1)
    sizes = np.abs(exact).max(axis=(0, 1))
    for box in range(200):
        polynomial = monomials.values(enclosed.coefficients[:, box], inside[box])
        off = np.abs(exact[box] - polynomial) - enclosed.radius[box] - 1e-11 * (1.0 + sizes)
        assert not (off > 0.0).any()


@pytest.mark.parametrize(
    "name", ["heat", "poisson", "burgers", "burgers-half", "wave", "helmholtz"]
)
def test_what_is_proved_is_close_to_what_is_seen(name: str) -> None:
    problem = find_problem(name)
    model = untrained(problem, widths=(8,), seed=3)
    found = prove_solution(model, FILE, problem, problem.domain)
    seen = _sampled(model, problem, 100_000)
    claim = found.residual
    assert found.ended == "close"
    assert seen.max() <= claim.largest <= 1.3 * seen.max()
    assert claim.largest_seen <= 1.01 * seen.max()
    assert np.sqrt(np.mean(seen**2)) == pytest.approx(claim.rms, rel=0.3)
    assert claim.rms_seen <= 1.01 * np.sqrt(np.mean(seen**2)) <= 1.02 * claim.rms
    assert np.mean(seen) <= claim.mean * 1.01
    values = Evaluator(model)(problem.sample(10_000, seed=1))
    assert np.abs(values).max() <= found.value
    for face in found.faces:  # halved along themselves only: that of x or of t is whole in that one
        letter = problem.conditions[face.condition].face.letter
        assert not np.array(face.levels)[:, problem.inputs.index(letter)].any()


@pytest.mark.parametrize("name", SOLUTIONS)
def test_the_solution_itself_has_a_residual_near_rounding(name: str) -> None:
    """Of terms of up to (8π)²/2 = 316, by polynomials of a high order."""
    problem = find_problem(name)
    lines = network_of(residual_model(formula(2, SOLUTIONS[name]), problem))
    proof = searched(
        Lines(lines, problem.domain, 12),
        gap=0.2,
        most=5_000,
        spread=alone,
        is_over=lambda: False,
        on_progress=lambda text: None,
        floor=1e-8,
    )
    assert proof.ended == "close"
    assert proof.largest[0] <= 1e-8


@pytest.mark.parametrize("seed", range(8))
def test_a_planted_spike_is_never_certified_below(seed: int) -> None:
    """Two steep neurons that nearly cancel, a thousandth of the domain wide: a residual that samples miss."""
    problem = find_problem("heat")
    rng = np.random.default_rng(seed)
    model = untrained(problem, widths=(8,), seed=seed)
    place, steep, apart = rng.uniform(0.2, 0.8), 2_000.0, 1e-3
    changed = {
        tensor.name: numpy_helper.to_array(tensor).copy() for tensor in model.graph.initializer
    }
    first, bias, last = _layers(changed)
    changed[first][:2] = [[steep, 0.0], [steep, 0.0]]
    changed[bias][:2] = [-steep * place, -steep * (place + apart)]
    changed[last][0, :2] = [1e-3, -1e-3]
    for tensor in model.graph.initializer:
        tensor.CopyFrom(numpy_helper.from_array(changed[tensor.name], tensor.name))
    found = prove_solution(model, FILE, problem, problem.domain, most=4_000)
    x = np.linspace(place - 2e-3, place + 3e-3, 2_001)
    near = np.stack([x, np.full_like(x, 0.5)], axis=1)
    spike = np.abs(Evaluator(residual_model(model, problem))(near)[:, 0]).max()
    assert spike > 100.0
    assert spike <= found.residual.largest


def _layers(weights: dict[str, np.ndarray]) -> tuple[str, str, str]:
    first = next(name for name, w in weights.items() if w.shape == (8, 2))
    bias = next(name for name, w in weights.items() if w.shape == (8,))
    last = next(name for name, w in weights.items() if w.shape == (1, 8))
    return first, bias, last


# --------------------------------------------------------------------------------------------- bad input


def test_a_problem_without_stability_has_a_residual_only() -> None:
    problem = replace(find_problem("heat"), stability=())
    found = prove_solution(untrained(problem), FILE, problem, problem.domain)
    assert found.distances == []
    assert found.residual.largest > 0.0


def test_a_part_of_the_domain_has_a_residual_only() -> None:
    problem = find_problem("heat")
    part = Domain(((0.0, 1.0), (0.5, 1.0)))
    found = prove_solution(untrained(problem), FILE, problem, part)
    assert (found.distances, found.faces) == ([], [])
    whole = prove_solution(untrained(problem), FILE, problem, problem.domain)
    assert found.residual.largest <= 1.3 * whole.residual.largest


def test_a_model_of_another_problem_is_refused_with_the_face() -> None:
    model = untrained(find_problem("wave"))
    with pytest.raises(
        InputError, match=r"m.onnx: misses condition 1 of 'heat' at the lower end of t"
    ):
        prove_solution(model, FILE, find_problem("heat"), find_problem("heat").domain)


def test_kinks_have_no_residual() -> None:
    model = random_mlp([2, 6, 1], activation="Relu")
    with pytest.raises(ModelError, match=r"Relu .* kink"):
        prove_solution(model, FILE, find_problem("heat"), find_problem("heat").domain)


def test_a_model_of_other_columns_is_refused() -> None:
    for widths in ([3, 6, 1], [2, 6, 2]):
        with pytest.raises(ModelError, match=r"columns|output column"):
            residual_model(random_mlp(widths), find_problem("heat"))


@pytest.mark.parametrize(
    "line",
    [
        lambda x, d, m: d["u"] ** 2,
        lambda x, d, m: np.sin(d["u"]),
        lambda x, d, m: d["u_x"],
        lambda x, d, m: x[2],
        lambda x, d, m: None,
    ],
)
def test_lines_that_are_no_graph_are_refused(line: Callable[..., Any]) -> None:
    problem = replace(find_problem("heat"), name="mine", residual=line)
    with pytest.raises(
        InputError,
        match=r"problem 'mine': its (lines can't be written as a graph|residual reads 'u_x'; name it)",
    ):
        prove_solution(untrained(problem), FILE, problem, problem.domain)
    condition = Condition(Faces("t", (1,)), line)
    problem = replace(find_problem("heat"), name="mine", conditions=(condition,))
    with pytest.raises(
        InputError,
        match=r"problem 'mine': its (lines can't be written as a graph|residual reads 'u_x'; name it)",
    ):
        prove_solution(untrained(problem, widths=(2,)), FILE, problem, problem.domain, most=1)


def test_residuals_whose_squares_overflow_are_refused() -> None:
    problem = replace(find_problem("heat"), residual=lambda x, d, m: 1e200 * d["u"])
    with pytest.raises(InputError, match=r"m\.onnx: nothing is proved of its residual"):
        prove_solution(untrained(problem), FILE, problem, problem.domain, most=20)


@pytest.mark.parametrize("bound", [math.nan, math.inf, -1.0])
def test_what_is_no_bound_is_refused(bound: float) -> None:
    theorem = Stability("max", "", "L2", lambda found: bound, "Heat: mine")
    problem = replace(find_problem("heat"), name="mine", stability=(theorem,))
    with pytest.raises(InputError, match=rf"'mine': by theorem 'Heat: mine' ‖e‖ ≤ {bound:g}"):
        prove_solution(untrained(problem, widths=(2,)), FILE, problem, problem.domain, most=20)
