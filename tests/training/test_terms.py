"""Terms of the loss beside the residual: conditions, measurements, and the constants they depend on."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from hedge.geometry import Disc, Rectangle
from hedge.problems import (
    At,
    Condition,
    Domain,
    Faces,
    Inside,
    Measurements,
    Period,
    Piece,
    Problem,
    Unknown,
    find_problem,
    vanishes,
)
from hedge.training import TrainingRun, train
from hedge.training.constants import is_at_bound, parameters_for, slope, values_of
from hedge.training.levenberg import step
from hedge.training.loss import (
    apply_transpose,
    jacobian,
    linearise,
    loss_and_gradient,
    mean_square,
    mean_squared_slope,
    read_values,
    tangent_kernel,
)
from hedge.training.network import Network, new_network, parameters_of, with_parameters
from hedge.training.objective import objective_of
from hedge.training.points import TORCH_MATH, network_inputs
from hedge.training.run import TrainingResult
from hedge.training.sampling import sobol_points
from hedge.training.terms import Term

HEAT = find_problem("heat")
LIKE = torch.zeros(0, dtype=torch.float64)

# Every kind of condition, measurements of a derivative and of an expression, two constants in different
# places: nothing of it is a problem that anybody solves.
RNG = np.random.default_rng(0)
EVERYTHING = Problem(
    name="everything",
    title="all kinds of terms",
    inputs="xy",
    fields=("u", "v"),
    domain=Domain(((0.0, 1.0), (-1.0, 2.0))),
    derivatives=("u", "u_xx", "v_y", "v"),
    residual=lambda x, d, math: (
        d["u_xx"] * d["k"] - d["v_y"] * d["u"] + x[0],
        d["v"] * d["v"] - d["k"],
    ),
    conditions=(
        Condition(Faces("x", (0, 1)), lambda x, d, math: d["u"] * d["u"] - x[1], ("u",)),
        Condition(Period("y"), lambda x, d, math: d["v_x"] - 2.0 * d["u"], ("u", "v_x")),
        Condition(At(RNG.uniform(0.0, 1.0, (3, 2))), lambda x, d, math: d["u"] - 3.0),
        Condition(Inside(), lambda x, d, math: d["v"] * d["u"] - 1.0, ("u", "v"), mean=True),
        Condition(Inside(), lambda x, d, math: d["u"] * x[0] - d["k"] * x[1], mean="x"),
    ),
    unknowns=(Unknown("k", 0.5, 5.0), Unknown("shift", -1.0, 1.0)),
    data=(
        Measurements(
            RNG.uniform(0.0, 1.0, (7, 2)),
            RNG.uniform(0.0, 1.0, 7),
            0.1,
            lambda x, d, math: d["u_x"] * d["u_x"] - d["v"] + d["shift"],
            ("u_x", "v"),
        ),
    ),
)  # fmt: skip


def case() -> tuple[Network, tuple[Term, ...]]:
    network = new_network(2, (6, 5), seed=3, outputs=2, constants=2)
    network = replace(network, constants=torch.tensor([0.3, -0.4], dtype=torch.float64))
    objective = objective_of(EVERYTHING, LIKE)
    points = sobol_points(EVERYTHING, 20, 0, LIKE)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("hedge.problems.places.POINTS_OF_MEAN", 6)
        patch.setattr("hedge.problems.places.MEANS", 3)
        return network, objective.terms(points, 1, (2.0, 0.5, 3.0, 0.7, 1.1, 1.5))


def derivative(of: Tensor, x: Tensor, axes: Sequence[int]) -> Tensor:
    for axis in axes:
        (of,) = torch.autograd.grad(of.sum(), x, create_graph=True)
        of = of[:, axis]
    return of


def rows_by_autograd(network: Network, terms: Sequence[Term], parameters: Tensor) -> Tensor:
    """√(balance / n_k) r of all terms, from nested reverse mode."""
    moved = with_parameters(network, parameters)
    assert moved.constants is not None
    constants = values_of(EVERYTHING.unknowns, moved.constants)
    found = []
    for term in terms:
        x = term.points.x.clone().requires_grad_()
        u = moved(network_inputs(EVERYTHING, x)).unbind(1)
        names = term.points.equations.derivatives
        named = {n: derivative(u[EVERYTHING.field(n)], x, EVERYTHING.axes(n)) for n in names}
        if term.reading == "between":
            count = len(x) // 2
            x = x[:count]
            named = {n: values[count:] - values[:count] for n, values in named.items()}
        unknown = {u.name: c for u, c in zip(EVERYTHING.unknowns, constants, strict=True)}
        r = term.points.equations.at(
            x.unbind(1), {**named, **unknown, **term.points.given}, TORCH_MATH
        )
        if term.reading == "mean":
            r = tuple(
                torch.stack([each[k :: len(term)].mean() for k in range(len(term))]) for each in r
            )
        found.append(torch.cat(r) * math.sqrt(term.balance / len(term)))
    return torch.cat(found)


def test_loss_and_slopes_of_all_kinds_of_terms_agree_with_autograd() -> None:
    network, terms = case()
    assert [t.reading for t in terms] == ["each", "each", "between", "each", "mean", "mean", "each"]
    parameters = parameters_of(network)
    r = rows_by_autograd(network, terms, parameters).detach()
    slopes = torch.autograd.functional.jacobian(
        lambda p: rows_by_autograd(network, terms, p), parameters
    )
    loss, gradient = loss_and_gradient(EVERYTHING, network, terms)
    assert loss == pytest.approx(float(r @ r), rel=1e-12)
    assert mean_square(EVERYTHING, network, terms) == pytest.approx(loss, rel=1e-12)
    torch.testing.assert_close(gradient, 2.0 * slopes.T @ r, rtol=1e-9, atol=1e-11)

    lin = linearise(EVERYTHING, network, terms)
    n = math.sqrt(len(terms[0]))
    torch.testing.assert_close(lin.residual, n * r)
    j = jacobian(lin)
    torch.testing.assert_close(j, n * slopes, rtol=1e-9, atol=1e-10)
    torch.testing.assert_close(tangent_kernel(lin), j @ j.T, rtol=1e-9, atol=1e-9)
    v = torch.linspace(-1, 1, len(r), dtype=torch.float64)
    torch.testing.assert_close(apply_transpose(lin, v), j.T @ v, rtol=1e-9, atol=1e-10)


def test_mean_squared_slopes_are_those_of_the_rows() -> None:
    """By points for the terms without means, by the kernel for those with, by rows where there are few."""
    network, terms = case()
    for some in ([term] for term in terms):
        lin = linearise(EVERYTHING, network, some)
        rows = jacobian(lin)
        assert mean_squared_slope(lin) == pytest.approx(
            float(rows.square().sum(1).mean()), rel=1e-12
        )


def test_levenberg_takes_all_terms() -> None:
    network, terms = case()
    outcome = step(EVERYTHING, network, terms, 1e-3)
    assert outcome.accepted
    assert outcome.loss == mean_square(EVERYTHING, outcome.network, terms)
    assert outcome.loss < mean_square(EVERYTHING, network, terms)


def test_balanced_terms_change_alike_with_the_parameters() -> None:
    network, terms = case()
    plain = [replace(term, balance=1.0) for term in terms]
    *balance, measured = objective_of(EVERYTHING, LIKE).balance(network, plain)
    sizes = [
        float(jacobian(linearise(EVERYTHING, network, [term])).square().sum(1).mean())
        for term in plain
    ]
    expected = [sizes[0] / size for size in sizes[1:]]
    assert [*balance, 10.0 * measured] == pytest.approx(expected, rel=1e-9)


# --- Which conditions are trained ------------------------------------------------------------------


@pytest.mark.parametrize(
    "name", ["heat", "burgers", "allen-cahn", "wave", "poisson-5d", "pendulum"]
)
def test_conditions_that_the_form_meets_cost_nothing(name: str) -> None:
    problem = find_problem(name)
    assert problem.conditions
    assert objective_of(problem, LIKE).is_residual_alone


def test_conditions_that_the_form_does_not_meet_are_trained() -> None:
    no_form = replace(HEAT, name="no-form", offset=None, distance=None)
    assert objective_of(no_form, LIKE).trained == (0, 1)
    only_ends = replace(no_form, distance=lambda x, math: x[0] * (1.0 - x[0]))
    assert objective_of(only_ends, LIKE).trained == (0,)


def soft(*conditions: Condition, **changes: Any) -> Problem:
    """Laplace's equation on the unit square, without a form."""
    known: dict[str, Any] = {
        "domain": Domain(((0.0, 1.0), (0.0, 1.0))),
        "residual": lambda x, d, math: d["u_xx"] + d["u_yy"],
        "derivatives": ("u_xx", "u_yy"),
        "conditions": conditions,
    }
    return Problem(name="soft", title="Laplace", inputs="xy", **{**known, **changes})


