"""A whole run: cycles in one time window after the other, until something ends the last."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from torch import Tensor

from hedge.errors import InputError
from hedge.training.findings import found, misfits, missed
from hedge.training.judge import Judge, errors_of, judge_of
from hedge.training.network import Network
from hedge.training.points import network_inputs
from hedge.training.run import (
    NetworkRecord,
    Stopped,
    TrainingResult,
    TrainingRun,
    seconds_allowed,
    until_stopped,
)
from hedge.training.seeds import stream_seed
from hedge.training.skeletons import without_redundant
from hedge.training.to_onnx import networks_to_onnx
from hedge.training.trainer import State, has_stalled, initial_state, next_window, run_cycles
from hedge.training.windows import Window, in_window, solution_in, windows_of

LAPLACE_SEED = 707
# Neurons of a network that has grown go if the held-out loss does not rise by more than this factor.
SHRINKING_COST = 1.02


@dataclass(frozen=True)
class _Limits:
    """Seconds and steps since the start, after which a window ends."""

    seconds: float
    steps: int | None

    def at_end_of(self, window: int, count: int) -> _Limits:
        """Those of the window with this number, from 0, of so many: what one leaves the next one has."""
        steps = None if self.steps is None else self.steps * (window + 1) // count
        return _Limits(self.seconds * (window + 1) / count, steps)

    @staticmethod
    def fewest_steps(state: State, count: int) -> int:
        """What goes on from ``state`` needs in all, so that no window of so many is left without a step."""
        window = len(state.earlier) + (state.cycle > 0)  # the one of now may have had its share
        share = min(window + 1, count)
        return -(-(state.descent.steps + 1) * count // share)


@dataclass(frozen=True)
class _March:
    """A run through its windows within limits."""

    run: TrainingRun
    windows: tuple[Window, ...]
    limits: _Limits

    def part(self, state: State) -> TrainingRun:
        """The run in the window that ``state`` is in."""
        if len(self.windows) == 1:
            return self.run
        problem = in_window(self.run.problem, self.windows, state.earlier)
        return replace(self.run, problem=problem, windows=1)

    def is_last(self, state: State) -> bool:
        """Whether no window comes after that of ``state``."""
        return len(state.earlier) + 1 == len(self.windows)

    def reason_to_leave(self, state: State) -> Stopped | None:
        """Why the window that ``state`` is in ends, if it does."""
        limits = self.limits.at_end_of(len(state.earlier), len(self.windows))
        if limits.steps is not None and state.descent.steps >= limits.steps:
            return "steps"
        methods = 2 if self.run.method == "auto" else 1
        if state.stalls + 1 >= methods and has_stalled(state):
            return "stalled"
        return "budget" if state.seconds >= limits.seconds else None

    def reason_to_stop(self, state: State, record: NetworkRecord) -> Stopped | None:
        """Why the whole run ends with this cycle, if it does."""
        if not math.isfinite(record.held_out_loss):
            return "diverged"
        return self.reason_to_leave(state) if self.is_last(state) else None

    def cycles(self, state: State, judge: Judge) -> Iterator[tuple[State, NetworkRecord]]:
        """Those of the window that ``state`` is in, of which ``judge`` is, and of all after it."""
        while True:
            if state.cycle > 0 and not self.is_last(state) and self.reason_to_leave(state):
                state = next_window(self.part(state), state)
                judge = judge_of(self.part(state))
            number = len(state.earlier)
            limits = self.limits.at_end_of(number, len(self.windows))
            begun = state
            for state, record in run_cycles(
                self.part(begun), begun, judge, limits.seconds, limits.steps
            ):
                several = len(self.windows) > 1
                yield state, replace(record, window=number + 1) if several else record
                if not self.is_last(state) and self.reason_to_leave(state):
                    break


def train(
    run: TrainingRun,
    *,
    budget_s: float | None = None,
    max_steps: int | None = None,
    resume_from: State | None = None,
    on_cycle: Callable[[State, NetworkRecord], None] | None = None,
) -> TrainingResult:
    """Train tanh networks of the run's ``hidden`` layers on a problem's residual, one in each window of time.

    Stops after ``max_steps`` steps, when the loss on held-out points stalls or is no longer finite,
    after ``budget_s`` seconds (120 where neither is given), or on Ctrl-C; the best networks so far are
    the result in each case. Unless seconds or Ctrl-C end it, the result depends on the run alone.
    Windows have equal shares of the steps and the seconds, and what is left by those before them.
    ``on_cycle`` sees every cycle.

    Raises InputError for a budget or step count out of range, a network too large, or a problem whose
    functions return what they should not; KeyboardInterrupt before the end of the first cycle.

    >>> from hedge.problems import find_problem
    >>> result = train(TrainingRun(find_problem("poisson"), width=8, depth=2), max_steps=4)
    >>> result.steps, result.stopped
    (4, 'steps')
    """
    seconds = seconds_allowed(budget_s, max_steps)
    state = resume_from or initial_state(run)
    windows = windows_of(run.problem, run.window_count)
    least = _Limits.fewest_steps(state, len(windows))
    if max_steps is not None and not (isinstance(max_steps, int) and max_steps >= least):
        raise InputError(f"steps: {max_steps} is too small; at least {least}")
    march = _March(run, windows, _Limits(seconds, max_steps))
    judge = judge_of(march.part(state))
    if resume_from is not None:
        _check_same_problem(judge, resume_from)
    begun_in = len(state.earlier)
    state, history, stopped = until_stopped(
        march.cycles(state, judge), march.reason_to_stop, on_cycle
    )
    if len(state.earlier) > begun_in:
        judge = judge_of(march.part(state))
    network, loss = state.best, state.best_loss
    if state.progress.growths and math.isfinite(loss) and stopped != "interrupted":
        inputs = network_inputs(run.problem, judge.held_out.x)
        network = without_redundant(
            network, inputs, lambda n: judge.loss(n, state.balance), SHRINKING_COST * loss
        )
        loss = judge.loss(network, state.balance)
    networks = (*state.earlier, network)
    losses = (*state.earlier_losses, loss)
    if len(windows) == 1:
        errors = judge.errors(network)
    else:
        errors = errors_of(run.problem, lambda x: _solution(march, networks, x))
    return TrainingResult(
        run=run,
        network=network,
        steps=state.descent.steps,
        seconds=state.seconds,
        stopped=stopped,
        held_out_loss=sum(losses) / len(losses),
        relative_l2=None if errors is None else errors.relative_l2,
        history=history,
        growths=state.progress.growths,
        by_field={} if errors is None else errors.by_field,
        found=found(judge, network, stream_seed(run.seed, LAPLACE_SEED)),
        misfits=misfits(judge, network),
        missed=_missed(march, judge, state, networks),
        earlier=state.earlier,
    )


def _solution(march: _March, networks: Sequence[Network], x: Tensor) -> Tensor:
    return solution_in(march.run.problem, march.windows, networks, x.to(networks[0].weights[0]))


def _missed(
    march: _March, judge: Judge, state: State, networks: tuple[Network, ...]
) -> dict[str, float]:
    """What conditions in the loss are missed by, root mean square over all windows."""
    found = missed(judge, networks[-1])
    if not found or len(networks) == 1:
        return found
    each = [found]
    for number, network in enumerate(networks[:-1]):
        part = march.part(replace(state, earlier=networks[:number]))
        each.append(missed(judge_of(part), network))
    return {name: math.sqrt(sum(of[name] ** 2 for of in each) / len(each)) for name in found}


def _check_same_problem(judge: Judge, state: State) -> None:
    """The loss of a resumed network must be the one that was saved with it."""
    if math.isfinite(state.best_loss) and not math.isclose(
        judge.loss(state.best, state.balance), state.best_loss, rel_tol=1e-4
    ):
        raise InputError(
            f"problem {judge.problem.name!r}: is not what the checkpoint was trained on, though it has "
            "the same name; delete the checkpoint and start anew"
        )


def check_exportable(run: TrainingRun) -> None:
    """Raise InputError, before the work starts, if the result could not be written as a graph."""
    windows = windows_of(run.problem, run.window_count)
    networks_to_onnx(run.problem, windows, [initial_state(run).best])
