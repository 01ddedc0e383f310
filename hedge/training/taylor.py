"""Taylor-mode derivatives: a network's value and the derivatives a problem asks for, together.

A *stream* is one derivative of the network, named by its axes in order: ``()`` the value, ``(0,)`` the
first derivative along input 0, ``(0, 1)`` a mixed second one, up to fourth ones; a Laplacian is one stream,
which needs first derivatives beside it but not the second ones that it is the sum of (Li et al., 2024). All
streams of a layer pass through one matrix product; the activation mixes them by Faà di Bruno's formula.
Nested reverse mode would build the graph of a graph for the same numbers (Bettencourt, Johnson and Duvenaud,
2019). The reverse of the activation is written out as well, so a gradient needs no tape through the layers.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache, cached_property, reduce
from itertools import combinations
from operator import mul

import torch
from torch import Tensor

from hedge.problems.quotients import LAPLACIAN, Axes
from hedge.training.network import Network


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
    needed = {()} | {part for axes in wanted for parts in _partitions(axes) for part in parts}
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
    """``count`` · f⁽ᵐ⁾(z) · Π z_s over the m ``factors`` s: a term of a stream of f(z).

    slopes are those of Π z_s: each z_s that is in it, how often, and the other factors.
    """

    stream: int
    count: int
    factors: tuple[int, ...]

    @cached_property
    def slopes(self) -> tuple[tuple[int, int, tuple[int, ...]], ...]:
        found = []
        for factor, times in Counter(self.factors).items():
            place = self.factors.index(factor)
            found.append((factor, times, self.factors[:place] + self.factors[place + 1 :]))
        return tuple(found)


@cache
def _terms(axes: tuple[Axes, ...]) -> tuple[tuple[_Term, ...], ...]:
    """Faà di Bruno's formula: all terms with f′, with f″ …; one for each way to part a derivative's axes."""
    index = {ax: s for s, ax in enumerate(axes)}
    parted = {
        (s, factors): count
        for s, ax in enumerate(axes[1:], 1)
        for factors, count in Counter(
            tuple(sorted(index[part] for part in parts)) for parts in _partitions(ax)
        ).items()
    }
    terms = [_Term(s, count, factors) for (s, factors), count in parted.items()]
    return tuple(
        tuple(term for term in terms if len(term.factors) == order)
        for order in range(1, max((len(factors) for _, factors in parted), default=0) + 1)
    )


def _partitions(axes: Axes) -> Iterator[tuple[Axes, ...]]:
    """All ways to part axes, in order and each taken for a thing of its own, into parts.

    Those of a Laplacian are itself, and each of its second derivatives in two.

    >>> list(_partitions((0, 1))), list(_partitions((LAPLACIAN, 3)))
    ([((0, 1),), ((0,), (1,))], [((-1, 3),), ((3,), (3,))])
    """
    if axes[:1] == (LAPLACIAN,):
        yield (axes,)
        yield from (((axis,), (axis,)) for axis in axes[1:])
        return
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
    derivatives = _derivatives(a)
    out = torch.empty_like(z)
    out[:, 0] = a
    torch.mul(z[:, 1:], next(derivatives)[:, None], out=out[:, 1:])
    for of_order in _terms(axes)[1:]:
        derivative = next(derivatives)
        for term in of_order:
            out[:, term.stream].addcmul_(_product(z, term.factors), derivative, value=term.count)
    return out


def _tanh_gradient(z: Tensor, a: Tensor, above: Tensor, axes: tuple[Axes, ...]) -> Tensor:
    """∂r/∂z (w, S, n) of the streams of tanh, from ``above``, their own, with a = tanh(z[:, 0])."""
    derivatives = _derivatives(a)
    derivative = next(derivatives)
    gradient = above * derivative[:, None]
    for order, of_order in enumerate(_terms(axes), 1):
        # What stands beside f⁽ᵐ⁾ in the terms: they move with the value by f⁽ᵐ⁺¹⁾, and with their factors.
        beside = None
        for term in of_order:
            product, given = _product(z, term.factors), above[:, term.stream]
            beside = _added(beside, product, given, term.count)
            if order > 1:
                carried = given * derivative
                for factor, times, others in term.slopes:
                    rest = _product(z, others)
                    gradient[:, factor].addcmul_(carried, rest, value=term.count * times)
        derivative = next(derivatives)
        if beside is not None:
            gradient[:, 0].addcmul_(beside, derivative)
    return gradient


def _added(total: Tensor | None, x: Tensor, y: Tensor, count: int) -> Tensor:
    """total + count x y, in place; without a total one pass over memory less than from zero."""
    if total is not None:
        return total.addcmul_(x, y, value=count)
    return x * y if count == 1 else (x * y).mul_(count)


def _product(z: Tensor, streams: Sequence[int]) -> Tensor:
    return reduce(mul, [z[:, s] for s in streams])


def _derivatives(a: Tensor) -> Iterator[Tensor]:
    """The first to the fifth derivative of tanh where its value is a.

    With f = 1 − a²: f, −2af, f(4 − 6f), −2af(4 − 12f), f(16 − 120f + 120f²).
    """
    first = torch.addcmul(a.new_ones(()), a, a, value=-1.0)
    yield first
    second = (a * first).mul_(-2.0)
    yield second
    yield first.mul(-6.0).add_(4.0).mul_(first)
    yield first.mul(-12.0).add_(4.0).mul_(second)
    yield first.mul(120.0).sub_(120.0).mul_(first).add_(16.0).mul_(first)
