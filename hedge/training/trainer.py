"""The trainer: Levenberg–Marquardt on points that follow the residual, watched on held-out points."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import torch

from hedge.errors import InputError
from hedge.problems import Problem
from hedge.training.levenberg import INITIAL_DAMPING, loss_of, parameters_of, step
from hedge.training.sampling import residual_based_points, uniform_points
from hedge.training.taylor import TORCH_MATH, Network, new_network

# A step in parameter form costs n P², one in kernel form n² P; either way these points suffice,
# because they are renewed all the time.
POINTS_PARAMETER_FORM = 3000
POINTS_KERNEL_FORM = 1000
STEPS_PER_CYCLE = 4
HELD_OUT_POINTS = 4000
# The held-out loss must fall by a tenth within so many cycles, or training has stalled.
PATIENCE = 60

HELD_OUT_SEED, POINTS_SEED, REFERENCE_SEED = 101, 202, 303

# A relative L2 error above this is no solution, whatever the loss says.
CONVERGED = 1e-2

Stopped = Literal["budget", "steps", "stalled"]


@dataclass(frozen=True)
class Run:
    """What defines a training run: with these and a step count, the result is always the same.

    Raises InputError for a width or depth below 1, or a negative seed.
    """

    problem: Problem
    width: int = 64
    depth: int = 3
    seed: int = 0

    def __post_init__(self) -> None:
        for name, least in (("width", 1), ("depth", 1), ("seed", 0)):
            value = getattr(self, name)
            if value < least:
                raise InputError(f"{name}: {value} is too small; at least {least}")


@dataclass(frozen=True)
class State:
    """All a run needs to go on from the end of a cycle.

    mark_loss is the held-out loss that the run must get a tenth below, mark_cycle when it was set.
    """

    network: Network
    best: Network
    best_loss: float
    mark_loss: float
    mark_cycle: int
    cycle: int
    damping: float
    seconds: float


@dataclass(frozen=True)
class Record:
    """What is known after a cycle: mean squared residuals on training and on held-out points."""

    step: int
    seconds: float
    train_loss: float
    held_out_loss: float


@dataclass(frozen=True)
class TrainingResult:
    """The network with the lowest held-out loss, and why training ended.

    relative_l2 is against the problem's reference on 10,000 points of their own.
    """

    run: Run
    network: Network
    steps: int
    seconds: float
    stopped: Stopped
    held_out_loss: float
    relative_l2: float
    parameters: int
    history: tuple[Record, ...]

    @property
    def converged(self) -> bool:
        """Whether the error against the reference is small enough to call this a solution."""
        return self.relative_l2 < CONVERGED


def initial_state(run: Run) -> State:
    """A fresh network before its first step."""
    network = new_network(run.problem, run.width, run.depth, run.seed)
    return State(network, network, float("inf"), float("inf"), 0, 0, INITIAL_DAMPING, 0.0)


def run_cycles(run: Run, state: State) -> Iterator[tuple[State, Record]]:
    """Cycles of a few steps on one set of points, for ever.

    Points depend on the seed, the cycle and the network only, so a resumed run is the same run.
    """
    problem, seed = run.problem, run.seed
    started = time.perf_counter() - state.seconds
    count = len(parameters_of(state.network))
    points_count = POINTS_PARAMETER_FORM if count <= POINTS_PARAMETER_FORM else POINTS_KERNEL_FORM
    held_out = uniform_points(problem, HELD_OUT_POINTS, _seed(seed, HELD_OUT_SEED))
    while True:
        cycle = state.cycle + 1
        points = residual_based_points(
            problem, state.network, points_count, _seed(seed, POINTS_SEED + 1000 * cycle)
        )
        network, damping = state.network, state.damping
        for _ in range(STEPS_PER_CYCLE):
            outcome = step(problem, network, points, damping)
            network, damping = outcome.network, outcome.damping
        held_out_loss = loss_of(problem, network, held_out)
        state = replace(
            state,
            network=network,
            cycle=cycle,
            # The last step found no descent on these points: start anew on the next ones.
            damping=damping if outcome.accepted else INITIAL_DAMPING,
            seconds=time.perf_counter() - started,
        )
        if held_out_loss < state.best_loss:
            state = replace(state, best=network, best_loss=held_out_loss)
        if held_out_loss < 0.9 * state.mark_loss:
            state = replace(state, mark_loss=held_out_loss, mark_cycle=cycle)
        yield state, Record(cycle * STEPS_PER_CYCLE, state.seconds, outcome.loss, held_out_loss)


def train(
    run: Run,
    *,
    budget_s: float = 120.0,
    max_steps: int | None = None,
    resume_from: State | None = None,
    on_cycle: Callable[[State, Record], None] | None = None,
) -> TrainingResult:
    """Train a tanh network of ``run.depth`` hidden layers of ``run.width`` on a problem's residual.

    Stops after ``budget_s`` seconds, after ``max_steps`` steps, or when the loss on held-out points
    stalls. With ``max_steps`` as the limit that ends it, the result depends on the run alone.
    ``on_cycle`` sees every cycle.

    Raises InputError for a budget or step count out of range.

    >>> from hedge.problems import find_problem
    >>> result = train(Run(find_problem("poisson"), width=8, depth=2), max_steps=4)
    >>> result.steps, result.stopped
    (4, 'steps')
    """
    if not budget_s > 0:
        raise InputError(f"budget: {budget_s:g} s is not positive; give the seconds to train for")
    if max_steps is not None and max_steps < 1:
        raise InputError(f"steps: {max_steps} is too small; at least 1")
    history: list[Record] = []
    stopped: Stopped | None = None
    cycles = run_cycles(run, resume_from or initial_state(run))
    while stopped is None:
        state, record = next(cycles)
        history.append(record)
        if on_cycle is not None:
            on_cycle(state, record)
        if max_steps is not None and record.step >= max_steps:
            stopped = "steps"
        elif state.cycle - state.mark_cycle >= PATIENCE:
            stopped = "stalled"
        elif state.seconds >= budget_s:
            stopped = "budget"
    return TrainingResult(
        run=run,
        network=state.best,
        steps=state.cycle * STEPS_PER_CYCLE,
        seconds=state.seconds,
        stopped=stopped,
        held_out_loss=state.best_loss,
        relative_l2=relative_l2(run.problem, state.best),
        parameters=len(parameters_of(state.best)),
        history=tuple(history),
    )


def solution(problem: Problem, network: Network, points: np.ndarray) -> np.ndarray:
    """u = offset + distance · N at ``points`` (n, d) -> (n, 1), float64."""
    x = torch.from_numpy(points)
    columns = x.unbind(1)
    with torch.no_grad():
        u = problem.distance(columns, TORCH_MATH)[:, None] * network(x)
        if problem.offset is not None:
            u = u + problem.offset(columns, TORCH_MATH)[:, None]
    return np.asarray(u.numpy())


def relative_l2(problem: Problem, network: Network) -> float:
    """‖u − reference‖ / ‖reference‖ on 10,000 uniform points."""
    points = problem.domain.sample(10_000, REFERENCE_SEED)
    reference = problem.reference(points)
    error = solution(problem, network, points) - reference
    return float(np.linalg.norm(error) / np.linalg.norm(reference))


def _seed(seed: int, stream: int) -> int:
    # Independent streams for one user seed, without collisions between neighbouring seeds.
    return int(np.random.SeedSequence((seed, stream)).generate_state(1)[0])
