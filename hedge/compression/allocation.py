"""Choosing widths and ranks by one price: minimise cost + λ · error² over the whole network."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from hedge.compression.neurons import NeuronOrder
from hedge.devices import (
    BYTES_PER_FLOAT,
    Device,
    Work,
    energy_joules,
    gemm_work,
    marginal_seconds,
)
from hedge.graph import (
    BYTES_PER_NUMBER,
    BlockLayout,
    BlockMatrix,
    HiddenLayer,
    Precision,
    SiteMatrix,
    SplitModel,
)

Array = NDArray[np.float64]
Sizes = NDArray[np.int64]
Objective = Literal["latency", "energy", "size"]

# Above this width only multiples of a step are tried.
MOST_WIDTHS = 256


@dataclass(frozen=True)
class Costs:
    """Costs of the parts of a network: seconds, joules or bytes, by the objective.

    gemm(outputs, inputs) and neurons(layer, count) take numbers or arrays, blocks a layout.
    """

    gemm: Callable[[Sizes, Sizes], Array]
    neurons: Callable[[HiddenLayer, Sizes], Array]
    blocks: Callable[[BlockLayout], float]

    def low_rank(self, outputs: int, inputs: int, ranks: Sizes) -> Array:
        """The two Gemms of a factorized site, for each rank."""
        first = self.gemm(ranks, np.asarray(inputs))
        return np.asarray(first + self.gemm(np.asarray(outputs), ranks))

    def of(self, matrix: SiteMatrix | BlockMatrix) -> float:
        """The nodes of one site."""
        if isinstance(matrix, BlockMatrix):
            return self.blocks(matrix.layout)
        outputs, inputs = matrix.shape
        if len(matrix.factors) == 2:
            return float(self.low_rank(outputs, inputs, np.array(matrix.rank)))
        return float(self.gemm(np.array(outputs), np.array(inputs)))


def costs_on(
    device: Device, batch: int, objective: Objective, precision: Precision = "float32"
) -> Costs:
    """Costs under the device model, for calls with ``batch`` rows; sizes with weights so stored."""

    def price(work: Work) -> Array:
        seconds = marginal_seconds(device, work)
        if objective == "latency":
            return np.asarray(seconds)
        return np.asarray(energy_joules(device, work, seconds))

    if objective == "size":
        each = BYTES_PER_NUMBER[precision]
        return Costs(
            gemm=lambda outputs, inputs: np.asarray(
                each * outputs * inputs + BYTES_PER_FLOAT * outputs, dtype=np.float64
            ),
            neurons=lambda layer, count: np.zeros(count.shape),
            blocks=lambda layout: float(each * layout.numbers + BYTES_PER_FLOAT * layout.outputs),
        )
    return Costs(
        gemm=lambda outputs, inputs: price(gemm_work(batch, outputs, inputs)),
        neurons=lambda layer, count: price(
            Work(
                activations=batch * layer.transcendental * count,
                bytes=2 * BYTES_PER_FLOAT * batch * layer.unfused * count,
            )
        ),
        blocks=lambda layout: float(price(layout.work(batch))),
    )


def best_widths(
    split: SplitModel,
    layers: Sequence[HiddenLayer],
    orders: Mapping[str, NeuronOrder],
    costs: Costs,
    price: float,
) -> dict[str, int]:
    """The widths that minimise Σ cost + price · Σ error², by dynamic programming.

    Exact over all widths of layers up to MOST_WIDTHS neurons, and over a grid of as many above.

    A site's cost couples the widths on its two sides, so the best total up to a layer is kept for
    each of its widths (Viterbi, 1967). Returns widths by the producer's name.
    """
    sites = {site.name: site for site in split.sites}
    following = {layer.producer: layer for layer in layers}
    starts = [name for name in following if name not in {layer.consumer for layer in layers}]
    widths: dict[str, int] = {}
    for start in starts:
        path, name = [], start
        while name in following:
            path.append(following[name])
            name = following[name].consumer
        inputs = np.array([sites[start].matrix.shape[1]])
        total, choices = np.zeros(1), []
        for layer in path:
            outputs = _width_grid(sites[layer.producer].matrix.shape[0])
            reach = total[None, :] + costs.gemm(outputs[:, None], inputs[None, :])
            choices.append((layer, outputs, np.argmin(reach, axis=1)))
            error = orders[layer.producer].error_squared[outputs]
            total = reach.min(axis=1) + costs.neurons(layer, outputs) + price * error
            inputs = outputs
        last = np.array(sites[path[-1].consumer].matrix.shape[0])
        position = int(np.argmin(total + costs.gemm(last, inputs)))
        for layer, outputs, best_input in reversed(choices):
            widths[layer.producer] = int(outputs[position])
            position = int(best_input[position])
    return widths


def best_rank(
    outputs: int, inputs: int, tail_squared: Array, costs: Costs, price: float
) -> int | None:
    """The rank that minimises cost + price · error², or None where dense does."""
    ranks = np.arange(1, len(tail_squared) - 1)
    if len(ranks) == 0:
        return None
    totals = costs.low_rank(outputs, inputs, ranks) + price * tail_squared[ranks]
    best = int(np.argmin(totals))
    dense = float(costs.gemm(np.array(outputs), np.array(inputs)))
    return int(ranks[best]) if totals[best] < dense else None


def _width_grid(width: int) -> Sizes:
    step = -(-width // MOST_WIDTHS)
    return np.unique(np.append(np.arange(step, width + 1, step), width))
