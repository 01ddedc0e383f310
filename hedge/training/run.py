"""What defines a training run, and what is known of it on the way and at its end."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar, get_args

import numpy as np
import torch

from hedge.documents import finite
from hedge.errors import InputError
from hedge.problems import Found, Problem
from hedge.problems.layers import Layers
from hedge.problems.misses import Misfit
from hedge.training.growth import Growth
from hedge.training.network import Network, parameters_of
from hedge.training.optimisers import Optimiser
from hedge.training.windows import check_windows
from hedge.training.worst import WorstBoxes

# A relative L2 error above this is no solution, whatever the loss says.
CONVERGED = 1e-2

# Seconds that a run takes for which neither seconds nor steps are given.
USUAL_BUDGET_S = 120.0

# The layer of random neurons over which the last one is solved for.
WIDE = Layers(1000, 1)

OptimiserChoice = Literal["auto", Optimiser]
Sampling = Literal["residual", "sobol", "attention"]
Precision = Literal["float64", "float32"]
Accelerator = Literal["auto", "cpu", "cuda"]
S = TypeVar("S")
R = TypeVar("R")

Stopped = Literal["converged", "budget", "steps", "stalled", "diverged", "interrupted"]


@dataclass(frozen=True)
class TrainingRun:
    """What defines a training run: with these and a step count, the result is always the same.

    method "auto" takes self-scaled Broyden for up to 4,000 parameters and Levenberg–Marquardt over the
    points beyond, and changes to the other one (L-BFGS for the wide) when progress stalls. "least-squares"
    draws neurons at random, 1,000 in one layer if not given, and solves for the last layer: in one step where
    equations are linear. sampling "residual" draws new points where the residual is large (but of
    "least-squares"), "sobol" new points without regard to it, "attention" keeps its points and weighs them.
    With grow, neurons are added where progress is slow and those that turn out redundant are taken out at the
    end. A width or depth that is not given is that of the problem's ``layers``; widths are those of the
    hidden layers where they are not alike. precision is that of the arithmetic and of the file; None computes
    in float64 and stores float32. With worst, half of the points of every cycle are drawn in its boxes.
    windows are the parts of the time that have a network each, trained one after the other; None takes as
    many as suit the problem, but one with grow, worst or "least-squares".

    Raises InputError for a width or depth below 1, a negative seed, CUDA where there is none, worst
    with "attention", grow with "least-squares", or several windows of what they don't suit.
    """

    problem: Problem
    width: int | None = None
    depth: int | None = None
    seed: int = 0
    method: OptimiserChoice = "auto"
    sampling: Sampling = "residual"
    precision: Precision | None = None
    accelerator: Accelerator = "auto"
    grow: bool = False
    widths: tuple[int, ...] | None = None
    worst: WorstBoxes | None = None
    windows: int | None = None

    def __post_init__(self) -> None:
        for name, least in (("width", 1), ("depth", 1), ("seed", 0)):
            value = getattr(self, name)
            is_left_out = value is None and name != "seed"
            if not is_left_out and not (isinstance(value, int) and least <= value < 2**63):
                raise InputError(f"{name}: {value} is no whole number of at least {least}")
        choices = {
            "method": ("auto", *get_args(Optimiser)),
            "sampling": get_args(Sampling),
            "precision": (None, *get_args(Precision)),
            "accelerator": get_args(Accelerator),
        }
        for name, known in choices.items():
            if getattr(self, name) not in known:
                raise InputError(
                    f"{name}: {getattr(self, name)!r} is not one of {', '.join(filter(None, known))}"
                )
        if self.accelerator == "cuda" and not torch.cuda.is_available():
            raise InputError("accelerator: cuda is not available here; give cpu or auto")
        if self.grow and self.problem.networks:
            raise InputError(
                f"grow: is for one network, problem {self.problem.name!r} has {len(self.problem.networks)}; "
                "leave it out"
            )
        if self.grow and self.method == "least-squares":
            raise InputError(
                "grow: adds neurons to those that are trained, but method least-squares draws all of them "
                "anew; give it more by width"
            )
        if self.worst is not None and self.sampling == "attention":
            raise InputError(
                "worst: draws new points, but sampling attention keeps its own; take residual or sobol"
            )
        check_windows(self.problem, self.window_count)
        if self.window_count > 1 and (self.grow or self.worst is not None):
            raise InputError(
                f"{'grow' if self.grow else 'worst'}: is for one network, not one for each of "
                f"{self.window_count} windows of time; leave it out, or take 1 window"
            )

    @property
    def hidden(self) -> tuple[int, ...]:
        """Widths of the hidden layers at the start."""
        suiting = WIDE if self.method == "least-squares" else self.problem.layers
        return self.widths or (self.width or suiting.width,) * (self.depth or suiting.depth)

    @property
    def window_count(self) -> int:
        """Parts of the time, with a network each."""
        if self.windows is not None:
            return self.windows
        is_one = self.grow or self.worst is not None or self.method == "least-squares"
        return 1 if is_one else self.problem.windows

    @property
    def device(self) -> torch.device:
        """Where the network is evaluated: CUDA if asked for or, with auto, if there is one."""
        cuda = self.accelerator != "cpu" and torch.cuda.is_available()
        return torch.device("cuda" if cuda else "cpu")

    @property
    def dtype(self) -> torch.dtype:
        """Of the network's parameters and streams."""
        return torch.float32 if self.precision == "float32" else torch.float64

    @property
    def stored(self) -> type[np.floating[Any]]:
        """Of the numbers in the file."""
        return np.float64 if self.precision == "float64" else np.float32


