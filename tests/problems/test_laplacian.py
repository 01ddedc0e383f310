"""Laplacians as one derivative: by differences, in what is trained, and where they are refused."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from hedge.errors import InputError
from hedge.problems import Condition, Faces, Problem, find_problem
from hedge.problems.quotients import LAPLACIAN, derivative
from hedge.training import TrainingRun, initial_state
from hedge.training.loss import jacobian, linearise, loss_and_gradient
from hedge.training.points import place
from hedge.training.terms import Term


def by_one_name(problem: Problem) -> Problem:
    """With its second derivatives as u_laplacian."""
    return replace(problem, derivatives=("u", "u_laplacian"), conditions=(), stability=())


def test_the_loss_and_its_slopes_are_those_of_all_second_derivatives() -> None:
    each = find_problem("poisson-5d")
    network = initial_state(TrainingRun(each, 8, 2)).best
    found = []
    for problem in (each, by_one_name(each)):
        terms = [Term(place(problem, torch.from_numpy(each.domain.sample(60, 0))))]
        loss, gradient = loss_and_gradient(problem, network, terms)
        found.append((loss, gradient, jacobian(linearise(problem, network, terms))))
    (loss, gradient, rows), (loss_of_one, gradient_of_one, rows_of_one) = found
    assert loss_of_one == pytest.approx(loss, rel=1e-12)
    torch.testing.assert_close(gradient_of_one, gradient, rtol=1e-10, atol=1e-9)
    torch.testing.assert_close(rows_of_one, rows, rtol=1e-10, atol=1e-9)


def test_differences_sum_over_the_inputs_that_are_named() -> None:
    x = np.random.default_rng(0).random((20, 3))
    found = derivative(
        lambda x: (x[:, :1] ** 2 + 3.0 * x[:, 1:2] ** 2) * x[:, 2:] ** 3,
        x,
        (LAPLACIAN, 0, 2),
        np.ones(3),
    )
    of_two = 2.0 * x[:, 2] ** 3 + 6.0 * (x[:, 0] ** 2 + 3.0 * x[:, 1] ** 2) * x[:, 2]
    np.testing.assert_allclose(found[:, 0], of_two, atol=1e-5)


@pytest.mark.parametrize("name", ["heat-100d", "poisson-100d"])
def test_references_in_a_hundred_dimensions_solve_their_equation(name: str) -> None:
    problem = find_problem(name)
    assert problem.dimension >= 100
    x = 0.1 + 0.8 * problem.domain.sample(20, 3)
    widths = np.ones(problem.dimension)
    named = {
        d: derivative(problem.reference, x, problem.axes(d), widths)[:, 0]
        for d in problem.derivatives
    }
    assert np.abs(problem.residuals(list(x.T), named, np)[0]).max() < 1e-4


def test_the_space_of_a_laplacian_is_all_inputs_if_none_are_named() -> None:
    assert find_problem("poisson-100d").axes("u_laplacian") == (LAPLACIAN, *range(100))
    assert find_problem("heat-100d").axes("u_laplacian") == (LAPLACIAN, *range(100))
    assert len(find_problem("heat-100d").inputs) == 101


@pytest.mark.parametrize("space", ["az", "aa", ("a", "b")])
def test_a_space_of_other_letters_is_refused(space: str) -> None:
    with pytest.raises(InputError, match=r"space .* must be letters of 'abcde', each once"):
        replace(find_problem("poisson-5d"), space=space)


def test_no_certificate_is_of_a_laplacian() -> None:
    problem = find_problem("poisson-5d")
    laplacian = Condition(Faces("a"), lambda x, d, math_: d["u_laplacian"], ("u_laplacian",))
    for other in (by_one_name(problem), replace(problem, conditions=(laplacian,), stability=())):
        with pytest.raises(
            InputError, match=r"has the derivative u_laplacian; .* each by its name"
        ):
            other.check_certifiable()
