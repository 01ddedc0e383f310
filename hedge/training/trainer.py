"""The trainer: cycles of a few steps on points that are renewed, watched on held-out points."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Literal, get_args

import numpy as np
import torch
from torch import Tensor

from hedge.errors import InputError
from hedge.problems import Problem
from hedge.training.cores import keep_freed_memory
from hedge.training.growth import Growth, Progress, grown, localized_errors, refined_widths
from hedge.training.loss import mean_square, residuals
from hedge.training.methods import Descent, Method, descend, effort
from hedge.training.network import Network, new_network, parameters_of
from hedge.training.points import Points, network_inputs, solution_at
from hedge.training.sampling import attention, residual_based_points, sobol_points
from hedge.training.skeletons import without_redundant

HELD_OUT_POINTS = 16_384
# Held-out losses so many times the training loss, so many cycles in a row, ask for more points.
OVERFIT, OVERFIT_CYCLES = 3.0, 5
# The held-out loss must fall by a tenth within so many steps of work, or the method has stalled.
PATIENCE_CYCLES = 60

HELD_OUT_SEED, POINTS_SEED, REFERENCE_SEED, GROWTH_SEED = 101, 202, 303, 404
REFERENCE_POINTS = 10_000

# A dense inverse Hessian of more parameters costs more memory and time than it saves.
LARGEST_INVERSE = 4000

# A relative L2 error above this is no solution, whatever the loss says.
CONVERGED = 1e-2

# Neurons of a network that has grown go if the held-out loss does not rise by more than this factor.
SHRINKING_COST = 1.02

Choice = Literal["auto", Method]
Sampling = Literal["residual", "sobol", "attention"]
Precision = Literal["float64", "float32"]
Accelerator = Literal["auto", "cpu", "cuda"]
Stopped = Literal["budget", "steps", "stalled", "diverged", "interrupted"]


@dataclass(frozen=True)
class Run:
    """What defines a training run: with these and a step count, the result is always the same.

    method "auto" takes self-scaled Broyden for up to 4,000 parameters and Levenberg–Marquardt over the
    points beyond, and changes to the other one of the two when progress stalls. sampling "residual"
    draws new points where the residual is large, "sobol" new points without regard to it, "attention"
    keeps its points and weighs them. With grow, neurons are added where progress is slow and those
    that turn out redundant are taken out at the end.

    Raises InputError for a width or depth below 1, a negative seed, or CUDA where there is none.
    """

    problem: Problem
    width: int = 64
    depth: int = 3
    seed: int = 0
    method: Choice = "auto"
    sampling: Sampling = "residual"
    precision: Precision = "float64"
    accelerator: Accelerator = "auto"
    grow: bool = False

    def __post_init__(self) -> None:
        for name, least in (("width", 1), ("depth", 1), ("seed", 0)):
            value = getattr(self, name)
            if value < least:
                raise InputError(f"{name}: {value} is too small; at least {least}")
        choices = {
            "method": ("auto", *get_args(Method)),
            "sampling": get_args(Sampling),
            "precision": get_args(Precision),
            "accelerator": get_args(Accelerator),
        }
        for name, known in choices.items():
            if getattr(self, name) not in known:
                raise InputError(
                    f"{name}: {getattr(self, name)!r} is not one of {', '.join(known)}"
                )
        if self.accelerator == "cuda" and not torch.cuda.is_available():
            raise InputError("accelerator: cuda is not available here; give cpu or auto")

    @property
    def device(self) -> torch.device:
        """Where the network is evaluated: CUDA if asked for or, with auto, if there is one."""
        cuda = self.accelerator != "cpu" and torch.cuda.is_available()
        return torch.device("cuda" if cuda else "cpu")

    @property
    def dtype(self) -> torch.dtype:
        """Of the network's parameters and streams."""
        return torch.float64 if self.precision == "float64" else torch.float32


