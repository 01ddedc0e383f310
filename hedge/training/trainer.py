"""The trainer: cycles of a few steps on points that are renewed, watched on points that no step sees."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from torch import Tensor

from hedge.errors import InputError
from hedge.memory import keep_freed_memory
from hedge.problems import Problem
from hedge.training.constants import parameters_for
from hedge.training.finiteness import check_finite
from hedge.training.growth import Growth, GrowthState, grown, localized_errors, refined_widths
from hedge.training.judge import Judge, judge_of
from hedge.training.last_layer import FACTORS, least_damping, next_neurons
from hedge.training.loss import residuals
from hedge.training.network import (
    Network,
    new_network,
    parameters_of,
    rounded,
    with_parameters,
)
from hedge.training.objective import found_constants
from hedge.training.optimisers import Descent, Optimiser, descend, schedule
from hedge.training.points import Points, groups_of, network_inputs, place, solution_at
from hedge.training.run import (
    NetworkRecord,
    TrainingRun,
)
from hedge.training.sampling import attention, residual_based_points, sobol_points
from hedge.training.seeds import stream_seed
from hedge.training.sizes import first_method, rival_without_kernel, too_large
from hedge.training.terms import check_terms
from hedge.training.worst import SHARE

# Held-out losses so many times the training loss, so many cycles in a row, ask for more points; and so do
# those that have not halved in so many cycles, even where they are less above it.
OVERFIT, OVERFIT_CYCLES = 3.0, 3
SLOW_OVERFIT, SLOW_CYCLES = 1.5, 20
# The held-out loss must fall by a tenth within so many cycles, or the method has stalled.
PATIENCE_CYCLES = 100

POINTS_SEED, GROWTH_SEED, WORST_SEED, CONDITIONS_SEED, NEURONS_SEED = 202, 404, 505, 606, 808


@dataclass(frozen=True, eq=False)
class State:
    """All a run needs to go on from the end of a cycle.

    mark_loss is the held-out loss that the run must get a tenth below, mark_cycle when it was set;
    stalls counts the methods that have stalled; crowding says how often the points of a set have been
    doubled, overfits how many cycles in a row asked for it, halved_loss the held-out loss to halve before
    they are doubled, halved_cycle since when; attention (n,) weighs points that stay; progress is the same
    for a network that may grow; balance are the factors of the loss's terms beside the
    residual, by which the losses are told. earlier are the networks of the time windows before the one
    that is trained, earlier_losses their held-out losses.
    """

    descent: Descent
    best: Network
    method: Optimiser
    best_loss: float = math.inf
    mark_loss: float = math.inf
    mark_cycle: int = 0
    stalls: int = 0
    crowding: int = 0
    overfits: int = 0
    halved_loss: float = math.inf
    halved_cycle: int = 0
    cycle: int = 0
    seconds: float = 0.0
    attention: Tensor | None = None
    balance: tuple[float, ...] = ()
    progress: GrowthState = field(default_factory=GrowthState)
    earlier: tuple[Network, ...] = ()
    earlier_losses: tuple[float, ...] = ()


def initial_state(run: TrainingRun, widths: tuple[int, ...] | None = None) -> State:
    """A fresh network before its first step, of the run's widths or of those given."""
    middle = (run.problem.domain.lower + run.problem.domain.upper) / 2
    inputs = network_inputs(run.problem, torch.from_numpy(middle)[None]).shape[1]
    hidden = widths or run.hidden
    refusal = too_large(run, inputs, hidden)
    if refusal:
        raise InputError(refusal)
    fresh = new_network(
        inputs, hidden, run.seed, run.problem.outputs, groups=groups_of(run.problem, inputs)
    )
    constants = parameters_for(run.problem)
    network = replace(
        fresh,
        weights=tuple(w.to(run.device, run.dtype) for w in fresh.weights),
        biases=tuple(b.to(run.device, run.dtype) for b in fresh.biases),
        constants=None if constants is None else constants.to(run.device, run.dtype),
    )
    return State(Descent(network), network, first_method(run, network))


def continued_state(run: TrainingRun, network: Network) -> State:
    """A run that goes on from a network of its widths: none that is worse can be its result."""
    fresh = initial_state(run)
    own = with_parameters(fresh.best, parameters_of(network).to(run.device, run.dtype))
    judge = judge_of(run)
    state = _rebalanced(judge, replace(fresh, descent=Descent(own), best=own))
    loss = judge.loss(own, state.balance)
    return replace(state, best_loss=loss, mark_loss=loss)