def seconds_allowed(budget_s: float | None, max_steps: int | None) -> float:
    """Those given, or as many as it takes where steps are; raises InputError if not positive."""
    if budget_s is None:
        return USUAL_BUDGET_S if max_steps is None else math.inf
    if not budget_s > 0:
        raise InputError(f"budget: {budget_s:g} s is not positive; give the seconds to train for")
    return budget_s


@dataclass(frozen=True)
class Record:
    """What is known after a cycle of steps: the losses on what is trained on and on what is held out."""

    step: int
    seconds: float
    train_loss: float
    held_out_loss: float

    def as_dict(self) -> dict[str, object]:
        """For JSON: numbers that are not finite become None."""
        return {key: finite(value) for key, value in vars(self).items()}


@dataclass(frozen=True)
class NetworkRecord(Record):
    """Of a network of points, whose losses are mean squared residuals.

    relative_l2 is the error against the reference of the network as it is then, by_field that of each field
    where there are several; nothing but people look at them. unknowns are the values of the problem's unknown
    constants. Losses and errors are those of the time ``window`` that is trained, from 1,
    if there are several.
    """

    relative_l2: float | None
    method: Optimiser
    widths: tuple[int, ...]
    by_field: Mapping[str, float] = field(default_factory=dict)
    unknowns: Mapping[str, float] = field(default_factory=dict)
    window: int | None = None


def until_stopped(
    cycles: Iterator[tuple[S, R]],
    reason: Callable[[S, R], Stopped | None],
    on_cycle: Callable[[S, R], None] | None,
) -> tuple[S, tuple[R, ...], Stopped]:
    """Cycles until there is a ``reason`` to stop or Ctrl-C: the last state, all records, and why.

    Raises KeyboardInterrupt before the end of the first cycle.
    """
    history: list[R] = []
    while True:
        try:
            state, record = next(cycles)
            history.append(record)
            if on_cycle is not None:
                on_cycle(state, record)
            stopped = reason(state, record)
        except KeyboardInterrupt:
            if not history:
                raise
            return state, tuple(history), "interrupted"
        if stopped is not None:
            return state, tuple(history), stopped


@dataclass(frozen=True)
class TrainingResult:
    """The network with the lowest held-out loss, and why training ended.

    relative_l2 is against the problem's reference, if it has one, on 10,000 points of their own, by_field
    that of each field where there are several.
    found are the values of the problem's unknowns, with standard deviations where there are measurements, and
    misfits how far the network is from these.
    missed is what the conditions in the loss are missed by, by name: root mean squares on held-out points.
    growths are those of the run from its start, before redundant neurons were taken out of the network.
    Of several time windows ``earlier`` are the networks of all but the last, held_out_loss is the mean of
    theirs and missed the root mean square.
    """

    run: TrainingRun
    network: Network = field(repr=False)
    steps: int
    seconds: float
    stopped: Stopped
    held_out_loss: float
    relative_l2: float | None
    history: tuple[NetworkRecord, ...] = field(repr=False)
    growths: tuple[Growth, ...] = ()
    by_field: Mapping[str, float] = field(default_factory=dict)
    found: Mapping[str, Found] = field(default_factory=dict)
    misfits: tuple[Misfit, ...] = ()
    missed: Mapping[str, float] = field(default_factory=dict)
    earlier: tuple[Network, ...] = field(default=(), repr=False)

    @property
    def networks(self) -> tuple[Network, ...]:
        """Of all time windows, in order."""
        return (*self.earlier, self.network)

    @property
    def windows_left(self) -> int:
        """Time windows that training did not come to; where they are u − offset stays."""
        return self.run.window_count - len(self.networks)

    @property
    def parameters(self) -> int:
        """Weights and biases of the networks."""
        return sum(len(parameters_of(network)) for network in self.networks)

    @property
    def converged(self) -> bool | None:
        """Whether the error against the reference is that of a solution; None without a reference."""
        return None if self.relative_l2 is None else self.relative_l2 < CONVERGED
