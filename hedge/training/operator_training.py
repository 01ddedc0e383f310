"""Training operators: the energy of random sources, minimised by preconditioned conjugate gradients.

The energy E[½ uᵀ B u − fᵀ u] of a linear layer u = S f is quadratic in S: with C = E[f fᵀ] it is
½ ⟨S, B S C⟩ − ⟨S, C⟩, its gradient B S C − C. So the sources enter through their second moment alone,
and the proper optimiser is the conjugate gradient method over all n² entries of S at once. Steps are
measured in a multilevel norm (:mod:`hedge.training.multilevel`); neither B nor C is ever inverted
and no solution is used.
What is trained is one matrix, in the map composed of it.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np
from onnx import ModelProto

from hedge.arrays import Array
from hedge.errors import HedgeError, InputError
from hedge.problems import OperatorProblem
from hedge.training.conjugate_gradients import Iterate, advance, start
from hedge.training.multilevel import Multilevel, multilevel
from hedge.training.operator_network import OperatorNetwork, operator_network_to_onnx
from hedge.training.run import Record, Stopped, seconds_allowed, until_stopped
from hedge.training.seeds import stream_seed

# A pass of 3 sources per sensor loads every node once. Three passes make the second moment's condition
# number about 5 at every size; on the smallest grids a pass is larger, so that chance does not rule.
PASSES, SOURCES_PER_SENSOR, LEAST_SOURCES = 3, 3, 64
HELD_OUT_SOURCES, REFERENCE_SOURCES = 128, 512
STEPS_PER_CYCLE = 4
# Held-out losses: that of u = 0 is 1. float32 files can't keep an error below the first.
CONVERGED_LOSS, DIVERGED_LOSS = 1e-13, 1e2
# The held-out loss must fall by a tenth within so many cycles, or training has stalled.
PATIENCE = 10
# A relative L2 error above this is no solution operator.
CONVERGED = 1e-4

HELD_OUT_STREAM, REFERENCE_STREAM, TRAINING_STREAM = 11, 22, 33  # the last one and following


@dataclass(frozen=True)
class OperatorResult:
    """The network with the lowest held-out loss, and why training ended.

    relative_l2 is against the problem's reference on 512 sources of their own.
    """

    network: OperatorNetwork
    seed: int
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


class DivergenceError(HedgeError):
    """Training left the finite numbers, or the energy has no least value.

    ``best`` is the network with the lowest held-out loss before that, None if there was none.
    """

    def __init__(self, message: str, best: OperatorNetwork | None) -> None:
        super().__init__(message)
        self.best = best


def train_operator(
    problem: OperatorProblem,
    *,
    seed: int = 0,
    budget_s: float | None = None,
    max_steps: int | None = None,
    resume_from: OperatorState | None = None,
    on_cycle: Callable[[OperatorState, Record], None] | None = None,
) -> OperatorResult:
    """Train an operator on the energy of random sources that include point loads; no solution data.

    Stops when the held-out residual is 3e-7, after ``max_steps`` steps, when the held-out loss stalls,
    after ``budget_s`` seconds (120 where neither is given), or on Ctrl-C; the best network so far is the
    result in each case. Steps are done and seen by ``on_cycle`` in cycles of four, the last of which
    ``max_steps`` may cut short; ``resume_from`` is what it has seen of the same problem and seed. Both losses
    are 1 for S = 0 and 0 for a solution: the squared gradient of the energy, and the squared residual of the
    layer's equation, B S f − f, over unseen sources, each in the multilevel norm, relative to S = 0. Unless
    seconds or Ctrl-C end it, the result depends on the problem and the seed alone. Of the nonlinear problem,
    the linear part is trained; relative_l2 is that of the whole unrolled map.

    Raises InputError for a budget, step count or seed out of range and sources that are not finite,
    DivergenceError, which holds the best network so far, if a loss is no longer finite or the layer's
    matrix is not positive definite; KeyboardInterrupt before the end of the first cycle.

    >>> from hedge.problems import poisson_operator
    >>> result = train_operator(poisson_operator(16))
    >>> result.stopped, result.relative_l2 < 1e-6
    ('converged', True)
    """
    seconds = seconds_allowed(budget_s, max_steps)
    _check_arguments(seed, max_steps, done=0 if resume_from is None else resume_from.steps)
    state, history, stopped = until_stopped(
        _cycles(problem, seed, max_steps, resume_from),
        lambda state, record: _reason_to_stop(state, record, seconds, max_steps),
        on_cycle,
    )
    return OperatorResult(
        network=state.best,
        seed=seed,
        steps=history[-1].step,
        seconds=history[-1].seconds,
        stopped=stopped,
        held_out_loss=state.best_loss,
        relative_l2=_operator_error(state.best, stream_seed(seed, REFERENCE_STREAM)),
        parameters=state.best.layer.size,
        history=history,
    )


@dataclass(frozen=True, eq=False)
class OperatorState:
    """The end of a cycle: where the descent stands, the best network so far, and how it goes.

    mark_loss is the held-out loss that the run must get a tenth below, stale_cycles the cycles since it was
    set.
    """

    descent: Iterate
    best: OperatorNetwork
    best_loss: float = math.inf
    mark_loss: float = math.inf
    stale_cycles: int = 0
    steps: int = 0
    seconds: float = 0.0


def _cycles(
    problem: OperatorProblem, seed: int, max_steps: int | None, state: OperatorState | None
) -> Iterator[tuple[OperatorState, Record]]:
    """Cycles of a few steps, for ever, from the start or a state on; max_steps cuts the last one short."""
    started = time.perf_counter() - (0.0 if state is None else state.seconds)
    moment = _second_moment(problem, seed)
    hierarchy = multilevel(problem.layer)
    held_out = _HeldOut.of(problem, hierarchy, stream_seed(seed, HELD_OUT_STREAM))
    if state is None:
        descent = start(hierarchy, moment)
        state = OperatorState(descent, OperatorNetwork(problem, descent.layer))
    while True:
        left = STEPS_PER_CYCLE if max_steps is None else max_steps - state.steps
        count = max(1, min(STEPS_PER_CYCLE, left))
        descent = state.descent
        for _ in range(count):
            descent = advance(problem, hierarchy, moment, descent)
        loss = held_out.loss(descent.layer)
        if not (math.isfinite(descent.loss) and loss < DIVERGED_LOSS):
            raise _diverged(problem, state, count, descent.loss, loss)
        state = _after(state, descent, loss, count, time.perf_counter() - started)
        yield state, Record(state.steps, state.seconds, descent.loss, loss)


def _after(
    state: OperatorState, descent: Iterate, loss: float, steps: int, seconds: float
) -> OperatorState:
    """The state after a cycle of so many steps, which led to this held-out loss."""
    now = replace(
        state, descent=descent, stale_cycles=state.stale_cycles + 1, steps=state.steps + steps,
        seconds=seconds,
    )  # fmt: skip
    if loss < state.best_loss:
        best = OperatorNetwork(state.best.problem, descent.layer)
        now = replace(now, best=best, best_loss=loss)
    return replace(now, mark_loss=loss, stale_cycles=0) if loss < 0.9 * state.mark_loss else now


def _reason_to_stop(
    state: OperatorState, record: Record, budget_s: float, max_steps: int | None
) -> Stopped | None:
    if record.held_out_loss <= CONVERGED_LOSS:
        return "converged"
    if max_steps is not None and record.step >= max_steps:
        return "steps"
    if state.stale_cycles >= PATIENCE:
        return "stalled"
    return "budget" if record.seconds >= budget_s else None


def _operator_error(network: OperatorNetwork, seed: int) -> float:
    """‖u − reference‖ / ‖reference‖ over 512 random sources."""
    sources = network.problem.sample(REFERENCE_SOURCES, seed)
    reference = network.problem.reference(sources)
    return float(np.linalg.norm(network(sources) - reference) / np.linalg.norm(reference))


def operator_to_onnx(result: OperatorResult) -> ModelProto:
    """The trained operator as a float32 model, with how it was trained in its metadata."""
    training = {
        "sensors": result.network.problem.sensors,
        "seed": result.seed,
        "steps": result.steps,
        "stopped": result.stopped,
        "relative_l2": result.relative_l2,
        "held_out_loss": result.held_out_loss,
    }
    return operator_network_to_onnx(result.network, {"hedge.training": json.dumps(training)})


@dataclass(frozen=True)
class _HeldOut:
    """Unseen sources as columns (n, count), and the squared residual that u = 0 has on them."""

    problem: OperatorProblem
    hierarchy: Multilevel
    sources: Array
    scale: float

    @classmethod
    def of(cls, problem: OperatorProblem, hierarchy: Multilevel, seed: int) -> _HeldOut:
        sources = problem.sources(HELD_OUT_SOURCES, seed).T.copy()
        return cls(problem, hierarchy, sources, _square(hierarchy, sources))

    def loss(self, layer: Array) -> float:
        """Σ rᵀ M r / Σ fᵀ M f with r = B S f − f: about the square of S's relative error in energy."""
        residual = self.problem.layer.times((layer @ self.sources).T).T - self.sources
        return _square(self.hierarchy, residual) / self.scale