def next_window(run: TrainingRun, state: State) -> State:
    """The start of the time window behind the one that ``state`` is in, whose best network is kept.

    The next one begins as that: what its neurons have learned to tell suits the time after, too.
    """
    best = state.best
    return State(
        Descent(best, state.descent.steps), best, first_method(run, best), seconds=state.seconds,
        earlier=(*state.earlier, best), earlier_losses=(*state.earlier_losses, state.best_loss),
    )  # fmt: skip


def run_cycles(
    run: TrainingRun,
    state: State,
    judge: Judge,
    budget_s: float = math.inf,
    max_steps: int | None = None,
) -> Iterator[tuple[State, NetworkRecord]]:
    """Cycles of some steps on one set of points, for ever; the budget and max_steps cut the last short.

    Points depend on the seed, the cycle and the network only, so a resumed run is the same run.
    """
    keep_freed_memory()
    started = time.perf_counter() - state.seconds
    check_finite(run.problem, state.descent.network, judge.terms)
    check_terms(run.problem, judge.terms)
    while True:
        if run.grow and state.progress.is_slow(state.cycle):
            state = _grown(run, state)
        elif has_stalled(state):
            state = _after_stall(run, state)
        if _is_to_be_balanced(state.cycle):
            state = _rebalanced(judge, state)
        state = _next_cycle(
            run, judge, state, max_steps, lambda: time.perf_counter() - started > budget_s
        )
        network = state.descent.network
        held_out_loss = judge.loss(network, state.balance)
        if held_out_loss < state.best_loss:
            state = replace(state, best=network, best_loss=held_out_loss)
        if held_out_loss < 0.9 * state.mark_loss:
            state = replace(state, mark_loss=held_out_loss, mark_cycle=state.cycle, stalls=0)
        if held_out_loss < 0.5 * state.halved_loss:
            state = replace(state, halved_loss=held_out_loss, halved_cycle=state.cycle)
        train_loss = state.descent.loss
        if state.attention is not None:
            train_loss /= float(state.attention.mean())
        progress = state.progress.after(state.cycle, held_out_loss)
        state = replace(state, progress=progress, seconds=time.perf_counter() - started)
        state = _with_more_points(run, state, train_loss, held_out_loss)
        errors = judge.errors(network)
        yield (
            state,
            NetworkRecord(
                step=state.descent.steps,
                seconds=state.seconds,
                train_loss=train_loss,
                held_out_loss=held_out_loss,
                relative_l2=None if errors is None else errors.relative_l2,
                method=state.method,
                widths=network.widths,
                by_field={} if errors is None else errors.by_field,
                unknowns=found_constants(run.problem, network),
            ),
        )


def has_stalled(state: State) -> bool:
    """Whether the method of now has brought next to nothing for too long."""
    patience = len(FACTORS) if state.method == "least-squares" else PATIENCE_CYCLES
    return state.cycle - state.mark_cycle >= patience


def _is_to_be_balanced(cycle: int) -> bool:
    """Before the cycles 1, 2, 3, 5, 9, …: ever more seldom, since a step is good for one balance only."""
    return cycle & (cycle - 1) == 0


def _rebalanced(judge: Judge, state: State) -> State:
    """With factors of the loss's terms that suit the network of now; losses are told by these."""
    if judge.objective.is_residual_alone:
        return state
    balance = judge.objective.balance(state.descent.network, judge.terms, state.cycle)
    if not math.isfinite(state.best_loss):
        return replace(state, balance=balance)
    loss = judge.loss(state.best, balance)

    def told_anew(mark: float) -> float:  # as far above the best as before, whatever tells losses
        return loss * (mark / state.best_loss) if state.best_loss > 0.0 else loss

    return replace(
        state, balance=balance, best_loss=loss, mark_loss=told_anew(state.mark_loss),
        halved_loss=told_anew(state.halved_loss),
        progress=replace(state.progress, mark_loss=told_anew(state.progress.mark_loss)),
    )  # fmt: skip


def _next_cycle(
    run: TrainingRun,
    judge: Judge,
    state: State,
    max_steps: int | None,
    out_of_time: Callable[[], bool],
) -> State:
    problem, network, cycle = run.problem, state.descent.network, state.cycle + 1
    work = schedule(state.method, len(parameters_of(network)), problem.outputs, problem.dimension)
    count = min(work.points * 2**state.crowding, work.most_points)
    weights = state.attention
    points = _points(run, network, cycle, count, evenly=state.crowding > 0)
    if run.sampling == "attention":
        weights = attention(weights, residuals(problem, network, points))
    left = math.inf if max_steps is None else max_steps - state.descent.steps
    steps = int(min(work.steps, left))
    seed = stream_seed(run.seed, CONDITIONS_SEED + 1000 * cycle)
    terms = judge.objective.terms(points, seed, state.balance, weights)
    descent = state.descent
    if state.method == "least-squares":
        descent = _with_new_neurons(run, state, points)
    descent = descend(problem, descent, terms, state.method, steps, out_of_time)
    if state.method == "least-squares":
        descent = replace(descent, network=rounded(descent.network, run.stored))
    return replace(state, descent=descent, cycle=cycle, attention=weights)