def trained(problem: Problem, steps: int = 400, width: int = 10, **run: Any) -> TrainingResult:
    return train(TrainingRun(problem, width, 2, accelerator="cpu", **run), max_steps=steps)


def values(result: TrainingResult, x: np.ndarray) -> np.ndarray:
    from hedge.training import solution

    return solution(result.run.problem, result.network, x)


def test_left_to_the_loss_dirichlet_neumann_and_robin_give_the_solution() -> None:
    """u = eˣ cos y on the square: u at the left, its slope at the right and below, u + u_y above."""
    exact = lambda x, math: math.exp(x[0]) * math.cos(x[1])  # noqa: E731
    slope_y = lambda x, math: 0.0 - math.exp(x[0]) * math.sin(x[1])  # noqa: E731
    problem = soft(
        Condition(Faces("x", (0,)), lambda x, d, math: d["u"] - exact(x, math)),
        Condition(Faces("x", (1,)), lambda x, d, math: d["u_x"] - exact(x, math), ("u_x",)),
        vanishes("u_y", "y", 0),
        Condition(
            Faces("y", (1,)),
            lambda x, d, math: d["u"] + d["u_y"] - exact(x, math) - slope_y(x, math),
            ("u", "u_y"),
        ),
        reference=lambda x: exact(x.T, np)[:, None],
    )
    result = trained(problem)
    assert result.relative_l2 is not None
    assert result.relative_l2 < 1e-3


