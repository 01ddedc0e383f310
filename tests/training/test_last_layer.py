"""Least squares of the last layer: its solution, the neurons it is over, and the runs that use it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import hedge
from hedge.errors import InputError
from hedge.problems import Domain, Problem, find_problem
from hedge.training import TrainingRun, train
from hedge.training.last_layer import least_damping, next_neurons, step, with_new_neurons
from hedge.training.loss import jacobian, linearise, mean_square
from hedge.training.network import Group, Network, new_network, parameters_of, rounded
from hedge.training.optimisers import schedule
from hedge.training.sampling import sobol_points
from hedge.training.terms import Term

HEAT, POISSON = find_problem("heat"), find_problem("poisson")
FLOAT64 = torch.zeros(0, dtype=torch.float64)
HEAT_POINTS = sobol_points(HEAT, 300, 0, FLOAT64)
HEAT_INPUTS = HEAT_POINTS.inputs[:, 0].T


def random_layer(width: int, size: float = 1.0) -> Network:
    return with_new_neurons(new_network(2, (width,), seed=0), HEAT_INPUTS, size, 1)


def test_a_step_is_the_ridge_solution_over_scaled_columns() -> None:
    network, terms = random_layer(12), [Term(HEAT_POINTS)]
    lin = linearise(HEAT, network, terms)
    j, r = jacobian(lin)[:, -13:].numpy(), lin.residual.numpy()
    size = np.linalg.norm(j, axis=0)
    below = np.concatenate([j / size, 1e-3 * np.eye(13)])
    expected = np.linalg.lstsq(below, np.concatenate([-r, np.zeros(13)]), rcond=None)[0] / size
    found = step(HEAT, network, terms, least=1e-6, damping=1e-6)
    change = (parameters_of(found.network) - parameters_of(network)).numpy()
    np.testing.assert_allclose(change[-13:], expected, rtol=1e-8)
    assert not change[:-13].any()
    assert found.loss == mean_square(HEAT, found.network, terms)
    assert found.loss == pytest.approx(float(np.square(j @ expected + r).mean()), rel=1e-9)


def test_where_the_equation_is_linear_the_first_step_is_the_last() -> None:
    terms = [Term(HEAT_POINTS)]
    network = random_layer(12)
    least = least_damping(network, np.float64)
    found = step(HEAT, network, terms, least, least)
    assert found.is_final
    again = step(HEAT, found.network, terms, least, least)
    assert again.loss == pytest.approx(found.loss, rel=1e-6)


def test_a_step_that_goes_too_far_is_damped_until_the_loss_falls() -> None:
    """From u = 0 the undamped step for exp 4u = 50 is to u = 12, where the residual is 10²⁰."""
    steep = Problem(
        name="steep",
        title="exp 4u = 50",
        inputs="x",
        domain=Domain(((0.0, 1.0),)),
        derivatives=("u",),
        residual=lambda x, d, math: math.exp(4.0 * d["u"]) - 50.0,
        offset=lambda x, math: 0.0,
        distance=lambda x, math: 1.0,
    )
    points = sobol_points(steep, 50, 0, FLOAT64)
    network = with_new_neurons(new_network(1, (6,), seed=0), points.inputs[:, 0].T, 1.0, 1)
    terms, least = [Term(points)], least_damping(network, np.float64)
    first = step(steep, network, terms, least, least)
    assert first.damping > least
    assert not first.is_final
    assert first.loss < mean_square(steep, network, terms)
    found = first
    while not found.is_final:
        found = step(steep, found.network, terms, least, found.damping)
    assert found.loss < 1e-20
    u = found.network(points.inputs[:, 0].T)
    torch.testing.assert_close(u, torch.full_like(u, np.log(50.0) / 4.0))


def test_a_step_that_lowers_nothing_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hedge.training.last_layer.ATTEMPTS", 0)
    network = random_layer(5)
    found = step(HEAT, network, [Term(HEAT_POINTS)], 1e-6, 1e-6)
    assert found.network is network
    assert found.is_final


def test_neurons_are_as_steep_as_asked_and_each_is_zero_at_an_input() -> None:
    network = random_layer(2000, size=3.0)
    scaled = network.weights[0] * HEAT_INPUTS.std(0)
    assert float(scaled.square().mean().sqrt()) == pytest.approx(3.0, rel=0.05)
    at_points = HEAT_INPUTS @ network.weights[0].T + network.biases[0]
    assert float(at_points.abs().amin(0).max()) < 1e-12
    assert not network(HEAT_INPUTS).any()


def test_an_input_that_is_the_same_everywhere_is_no_harm() -> None:
    inputs = torch.stack([HEAT_INPUTS[:, 0], torch.ones(len(HEAT_INPUTS)).double()], dim=1)
    network = with_new_neurons(new_network(2, (50,), seed=0), inputs, 1.0, 1)
    assert torch.isfinite(parameters_of(network)).all()


def test_neurons_of_one_group_read_nothing_of_another() -> None:
    groups = (Group((0,), (0,)), Group((1,), (1,)))
    fresh = new_network(2, (6,), seed=0, outputs=2, groups=groups)
    network = with_new_neurons(fresh, HEAT_INPUTS, 1.0, 1)
    assert not network.weights[0][:6, 1].any()
    assert not network.weights[0][6:, 0].any()
    assert network.weights[0][:6, 0].all()


def test_next_neurons_are_steeper_and_less_so_than_the_best_by_turns() -> None:
    best = random_layer(2000, size=3.0)
    found = [next_neurons(best, best, HEAT_INPUTS, turn, np.float32, 5) for turn in (0, 1, 5)]
    sizes = [float((n.weights[0] * HEAT_INPUTS.std(0)).square().mean().sqrt()) for n in found]
    assert sizes == pytest.approx([6.0, 1.5, 6.0], rel=0.05)
    assert torch.equal(parameters_of(found[0]), parameters_of(rounded(found[0], np.float32)))


def test_a_wide_layer_solves_a_linear_problem_at_once() -> None:
    run = TrainingRun(POISSON, method="least-squares", width=100)
    result = train(run, max_steps=1)
    assert result.network.widths == (100,)
    assert result.relative_l2 is not None
    assert result.relative_l2 < 1e-5
    p = parameters_of(result.network)
    assert torch.equal(p, p.float().double())  # what the file holds
    exact = train(replace(run, precision="float64", width=200), max_steps=3)
    assert exact.relative_l2 is not None
    assert exact.relative_l2 < 1e-8


def test_a_run_ends_by_itself_and_is_the_same_again() -> None:
    run = TrainingRun(HEAT, method="least-squares", width=40)
    first, second = (train(run, max_steps=1000) for _ in range(2))
    assert first.stopped == "stalled"
    assert first.held_out_loss == min(record.held_out_loss for record in first.history)
    assert torch.equal(parameters_of(first.network), parameters_of(second.network))


def test_several_fields_of_nonlinear_equations() -> None:
    run = TrainingRun(find_problem("kovasznay"), method="least-squares", width=80)
    result = train(run, max_steps=12)
    assert result.relative_l2 is not None
    assert result.relative_l2 < 2e-3


def test_constants_are_solved_for_beside_the_last_layer() -> None:
    run = TrainingRun(find_problem("heat-inverse"), method="least-squares", width=150)
    result = train(run, max_steps=3)
    assert result.found["kappa"].value == pytest.approx(0.1, rel=1e-3)


def test_a_constant_is_found_though_nothing_depends_on_it_at_first() -> None:
    """Where u = 0 the residual of Δu + k² u = q does not change with k²."""
    run = TrainingRun(find_problem("helmholtz-inverse"), method="least-squares", width=250)
    result = train(run, max_steps=10)
    assert result.relative_l2 is not None
    assert result.relative_l2 < 1e-2


@pytest.mark.parametrize(
    ("width", "depth", "hidden"),
    [(None, None, (1000,)), (40, None, (40,)), (None, 2, (1000,) * 2), (30, 3, (30,) * 3)],
)
def test_the_network_is_one_wide_layer_unless_asked_otherwise(
    width: int | None, depth: int | None, hidden: tuple[int, ...]
) -> None:
    run = TrainingRun(HEAT, method="least-squares", width=width, depth=depth)
    assert run.hidden == hidden


@pytest.mark.parametrize(("inputs", "fields"), [(2, 1), (2, 3), (5, 1)])
def test_a_set_has_four_rows_for_each_number_solved_for(inputs: int, fields: int) -> None:
    size = len(parameters_of(new_network(inputs, (300,), 0, fields)))
    rows = fields * schedule("least-squares", size, fields, inputs).points
    assert rows / (fields * 301) == pytest.approx(4.0, rel=0.01)


def test_what_can_not_be_is_refused() -> None:
    with pytest.raises(InputError, match=r"^grow: .* give it more by width$"):
        TrainingRun(HEAT, method="least-squares", grow=True)
    with pytest.raises(InputError, match=r"^width: .* 4001 numbers .* at most 3999 neurons$"):
        train(TrainingRun(HEAT, method="least-squares", width=4000), max_steps=1)


def test_it_goes_on_from_a_checkpoint_as_if_nothing_had_happened(tmp_path: Path) -> None:
    whole, parts = tmp_path / "whole.onnx", tmp_path / "parts.onnx"
    options = {"method": "least-squares", "width": 30}

    def interrupt(state: object, record: object) -> None:
        if getattr(record, "step") == 3:  # noqa: B009
            raise KeyboardInterrupt

    hedge.train("heat", whole, max_steps=6, **options)
    hedge.train("heat", parts, max_steps=6, on_cycle=interrupt, **options)
    hedge.train("heat", parts, max_steps=6, resume=True, **options)
    assert whole.read_bytes() == parts.read_bytes()
