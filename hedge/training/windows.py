"""Time windows: a network for each part of the time, which goes on from where the one before ends.

Over a long time errors grow, and one network has no room for all that happens (Krishnapriyan et al., 2021;
Wang, Sankaran and Perdikaris, 2024). With the ends t_0 < t_1 < … < t_K of K windows, and τ_k the time, but
t_k before window k (other than the first) and t_{k+1} behind it (other than the last), the solution is

    u(x, t) = offset(x, t) + Σ_k ramp_k(τ_k) distance(x, τ_k) N_k(x, τ_k),

with ramp_0 = 1 and ramp_k = (τ_k − t_k) / (t_{k+1} − t_0) after it: before its window a network adds
nothing, behind it what it has come to, so that u is continuous. Each is trained on its own window,
where those before it are a part of the offset.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

from hedge.errors import InputError
from hedge.problems import At, Condition, Domain, Faces, Math, Period, Problem
from hedge.problems.equations import Field
from hedge.problems.quotients import SUMMED
from hedge.training.network import Network
from hedge.training.objective import objective_of
from hedge.training.points import TORCH_MATH, network_inputs, place, solution_at

T = TypeVar("T")

TIME = "t"
MOST_WINDOWS = 1000
# Points that tell what is prescribed at the start and in the end.
END_POINTS = 64
# Points that tell between which ends features lie in a window.
RANGE_POINTS = 4096


@dataclass(frozen=True)
class Window:
    """From when to when one network answers; ``problem`` is on that time alone.

    Its distance is zero where the window begins, so that the network adds nothing there. The first answers
    for all time before, the last for all after: no slope of time is cut off at the ends of the domain.
    """

    problem: Problem
    begins: float
    ends: float


def windows_of(problem: Problem, count: int) -> tuple[Window, ...]:
    """``count`` equal parts of the problem's time; where that is 1, the problem itself from −∞ to ∞.

    Raises InputError for a problem that can't be solved in parts, one after the other.
    """
    check_windows(problem, count)
    if count == 1:
        return (Window(problem, -math.inf, math.inf),)
    axis = problem.inputs.index(TIME)
    ends = np.linspace(problem.domain.lower[axis], problem.domain.upper[axis], count + 1).tolist()
    return tuple(
        Window(
            _between(problem, a, b, None if number == 0 else ends[0]),
            -math.inf if number == 0 else a,
            math.inf if number == count - 1 else b,
        )
        for number, (a, b) in enumerate(pairwise(ends))
    )


def check_windows(problem: Problem, count: int) -> None:
    """Raise InputError for a ``count`` out of range, or a problem that several windows don't suit."""
    if type(count) is not int or not 1 <= count <= MOST_WINDOWS:
        raise InputError(f"windows: {count!r:.60} is no whole number from 1 to {MOST_WINDOWS}")
    if count == 1:
        return
    summed = any(name.endswith(f"_{SUMMED}") for name in problem.derivatives)
    for is_so, why in (
        (TIME not in problem.inputs, f"has no input {TIME}, the time"),
        (any(TIME * 2 in "".join(sorted(d.partition("_")[2])) for d in problem.derivatives)
         or (summed and TIME in (problem.space or problem.inputs)),
         "has second derivatives along t, and a window hands on the fields alone, not their slopes"),
        (problem.unknowns or problem.data, "has unknowns or measurements, which are of all times"),
        (TIME in (problem.inputs[i] for i in problem.domain.of_shape),
         f"has the time {TIME} in the shape of its domain, which can't be parted"),
    ):  # fmt: skip
        if is_so:
            raise InputError(f"windows: problem {problem.name!r} {why}; take 1")
    trained = objective_of(problem, torch.zeros(0, dtype=torch.float64)).trained
    for number, condition in enumerate(problem.conditions):
        if _is_of_every_moment(condition):
            continue
        if condition.on != Faces(TIME, (0,)):
            raise InputError(
                f"windows: problem {problem.name!r} has {condition.title(number)}, which is not one of every "
                "moment, and windows are solved one after the other; take 1"
            )
        if number in trained:
            raise InputError(
                f"windows: problem {problem.name!r} has {condition.title(number)} in its loss, which is not "
                "one of every moment; take 1, or build it into offset and distance"
            )
    _check_ends(problem)


def _check_ends(problem: Problem) -> None:
    """Raise InputError unless what changes in time is prescribed where that begins, and nothing later."""
    x = torch.from_numpy(problem.domain.sample(END_POINTS, 0))
    axis = problem.inputs.index(TIME)
    lower, upper = problem.domain.intervals[axis]

    def distances(time: float) -> Tensor:
        at = x.clone()
        at[:, axis] = time
        return place(problem, at).distance[:, 0]

    start, middle, end = (distances(t) for t in (lower, (lower + upper) / 2.0, upper))
    changes = {problem.field(d) for d in problem.derivatives if TIME in d.partition("_")[2]}
    for field, name in enumerate(problem.fields):
        if field in changes and bool(start[field].any()):
            raise InputError(
                f"windows: problem {problem.name!r} does not prescribe {name} at the start of t: its "
                "distance is not zero there; take 1"
            )
        if not bool(end[field].any()) and bool(middle[field].any()):
            raise InputError(
                f"windows: problem {problem.name!r} prescribes {name} where t ends, and windows go on from "
                "where it begins; take 1"
            )


