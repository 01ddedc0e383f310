"""Collocation points, and a problem's residual at them from the network's streams."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from itertools import combinations
from typing import cast

import torch
from torch import Tensor

from hedge.errors import InputError
from hedge.problems import Equations, Math, Problem
from hedge.problems.equations import Field
from hedge.problems.quotients import LAPLACIAN, Axes
from hedge.training.network import Group, Network
from hedge.training.taylor import closure

TORCH_MATH = cast("Math", torch)
"""torch's functions, for the fields of a problem."""


@dataclass(frozen=True)
class Points:
    """Collocation points with what does not depend on the network.

    x is (n, d); inputs (n_0, S, n) are the streams of what the network reads, offset and distance
    (m, S, n) those of the hard constraints of m fields, in the order of ``axes``. ``given`` are numbers (n,)
    that the equations read beside derivatives, by name, such as what has been measured there.
    """

    x: Tensor
    equations: Equations
    axes: tuple[Axes, ...]
    inputs: Tensor
    offset: Tensor
    distance: Tensor
    given: Mapping[str, Tensor] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.x)

    def __getitem__(self, rows: slice | Tensor) -> Points:
        return Points(
            self.x[rows],
            self.equations,
            self.axes,
            self.inputs[:, :, rows],
            self.offset[:, :, rows],
            self.distance[:, :, rows],
            {name: values[rows] for name, values in self.given.items()},
        )

    def joined(self, other: Points) -> Points:
        """These and then those, of the same equations."""
        return Points(
            torch.cat([self.x, other.x]),
            self.equations,
            self.axes,
            torch.cat([self.inputs, other.inputs], dim=2),
            torch.cat([self.offset, other.offset], dim=2),
            torch.cat([self.distance, other.distance], dim=2),
            {name: torch.cat([values, other.given[name]]) for name, values in self.given.items()},
        )


Fields = Callable[[Sequence[Field], Math], Sequence[Field]]


def place(
    problem: Problem,
    x: Tensor,
    equations: Equations | None = None,
    given: Mapping[str, Tensor] | None = None,
) -> Points:
    """Points x (n, d) of a problem, where its residual is read or other ``equations`` of it.

    Features and hard constraints are differentiated here, once for all.
    """
    equations = equations or problem.equations
    axes = closure([problem.axes(name) for name in equations.derivatives])

    def streams(name: str, fields: Fields) -> Tensor:
        count = len(fields(x[:1].unbind(1), TORCH_MATH))
        return torch.stack([_streams(problem, name, fields, k, x, axes) for k in range(count)])

    network_inputs(problem, x[:1])
    return Points(
        x,
        equations,
        axes,
        streams("features", problem.network_inputs),
        streams("offset", problem.offsets),
        streams("distance", problem.distances),
        given or {},
    )


def network_inputs(problem: Problem, x: Tensor) -> Tensor:
    """What the network reads at x (n, d): (n, n_0).

    Raises InputError if the problem's features are none, or not one number for each point.
    """
    found = problem.network_inputs(x.unbind(1), TORCH_MATH)
    if not found:
        raise InputError(f"problem {problem.name!r}: it has no features; give one or more, or None")
    return torch.stack([_checked(problem, "features", value, x) for value in found], dim=1)


def groups_of(problem: Problem, inputs: int) -> tuple[Group, ...]:
    """The networks that a problem's fields have, of which each reads some of so many ``inputs``."""

    def reads(letters: str) -> tuple[int, ...]:
        chosen = (i for i, letter in enumerate(problem.inputs) if letter in letters)
        return tuple(chosen) if letters else tuple(range(inputs))

    return tuple(
        Group(reads(each.reads), tuple(map(problem.fields.index, each.fields)))
        for each in problem.networks
    )


def _checked(problem: Problem, name: str, value: Field, x: Tensor) -> Tensor:
    """A field of a problem at x (n, d) as (n,); a plain number is one everywhere."""
    if isinstance(value, int | float):
        return torch.full_like(x[:, 0], float(value))
    if not isinstance(value, Tensor) or value.shape != x.shape[:1] or value.dtype != x.dtype:
        got = (
            f"{tuple(value.shape)} {value.dtype}"
            if isinstance(value, Tensor)
            else type(value).__name__
        )
        raise InputError(
            f"problem {problem.name!r}: its {name} returned {got} for {len(x)} points; it must return "
            "one number for each, made of the columns it is given"
        )
    return value


def solution_at(problem: Problem, network: Network, x: Tensor) -> Tensor:
    """The fields u = offset + distance · N at x (n, d): (n, m)."""
    columns = x.unbind(1)
    with torch.no_grad():
        outputs = network(network_inputs(problem, x)).unbind(1)
        hard = zip(
            problem.offsets(columns, TORCH_MATH),
            problem.distances(columns, TORCH_MATH),
            outputs,
            strict=True,
        )
        return torch.stack([offset + distance * output for offset, distance, output in hard], dim=1)


