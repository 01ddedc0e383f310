"""Choosing widths and ranks by one price: minimise cost + λ · error² over the whole network.

The sum has terms of one or two variables: one value per variable makes it least.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hedge.arrays import Array
from hedge.compression.neurons import NeuronOrder
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
    BYTES_PER_INDEX,
    BYTES_PER_NUMBER,
    Factors,
    NeuronGroup,
    Precision,
    SplitModel,
    Structure,
)
from hedge.request import Objective

Edge = tuple[int, int]

ROUNDING = 1e-12


def least_sum(unary: Sequence[Array], pairs: Mapping[Edge, Array]) -> list[int]:
    """The choice c that minimises Σ_i unary[i][c_i] + Σ_(i,j) pairs[i, j][c_i, c_j], i < j.

    unary[i] is (n_i,), pairs[i, j] is (n_i, n_j). Variables tied to one other at most are minimised
    out one after the other, which is exact: on a chain this is Viterbi's algorithm (1967), on a tree
    min-sum message passing. What is left lies on cycles and is minimised by coordinate descent, which
    finds a choice that no change of one variable improves.

    >>> step = np.abs(np.arange(3)[:, None] - np.arange(3))
    >>> least_sum([np.array([0., 9., 9.]), np.array([8., 9., 0.])], {(0, 1): 10.0 * step})
    [0, 0]
    """
    costs = [np.array(cost, dtype=np.float64) for cost in unary]
    between = _by_variable(len(costs), pairs)
    left = set(range(len(costs)))
    removed: list[tuple[int, int, Array]] = []
    while leaves := [i for i in left if len(between[i]) == 1]:
        leaf = leaves[0]
        ((other, table),) = between[leaf].items()
        reach = costs[leaf][:, None] + table
        costs[other] += reach.min(axis=0)
        removed.append((leaf, other, reach.argmin(axis=0)))
        left.remove(leaf)
        between[leaf] = {}
        del between[other][leaf]
    choice = _by_descent(costs, between)
    for leaf, other, best in reversed(removed):
        choice[leaf] = int(best[choice[other]])
    return choice


def _by_variable(count: int, pairs: Mapping[Edge, Array]) -> list[dict[int, Array]]:
    """[i][j] is the table (n_i, n_j) between i and j, from both sides."""
    tables: list[dict[int, Array]] = [{} for _ in range(count)]
    for (i, j), table in pairs.items():
        tables[i][j], tables[j][i] = table, table.T
    return tables


def _by_descent(costs: Sequence[Array], between: Sequence[Mapping[int, Array]]) -> list[int]:
    """The best of the descents from the last values of all variables, and from a greedy choice."""
    ends = [
        _descended(start, costs, between)
        for start in ([len(cost) - 1 for cost in costs], _greedy(costs, between))
    ]
    return min(ends, key=lambda choice: _total(choice, costs, between))


def _greedy(costs: Sequence[Array], between: Sequence[Mapping[int, Array]]) -> list[int]:
    """Each variable in turn as those before it would have it."""
    choice: list[int] = []
    for i, cost in enumerate(costs):
        before = [table[:, choice[j]] for j, table in between[i].items() if j < i]
        choice.append(int(np.argmin(sum(before, cost))))
    return choice


def _descended(
    start: Sequence[int], costs: Sequence[Array], between: Sequence[Mapping[int, Array]]
) -> list[int]:
    choice = list(start)
    changed = True
    while changed:
        changed = False
        for i, cost in enumerate(costs):
            total = sum((table[:, choice[j]] for j, table in between[i].items()), cost)
            best = int(np.argmin(total))
            # What is less by rounding alone does not count, so that the descent ends.
            if total[choice[i]] - total[best] > ROUNDING * abs(total[best]):
                choice[i], changed = best, True
    return choice


def _total(
    choice: Sequence[int], costs: Sequence[Array], between: Sequence[Mapping[int, Array]]
) -> float:
    total = sum(float(cost[c]) for cost, c in zip(costs, choice, strict=True))
    total += sum(
        float(table[choice[i], choice[j]])
        for i, tables in enumerate(between)
        for j, table in tables.items()
        if i < j
    )
    return total


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
        work = work.at(batch, precision)
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
            others=lambda one: float(
                each * one.numbers + BYTES_PER_FLOAT * one.outputs + BYTES_PER_INDEX * one.indices
            ),
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
            price(structure.work_in_c(batch) if device.runs_c else structure.work(batch))
            + per_byte * BYTES_PER_FLOAT * (structure.numbers + structure.outputs)
            + per_byte * BYTES_PER_INDEX * structure.indices
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