def test_periods_are_met_in_value_and_slope() -> None:
    """u_xx + u_yy = −2 sin 2πx-like: periodic in x, zero below and above."""
    tau = 2.0 * math.pi
    problem = soft(
        Condition(Period("x"), lambda x, d, m: d["u"]),
        Condition(Period("x"), lambda x, d, m: d["u_x"], ("u_x",)),
        residual=lambda x, d, m: (
            (
                d["u_xx"]
                + d["u_yy"]
                + (tau**2 + math.pi**2) * m.sin(math.pi * x[1]) * m.cos(tau * x[0])
            )
            / tau**2
        ),
        distance=lambda x, m: x[1] * (1.0 - x[1]),
        reference=lambda x: np.cos(tau * x[:, :1]) * np.sin(math.pi * x[:, 1:]),
    )
    result = trained(problem, 300, 10)
    assert result.relative_l2 is not None
    assert result.relative_l2 < 5e-3
    y = np.linspace(0.1, 0.9, 5)
    at = [np.column_stack([np.full(5, x), y]) for x in (0.0, 1.0)]
    assert values(result, at[1]) == pytest.approx(values(result, at[0]), abs=5e-3)


def test_a_mean_fixes_what_slopes_leave_open() -> None:
    """u_x = 0 and u_y = 1 at the ends leave u = y + c, and the mean of u is 2."""
    problem = soft(
        vanishes("u_x", "x", 0, 1),
        Condition(Faces("y", (0, 1)), lambda x, d, m: d["u_y"] - 1.0, ("u_y",)),
        Condition(Inside(), lambda x, d, m: d["u"] - 2.0, mean=True),
    )
    result = trained(problem, 200, 6)
    x = problem.domain.sample(50, 1)
    assert values(result, x)[:, 0] == pytest.approx(x[:, 1] + 1.5, abs=5e-3)


def test_means_over_an_input_fix_what_slopes_leave_open_at_each_value_of_the_other() -> None:
    """u_xx = 0 and u_x = 1 at the ends leave u = x + f(y), and means over x of 1/2 + y² tell f = y²."""
    problem = soft(
        Condition(Faces("x", (0, 1)), lambda x, d, m: d["u_x"] - 1.0, ("u_x",)),
        Condition(Inside(), lambda x, d, m: d["u"] - 0.5 - x[1] * x[1], mean="x"),
        derivatives=("u_xx",),
        residual=lambda x, d, m: d["u_xx"],
    )
    result = trained(problem, 200, 6)
    x = problem.domain.sample(50, 1)
    assert values(result, x)[:, 0] == pytest.approx(x[:, 0] + x[:, 1] ** 2, abs=5e-3)


def test_two_materials_meet_at_an_interface() -> None:
    """(k u′)′ = 0 with k 1 left and 3 right of the middle: two fields, joined by value and by flux."""
    middle = np.array([[0.5]])
    problem = Problem(
        name="joined",
        title="two rods",
        inputs="x",
        fields=("l", "r"),
        domain=Domain(((0.0, 1.0),)),
        derivatives=("l_xx", "r_xx"),
        residual=lambda x, d, math: (d["l_xx"], d["r_xx"]),
        offset=lambda x, math: (0.0, 1.0),
        distance=lambda x, math: (x[0], 1.0 - x[0]),
        conditions=(
            Condition(At(middle), lambda x, d, math: d["l"] - d["r"], ("l", "r")),
            Condition(At(middle), lambda x, d, math: d["l_x"] - 3.0 * d["r_x"], ("l_x", "r_x")),
        ),
    )
    result = trained(problem, 150, 4)
    # The same flux q through resistances ½ and ½ / 3: q = 3/2, so u = 3/4 in the middle.
    assert values(result, middle)[0] == pytest.approx([0.75, 0.75], abs=1e-4)


