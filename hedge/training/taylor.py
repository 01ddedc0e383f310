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

# The m-th derivative of tanh divided by the m-th of these takes one pass over memory (see _slope).
_FACTORS = tuple((-2.0) ** (order - 1) for order in range(6))


@dataclass(frozen=True)
class Streams:
    """Every layer's inputs and outputs, for S streams at n points.

    inputs[l] is (n_{l-1}, S, n) and outputs[l] (n_l, S, n), the quantities before the activation, of which
    slopes[l] are tanh's derivatives that the streams took, divided by their ``_FACTORS``, each (n_l, n).
    Points come last: products with a short and wide matrix run about twice as fast as with a tall one.
    """

    axes: tuple[Axes, ...]
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    slopes: tuple[tuple[Tensor, ...], ...]


def closure(wanted: Sequence[Axes]) -> tuple[Axes, ...]:
    """The streams needed to propagate the wanted ones: the value, then all parts of them, by order.

    >>> closure([(0, 0, 1)])
    ((), (0,), (1,), (0, 0), (0, 1), (0, 0, 1))
    """
    needed = {()} | {part for axes in wanted for parts in _partitions(axes) for part in parts}
    return tuple(sorted(needed, key=lambda axes: (len(axes), axes)))


def propagate(network: Network, inputs: Tensor, axes: tuple[Axes, ...]) -> Streams:
    """Push the streams ``axes`` (a closure) of the inputs (n_0, S, n) through the network."""
    layer_inputs, outputs, slopes = [inputs], [_linear(network, 0, inputs)], []
    for layer in range(1, len(network.weights)):
        stream, of_tanh = _tanh_streams(outputs[-1], axes)
        layer_inputs.append(stream)
        slopes.append(of_tanh)
        outputs.append(_linear(network, layer, stream))
    return Streams(axes, tuple(layer_inputs), tuple(outputs), tuple(slopes))


def _linear(network: Network, layer: int, stream: Tensor) -> Tensor:
    z = (network.weights[layer] @ stream.flatten(1)).view(-1, *stream.shape[1:])
    z.select(1, 0).add_(network.biases[layer].unsqueeze(1))
    return z


def reverse(network: Network, streams: Streams, seed: Tensor) -> Iterator[Tensor]:
    """∂r/∂Z of every layer, each (n_l, S, n), the last layer's first, which is the ``seed``."""
    gradient = seed
    yield gradient
    for layer in range(len(network.weights) - 1, 0, -1):
        above = network.weights[layer].T @ gradient.flatten(1)
        z, a = streams.outputs[layer - 1], streams.inputs[layer].select(1, 0)
        gradient = _tanh_gradient(z, a, streams.slopes[layer - 1], above.view_as(z), streams.axes)
        yield gradient


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


def _tanh_streams(z: Tensor, axes: tuple[Axes, ...]) -> tuple[Tensor, tuple[Tensor, ...]]:
    """Streams of tanh(z) from those of z, (w, S, n), and the derivatives that they took, as slopes."""
    of_z, out = z.unbind(1), torch.empty_like(z)
    of_out = out.unbind(1)
    a = _tanh(of_z[0], of_out[0])
    slopes: list[Tensor] = []
    for order, of_order in enumerate(_terms(axes), 1):
        slopes.append(_slope(order, a, slopes))
        if order == 1:
            torch.mul(z[:, 1:], slopes[0].unsqueeze(1), out=out[:, 1:])
            continue
        for term in of_order:
            factor = term.count * _FACTORS[order]
            product = _product([of_z[s] for s in term.factors])
            of_out[term.stream].addcmul_(product, slopes[-1], value=factor)
    return out, tuple(slopes)


def _tanh(z: Tensor, out: Tensor) -> Tensor:
    """tanh(z), written to ``out``.

    tanh z = 2 / (1 + exp(−2z)) − 1: in float64 torch's sigmoid is four times as fast as its tanh, and the
    sum exact to 2e-16 absolute; in float32 it would lose a digit.
    """
    if z.dtype != torch.float64:
        return torch.tanh(z, out=out)
    half = (2.0 * z).sigmoid_()
    return torch.add(z.new_tensor(-1.0), half, alpha=2.0, out=out)


def _tanh_gradient(
    z: Tensor, a: Tensor, slopes: Sequence[Tensor], above: Tensor, axes: tuple[Axes, ...]
) -> Tensor:
    """∂r/∂z (w, S, n) of the streams of tanh, from ``above``, their own, with a = tanh(z[:, 0])."""
    known = list(slopes) or [_slope(1, a, ())]
    gradient = above * known[0].unsqueeze(1)
    of_z, of_above, of_gradient = z.unbind(1), above.unbind(1), gradient.unbind(1)
    for order, of_order in enumerate(_terms(axes), 1):
        # What stands beside f⁽ᵐ⁾ in the terms: they move with the value by f⁽ᵐ⁺¹⁾, and with their factors.
        beside = None
        for term in of_order:
            carried = of_above[term.stream]
            for factor, times, others in term.slopes if order > 1 else ():
                carried = _product([of_above[term.stream], *(of_z[s] for s in others)])
                scale = term.count * times * _FACTORS[order]
                of_gradient[factor].addcmul_(carried, known[order - 1], value=scale)
            beside = _added(beside, carried, of_z[term.slopes[-1][0]], term.count)
        if order == len(known):
            known.append(_slope(order + 1, a, known))
        assert beside is not None
        of_gradient[0].addcmul_(beside, known[order], value=_FACTORS[order + 1])
    return gradient


def _added(total: Tensor | None, x: Tensor, y: Tensor, count: int) -> Tensor:
    """total + count x y, in place; without a total one pass over memory less than from zero."""
    if total is not None:
        return total.addcmul_(x, y, value=count)
    return x * y if count == 1 else (x * y).mul_(count)


def _product(factors: Sequence[Tensor]) -> Tensor:
    return reduce(mul, factors)


def _slope(order: int, a: Tensor, lower: Sequence[Tensor]) -> Tensor:
    """The first to the fifth derivative of tanh where its value is a, divided by its factor.

    With f = 1 − a² and g = af: f, g, f − 1.5f², g − 3fg, f − 7.5g²; lower are those before this one.
    """
    if order == 1:
        return torch.addcmul(a.new_ones(()), a, a, value=-1.0)
    f = lower[0]
    if order == 2:
        return a * f
    g = lower[1]
    if order == 3:
        return torch.addcmul(f, f, f, value=-1.5)
    return torch.addcmul(g, f, g, value=-3.0) if order == 4 else torch.addcmul(f, g, g, value=-7.5)
