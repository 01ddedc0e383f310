"""The network that is trained: tanh layers on what the problem hands them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch import Tensor


@dataclass(frozen=True)
class Group:
    """A network of its own within one: it reads these inputs and gives these outputs, by their numbers."""

    inputs: tuple[int, ...]
    outputs: tuple[int, ...]


@dataclass(frozen=True)
class Network:
    """A tanh network N = W_L a + b_L, a = tanh(W_l a + b_l), on the inputs its problem prepares.

    weights[l] is (n_l, n_{l-1}), biases[l] is (n_l,), all of one dtype on one device. constants (K,) are what
    the problem's unknown constants are trained by, beside the network; None where there are none. With
    ``groups`` the neurons of every hidden layer are parted evenly among them, in order, and weights from one
    group to another are zero and stay so.
    """

    weights: tuple[Tensor, ...]
    biases: tuple[Tensor, ...]
    constants: Tensor | None = None
    groups: tuple[Group, ...] = ()

    @property
    def widths(self) -> tuple[int, ...]:
        """Neurons of each hidden layer, in each group."""
        return tuple(len(b) // max(len(self.groups), 1) for b in self.biases[:-1])

    def __call__(self, inputs: Tensor) -> Tensor:
        """The value alone: (n, n_0) -> (n, n_L)."""
        a = inputs
        for weight, bias in zip(self.weights[:-1], self.biases[:-1], strict=True):
            a = torch.tanh(a @ weight.T + bias)
        return a @ self.weights[-1].T + self.biases[-1]

    def blocks(self, layer: int) -> Iterator[tuple[Rows, Rows]]:
        """Rows and columns of a layer's weights that are not always zero, and rows of its biases."""
        if not self.groups:
            yield ALL, ALL
        last = len(self.weights) - 1
        for number, group in enumerate(self.groups):
            rows = list(group.outputs) if layer == last else self._share(number, layer)
            columns = list(group.inputs) if layer == 0 else self._share(number, layer - 1)
            yield rows, columns

    def _share(self, group: int, layer: int) -> slice:
        width = len(self.biases[layer]) // len(self.groups)
        return slice(group * width, (group + 1) * width)


Rows = slice | list[int]
ALL = slice(None)


def new_network(
    inputs: int,
    widths: Sequence[int],
    seed: int,
    outputs: int = 1,
    constants: int = 0,
    groups: Sequence[Group] = (),
) -> Network:
    """A float64 network with Glorot-normal weights and zeros beside, the same for the same seed.

    With ``groups`` each of them has layers of these ``widths``.
    """
    generator = torch.Generator().manual_seed(seed)
    times = max(len(groups), 1)
    sizes = [inputs, *(width * times for width in widths), outputs]
    network = Network(
        tuple(torch.zeros(n, m, dtype=torch.float64) for m, n in pairwise(sizes)),
        tuple(torch.zeros(n, dtype=torch.float64) for n in sizes[1:]),
        torch.zeros(constants, dtype=torch.float64) if constants else None,
        tuple(groups),
    )
    for layer, weight in enumerate(network.weights):
        for rows, columns in network.blocks(layer):
            n, m = weight[rows][:, columns].shape
            drawn = torch.randn(n, m, generator=generator, dtype=torch.float64)
            _set_block(weight, rows, columns, drawn * (2.0 / (n + m)) ** 0.5)
    return network


def parameters_of(network: Network) -> Tensor:
    """All parameters as one vector (P,): weights row by row and biases of each layer, then constants.

    Of several groups a layer has the weights and biases of each, one after the other.
    """
    found = []
    for layer, (weight, bias) in enumerate(zip(network.weights, network.biases, strict=True)):
        for rows, columns in network.blocks(layer):
            found += [weight[rows][:, columns].flatten(), bias[rows]]
    return torch.cat([*found, *([] if network.constants is None else [network.constants])])


def with_parameters(network: Network, parameters: Tensor) -> Network:
    """The same network with other parameters (P,)."""
    constants = 0 if network.constants is None else len(network.constants)
    rest = parameters[len(parameters) - constants :] if constants else None
    if network.groups:
        return replace(_with_groups(network, parameters), constants=rest)
    layers = zip(network.weights, network.biases, strict=True)
    sizes = [t.numel() for layer in layers for t in layer]
    *parts, _ = torch.split(parameters, [*sizes, constants])
    weights = tuple(p.view_as(w) for p, w in zip(parts[::2], network.weights, strict=True))
    return Network(weights, tuple(parts[1::2]), rest)


def rounded(network: Network, kind: type[np.floating[Any]]) -> Network:
    """The same with parameters that numbers of this kind can hold."""
    exact = parameters_of(network)
    held = torch.float32 if kind is np.float32 else torch.float64
    return with_parameters(network, exact.to(held).to(exact))


def _with_groups(network: Network, parameters: Tensor) -> Network:
    at, layers = 0, []
    for layer, (old, old_bias) in enumerate(zip(network.weights, network.biases, strict=True)):
        weight, bias = torch.zeros_like(old), torch.zeros_like(old_bias)
        for rows, columns in network.blocks(layer):
            n, m = old[rows][:, columns].shape
            _set_block(weight, rows, columns, parameters[at : at + n * m].view(n, m))
            bias[rows] = parameters[at + n * m : at + n * m + n]
            at += n * m + n
        layers.append((weight, bias))
    weights, biases = zip(*layers, strict=True)
    return replace(network, weights=weights, biases=biases)


def _set_block(weight: Tensor, rows: Rows, columns: Rows, values: Tensor) -> None:
    if isinstance(rows, list) and isinstance(columns, list):
        weight[torch.tensor(rows)[:, None], torch.tensor(columns)] = values
    else:
        weight[rows, columns] = values
