"""All optimisers and samplings through the trainer, and what happens when something goes wrong."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
import torch
from threadpoolctl import threadpool_info, threadpool_limits

import hedge
from hedge.errors import InputError
from hedge.problems import Domain, Problem, find_problem
from hedge.problems.conditions import vanishes
from hedge.problems.equations import Field, Math
from hedge.problems.stability import Stability
from hedge.training import State, TrainingRun, initial_state, train
from hedge.training.judge import judge_of
from hedge.training.loss import loss_and_gradient, mean_square
from hedge.training.network import new_network, parameters_of
from hedge.training.optimisers import Descent, Optimiser, descend
from hedge.training.run import NetworkRecord, Sampling
from hedge.training.sampling import sobol_points
from hedge.training.terms import Term
from hedge.training.trainer import _after_stall, _rebalanced, _with_more_points

HEAT = find_problem("heat")
SMALL = TrainingRun(HEAT, width=8, depth=2)


@pytest.mark.parametrize("method", get_args(Optimiser))
def test_every_method_lowers_the_loss(method: Optimiser) -> None:
    network = new_network(2, (8, 8), seed=0)
    points = sobol_points(HEAT, 300, 0, network.weights[0])
    weights = torch.linspace(0.5, 1.5, 300, dtype=torch.float64)
    terms = [Term(points, weights=weights)]
    before = mean_square(HEAT, network, terms)
    after = descend(HEAT, Descent(network), terms, method, 60)
    assert after.loss < 0.9 * before
    assert after.loss == pytest.approx(mean_square(HEAT, after.network, terms))


def test_blas_takes_one_thread_beside_those_of_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two pools of threads wait for each other: steps were seen to take ten times as long."""
    seen: set[int] = set()

    def look(*what: Any) -> tuple[float, torch.Tensor]:
        seen.update(one["num_threads"] for one in threadpool_info() if one["user_api"] == "blas")
        return loss_and_gradient(*what)

    monkeypatch.setattr("hedge.training.optimisers.loss_and_gradient", look)
    network = new_network(2, (4,), seed=0)
    points = sobol_points(HEAT, 50, 0, network.weights[0])
    with threadpool_limits(2, user_api="blas"):
        descend(HEAT, Descent(network), [Term(points)], "ssbroyden", 2)
    assert seen == {1}


@pytest.mark.parametrize("sampling", get_args(Sampling))
def test_every_sampling_trains(sampling: Sampling) -> None:
    result = train(replace(SMALL, sampling=sampling), max_steps=200)
    assert result.relative_l2 is not None
    assert result.relative_l2 < 5e-3


def test_float32_trains_and_writes_the_same_kind_of_network() -> None:
    result = train(replace(SMALL, precision="float32"), max_steps=300)
    assert parameters_of(result.network).dtype == torch.float32
    assert result.relative_l2 is not None
    assert result.relative_l2 < 2e-2


def test_a_stall_changes_the_method_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hedge.training.trainer.PATIENCE_CYCLES", 2)
    result = train(TrainingRun(find_problem("poisson"), width=1, depth=1), max_steps=10_000)
    methods = [record.method for record in result.history]
    assert methods[0] == "ssbroyden"
    assert methods[-1] == "levenberg"
    assert result.stopped == "stalled"


