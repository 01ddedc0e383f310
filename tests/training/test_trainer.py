"""Training as a user sees it: errors reached, repeatability, resuming, and the file written."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import get_args

import numpy as np
import onnxruntime
import pytest
import torch

import hedge
from hedge.errors import InputError, ModelError, OutputError
from hedge.files import OwnFile
from hedge.names import checkpoint_of
from hedge.problems import find_problem
from hedge.training import (
    TrainingRun,
    load_checkpoint,
    network_to_onnx,
    save_checkpoint,
    solution,
    train,
)
from hedge.training.checkpoint import checkpoint_bytes
from hedge.training.checkpoint_file import Checkpointer
from hedge.training.judge import judge_of
from hedge.training.loss import loss_and_gradient
from hedge.training.network import parameters_of, with_parameters
from hedge.training.optimisers import ADAM_RATE, Descent, Optimiser, descend
from hedge.training.run import NetworkRecord, Precision
from hedge.training.sampling import sobol_points
from hedge.training.terms import Term
from hedge.training.trainer import State, initial_state, run_cycles


@pytest.mark.parametrize(
    ("name", "sizes", "steps", "target"),
    [
        ("poisson", (12, 2), 200, 1e-5),
        ("heat", (12, 2), 400, 3e-4),
        ("burgers", (20, 4), 800, 5e-3),
    ],
)
def test_training_reaches_its_error(
    name: str, sizes: tuple[int, int], steps: int, target: float
) -> None:
    result = train(TrainingRun(find_problem(name), *sizes), max_steps=steps)
    assert result.relative_l2 < target
    assert result.converged


def test_a_seed_and_a_step_count_fix_the_result() -> None:
    run = TrainingRun(find_problem("heat"), width=8, depth=2, seed=5)
    first, again = (train(run, max_steps=60) for _ in range(2))
    other = train(replace(run, seed=6), max_steps=60)
    assert torch.equal(parameters_of(first.network), parameters_of(again.network))
    assert not torch.equal(parameters_of(first.network), parameters_of(other.network))


@pytest.mark.parametrize("precision", get_args(Precision))
def test_a_resumed_run_is_the_run_it_resumes(precision: Precision, tmp_path: Path) -> None:
    run = TrainingRun(find_problem("heat"), width=8, depth=2, precision=precision)
    states: list[State] = []
    straight = train(run, max_steps=300, on_cycle=lambda state, record: states.append(state))
    path = tmp_path / "model.onnx.checkpoint"
    save_checkpoint(path, run, states[1])
    resumed = train(run, max_steps=300, resume_from=load_checkpoint(path, run))
    assert torch.equal(parameters_of(straight.network), parameters_of(resumed.network))
    assert resumed.steps == 300


@pytest.mark.parametrize("method", get_args(Optimiser))
def test_every_method_goes_on_bit_for_bit(method: Optimiser, tmp_path: Path) -> None:
    run = TrainingRun(find_problem("heat"), width=4, depth=2, method=method)
    states: list[State] = []
    steps = 20 if method == "levenberg" else 250
    straight = train(run, max_steps=steps, on_cycle=lambda state, record: states.append(state))
    save_checkpoint(tmp_path / "c", run, states[1])
    resumed = train(run, max_steps=steps, resume_from=load_checkpoint(tmp_path / "c", run))
    assert torch.equal(parameters_of(straight.network), parameters_of(resumed.network))


def test_adam_goes_on_across_sets_of_points_as_torch_does() -> None:
    """Two sets of points, and torch's Adam on the same gradients."""
    problem = find_problem("heat")
    now = Descent(initial_state(TrainingRun(problem, width=4, depth=1)).best)
    variable = parameters_of(now.network).clone().requires_grad_()
    optimizer = torch.optim.Adam([variable], lr=ADAM_RATE)
    for seed in (1, 2):
        terms = (Term(sobol_points(problem, 64, seed, now.network.weights[0])),)
        now = descend(problem, now, terms, "adam", 20)
        for _ in range(20):
            at = with_parameters(now.network, variable.detach())
            variable.grad = loss_and_gradient(problem, at, terms)[1]
            optimizer.step()
    torch.testing.assert_close(
        parameters_of(now.network), variable.detach(), rtol=1e-12, atol=1e-14
    )


def test_lbfgs_remembers_steps_on_earlier_sets_of_points() -> None:
    problem = find_problem("heat")
    now = Descent(initial_state(TrainingRun(problem, width=4, depth=1)).best)
    for seed, remembered in ((1, 8), (2, 16)):
        terms = (Term(sobol_points(problem, 64, seed, now.network.weights[0])),)
        now = descend(problem, now, terms, "lbfgs", 8)
        assert now.memory is not None
        assert now.memory.shape[:2] == (2, remembered)


def test_the_best_network_on_held_out_points_is_kept() -> None:
    result = train(TrainingRun(find_problem("heat"), width=4, depth=1), max_steps=500)
    assert result.held_out_loss == min(record.held_out_loss for record in result.history)


def test_too_little_training_is_reported_as_not_converged() -> None:
    result = train(TrainingRun(find_problem("burgers"), width=6, depth=2), max_steps=4)
    assert not result.converged
    assert result.stopped == "steps"


