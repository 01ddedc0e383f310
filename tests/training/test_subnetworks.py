"""Fields with networks of their own: what they depend on, their gradients, and their files."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import hedge
from hedge.errors import InputError, ModelError
from hedge.graph import Evaluator, load_model
from hedge.problems import Domain, Measurements, Problem, Subnetwork
from hedge.training import TrainingRun, solution, train
from hedge.training.levenberg import step
from hedge.training.loss import (
    apply_transpose,
    jacobian,
    linearise,
    loss_and_gradient,
    mean_square,
    tangent_kernel,
)
from hedge.training.network import Group, new_network, parameters_of, with_parameters
from hedge.training.points import groups_of
from hedge.training.sampling import sobol_points
from hedge.training.terms import Term

PI = math.pi
LIKE = torch.zeros(0, dtype=torch.float64)


def conducted(k: float = 0.1) -> Problem:
    """u_t = (κ(x) u_x)_x with κ = k (1 + x), u = e^(−t) sin πx by a source; κ from readings of u."""
    x = np.random.default_rng(0).uniform(0.0, 1.0, (60, 2))
    return Problem(
        name="conducted",
        title="a rod of unknown conductivity",
        inputs="xt",
        fields=("u", "kappa"),
        networks=(Subnetwork(("u",)), Subnetwork(("kappa",), reads="x")),
        domain=Domain(((0.0, 1.0), (0.0, 1.0))),
        derivatives=("u_t", "u_x", "u_xx", "kappa", "kappa_x"),
        residual=lambda x, d, math: (
            d["u_t"]
            - d["kappa"] * d["u_xx"]
            - d["kappa_x"] * d["u_x"]
            + math.exp(0.0 - x[1])
            * (
                (1.0 - k * (1.0 + x[0]) * PI**2) * math.sin(PI * x[0])
                + k * PI * math.cos(PI * x[0])
            )
        ),
        offset=lambda x, math: (math.sin(PI * x[0]), 0.05),
        distance=lambda x, math: (x[1] * x[0] * (1.0 - x[0]), 0.1),
        data=(Measurements(x, np.exp(-x[:, 1]) * np.sin(PI * x[:, 0])),),
    )


def test_a_coefficient_is_found_and_depends_on_what_it_reads_alone(tmp_path: Path) -> None:
    problem, out = conducted(), tmp_path / "m.onnx"
    result = hedge.train(problem, out, width=8, depth=2, max_steps=400)
    x = np.linspace(0.1, 0.9, 9)
    early, late = (
        solution(problem, result.network, np.column_stack([x, np.full(9, t)])) for t in (0.1, 0.9)
    )
    assert (early[:, 1] == late[:, 1]).all()
    assert early[:, 1] == pytest.approx(0.1 * (1.0 + x), rel=0.03)
    assert late[:, 0] == pytest.approx(np.exp(-0.9) * np.sin(PI * x), abs=2e-3)
    points = problem.sample(50, 1)
    deployed = Evaluator(load_model(out))(points)
    assert deployed == pytest.approx(solution(problem, result.network, points), abs=1e-6)

    again = hedge.train(problem, out, max_steps=4, resume=True)
    assert again.network.groups == result.network.groups
    assert solution(problem, again.network, points) == pytest.approx(deployed, abs=1e-3)
    joined = replace(problem, networks=(Subnetwork(("kappa",), "x"), Subnetwork(("u",), "t")))
    with pytest.raises(ModelError, match="no networks of their own; train anew"):
        hedge.train(joined, out, max_steps=4, resume=True)


def test_gradients_are_those_of_the_weights_that_are_there() -> None:
    problem = conducted()
    groups = groups_of(problem, 2)
    assert groups == (Group((0, 1), (0,)), Group((0,), (1,)))
    network = new_network(2, (4, 3), 1, 2, groups=groups)
    assert network.widths == (4, 3)
    parameters = parameters_of(network)
    assert len(parameters) == (3 * 4 + 5 * 3 + 4) + (2 * 4 + 5 * 3 + 4)
    moved = with_parameters(network, parameters + 0.1)
    torch.testing.assert_close(parameters_of(moved), parameters + 0.1)
    torch.testing.assert_close(with_parameters(moved, parameters).weights, network.weights)
    whole = replace(moved, groups=())
    terms = [Term(sobol_points(problem, 30, 0, LIKE))]
    loss, gradient = loss_and_gradient(problem, moved, terms)
    same, every = loss_and_gradient(problem, whole, terms)
    assert loss == same
    placed = replace(with_parameters(whole, every), groups=groups)
    torch.testing.assert_close(gradient, parameters_of(placed))

    lin = linearise(problem, moved, terms)
    j = jacobian(lin)
    assert j.shape == (30, len(parameters))
    torch.testing.assert_close(2.0 / 30 * j.T @ lin.residual, gradient)
    torch.testing.assert_close(tangent_kernel(lin), j @ j.T)
    torch.testing.assert_close(apply_transpose(lin, lin.residual), j.T @ lin.residual)
    outcome = step(problem, moved, terms, 1e-3)
    assert outcome.accepted
    assert outcome.loss == mean_square(problem, outcome.network, terms)


@pytest.mark.parametrize("method", ["levenberg", "lbfgs", "adam"])
def test_what_is_apart_stays_apart(method: str) -> None:
    run = TrainingRun(conducted(), 3, 2, method=method)  # type: ignore[arg-type]
    network = train(run, max_steps=6).network
    again = with_parameters(network, parameters_of(network))
    for one, other in zip(network.weights, again.weights, strict=True):
        assert torch.equal(one, other)
    assert not network.weights[1][:3, 3:].any()
    assert not network.weights[0][3:, 1].any()


@pytest.mark.parametrize(
    ("networks", "message"),
    [
        ((Subnetwork(("u",)),), "are of u, its fields are u, kappa; name each field in one"),
        ((Subnetwork(("u", "kappa")), Subnetwork(("u",))), "name each field in one"),
        ((Subnetwork(("u",)), Subnetwork(("kappa",), "z")), "reads 'z'; write letters of 'xt'"),
        ((Subnetwork(()), Subnetwork(("u", "kappa"))), "a network of no field"),
    ],
)
def test_networks_that_do_not_fit_the_fields_are_refused(
    networks: tuple[Subnetwork, ...], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        replace(conducted(), networks=networks)


def test_networks_read_features_where_there_are_some_and_do_not_grow() -> None:
    with pytest.raises(InputError, match="its networks read the features"):
        replace(conducted(), features=lambda x, math: [x[0], x[1]])
    with pytest.raises(InputError, match="grow: is for one network, problem 'conducted' has 2"):
        TrainingRun(conducted(), 4, 1, grow=True)