def _is_of_every_moment(condition: Condition) -> bool:
    is_of_mean = condition.mean is True or TIME in (condition.mean or "")
    is_at_ends = isinstance(condition.on, Faces | Period) and condition.on.letter == TIME
    return not (is_of_mean or is_at_ends or isinstance(condition.on, At))


def _between(problem: Problem, begins: float, ends: float, begun: float | None) -> Problem:
    """The problem from when to when; begun is when the first window did, None for that one."""
    axis = problem.inputs.index(TIME)
    intervals = list(problem.domain.intervals)
    intervals[axis] = (begins, ends)
    domain = Domain(tuple(intervals), problem.domain.shape)

    def distance(columns: Sequence[Field], math_: Math) -> tuple[Field, ...]:
        own = problem.distances(columns, math_)
        if begun is None:
            return own
        ramp = (columns[axis] - begins) / (ends - begun)
        return tuple(ramp * each for each in own)

    return replace(
        problem,
        domain=domain,
        distance=distance,
        features=None if problem.features is None else _scaled_features(problem, domain, axis),
        conditions=tuple(c for c in problem.conditions if _is_of_every_moment(c)),
        windows=1,
    )


def _scaled_features(
    problem: Problem, domain: Domain, axis: int
) -> Callable[[Sequence[Field], Math], list[Field]]:
    """What the network reads, scaled to [−1, 1] as it is in ``domain``: of a short time all differ little."""
    x = domain.sample(RANGE_POINTS, 0)
    x[0, axis], x[1, axis] = domain.intervals[axis]
    found = network_inputs(problem, torch.from_numpy(x))
    found = found[torch.isfinite(found).all(1)]  # a logarithm has no value where the time begins
    if not len(found):
        begins, ends = domain.intervals[axis]
        raise InputError(
            f"problem {problem.name!r}: its features are finite nowhere for {TIME} from {begins:g} to "
            f"{ends:g}; check them and the domain"
        )
    lower, upper = found.min(0).values, found.max(0).values
    half = torch.where(upper > lower, (upper - lower) / 2.0, 1.0)
    scales = list(zip(((upper + lower) / 2.0).tolist(), half.tolist(), strict=True))

    def features(columns: Sequence[Field], math_: Math) -> list[Field]:
        own = problem.network_inputs(columns, math_)
        return [(each - centre) / half for each, (centre, half) in zip(own, scales, strict=True)]

    return features


def in_window(problem: Problem, windows: Sequence[Window], earlier: Sequence[Network]) -> Problem:
    """The problem in the window behind those of the ``earlier`` networks, from where they end."""
    if not earlier:
        return windows[0].problem

    def offset(columns: Sequence[Field], math_: Math) -> Sequence[Field]:
        return _sum(problem, windows, earlier, columns, lambda w, t: torch.full_like(t, w.ends))

    return replace(windows[len(earlier)].problem, offset=offset)


def solution_in(
    problem: Problem, windows: Sequence[Window], networks: Sequence[Network], x: Tensor
) -> Tensor:
    """The fields u (n, m) at x (n, d) by networks of the first windows; behind these u − offset stays."""
    if len(windows) == 1:
        return solution_at(problem, networks[0], x)
    with torch.no_grad():
        found = _sum(
            problem, windows, networks, x.unbind(1), lambda w, t: t.clamp(w.begins, w.ends)
        )
        return torch.stack([value.expand(len(x)) for value in found], dim=1)


def at_time(problem: Problem, columns: Sequence[T], change: Callable[[T], T]) -> list[T]:
    """Columns of x of which that of the time is changed."""
    axis = problem.inputs.index(TIME)
    return [*columns[:axis], change(columns[axis]), *columns[axis + 1 :]]


def _sum(
    problem: Problem,
    windows: Sequence[Window],
    networks: Sequence[Network],
    columns: Sequence[Tensor],
    moment: Callable[[Window, Tensor], Tensor],
) -> list[Tensor]:
    """The fields at columns of x, (n,) each: the offset, and what each network adds at its ``moment``."""
    total = list(problem.offsets(columns, TORCH_MATH))
    for window, network in zip(windows, networks, strict=False):
        at = at_time(problem, columns, partial(moment, window))
        reads = network_inputs(window.problem, torch.stack(at, dim=1))
        # conditions are compared with the form in float64, whatever the networks are
        outputs = network(reads.to(network.weights[0])).to(reads).unbind(1)
        distances = window.problem.distances(at, TORCH_MATH)
        added = zip(total, distances, outputs, strict=True)
        total = [u + distance * output for u, distance, output in added]
    return total