def _with_new_neurons(run: TrainingRun, state: State, points: Points) -> Descent:
    now = state.descent
    best = state.best if math.isfinite(state.best_loss) else None
    seed = stream_seed(run.seed, NEURONS_SEED + 1000 * state.cycle)
    turn = state.cycle - state.mark_cycle
    network = next_neurons(now.network, best, points.inputs[:, 0].T, turn, run.stored, seed)
    return replace(now, network=network, damping=least_damping(network, run.stored))


def _points(run: TrainingRun, network: Network, cycle: int, count: int, evenly: bool) -> Points:
    """Those of a cycle, of which some are drawn in the worst boxes if there are any."""
    if run.worst is not None:
        worst = round(SHARE * count)
        x = run.worst.points(worst, stream_seed(run.seed, WORST_SEED + 1000 * cycle))
        drawn = place(run.problem, torch.from_numpy(x).to(network.weights[0]))
        rest = _points(replace(run, worst=None), network, cycle, count - worst, evenly)
        return drawn.joined(rest)
    stays = run.sampling == "attention"
    seed = stream_seed(run.seed, POINTS_SEED + (0 if stays else 1000 * cycle))
    if run.sampling == "residual" and run.method != "least-squares":  # new neurons have none yet
        return residual_based_points(run.problem, network, count, seed, evenly=evenly)
    return sobol_points(run.problem, count, seed, network.weights[0])


def _with_more_points(
    run: TrainingRun, state: State, train_loss: float, held_out_loss: float
) -> State:
    """Sets of twice as many points where those of now are learned by heart, or no longer halve losses."""
    overfits = state.overfits + 1 if held_out_loss > OVERFIT * train_loss else 0
    size = len(parameters_of(state.descent.network))
    work = schedule(state.method, size, run.problem.outputs, run.problem.dimension)
    is_slow = state.cycle - state.halved_cycle >= SLOW_CYCLES
    are_too_few = overfits >= OVERFIT_CYCLES or (
        is_slow and held_out_loss > SLOW_OVERFIT * train_loss
    )
    if not are_too_few or work.points * 2**state.crowding >= work.most_points:
        return replace(state, overfits=overfits)
    crowding = state.crowding + 1
    return replace(state, overfits=0, crowding=crowding, halved_cycle=state.cycle, attention=None)


def _after_stall(run: TrainingRun, state: State) -> State:
    """From the best network on, with the other method if the choice is ours."""
    descent = Descent(state.best, state.descent.steps)
    method = state.method
    if run.method == "auto":
        method = "levenberg" if state.method != "levenberg" else rival_without_kernel(state.best)
    return replace(
        state, descent=descent, method=method, stalls=state.stalls + 1, mark_cycle=state.cycle,
        crowding=0, overfits=0, halved_cycle=state.cycle, attention=None,
    )  # fmt: skip


def _grown(run: TrainingRun, state: State) -> State:
    """From the best network on, with more neurons: the same function with more room."""
    best, errors = state.best, localized_errors(state.best)
    widths = refined_widths(best.widths, errors)
    if widths == best.widths or too_large(run, best.weights[0].shape[1], widths):
        return replace(state, progress=replace(state.progress, mark_cycle=state.cycle))
    network = grown(best, widths, stream_seed(run.seed, GROWTH_SEED + 1000 * state.cycle))
    steps = state.descent.steps
    growths = (*state.progress.growths, Growth(steps, best.widths, widths, errors))
    return replace(
        state, descent=Descent(network, steps), method=first_method(run, network),
        mark_cycle=state.cycle, stalls=0, crowding=0, overfits=0, halved_cycle=state.cycle, attention=None,
        progress=GrowthState(state.best_loss, state.cycle, growths),
    )  # fmt: skip


def solution(problem: Problem, network: Network, points: np.ndarray) -> np.ndarray:
    """The fields u = offset + distance · N at ``points`` (n, d) -> (n, m), float64."""
    x = torch.from_numpy(points).to(network.weights[0])
    return solution_at(problem, network, x).double().cpu().numpy()