def test_normals_of_a_hole_point_into_it() -> None:
    """u = log r around a hole: its slope along the outward normal there is −1 / r."""
    shape = Rectangle((-1.0, -1.0), (1.0, 1.0)) - Disc((0.0, 0.0), 0.5, "hole")
    exact = lambda x, math: 0.5 * math.log(x[0] * x[0] + x[1] * x[1])  # noqa: E731
    outside = [Piece(name) for name in ("left", "right", "bottom", "top")]
    problem = soft(
        *(Condition(on, lambda x, d, math: d["u"] - exact(x, math)) for on in outside),
        Condition(
            Piece("hole"),
            lambda x, d, math: d["normal_x"] * d["u_x"] + d["normal_y"] * d["u_y"] + 2.0,
            ("u_x", "u_y"),
        ),
        domain=Domain.over(shape),
        reference=lambda x: exact(x.T, np)[:, None],
    )
    result = trained(problem, 300, 10)
    assert result.relative_l2 is not None
    assert result.relative_l2 < 5e-3


# --- Constants and measurements ----------------------------------------------------------------------


def test_constants_are_between_their_bounds_and_come_back_from_their_values() -> None:
    unknowns = (Unknown("a", 0.01, 100.0), Unknown("b", -2.0, 4.0))
    p = torch.linspace(-9.0, 9.0, 50, dtype=torch.float64)
    found = values_of(unknowns, torch.stack([p, p]))
    assert ((found[0] >= 0.01) & (found[0] <= 100.0)).all()
    assert ((found[1] >= -2.0) & (found[1] <= 4.0)).all()
    assert values_of(unknowns, torch.zeros(2, 1)).flatten().tolist() == pytest.approx([1.0, 1.0])
    known = replace(
        EVERYTHING, unknowns=(replace(unknowns[0], value=7.0), replace(unknowns[1], value=-1.9))
    )
    parameters = parameters_for(known)
    assert parameters is not None
    assert values_of(unknowns, parameters).tolist() == pytest.approx([7.0, -1.9])
    for number, unknown in enumerate(unknowns):
        moved = parameters.clone().requires_grad_()
        values_of(unknowns, moved)[number].backward()
        value = float(values_of(unknowns, parameters)[number])
        assert moved.grad is not None
        assert slope(unknown, value) == pytest.approx(abs(float(moved.grad[number])))
    assert is_at_bound(unknowns[0], 0.01)
    assert not is_at_bound(unknowns[0], 0.02)


def inverse(noise: float, seed: int, count: int = 100) -> Problem:
    """Heat in a rod of unknown conductivity, 0.1, with measured temperatures."""
    rng = np.random.default_rng(seed)
    x = HEAT.domain.sample(count, seed + 1)
    assert HEAT.reference is not None
    u = HEAT.reference(x)[:, 0]
    deviation = noise * math.sqrt(np.mean(u**2))
    return replace(
        HEAT,
        name="heat-of-unknown",
        unknowns=(Unknown("kappa", 0.01, 1.0),),
        residual=lambda x, d, math: d["u_t"] - d["kappa"] * d["u_xx"],
        data=(Measurements(x, u + deviation * rng.standard_normal(count), deviation or None),),
        stability=(),
    )


@pytest.mark.parametrize("method", ["auto", "levenberg"])
def test_a_constant_is_found_from_clean_measurements(method: Any) -> None:
    steps = {"auto": 400, "levenberg": 160}[method]
    result = trained(inverse(0.0, 1, 40), steps, 8, method=method)
    assert result.found["kappa"].value == pytest.approx(0.1, rel=2e-3)
    assert result.history[-1].unknowns["kappa"] == pytest.approx(0.1, rel=2e-3)


def test_a_constant_is_found_within_its_deviation_and_that_is_the_classical_one() -> None:
    """σ² / Σ (∂u/∂κ)² of least squares with the equation exact (here by differences of the solution)."""
    problem = inverse(0.05, 3)
    found = trained(problem, 400, 8).found["kappa"]
    assert found.deviation is not None
    assert abs(found.value - 0.1) < 3.0 * found.deviation
    data = problem.data[0]
    modes = lambda kappa: sum(  # noqa: E731
        a
        * np.sin(k * math.pi * data.points[:, 0])
        * np.exp(-kappa * (k * math.pi) ** 2 * data.points[:, 1])
        for a, k in MODES
    )
    assert HEAT.reference is not None
    assert modes(0.1) == pytest.approx(HEAT.reference(data.points)[:, 0], abs=1e-12)
    sensitivity = (modes(0.1001) - modes(0.0999)) / 0.0002
    classical = data.scale[0] / np.linalg.norm(sensitivity)
    assert found.deviation == pytest.approx(classical, rel=0.1)