@dataclass(frozen=True, eq=False)
class State:
    """All a run needs to go on from the end of a cycle.

    mark_loss is the held-out loss that the run must get a tenth below, mark_cycle when it was set;
    stalls counts the methods that have stalled; crowding says how often the points of a set have been
    doubled, overfits how many cycles in a row asked for it; attention (n,) weighs points that stay;
    progress is what a run that may grow watches.
    """

    descent: Descent
    best: Network
    method: Method
    best_loss: float = math.inf
    mark_loss: float = math.inf
    mark_cycle: int = 0
    stalls: int = 0
    crowding: int = 0
    overfits: int = 0
    cycle: int = 0
    seconds: float = 0.0
    attention: Tensor | None = None
    progress: Progress = field(default_factory=Progress)


@dataclass(frozen=True)
class Record:
    """What is known after a cycle: mean squared residuals on training and on held-out points.

    relative_l2 is the error against the reference of the network as it is then; nothing but people
    look at it.
    """

    step: int
    seconds: float
    train_loss: float
    held_out_loss: float
    relative_l2: float | None
    method: Method
    widths: tuple[int, ...]

    def as_dict(self) -> dict[str, object]:
        """For JSON: numbers that are not finite become None."""
        return {
            key: None if isinstance(value, float) and not math.isfinite(value) else value
            for key, value in vars(self).items()
        }


@dataclass(frozen=True)
class TrainingResult:
    """The network with the lowest held-out loss, and why training ended.

    relative_l2 is against the problem's reference, if it has one, on 10,000 points of their own.
    growths are those of the run from its start, before redundant neurons were taken out of the network.
    """

    run: Run
    network: Network
    steps: int
    seconds: float
    stopped: Stopped
    held_out_loss: float
    relative_l2: float | None
    history: tuple[Record, ...] = field(repr=False)
    growths: tuple[Growth, ...] = ()

    @property
    def parameters(self) -> int:
        """Weights and biases of the network."""
        return len(parameters_of(self.network))

    @property
    def converged(self) -> bool | None:
        """Whether the error against the reference is that of a solution; None without a reference."""
        return None if self.relative_l2 is None else self.relative_l2 < CONVERGED


@dataclass(frozen=True, eq=False)
class Judge:
    """Points that no step ever sees: for the loss and for the error against the reference."""

    problem: Problem
    held_out: Points
    x: Tensor
    reference: np.ndarray | None

    def loss(self, network: Network) -> float:
        """Mean squared residual on the held-out points."""
        return mean_square(self.problem, network, self.held_out)

    def relative_l2(self, network: Network) -> float | None:
        """‖u − reference‖ / ‖reference‖ on the reference points, if there is a reference."""
        if self.reference is None:
            return None
        error = solution_at(self.problem, network, self.x).double().cpu().numpy() - self.reference
        return float(np.linalg.norm(error) / np.linalg.norm(self.reference))


def judge_of(run: Run) -> Judge:
    """The held-out points of a run."""
    problem, like = run.problem, torch.zeros(0, dtype=run.dtype, device=run.device)
    held_out = sobol_points(problem, HELD_OUT_POINTS, _seed(run.seed, HELD_OUT_SEED), like)
    x = problem.domain.sample(REFERENCE_POINTS, REFERENCE_SEED)
    reference = None if problem.reference is None else problem.reference(x)[:, 0]
    return Judge(problem, held_out, torch.from_numpy(x).to(like), reference)


def initial_state(run: Run, widths: tuple[int, ...] | None = None) -> State:
    """A fresh network before its first step, of the run's widths or of those given."""
    middle = (run.problem.domain.lower + run.problem.domain.upper) / 2
    inputs = network_inputs(run.problem, torch.from_numpy(middle)[None]).shape[1]
    fresh = new_network(inputs, widths or (run.width,) * run.depth, run.seed)
    network = Network(
        tuple(w.to(run.device, run.dtype) for w in fresh.weights),
        tuple(b.to(run.device, run.dtype) for b in fresh.biases),
    )
    return State(Descent(network), network, _first_method(run, network))


def _first_method(run: Run, network: Network) -> Method:
    if run.method != "auto":
        return run.method
    return "ssbroyden" if len(parameters_of(network)) <= LARGEST_INVERSE else "levenberg"


