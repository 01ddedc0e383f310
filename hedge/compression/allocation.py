"""Choosing widths and ranks by one price: minimise cost + λ · error² over the whole network."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hedge.arrays import Array
from hedge.compression.neurons import NeuronOrder
from hedge.compression.pairwise import least_sum
from hedge.devices import (
    BYTES_PER_FLOAT,
    Device,
    Work,
    energy_joules,
    gemm_work,
    marginal_seconds,
    pass_work,
)
from hedge.graph import (
    BYTES_PER_NUMBER,
    Factors,
    NeuronGroup,
    Precision,
    SplitModel,
    Structure,
)
from hedge.request import Objective

Sizes = NDArray[np.int64]

# Above this width only multiples of a step are tried.
MOST_WIDTHS = 256


@dataclass(frozen=True)
class Costs:
    """Costs of the parts of a network: seconds, joules or bytes, by the objective.

    gemm(outputs, inputs) and neurons(group, count) take numbers or arrays, others a structure.
    """

    gemm: Callable[[Sizes, Sizes], Array]
    neurons: Callable[[NeuronGroup, Sizes], Array]
    others: Callable[[Structure], float]

    def low_rank(self, outputs: int, inputs: int, ranks: Sizes) -> Array:
        """The two Gemms of a factorized site, for each rank."""
        first = self.gemm(ranks, np.asarray(inputs))
        return np.asarray(first + self.gemm(np.asarray(outputs), ranks))

    def of(self, structure: Structure) -> float:
        """The nodes of one site."""
        if not isinstance(structure, Factors):
            return self.others(structure)
        outputs, inputs = structure.outputs, structure.inputs
        if structure.rank is not None:
            return float(self.low_rank(outputs, inputs, np.array(structure.rank)))
        return float(self.gemm(np.array(outputs), np.array(inputs)))


def costs_on(
    device: Device,
    batch: int,
    objective: Objective,
    precision: Precision = "float32",
    per_byte: float = 0.0,
) -> Costs:
    """Costs under the device model, for calls with ``batch`` rows; sizes with weights so stored.

    Seconds and joules are beside ``per_byte`` of the weights.
    """

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
            neurons=lambda group, count: np.zeros(count.shape),
            others=lambda one: float(each * one.numbers + BYTES_PER_FLOAT * one.outputs),
        )
    return Costs(
        gemm=lambda outputs, inputs: (
            price(gemm_work(batch, outputs, inputs))
            + per_byte * BYTES_PER_FLOAT * outputs * (inputs + 1)
        ),
        neurons=lambda group, count: (
            price(sum((pass_work(op, 1, batch * count) for op in group.passes), Work()))
            + np.zeros(count.shape)
        ),
        others=lambda structure: float(
            price(structure.work(batch))
            + per_byte * BYTES_PER_FLOAT * (structure.numbers + structure.outputs)
        ),
    )


def best_widths(
    split: SplitModel,
    groups: Sequence[NeuronGroup],
    orders: Sequence[NeuronOrder],
    costs: Costs,
    price: float,
) -> list[int]:
    """The width of each group that minimises Σ cost + price · Σ error².

    A site's cost couples the groups it reads and writes. Where these couplings form chains or trees
    the widths are the best (over all of groups up to MOST_WIDTHS neurons, over a grid of as many
    above), elsewhere such that no change of one width gains; see :func:`least_sum`.
    """
    grids = [_width_grid(group.width) for group in groups]
    own = [
        costs.neurons(group, grid) + price * order.error_squared[grid]
        for group, order, grid in zip(groups, orders, grids, strict=True)
    ]
    between: dict[tuple[int, int], Array] = {}
    writes = {name: g for g, group in enumerate(groups) for name in group.producers}
    reads = {name: g for g, group in enumerate(groups) for name in group.consumers}
    for site in split.sites:
        before, after = reads.get(site.name), writes.get(site.name)
        n_out, n_in = site.matrix.shape
        outputs = np.array([n_out]) if after is None else grids[after]
        inputs = np.array([n_in]) if before is None else grids[before]
        if before is not None and after is not None and before != after:
            table = costs.gemm(outputs[None, :], inputs[:, None])
            edge = (min(before, after), max(before, after))
            between[edge] = between.get(edge, 0.0) + (table if before < after else table.T)
        elif after is not None:
            own[after] += costs.gemm(outputs, inputs)
        elif before is not None:
            own[before] += costs.gemm(outputs, inputs)
    chosen = least_sum(own, between)
    return [int(grid[c]) for grid, c in zip(grids, chosen, strict=True)]


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