def _streams(
    problem: Problem, name: str, fields: Fields, number: int, x: Tensor, axes: tuple[Axes, ...]
) -> Tensor:
    """The streams (S, n) of one of the ``fields`` at x (n, d)."""
    columns = [column.detach().requires_grad_() for column in x.unbind(1)]
    value = fields(columns, TORCH_MATH)[number]
    streams: dict[Axes, Tensor] = {(): _checked(problem, name, value, x)}

    slopes: dict[Axes, Sequence[Tensor | None]] = {}

    def derivative(ax: Axes, axis: int) -> Tensor:
        of = streams[ax]
        if of.requires_grad and ax not in slopes:
            slopes[ax] = torch.autograd.grad(
                of.sum(), columns, create_graph=True, allow_unused=True
            )
        gradient = slopes[ax][axis] if ax in slopes else None
        return torch.zeros_like(of) if gradient is None else gradient

    for ax in axes[1:]:
        if ax[0] == LAPLACIAN:
            streams[ax] = torch.stack([derivative((i,), i) for i in ax[1:]]).sum(0)
        else:
            streams[ax] = derivative(ax[:-1], ax[-1])
    return torch.stack([streams[ax] for ax in axes]).detach()


def solution_streams(network_streams: Tensor, points: Points) -> Tensor:
    """Streams (m, S, n) of u = offset + distance · N from those of N, (m, S, n), by Leibniz's rule."""
    u, d, n = points.offset.clone(), points.distance.unbind(1), network_streams.unbind(1)
    for of_u, terms in zip(u.unbind(1), _leibniz(points.axes), strict=True):
        for count, i, j in terms:
            of_u.addcmul_(d[i], n[j], value=count)
    return u


def reversed_to_network(of_u: Tensor, points: Points) -> Tensor:
    """∂r/∂N (m, S, n) of the network's streams from ``of_u``, the same of the solution's."""
    found, d = torch.zeros_like(of_u), points.distance.unbind(1)
    of_n = found.unbind(1)
    for above, terms in zip(of_u.unbind(1), _leibniz(points.axes), strict=True):
        for count, i, j in terms:
            of_n[j].addcmul_(d[i], above, value=count)
    return found


@cache
def _leibniz(axes: tuple[Axes, ...]) -> tuple[tuple[tuple[int, int, int], ...], ...]:
    """For each derivative of d · n its terms: how often d's stream i meets n's stream j."""
    index = {ax: s for s, ax in enumerate(axes)}
    found: list[tuple[tuple[int, int, int], ...]] = []
    for ax in axes:
        if ax[:1] == (LAPLACIAN,):
            firsts = [index[axis,] for axis in ax[1:]]
            found.append((*((2, i, i) for i in firsts), (1, index[ax], 0), (1, 0, index[ax])))
            continue
        places = range(len(ax))
        ways = Counter(
            tuple(
                index[tuple(ax[place] for place in places if (place in chosen) is of_d)]
                for of_d in (True, False)
            )
            for order in places
            for chosen in combinations(places, order)
        )
        ways[index[ax], 0] += 1
        found.append(tuple((count, i, j) for (i, j), count in ways.items()))
    return tuple(found)


def residual(
    problem: Problem,
    u: Tensor,
    points: Points,
    constants: Tensor | None = None,
    *,
    between: bool = False,
) -> tuple[Tensor, ...]:
    """The residuals of the points' equations, (n,) each, from the solution's streams u (m, S, n).

    ``constants`` (K, n) are the values at each point of what the problem does not know. With ``between``
    the equations are of the differences between the second half of the points and the first.

    Raises InputError if the problem's function does not return one number for each point, or several.
    """
    streams, axes = u.flatten(0, 1).unbind(0), points.axes
    named = {
        name: streams[problem.field(name) * len(axes) + axes.index(problem.axes(name))]
        for name in points.equations.derivatives
    }
    count, x = len(points), points.x
    if between:
        count //= 2
        x = x[:count]
        named = {name: values[count:] - values[:count] for name, values in named.items()}
    if constants is not None:
        unknown = [each.name for each in problem.unknowns]
        named |= dict(zip(unknown, constants[:, :count].unbind(0), strict=True))
    found = points.equations.at(x.unbind(1), {**named, **points.given}, TORCH_MATH)
    for number, r in enumerate(found, 1):
        if not isinstance(r, Tensor) or r.shape != (count,) or r.dtype != x.dtype:
            shape = f"{tuple(r.shape)} {r.dtype}" if isinstance(r, Tensor) else type(r).__name__
            which = f" (equation {number} of {len(found)})" if len(found) > 1 else ""
            raise InputError(
                f"{points.equations.title} returned {shape} for {count} points{which}; "
                "it must return one number for each, or a tuple of such, made of the columns it is given"
            )
    return found
