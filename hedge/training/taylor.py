"""Taylor-mode derivatives: a network's value and the derivatives a problem asks for, together.

A *stream* is one derivative of the network, named by its axes in order: ``()`` the value, ``(0,)`` the
first derivative along input 0, ``(0, 1)`` a mixed second one, up to fourth ones. All streams of a layer
pass through one matrix product; the activation mixes them by Faà di Bruno's formula. Nested reverse mode
would build the graph of a graph for the same numbers (Bettencourt, Johnson and Duvenaud, 2019). The
reverse of the activation is written out as well, so a gradient needs no tape through the layers.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache, reduce
from itertools import combinations
from operator import mul

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
    """The streams needed to propagate the wanted ones: the value, then all parts of them, by order.

    >>> closure([(0, 0, 1)])
    ((), (0,), (1,), (0, 0), (0, 1), (0, 0, 1))
    """
    needed = {()} | {
        part
        for axes in wanted
        for order in range(1, len(axes) + 1)
        for part in combinations(axes, order)
    }
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


@dataclass(frozen=True)
class _Term:
    """``count`` · f⁽ᵐ⁾(z) · Π z_s over the ``factors`` s, m ≥ 2 of them: a term of a stream of f(z)."""

    stream: int
    count: int
    factors: tuple[int, ...]


@cache
def _terms(axes: tuple[Axes, ...]) -> tuple[_Term, ...]:
    """Faà di Bruno's formula but for f′(z) z_s: a term for each way to part a derivative's axes."""
    index = {ax: s for s, ax in enumerate(axes)}
    terms = []
    for s, ax in enumerate(axes):
        parted = Counter(
            tuple(sorted(index[part] for part in parts))
            for parts in _partitions(ax)
            if len(parts) > 1
        )
        terms += [_Term(s, count, factors) for factors, count in parted.items()]
    return tuple(terms)


def _partitions(axes: Axes) -> Iterator[tuple[Axes, ...]]:
    """All ways to part axes, in order and each taken for a thing of its own, into parts.

    >>> list(_partitions((0, 1)))
    [((0, 1),), ((0,), (1,))]
    """
    if not axes:
        yield ()
        return
    others = range(1, len(axes))
    for count in reversed(range(len(axes))):
        for joined in combinations(others, count):
            rest = tuple(axes[i] for i in others if i not in joined)
            for parts in _partitions(rest):
                yield (axes[:1] + tuple(axes[i] for i in joined), *parts)


def _tanh_streams(z: Tensor, axes: tuple[Axes, ...]) -> Tensor:
    """Streams of tanh(z) from those of z, (w, S, n)."""
    # tanh z = 2 / (1 + exp(−2z)) − 1: in float64 torch's sigmoid is four times as fast as its tanh, and
    # the sum exact to 2e-16 absolute; in float32 it would lose a digit.
    exact = z.dtype == torch.float64
    a = torch.sigmoid(2.0 * z[:, 0]).mul_(2.0).sub_(1.0) if exact else torch.tanh(z[:, 0])
    terms = _terms(axes)
    derivatives = _derivatives(a, max((len(term.factors) for term in terms), default=1))
    out = torch.empty_like(z)
    out[:, 0] = a
    torch.mul(z[:, 1:], derivatives[0][:, None], out=out[:, 1:])
    for term in terms:
        product = _product(z, term.factors)
        out[:, term.stream].addcmul_(product, derivatives[len(term.factors) - 1], value=term.count)
    return out


def _tanh_gradient(z: Tensor, a: Tensor, above: Tensor, axes: tuple[Axes, ...]) -> Tensor:
    """∂r/∂z (w, S, n) of the streams of tanh, from ``above``, their own, with a = tanh(z[:, 0])."""
    terms = _terms(axes)
    orders = max((len(term.factors) for term in terms), default=1)
    derivatives = _derivatives(a, orders + 1)
    gradient = above * derivatives[0][:, None]
    # Of all streams after the value, what stands beside f⁽ᵐ⁾ in them: that is how f⁽ᵐ⁺¹⁾ moves them.
    beside = [torch.zeros_like(a) for _ in range(orders)]
    for s in range(1, len(axes)):
        beside[0].addcmul_(above[:, s], z[:, s])
    for term in terms:
        order = len(term.factors)
        carried = above[:, term.stream] * derivatives[order - 1]
        for factor, times in Counter(term.factors).items():
            others = list(term.factors)
            others.remove(factor)
            gradient[:, factor].addcmul_(carried, _product(z, others), value=term.count * times)
        beside[order - 1].addcmul_(
            _product(z, term.factors), above[:, term.stream], value=term.count
        )
    for derivative, sums in zip(derivatives[1:], beside, strict=True):
        gradient[:, 0].addcmul_(sums, derivative)
    return gradient


def _product(z: Tensor, streams: Sequence[int]) -> Tensor:
    return reduce(mul, [z[:, s] for s in streams])


def _derivatives(a: Tensor, count: int) -> list[Tensor]:
    """The first to the fifth derivative of tanh, as many as ``count``, where its value is a.

    With f = 1 − a²: f, −2af, f(4 − 6f), −2af(4 − 12f), f(16 − 120f + 120f²).
    """
    first = torch.addcmul(a.new_ones(()), a, a, value=-1.0)
    found = [first]
    if count > 1:
        found.append((a * first).mul_(-2.0))
    if count > 2:
        found.append(first.mul(-6.0).add_(4.0).mul_(first))
    if count > 3:
        found.append(first.mul(-12.0).add_(4.0).mul_(found[1]))
    if count > 4:
        found.append(first.mul(120.0).sub_(120.0).mul_(first).add_(16.0).mul_(first))
    return found