def test_sets_of_points_grow_when_they_are_learned_by_heart(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("hedge.training.trainer.OVERFIT", 0.0)
    states: list[State] = []
    train(
        replace(SMALL, method="levenberg"),
        max_steps=44,
        on_cycle=lambda state, record: states.append(state),
    )
    assert [state.crowding for state in states] == [0] * 2 + [1] * 9  # 6,000 points at most


def test_sets_of_points_grow_where_losses_no_longer_halve(monkeypatch: pytest.MonkeyPatch) -> None:
    """As often as sets may be doubled, each time after some cycles, and the clock starts anew."""
    monkeypatch.setattr("hedge.training.trainer.OVERFIT", math.inf)
    monkeypatch.setattr("hedge.training.trainer.SLOW_OVERFIT", 1.0)
    monkeypatch.setattr("hedge.training.trainer.SLOW_CYCLES", 3)
    seen: list[tuple[int, State, float]] = []
    run = TrainingRun(find_problem("poisson"), width=2, depth=1)
    train(
        run,
        max_steps=1200,
        on_cycle=lambda state, r: seen.append((state.cycle, state, r.held_out_loss / r.train_loss)),
    )
    grown = [
        (cycle, gap)
        for (_, before, _), (cycle, state, gap) in pairwise(seen)
        if state.crowding > before.crowding
    ]
    assert len(grown) >= 2
    assert all(gap > 1.0 for _, gap in grown)
    assert all(later - earlier >= 3 for (earlier, _), (later, _) in pairwise(grown))


def test_the_clock_of_sets_is_their_own_and_starts_anew_after_a_stall() -> None:
    """A network that may grow waits no longer because its sets of points do."""
    run = TrainingRun(find_problem("poisson"), width=2, depth=1)
    slow = replace(initial_state(run), cycle=64, best_loss=1.0, mark_loss=1.0)
    grown = _with_more_points(run, slow, 1.0, 1.6)
    assert (grown.crowding, grown.halved_cycle, grown.progress) == (1, 64, slow.progress)
    assert _with_more_points(run, slow, 1.0, 1.4).crowding == 0
    stalled = _after_stall(run, replace(slow, crowding=2))
    assert _with_more_points(run, replace(stalled, cycle=65), 1.0, 1.6).crowding == 0


def test_marks_stay_as_far_above_the_best_when_losses_are_told_anew() -> None:
    run = TrainingRun(find_problem("heat-inverse"), width=4, depth=1)
    judge = judge_of(run)
    state = _rebalanced(judge, initial_state(run))
    loss = judge.loss(state.best, state.balance)
    progress = replace(state.progress, mark_loss=8.0 * loss)
    known = replace(
        state, best_loss=loss, mark_loss=2.0 * loss, halved_loss=4.0 * loss, progress=progress, cycle=1,
        descent=Descent(initial_state(replace(run, seed=1)).best),
    )  # fmt: skip
    told = _rebalanced(judge, known)
    assert told.balance != known.balance
    marks = (told.mark_loss, told.halved_loss, told.progress.mark_loss)
    assert marks == pytest.approx([k * told.best_loss for k in (2.0, 4.0, 8.0)], rel=1e-12)
    assert told.best_loss != known.best_loss


def _custom(**changes: object) -> Problem:
    """u_x + u = 0 with u(0) = 1."""
    plain = Problem(
        name="decay",
        title="exponential decay",
        inputs="x",
        domain=Domain(((0.0, 2.0),)),
        derivatives=("u", "u_x"),
        residual=lambda x, d, math_: d["u_x"] + d["u"],
        offset=lambda x, math_: 1.0 + 0.0 * x[0],
        distance=lambda x, math_: x[0],
    )
    return replace(plain, **changes)


def test_a_problem_of_ones_own_needs_no_reference() -> None:
    result = hedge.train(_custom(), width=6, depth=1, max_steps=300)
    assert result.relative_l2 is None
    assert result.converged is None
    x = np.linspace(0, 2, 50)[:, None]
    found = hedge.training.solution(_custom(), result.network, x)
    assert np.abs(found - np.exp(-x)).max() < 1e-4


def _not_finite(x: Sequence[Field], d: Mapping[str, Field], math_: Math) -> Field:
    return d["u_x"] + math_.log(x[0] - 1.0)


@pytest.mark.parametrize(
    ("residual", "message"),
    [
        (lambda x, d, math_: d["u_x"].sum(), "one number for each"),
        (lambda x, d, math_: d["u_x"][:3], "one number for each"),
        (lambda x, d, math_: 0.0, "float"),
        (_not_finite, "not finite at"),
    ],
)
def test_residuals_of_the_wrong_kind_are_refused(residual: object, message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        train(TrainingRun(_custom(residual=residual), width=4, depth=1), max_steps=100)
    assert "'decay'" in str(caught.value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"distance": lambda x, math_: x[0][:, None]}, "its distance returned"),
        ({"offset": lambda x, math_: "1"}, "its offset returned"),
        ({"features": lambda x, math_: []}, "no features"),
        ({"features": lambda x, math_: [x[0].sum()]}, "its features returned"),
        ({"residual": lambda x, d, math_: d["u_xx"]}, "'u_xx'; name it in derivatives"),
        ({"residual": lambda x, d, math_: x[0]}, "does not depend on the solution"),
        ({"reference": lambda x: x[:, 0]}, "its reference returned"),
        ({"reference": lambda x: 0.0 * x}, "its reference is zero everywhere"),
    ],
)
def test_functions_that_return_what_they_should_not_are_refused(
    change: dict[str, object], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        train(TrainingRun(_custom(**change), width=4, depth=1), max_steps=2)


def test_a_plain_number_is_a_field() -> None:
    problem = _custom(offset=lambda x, math_: 1.0)
    assert train(TrainingRun(problem, width=6, depth=1), max_steps=100).held_out_loss < 1e-2


def test_what_can_t_be_exported_is_refused_before_training(tmp_path: Path) -> None:
    problem = _custom(distance=lambda x, math_: math_.tanh(x[0]))
    with pytest.raises(InputError, match="can't be written as a graph"):
        hedge.train(problem, tmp_path / "m.onnx", width=4, depth=1)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "run",
    [
        TrainingRun(HEAT, width=100_000),
        TrainingRun(HEAT, width=64, depth=4, method="ssbroyden"),
    ],
    ids=["parameters", "inverse"],
)
def test_networks_too_large_for_the_memory_are_refused(run: TrainingRun) -> None:
    with pytest.raises(InputError, match="fewer neurons"):
        train(run)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"derivatives": ("u", "u_y")}, "u_y"),
        ({"derivatives": ("u_",)}, "'u_'"),
        ({"derivatives": ("u", "u_xxxxx")}, "fourth derivatives"),
        ({"derivatives": ("v",)}, "'v'"),
        ({"inputs": "xy"}, "2 letters"),
        ({"inputs": ("x",)}, "must be letters in a text"),
        ({"domain": ((0.0, 1.0),)}, "must be a Domain; write for example Domain"),
        ({"name": ""}, "problem '': its name must be a text of one line"),
        ({"name": 5}, "problem 5: its name must be a text"),
        ({"name": "a\nb"}, "its name must be a text of one line"),
        ({"title": "a\nb"}, "title 'a.*b' must be a text of one line"),
        ({"inputs": "xx", "domain": Domain(((0.0, 1.0), (0.0, 1.0)))}, "twice"),
        ({"conditions": (vanishes("u", "z", 0),)}, "condition 1 is at ends of 'z'"),
        ({"conditions": (vanishes("u", "x", 0, 0),)}, r"condition 1 has the ends \(0, 0\)"),
        ({"conditions": (vanishes("u_z", "x", 0),)}, "'u_z' is unknown"),
        ({"stability": (Stability("L2", "z", "L2", lambda e: 1.0, "T"),)}, "'T' is over 'z'"),
        ({"stability": (Stability("max", "", "L2", lambda e: 1.0, "T"),) * 2}, "'T' twice"),
    ],
)
def test_problems_that_make_no_sense_are_refused(change: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        _custom(**change)


def test_divergence_keeps_the_last_good_network(monkeypatch: pytest.MonkeyPatch) -> None:
    from hedge.training import optimisers

    honest = optimisers.descend
    calls = 0

    def broken(problem: Problem, now: Descent, *rest: object) -> Descent:
        nonlocal calls
        calls += 1
        after = honest(problem, now, *rest)  # type: ignore[arg-type]
        if calls < 3:
            return after
        bad = tuple(w * math.nan for w in after.network.weights)
        return replace(after, network=replace(after.network, weights=bad))

    monkeypatch.setattr("hedge.training.trainer.descend", broken)
    records: list[NetworkRecord] = []
    result = train(
        replace(SMALL, method="adam"), max_steps=1000, on_cycle=lambda s, r: records.append(r)
    )
    assert result.stopped == "diverged"
    assert len(records) == 3
    assert records[-1].as_dict()["held_out_loss"] is None
    assert result.held_out_loss == min(record.held_out_loss for record in records[:2])
    assert torch.isfinite(parameters_of(result.network)).all()


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"method": "newton"}, "method"),
        ({"sampling": "grid"}, "sampling"),
        ({"precision": "float16"}, "precision"),
        ({"accelerator": "tpu"}, "accelerator"),
    ],
)
def test_unknown_choices_are_refused_with_the_known(change: dict[str, str], named: str) -> None:
    with pytest.raises(InputError, match=f"{named}: .* is not one of"):
        replace(SMALL, **change)  # type: ignore[arg-type]


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has CUDA")
def test_cuda_is_refused_where_there_is_none() -> None:
    with pytest.raises(InputError, match="cuda is not available"):
        replace(SMALL, accelerator="cuda")


@pytest.mark.parametrize("budget", [0.0, -1.0, math.nan])
def test_budgets_that_are_not_positive_are_refused(budget: float) -> None:
    with pytest.raises(InputError, match="budget"):
        train(SMALL, budget_s=budget)