def test_slow_but_steady_progress_is_not_a_stall(monkeypatch: pytest.MonkeyPatch) -> None:
    """Losses that fall by 5 % a cycle never fall by a tenth at once, and are fine."""
    losses = iter(0.95**i for i in range(1000))
    monkeypatch.setattr("hedge.training.judge.mean_square", lambda *_: next(losses))
    monkeypatch.setattr("hedge.training.trainer.PATIENCE_CYCLES", 4)
    run = TrainingRun(find_problem("heat"), width=2, depth=1, method="levenberg")
    assert train(run, max_steps=80).stopped == "steps"


def test_a_stalled_run_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hedge.training.trainer.PATIENCE_CYCLES", 2)
    result = train(TrainingRun(find_problem("poisson"), width=1, depth=1), max_steps=6000)
    assert result.stopped == "stalled"


@pytest.mark.parametrize("name", ["burgers", "burgers-half", "heat", "poisson"])
def test_the_onnx_file_agrees_with_torch(name: str) -> None:
    problem = find_problem(name)
    network = train(TrainingRun(problem, width=16, depth=3), max_steps=24).network
    model = network_to_onnx(problem, network)
    points = problem.domain.sample(5000, 9).astype(np.float32)
    session = onnxruntime.InferenceSession(model.SerializeToString())
    (found,) = session.run(None, {"x": points})
    expected = solution(problem, network, points.astype(np.float64))
    assert found.dtype == np.float32
    assert np.linalg.norm(found - expected) < 1e-6 * np.linalg.norm(expected)


def test_train_writes_a_model_and_removes_its_checkpoint(tmp_path: Path) -> None:
    out = tmp_path / "heat.onnx"
    hedge.train("heat", out, width=6, depth=2, max_steps=4)
    assert [path.name for path in tmp_path.iterdir()] == ["heat.onnx"]
    with pytest.raises(OutputError, match="exists already"):
        hedge.train("heat", out, width=6, depth=2, max_steps=4)


def test_checkpoints_of_other_runs_and_damaged_ones_are_refused(tmp_path: Path) -> None:
    run = TrainingRun(find_problem("heat"), width=6, depth=2)
    path = checkpoint_of(tmp_path / "m.onnx")
    with pytest.raises(ModelError, match="no checkpoint"):
        load_checkpoint(path, run)
    state, _ = next(run_cycles(run, initial_state(run), judge_of(run)))
    save_checkpoint(path, run, state)
    with pytest.raises(ModelError, match="another run"):
        load_checkpoint(path, replace(run, seed=1))
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(ModelError, match="no checkpoint of hedge"):
        load_checkpoint(path, run)


@pytest.mark.parametrize("bad", [{"width": 0}, {"depth": 0}, {"seed": -1}])
def test_bad_sizes_are_refused(bad: dict[str, int]) -> None:
    with pytest.raises(InputError, match=next(iter(bad))):
        TrainingRun(find_problem("heat"), **bad)


def test_the_first_cycle_leaves_a_checkpoint_and_others_follow_by_the_clock(tmp_path: Path) -> None:
    """Every ten seconds, or fifty times as long as the last one took to write."""
    run = TrainingRun(find_problem("heat"), width=3, depth=1)
    path, now, passes_s = tmp_path / "m.onnx.checkpoint", 0.0, 0.0
    states = [state for state, _ in islice(run_cycles(run, initial_state(run), judge_of(run)), 5)]

    def clock() -> float:
        nonlocal now
        now += passes_s  # from one look at the clock to the next, so while it is written
        return now

    def steps_after(cycle: int, at: float) -> int:
        nonlocal now
        now = at
        watch(states[cycle], record)
        return load_checkpoint(path, run).descent.steps

    record = NetworkRecord(0, 0.0, 0.0, 0.0, None, "ssbroyden", (3,))
    watch = Checkpointer(OwnFile(path), partial(checkpoint_bytes, run), None, clock)
    steps = [state.descent.steps for state in states]
    assert steps_after(0, at=0.0) == steps[0]
    assert steps_after(1, at=9.9) == steps[0]
    passes_s = 1.0
    assert steps_after(2, at=10.1) == steps[2]
    assert steps_after(3, at=59.0) == steps[2]
    assert steps_after(4, at=65.0) == steps[4]
    watch.remove()
    assert not path.exists()


def test_a_flipped_bit_in_a_checkpoint_is_noticed(tmp_path: Path) -> None:
    run = TrainingRun(find_problem("heat"), width=3, depth=1)
    path = tmp_path / "m.onnx.checkpoint"
    state, _ = next(run_cycles(run, initial_state(run), judge_of(run), max_steps=3))
    save_checkpoint(path, run, state)
    whole = path.read_bytes()
    assert load_checkpoint(path, run).descent.steps == 3
    for position in range(0, len(whole), 37):
        path.write_bytes(whole[:position] + bytes([whole[position] ^ 1]) + whole[position + 1 :])
        with pytest.raises(ModelError):
            load_checkpoint(path, run)


def test_another_problem_of_the_same_name_is_not_resumed() -> None:
    run = TrainingRun(find_problem("heat"), width=4, depth=1)
    state, _ = next(run_cycles(run, initial_state(run), judge_of(run), max_steps=10))
    other = replace(run.problem, residual=lambda x, d, math: d["u_t"] - d["u_xx"])
    with pytest.raises(InputError, match="same name"):
        train(replace(run, problem=other), max_steps=20, resume_from=state)
    with pytest.raises(InputError, match="at least 11"):
        train(run, max_steps=10, resume_from=state)
