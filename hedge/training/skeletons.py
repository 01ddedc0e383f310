"""The reverse of growth: neurons that the others of their layer can be interpolated from go.

With a skeleton S of a layer's neurons and a ≈ T a_S + c on the sample, the next layer reads
W a + b ≈ (W T) a_S + (W c + b): both neighbouring matrices shrink, the bias absorbs c, and nothing
is added. It is the interpolative decomposition behind H²-matrices, applied across a layer.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import linalg
from torch import Tensor

from hedge.arrays import Array
from hedge.training.network import Network


def without_redundant(
    network: Network, inputs: Tensor, loss: Callable[[Network], float], most: float
) -> Network:
    """A narrower network whose ``loss`` is at most ``most``, or the network itself.

    ``inputs`` (n, n_0) is the sample on which neurons are interpolated.
    """
    for layer in reversed(range(len(network.widths))):
        network = _narrowest(network, layer, inputs, lambda n: loss(n) <= most)
    return network


def _narrowest(
    network: Network, layer: int, inputs: Tensor, accepts: Callable[[Network], bool]
) -> Network:
    """The layer with the fewest neurons that is still accepted, found by bisection."""
    skeleton = _skeleton(network, layer, inputs)
    most, least = network.widths[layer], 0  # not accepted with least, accepted with most
    found = network
    while most - least > 1:
        count = (most + least) // 2
        candidate = _interpolated(network, layer, skeleton, count)
        if accepts(candidate):
            most, found = count, candidate
        else:
            least = count
    return found


@dataclass(frozen=True, eq=False)
class _Skeleton:
    """Neurons of a layer in the order of choice, with what interpolates the others.

    triangle (·, n) is R of the pivoted QR of the centred activations, its columns in that order and
    not scaled; mean (n,) of the activations is in the layer's own order.
    """

    order: NDArray[np.intp]
    triangle: Array
    mean: Array


def _skeleton(network: Network, layer: int, inputs: Tensor) -> _Skeleton:
    a = inputs
    for weight, bias in zip(network.weights[: layer + 1], network.biases, strict=False):
        a = torch.tanh(a @ weight.T + bias)
    activations = a.detach().double().cpu().numpy()
    mean = activations.mean(axis=0)
    # Neurons that the next layer reads with large weights first; those that it does not read, last.
    felt = network.weights[layer + 1].detach().double().norm(dim=0).cpu().numpy()
    centred = activations - mean
    _, order = linalg.qr(centred * felt, mode="r", pivoting=True)
    (triangle,) = linalg.qr(centred[:, order], mode="r")
    return _Skeleton(order, triangle[: len(order)], mean)


def _interpolated(network: Network, layer: int, skeleton: _Skeleton, count: int) -> Network:
    """The network with the first ``count`` neurons of the skeleton in that layer."""
    chosen = skeleton.order[:count]
    by_choice, *_ = np.linalg.lstsq(skeleton.triangle[:, :count], skeleton.triangle, rcond=None)
    transfer = np.empty((len(skeleton.order), count))
    transfer[skeleton.order] = by_choice.T
    constant = skeleton.mean - transfer @ skeleton.mean[chosen]

    weights, biases = list(network.weights), list(network.biases)
    above = weights[layer + 1].detach().double().cpu().numpy()
    rows = torch.from_numpy(chosen.copy()).to(weights[layer].device, torch.int64)
    weights[layer], biases[layer] = weights[layer][rows], biases[layer][rows]
    weights[layer + 1] = torch.from_numpy(above @ transfer).to(weights[layer + 1])
    biases[layer + 1] = biases[layer + 1] + torch.from_numpy(above @ constant).to(biases[layer + 1])
    return Network(tuple(weights), tuple(biases), network.constants)