def run_cycles(
    run: Run, state: State, judge: Judge, budget_s: float = math.inf, max_steps: int | None = None
) -> Iterator[tuple[State, Record]]:
    """Cycles of some steps on one set of points, for ever; the budget and max_steps cut the last short.

    Points depend on the seed, the cycle and the network only, so a resumed run is the same run.
    """
    keep_freed_memory()
    started = time.perf_counter() - state.seconds
    _check_finite(judge, state.descent.network)
    while True:
        if run.grow and state.progress.is_slow(state.cycle):
            state = _grown(run, state)
        elif state.cycle - state.mark_cycle >= PATIENCE_CYCLES:
            state = _after_stall(run, state)
        state = _next_cycle(run, state, max_steps, lambda: time.perf_counter() - started > budget_s)
        network = state.descent.network
        held_out_loss = judge.loss(network)
        if held_out_loss < state.best_loss:
            state = replace(state, best=network, best_loss=held_out_loss)
        if held_out_loss < 0.9 * state.mark_loss:
            state = replace(state, mark_loss=held_out_loss, mark_cycle=state.cycle, stalls=0)
        state = _with_more_points(state, held_out_loss)
        progress = state.progress.after(state.cycle, held_out_loss)
        state = replace(state, progress=progress, seconds=time.perf_counter() - started)
        yield (
            state,
            Record(
                step=state.descent.steps,
                seconds=state.seconds,
                train_loss=state.descent.loss,
                held_out_loss=held_out_loss,
                relative_l2=judge.relative_l2(network),
                method=state.method,
                widths=network.widths,
            ),
        )


def _next_cycle(
    run: Run, state: State, max_steps: int | None, out_of_time: Callable[[], bool]
) -> State:
    problem, network, cycle = run.problem, state.descent.network, state.cycle + 1
    work = effort(state.method, len(parameters_of(network)))
    count = min(work.points * 2**state.crowding, work.most_points)
    weights = state.attention
    if run.sampling == "residual":
        seed = _seed(run.seed, POINTS_SEED + 1000 * cycle)
        points = residual_based_points(problem, network, count, seed)
    else:
        stays = run.sampling == "attention"
        seed = _seed(run.seed, POINTS_SEED + (0 if stays else 1000 * cycle))
        points = sobol_points(problem, count, seed, network.weights[0])
        if stays:
            weights = attention(weights, residuals(problem, network, points))
    left = math.inf if max_steps is None else max_steps - state.descent.steps
    steps = max(1, int(min(work.steps, left)))
    descent = descend(problem, state.descent, points, state.method, steps, weights, out_of_time)
    return replace(state, descent=descent, cycle=cycle, attention=weights)


def _with_more_points(state: State, held_out_loss: float) -> State:
    """Sets of twice as many points where those of now are learned by heart."""
    overfits = state.overfits + 1 if held_out_loss > OVERFIT * state.descent.loss else 0
    if overfits < OVERFIT_CYCLES:
        return replace(state, overfits=overfits)
    return replace(state, overfits=0, crowding=state.crowding + 1, attention=None)


def _after_stall(run: Run, state: State) -> State:
    """From the best network on, with the other method if the choice is ours."""
    descent = Descent(state.best, state.descent.steps)
    method = state.method
    if run.method == "auto":
        method = "levenberg" if state.method != "levenberg" else "ssbroyden"
    return replace(
        state, descent=descent, method=method, stalls=state.stalls + 1, mark_cycle=state.cycle,
        crowding=0, overfits=0, attention=None,
    )  # fmt: skip


def _grown(run: Run, state: State) -> State:
    """From the best network on, with more neurons: the same function with more room."""
    best, errors = state.best, localized_errors(state.best)
    widths = refined_widths(best.widths, errors)
    network = grown(best, widths, _seed(run.seed, GROWTH_SEED + 1000 * state.cycle))
    steps = state.descent.steps
    growths = (*state.progress.growths, Growth(steps, best.widths, widths, errors))
    return replace(
        state, descent=Descent(network, steps), method=_first_method(run, network), mark_cycle=state.cycle,
        stalls=0, attention=None, progress=Progress(state.best_loss, state.cycle, growths),
    )  # fmt: skip


