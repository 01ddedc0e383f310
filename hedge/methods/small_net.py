"""A small dense network trained from scratch, where the equation is known."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from onnx import ModelProto

from hedge.compression import Case, ErrorEstimate
from hedge.devices import BYTES_PER_FLOAT
from hedge.methods.candidate import Absent, Candidate
from hedge.problems import Problem
from hedge.recovery import Work

if TYPE_CHECKING:
    from hedge.training import State, TrainingRun

# Few neurons first, more later: such widths did best on Burgers of all tried at their size.
SHAPES = ((3, 8, 11, 9), (3, 10, 20, 16), (12, 12, 12), (20, 20, 20))


@dataclass(frozen=True)
class _Trainee:
    """A shape on its way: where its training stands, and how good its best network is."""

    state: State
    model: ModelProto
    parameters: int
    error: ErrorEstimate


def small_network(case: Case) -> Candidate | Absent:
    """The smallest of a few shapes that gets within the tolerance when trained on the residual.

    Successive halving (Jamieson and Talwalkar, 2016): each rung has an equal part of the steps,
    shared by the shapes still in, and the half with the larger error leaves. Once a shape is within
    the tolerance, only smaller ones go on. Errors are against the reference where there is one, for
    such a network knows the equation and not the dense model.
    """
    problem = case.problem
    if not isinstance(problem, Problem):
        return Absent("needs a problem of the gallery, whose residual it is trained on")
    try:
        from hedge import training
    except ModuleNotFoundError as error:
        if error.name != "torch":
            raise
        return Absent("needs torch: pip install 'hedge-pinn[train]'")
    run = training.TrainingRun(problem, seed=case.request.seed, windows=1)
    contenders = [training.initial_state(run, widths) for widths in SHAPES]
    rungs, work = len(SHAPES).bit_length(), Work(case.allowance)
    done: list[_Trainee] = []
    for _ in range(rungs):
        steps = max(1, case.allowance.steps // (rungs * len(contenders)))
        trained = [_trained_on(case, run, state, steps, work.seconds_left) for state in contenders]
        done += trained
        limit = min((t.parameters for t in done if _is_within(case, t)), default=math.inf)
        smaller = sorted(
            (t for t in trained if t.parameters < limit), key=lambda t: t.error.relative
        )
        contenders = [t.state for t in smaller[: len(trained) // 2]]
        if not contenders or work.is_over():
            break
    return _candidate(case, done)


def _trained_on(case: Case, run: TrainingRun, state: State, steps: int, seconds: float) -> _Trainee:
    from hedge import training

    seen = [state]
    result = training.train(
        run,
        # At least one cycle, where no time is left.
        budget_s=state.seconds + max(seconds, 1e-9),
        max_steps=state.descent.steps + steps,
        resume_from=state,
        on_cycle=lambda state, record: seen.append(state),
    )
    if result.stopped == "interrupted":
        raise KeyboardInterrupt
    model = training.result_to_onnx(result)
    return _Trainee(seen[-1], model, result.parameters, case.error_of(model, case.solution))


def _is_within(case: Case, trainee: _Trainee) -> bool:
    return trainee.error.surely_within(case.request.tolerance)


def _candidate(case: Case, done: list[_Trainee]) -> Candidate:
    closest = min(done, key=lambda t: t.error.relative)
    within = [trainee for trainee in done if _is_within(case, trainee)]
    best = min(within, key=lambda t: t.parameters, default=closest)
    widths = "-".join(map(str, best.state.best.widths))
    return Candidate(
        model=best.model,
        parameters=best.parameters,
        bytes=BYTES_PER_FLOAT * best.parameters,
        note=f"widths {widths}, trained on the residual for {best.state.descent.steps} steps, "
        f"the best of {len(SHAPES)} shapes",
    )