POINT = np.array([[0.5, 0.5]])
MODES: tuple[tuple[float, int], ...] = ((1.0, 1), (0.5, 3))


def test_a_constant_that_begins_at_its_bound_can_leave_it() -> None:
    """u = x / 2, from u(½) = ¼ and u(1) = ½ to a slope of 0.5."""
    for begin in (0.0, 2.0):
        problem = soft(
            derivatives=("u_x", "u_y"),
            residual=lambda x, d, m: (d["u_x"] - d["k"], d["u_y"]),
            distance=lambda x, m: x[0],
            unknowns=(Unknown("k", 0.0, 2.0, begin),),
            data=(Measurements(np.array([[0.5, 0.1], [1.0, 0.9]]), np.array([0.25, 0.5]), 0.1),),
        )
        assert trained(problem, 60, 4).found["k"].value == pytest.approx(0.5, abs=1e-3)


def test_factors_of_terms_are_of_all_their_rows() -> None:
    """Readings in the order of time begin where the form fixes the solution, so that nothing moves there."""
    t = np.concatenate([np.zeros(300), np.full(300, 0.5)])
    data = Measurements(np.column_stack([np.full(600, 0.3), t]), np.zeros(600), 1.0)
    problem = replace(HEAT, name="sorted", data=(data,))
    network = new_network(2, (6,), seed=1)
    objective = objective_of(problem, LIKE)
    terms = objective.terms(sobol_points(problem, 20, 0, LIKE), 0)
    size = [
        float(jacobian(linearise(problem, network, [term])).square().sum(1).mean())
        for term in terms
    ]
    (factor,) = objective.balance(network, terms, cycle=1)
    assert factor == pytest.approx(size[0] / size[1], rel=0.1)


def test_readings_with_errors_count_ever_less_and_those_without_most() -> None:
    points, values = np.array([[0.3, 0.5], [0.6, 0.5]]), np.array([0.6, 0.8])
    network = new_network(2, (6,), seed=1)

    def parts(deviations: float | None) -> list[float]:
        data = Measurements(points, values, deviations)
        objective = objective_of(replace(HEAT, name="read", data=(data,)), LIKE)
        terms = objective.terms(sobol_points(objective.problem, 20, 0, LIKE), 0)
        factors = [objective.balance(network, terms, cycle)[0] for cycle in (1, 5, 100)]
        slopes = [
            float(jacobian(linearise(objective.problem, network, [term])).square().sum(1).mean())
            for term in terms
        ]
        return [factor * slopes[1] / slopes[0] for factor in factors]

    assert parts(0.1) == pytest.approx([1.0, 0.2, 0.1])
    assert parts(None) == pytest.approx([1.0, 1.0, 1.0])
    assert parts(0.0) == pytest.approx([10.0, 10.0, 10.0])


def test_an_unknown_may_be_called_as_anything_in_a_term_of_measurements() -> None:
    problem = soft(
        unknowns=(Unknown("measured", 0.0, 2.0), Unknown("deviation", 0.0, 2.0)),
        data=(
            Measurements(
                POINT,
                np.array([5.0]),
                0.5,
                lambda x, d, m: 0.0 * d["u"] + d["measured"] + d["deviation"],
                ("u",),
            ),
        ),
    )
    term = objective_of(problem, LIKE).terms(sobol_points(problem, 20, 0, LIKE), 0)[1]
    network = new_network(2, (4,), seed=0, constants=2)
    assert read_values(problem, network, term).tolist() == [[(1.0 + 1.0 - 5.0) / 0.5]]


def test_a_misfit_that_errors_do_not_explain_is_large() -> None:
    problem = inverse(0.05, 3)
    good = trained(problem, 400, 8).misfits
    assert [(m.name, m.count, m.known) for m in good] == [("data", 100, True)]
    assert good[0].rms == pytest.approx(1.0, abs=0.2)
    assert not good[0].is_large
    bad = trained(problem, 10, 8).misfits[0]
    assert bad.is_large
    assert "100 measurements of data: rms misfit" in str(bad)
    unknown = replace(problem.data[0], deviations=None)
    assert not trained(replace(problem, data=(unknown,)), 10, 8).misfits[0].is_large