def train(
    run: Run,
    *,
    budget_s: float = 120.0,
    max_steps: int | None = None,
    resume_from: State | None = None,
    on_cycle: Callable[[State, Record], None] | None = None,
) -> TrainingResult:
    """Train a tanh network of ``run.depth`` hidden layers of ``run.width`` on a problem's residual.

    Stops after ``budget_s`` seconds, after ``max_steps`` steps, when the loss on held-out points
    stalls or is no longer finite, or on Ctrl-C; the best network so far is the result in each case.
    With ``max_steps`` as the limit that ends it, the result depends on the run alone.
    ``on_cycle`` sees every cycle.

    Raises InputError for a budget or step count out of range, or a problem whose residual is not
    finite or of the wrong shape; KeyboardInterrupt before the end of the first cycle.

    >>> from hedge.problems import find_problem
    >>> result = train(Run(find_problem("poisson"), width=8, depth=2), max_steps=4)
    >>> result.steps, result.stopped
    (4, 'steps')
    """
    if not budget_s > 0:
        raise InputError(f"budget: {budget_s:g} s is not positive; give the seconds to train for")
    if max_steps is not None and max_steps < 1:
        raise InputError(f"steps: {max_steps} is too small; at least 1")
    state = resume_from or initial_state(run)
    judge = judge_of(run)
    history: list[Record] = []
    stopped: Stopped | None = None
    cycles = run_cycles(run, state, judge, budget_s, max_steps)
    while stopped is None:
        try:
            state, record = next(cycles)
            history.append(record)
            if on_cycle is not None:
                on_cycle(state, record)
        except KeyboardInterrupt:
            if not history:
                raise
            stopped = "interrupted"
        else:
            stopped = _reason_to_stop(run, state, record, budget_s, max_steps)
    network, loss = state.best, state.best_loss
    if state.progress.growths and math.isfinite(loss):
        inputs = network_inputs(run.problem, judge.held_out.x)
        network = without_redundant(network, inputs, judge.loss, SHRINKING_COST * loss)
        loss = judge.loss(network)
    return TrainingResult(
        run=run,
        network=network,
        steps=state.descent.steps,
        seconds=state.seconds,
        stopped=stopped,
        held_out_loss=loss,
        relative_l2=judge.relative_l2(network),
        history=tuple(history),
        growths=state.progress.growths,
    )


def _reason_to_stop(
    run: Run, state: State, record: Record, budget_s: float, max_steps: int | None
) -> Stopped | None:
    if not math.isfinite(record.held_out_loss):
        return "diverged"
    if max_steps is not None and state.descent.steps >= max_steps:
        return "steps"
    methods = 2 if run.method == "auto" else 1
    if state.stalls + 1 >= methods and state.cycle - state.mark_cycle >= PATIENCE_CYCLES:
        return "stalled"
    return "budget" if state.seconds >= budget_s else None


def _check_finite(judge: Judge, network: Network) -> None:
    r = residuals(judge.problem, network, judge.held_out)
    bad = ~torch.isfinite(r)
    if bad.any():
        where = ", ".join(f"{v:.3g}" for v in judge.held_out.x[bad][0].tolist())
        raise InputError(
            f"problem {judge.problem.name!r}: its residual is not finite at ({where}); check its "
            "functions and its domain"
        )


def solution(problem: Problem, network: Network, points: np.ndarray) -> np.ndarray:
    """u = offset + distance · N at ``points`` (n, d) -> (n, 1), float64."""
    x = torch.from_numpy(points).to(network.weights[0])
    return solution_at(problem, network, x).double().cpu().numpy()[:, None]


def _seed(seed: int, stream: int) -> int:
    # Independent streams for one user seed, without collisions between neighbouring seeds.
    return int(np.random.SeedSequence((seed, stream)).generate_state(1)[0])