def _square(hierarchy: Multilevel, residual: Array) -> float:
    return float(np.sum(residual * hierarchy.times(residual)))


def _second_moment(problem: OperatorProblem, seed: int) -> Array:
    """C (n, n), the mean of f fᵀ over the training sources, scaled to a mean diagonal of 1."""
    count = max(LEAST_SOURCES, SOURCES_PER_SENSOR * problem.sensors)
    moment = np.zeros((problem.sensors, problem.sensors))
    with np.errstate(over="ignore", invalid="ignore"):  # what is not finite is refused below
        for part in range(PASSES):
            sources = problem.sources(count, stream_seed(seed, TRAINING_STREAM + part))
            moment += sources.T @ sources
    power = float(np.mean(moment.diagonal()))
    if not 0.0 < power < float("inf"):
        raise InputError(f"{problem.name}: its sources are all zero or not finite")
    return moment / power


def _diverged(
    problem: OperatorProblem,
    before: OperatorState,
    count: int,
    train_loss: float,
    held_out_loss: float,
) -> DivergenceError:
    steps, is_first = before.steps, before.steps == 0
    kept = (
        "nothing was learnt before" if is_first else f"the best before has {before.best_loss:.1e}"
    )
    return DivergenceError(
        f"{problem.name}: training diverged between steps {steps} and {steps + count}: "
        f"the training loss is {train_loss:.1e}, the held-out loss {held_out_loss:.1e}; {kept}",
        None if is_first else before.best,
    )


def _check_arguments(seed: int, max_steps: int | None, *, done: int) -> None:
    if seed < 0:
        raise InputError(f"seed: {seed} is negative; give 0 or more")
    if max_steps is not None and max_steps <= done:
        raise InputError(f"steps: {max_steps} is too small; at least {done + 1}")
