"""Taylor-mode derivatives: a network's value and the derivatives a problem asks for, together.

A *stream* is one derivative of the network, named by its axes: ``()`` the value, ``(0,)`` the first
derivative along input 0, ``(0, 1)`` a mixed second one. All streams of a layer pass through one
matrix product; the activation mixes them by Faà di Bruno's formula. Nested reverse mode would
build the graph of a graph for the same numbers (Bettencourt, Johnson and Duvenaud, 2019).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import cast

import torch
from torch import Tensor

from hedge.problems import Math, Problem
from hedge.problems.problem import Field

Axes = tuple[int, ...]
TORCH_MATH = cast("Math", torch)
"""torch's functions, for the fields of a problem."""


@dataclass(frozen=True)
class Network:
    """A tanh network on normalised inputs: a₀ = (x − centre) / half, a = tanh(W a + b), N = W a + b.

    weights[l] is (n_l, n_{l-1}), biases[l] is (n_l,), centre and half are (d,); all float64.
    """

    weights: tuple[Tensor, ...]
    biases: tuple[Tensor, ...]
    centre: Tensor
    half: Tensor

    def __call__(self, x: Tensor) -> Tensor:
        """The value alone: (n, d) -> (n, m)."""
        a = (x - self.centre) / self.half
        for weight, bias in zip(self.weights[:-1], self.biases[:-1], strict=True):
            a = torch.tanh(a @ weight.T + bias)
        return a @ self.weights[-1].T + self.biases[-1]


@dataclass(frozen=True)
class Streams:
    """Every layer's inputs and outputs, for S streams at n points.

    inputs[l] is (S, n, n_{l-1}) and outputs[l] (S, n, n_l), the quantities before the activation.
    """

    axes: tuple[Axes, ...]
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]


def closure(wanted: Sequence[Axes]) -> tuple[Axes, ...]:
    """The streams needed to propagate the wanted ones: value, then first, then second derivatives.

    >>> closure([(0, 0)])
    ((), (0,), (0, 0))
    """
    needed = {()} | {(axis,) for axes in wanted for axis in axes} | set(wanted)
    return tuple(sorted(needed, key=lambda axes: (len(axes), axes)))


def new_network(problem: Problem, width: int, depth: int, seed: int) -> Network:
    """A network with ``depth`` hidden layers of ``width``, Glorot-normal weights, zero biases."""
    generator = torch.Generator().manual_seed(seed)
    sizes = [problem.domain.dimension, *[width] * depth, 1]
    weights = tuple(
        torch.randn(n, m, generator=generator, dtype=torch.float64) * (2.0 / (n + m)) ** 0.5
        for m, n in pairwise(sizes)
    )
    biases = tuple(torch.zeros(n, dtype=torch.float64) for n in sizes[1:])
    lower = torch.from_numpy(problem.domain.lower)
    upper = torch.from_numpy(problem.domain.upper)
    return Network(weights, biases, centre=(lower + upper) / 2, half=(upper - lower) / 2)


def propagate(network: Network, x: Tensor, axes: tuple[Axes, ...]) -> Streams:
    """Push the streams ``axes`` (a closure) of the points ``x`` (n, d) through the network."""
    stream = torch.zeros((len(axes), *x.shape), dtype=x.dtype)
    stream[0] = (x - network.centre) / network.half
    for s, ax in enumerate(axes):
        if len(ax) == 1:
            stream[s, :, ax[0]] = 1.0 / network.half[ax[0]]
    inputs: list[Tensor] = []
    outputs: list[Tensor] = []
    for layer, (weight, bias) in enumerate(zip(network.weights, network.biases, strict=True)):
        if layer > 0:
            stream = _tanh(outputs[-1], axes)
        inputs.append(stream)
        z = stream @ weight.T
        outputs.append(torch.cat((z[:1] + bias, z[1:])))
    return Streams(axes, tuple(inputs), tuple(outputs))


def _tanh(z: Tensor, axes: tuple[Axes, ...]) -> Tensor:
    value = torch.tanh(z[0])
    first = 1.0 - value * value
    second = -2.0 * value * first
    index = {ax: s for s, ax in enumerate(axes)}
    out = [value]
    for s, ax in enumerate(axes[1:], start=1):
        if len(ax) == 1:
            out.append(first * z[s])
        else:
            i, j = index[ax[:1]], index[ax[1:]]
            out.append(second * z[i] * z[j] + first * z[s])
    return torch.stack(out)


@dataclass(frozen=True)
class Points:
    """Collocation points with what does not depend on the network: offset and distance streams.

    x is (n, d); offset and distance are (S, n), in the order of ``axes``.
    """

    x: Tensor
    axes: tuple[Axes, ...]
    offset: Tensor
    distance: Tensor


def place(problem: Problem, x: Tensor) -> Points:
    """Points of a problem; the hard constraints are differentiated here, once per set of points."""
    axes = closure([problem.axes(name) for name in problem.derivatives])
    distance = _field_streams(problem.distance, x, axes)
    if problem.offset is None:
        return Points(x, axes, torch.zeros_like(distance), distance)
    return Points(x, axes, _field_streams(problem.offset, x, axes), distance)


def _field_streams(
    field: Callable[[Sequence[Field], Math], Field], x: Tensor, axes: tuple[Axes, ...]
) -> Tensor:
    x = x.detach().requires_grad_()
    streams: dict[Axes, Tensor] = {(): field(x.unbind(1), TORCH_MATH)}

    def derivative(of: Tensor, axis: int) -> Tensor:
        if not of.requires_grad:
            return torch.zeros_like(of)
        (gradient,) = torch.autograd.grad(of.sum(), x, create_graph=True, allow_unused=True)
        return torch.zeros_like(of) if gradient is None else gradient[:, axis]

    for ax in axes[1:]:
        streams[ax] = derivative(streams[ax[:-1]], ax[-1])
    return torch.stack([streams[ax] for ax in axes]).detach()


def solution_streams(network_streams: Tensor, points: Points) -> dict[Axes, Tensor]:
    """Streams (n,) of u = offset + distance · N from those of N, (S, n), by Leibniz's rule."""
    index = {ax: s for s, ax in enumerate(points.axes)}
    n, d = network_streams, points.distance
    u = {}
    for s, ax in enumerate(points.axes):
        u[ax] = (
            points.offset[s] + d[s] * n[0] + d[0] * n[s] if ax else points.offset[0] + d[0] * n[0]
        )
        if len(ax) == 2:
            i, j = index[ax[:1]], index[ax[1:]]
            u[ax] = u[ax] + d[i] * n[j] + d[j] * n[i]
    return u


def residual(problem: Problem, streams: Streams, points: Points) -> Tensor:
    """The problem's residual (n,) of the network whose streams are given."""
    u = solution_streams(streams.outputs[-1][..., 0], points)
    named = {name: u[problem.axes(name)] for name in problem.derivatives}
    return torch.as_tensor(problem.residual(points.x.unbind(1), named, TORCH_MATH))
