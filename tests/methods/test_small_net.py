from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

import hedge
from hedge.compression import Allowance, Case, output_error
from hedge.graph import load_model, split
from hedge.methods import Absent, Candidate, small_net, small_network
from hedge.methods.small_net import SHAPES
from hedge.problems import find_operator, find_problem
from hedge.training import State, TrainingRun, initial_state, marching, network_to_onnx, trainer
from tests.methods.cases import case_of


@pytest.fixture
def poisson() -> Case:
    model = load_model(hedge.reference_models()["poisson"])
    return case_of(model, 0.3, problem=find_problem("poisson"), allowance=Allowance(120))


def test_a_short_training_gives_a_network_that_runs(poisson: Case) -> None:
    found = small_network(poisson)
    assert isinstance(found, Candidate)
    sites = split(found.model).sites
    assert tuple(site.matrix.shape[0] for site in sites[:-1]) in SHAPES
    assert found.parameters == sum(site.matrix.parameters for site in sites)
    assert found.bytes == 4 * found.parameters
    fresh = initial_state(
        TrainingRun(find_problem("poisson")), tuple(len(s.matrix.bias) for s in sites[:-1])
    )
    untrained = network_to_onnx(find_problem("poisson"), fresh.best)
    now, before = (poisson.error_of(m, poisson.solution).relative for m in (found.model, untrained))
    assert now < 0.8 * before


def test_steps_and_a_seed_give_the_same_network_however_slow_the_machine_is(
    poisson: Case, hurry: Callable[[], None]
) -> None:
    case = replace(poisson, allowance=Allowance(24))
    first = small_network(case)
    hurry()
    again = small_network(case)
    assert isinstance(first, Candidate)
    assert isinstance(again, Candidate)
    assert again.model.SerializeToString() == first.model.SerializeToString()
    assert again.note == first.note


def test_a_budget_ends_it_after_the_first_rung(poisson: Case) -> None:
    case = replace(poisson, allowance=Allowance(10**6, budget_s=1e-9))
    found = small_network(case)
    assert isinstance(found, Candidate)
    assert "for 1 steps" in found.note


def train_as_told(monkeypatch: pytest.MonkeyPatch, errors: dict[tuple[int, ...], list[float]]):
    """Replaces training: a shape's error after its first rung, its second, …; returns what ran."""
    ran: list[tuple[tuple[int, ...], int]] = []

    def trained(
        case: Case, run: TrainingRun, state: State, steps: int, seconds: float
    ) -> small_net._Trainee:
        widths = state.best.widths
        rung = sum(shape == widths for shape, _ in ran)
        ran.append((widths, steps))
        model = network_to_onnx(run.problem, initial_state(run, widths).best)
        targets = np.ones((4000, 1))
        error = output_error(targets * (1 + errors[widths][rung]), targets)
        parameters = sum(site.matrix.parameters for site in split(model).sites)
        return small_net._Trainee(state, model, parameters, error)

    monkeypatch.setattr(small_net, "_trained_on", trained)
    return ran


def test_halving_trains_the_better_half_longer(
    poisson: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    a, b, c, d = SHAPES
    told = {a: [0.9], b: [0.7, 0.6], c: [0.8], d: [0.6, 0.4, 0.35]}
    ran = train_as_told(monkeypatch, told)
    found = small_network(poisson)
    assert [shape for shape, _ in ran] == [a, b, c, d, d, b, d]
    assert sum(steps for _, steps in ran) <= poisson.allowance.steps
    assert [steps for _, steps in ran] == [10, 10, 10, 10, 20, 20, 40]
    assert isinstance(found, Candidate)
    assert "20-20-20" in found.note  # none is within 0.3: the best found


def test_within_the_tolerance_only_smaller_shapes_go_on(
    poisson: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    a, b, c, d = SHAPES
    ran = train_as_told(monkeypatch, {a: [0.8, 0.2], b: [0.6], c: [0.29], d: [0.1]})
    found = small_network(poisson)
    assert [shape for shape, _ in ran] == [a, b, c, d, a]
    assert isinstance(found, Candidate)
    assert "3-8-11-9" in found.note


def test_a_residual_at_points_is_needed(poisson: Case) -> None:
    for problem in (None, find_operator("poisson-operator", 16)):
        found = small_network(replace(poisson, problem=problem))
        assert isinstance(found, Absent)
        assert "problem of the gallery" in found.reason


def test_ctrl_c_ends_the_comparison(poisson: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*what: object) -> None:
        monkeypatch.setattr(trainer, "_next_cycle", interrupted)

    def interrupted(*what: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(marching._March, "reason_to_stop", interrupt)
    with pytest.raises(KeyboardInterrupt):
        small_network(poisson)
