"""The network that is trained: tanh layers on what the problem hands them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor


@dataclass(frozen=True)
class Network:
    """A tanh network N = W_L a + b_L, a = tanh(W_l a + b_l), on the inputs its problem prepares.

    weights[l] is (n_l, n_{l-1}), biases[l] is (n_l,), all of one dtype on one device. constants (K,) are what
    the problem's unknown constants are trained by, beside the network; None where there are none.
    """

    weights: tuple[Tensor, ...]
    biases: tuple[Tensor, ...]
    constants: Tensor | None = None

    @property
    def widths(self) -> tuple[int, ...]:
        """Neurons of each hidden layer."""
        return tuple(len(b) for b in self.biases[:-1])

    def __call__(self, inputs: Tensor) -> Tensor:
        """The value alone: (n, n_0) -> (n, n_L)."""
        a = inputs
        for weight, bias in zip(self.weights[:-1], self.biases[:-1], strict=True):
            a = torch.tanh(a @ weight.T + bias)
        return a @ self.weights[-1].T + self.biases[-1]


def new_network(
    inputs: int, widths: Sequence[int], seed: int, outputs: int = 1, constants: int = 0
) -> Network:
    """A float64 network with Glorot-normal weights and zeros beside, the same for the same seed."""
    generator = torch.Generator().manual_seed(seed)
    weights = tuple(
        torch.randn(n, m, generator=generator, dtype=torch.float64) * (2.0 / (n + m)) ** 0.5
        for m, n in pairwise([inputs, *widths, outputs])
    )
    return Network(
        weights,
        tuple(torch.zeros(len(w), dtype=torch.float64) for w in weights),
        torch.zeros(constants, dtype=torch.float64) if constants else None,
    )


def parameters_of(network: Network) -> Tensor:
    """All parameters as one vector (P,): weights row by row and biases of each layer, then constants."""
    layers = zip(network.weights, network.biases, strict=True)
    constants = [] if network.constants is None else [network.constants]
    return torch.cat([*(part for w, b in layers for part in (w.flatten(), b)), *constants])


def with_parameters(network: Network, parameters: Tensor) -> Network:
    """The same network with other parameters (P,)."""
    layers = list(zip(network.weights, network.biases, strict=True))
    sizes = [t.numel() for layer in layers for t in layer]
    constants = 0 if network.constants is None else len(network.constants)
    *parts, rest = torch.split(parameters, [*sizes, constants])
    weights = tuple(p.view_as(w) for p, w in zip(parts[::2], network.weights, strict=True))
    return Network(weights, tuple(parts[1::2]), rest if constants else None)
