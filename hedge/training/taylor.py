"""Taylor-mode derivatives: a network's value and the derivatives a problem asks for, together.

A *stream* is one derivative of the network, named by its axes: ``()`` the value, ``(0,)`` the first
derivative along input 0, ``(0, 1)`` a mixed second one. All streams of a layer pass through one
matrix product; the activation mixes them by Faà di Bruno's formula. Nested reverse mode would
build the graph of a graph for the same numbers (Bettencourt, Johnson and Duvenaud, 2019). The
reverse of the activation is written out as well, so a gradient needs no tape through the layers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from hedge.training.network import Network

Axes = tuple[int, ...]


@dataclass(frozen=True)
class _Streams:
    """Every layer's inputs and outputs, for S streams at n points.

    inputs[l] is (n_{l-1}, S, n) and outputs[l] (n_l, S, n), the quantities before the activation.
    Points come last: products with a short and wide matrix run about twice as fast as with a tall one.
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


def propagate(network: Network, inputs: Tensor, axes: tuple[Axes, ...]) -> _Streams:
    """Push the streams ``axes`` (a closure) of the inputs (n_0, S, n) through the network."""
    stream = inputs
    layer_inputs: list[Tensor] = []
    outputs: list[Tensor] = []
    for layer, (weight, bias) in enumerate(zip(network.weights, network.biases, strict=True)):
        if layer > 0:
            stream = _tanh_streams(outputs[-1], axes)
        layer_inputs.append(stream)
        z = (weight @ stream.flatten(1)).view(-1, *stream.shape[1:])
        z[:, 0] += bias[:, None]
        outputs.append(z)
    return _Streams(axes, tuple(layer_inputs), tuple(outputs))


def reverse(network: Network, streams: _Streams, seed: Tensor) -> tuple[Tensor, ...]:
    """∂r/∂Z of every layer, each (n_l, S, n), from ``seed`` (n_L, S, n) = ∂r/∂Z of the last one."""
    gradients = [seed]
    for layer in range(len(network.weights) - 1, 0, -1):
        above = network.weights[layer].T @ gradients[-1].flatten(1)
        z, a = streams.outputs[layer - 1], streams.inputs[layer][:, 0]
        gradients.append(_tanh_gradient(z, a, above.view_as(z), streams.axes))
    return tuple(reversed(gradients))


def _second_streams(axes: tuple[Axes, ...]) -> list[tuple[int, int, int]]:
    """For each second derivative (s, i, j): its stream and those of its two first derivatives."""
    index = {ax: s for s, ax in enumerate(axes)}
    return [(s, index[ax[:1]], index[ax[1:]]) for s, ax in enumerate(axes) if len(ax) == 2]


def _tanh_streams(z: Tensor, axes: tuple[Axes, ...]) -> Tensor:
    """Streams of tanh(z) from those of z, (w, S, n)."""
    # tanh z = 2 / (1 + exp(−2z)) − 1: in float64 torch's sigmoid is four times as fast as its tanh, and
    # the sum exact to 2e-16 absolute; in float32 it would lose a digit.
    exact = z.dtype == torch.float64
    a = torch.sigmoid(2.0 * z[:, 0]).mul_(2.0).sub_(1.0) if exact else torch.tanh(z[:, 0])
    first = _first(a)
    out = torch.empty_like(z)
    out[:, 0] = a
    torch.mul(z[:, 1:], first[:, None], out=out[:, 1:])
    second = (a * first).mul_(-2.0)
    for s, i, j in _second_streams(axes):
        out[:, s].addcmul_(z[:, i] * z[:, j], second)
    return out


def _tanh_gradient(z: Tensor, a: Tensor, above: Tensor, axes: tuple[Axes, ...]) -> Tensor:
    """∂r/∂z (w, S, n) of the streams of tanh, from ``above``, their own, with a = tanh(z[:, 0])."""
    first = _first(a)
    second = (a * first).mul_(-2.0)
    gradient = above * first[:, None]
    # Streams after the value, with their factors of tanh″ and tanh‴ in the value's own derivative.
    twice = torch.zeros_like(second)
    for s in range(1, len(axes)):
        twice.addcmul_(above[:, s], z[:, s])
    gradient[:, 0].addcmul_(twice, second)
    seconds = _second_streams(axes)
    if seconds:
        thrice = twice.zero_()
        for s, i, j in seconds:
            carried = above[:, s] * second
            if i == j:
                gradient[:, i].addcmul_(carried, z[:, i], value=2.0)
            else:
                gradient[:, i].addcmul_(carried, z[:, j])
                gradient[:, j].addcmul_(carried, z[:, i])
            thrice.addcmul_(z[:, i] * z[:, j], above[:, s])
        third = first.mul(-6.0).add_(4.0).mul_(first)
        gradient[:, 0].addcmul_(thrice, third)
    return gradient


def _first(a: Tensor) -> Tensor:
    """tanh′ = 1 − a²."""
    return torch.addcmul(a.new_ones(()), a, a, value=-1.0)
