"""The families of candidates: from a price of error to matrices for all sites."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial

import numpy as np
from numpy.typing import NDArray

from hedge.compression.allocation import best_rank, best_widths
from hedge.compression.fitting import Choice, dense_targets, fit_sites, truncate_plainly
from hedge.compression.paper import ALGORITHMS, Algorithm, partition_sites
from hedge.compression.structures import (
    best_factors,
    best_stored,
    best_structure,
    ever_in_blocks,
    kept_dense,
)
from hedge.compression.target import SiteTarget
from hedge.compression.task import Matrices, Task
from hedge.graph import Matrix

Array = NDArray[np.float64]
Family = Callable[[float], Matrices]
"""price λ -> matrices that minimise cost + λ · error² over one family of candidates."""

# Decades of λ to either side of (dense cost) / aim², and bisections within them.
PRICE_DECADES, PRICE_STEPS = range(-4, 5), 10
# The error of activations that fits must bear, see fit_sites.
NOISE_OF_TOLERANCE = 0.1


def affordable(
    task: Task,
    family: Family,
    aim: float,
    on_judged: Callable[[Matrices, float], None] = lambda matrices, error: None,
) -> Iterator[Matrices]:
    """Bisect the price; yield every candidate whose error on the validation points is within aim.

    ``on_judged`` is told of all candidates, with their errors.
    """
    scale = task.dense_cost / aim**2
    low, high = float(PRICE_DECADES[0]), float(PRICE_DECADES[-1])
    for _ in range(PRICE_STEPS):
        middle = (low + high) / 2.0
        matrices = family(scale * 10.0**middle)
        error = task.error(matrices, task.validation).relative
        on_judged(matrices, error)
        if error <= aim:
            yield matrices
            high = middle
        else:
            low = middle


def families(task: Task) -> dict[str, Family]:
    """All that the request allows, by name."""
    if task.request.method == "svd":
        return {"plain ranks": partial(_truncated_plainly, task)}
    if task.request.method == "paper":
        return {name: partial(_partitioned, task, one) for name, one in ALGORITHMS.items()}
    fit = _Fit(task)
    cut = _sites_in_blocks(task, fit.targets)

    def best(price: float, within: set[str]) -> Choice:
        def choose(name: str, target: SiteTarget) -> Matrix:
            structure = best_structure if name in within else best_factors
            if task.request.objective == "size":
                return best_stored(target, task.costs_by_precision, price, structure)
            return structure(target, task.costs, price)

        return choose

    found: dict[str, Family] = {"ranks": lambda price: fit({}, best(price, set()))}
    if cut:
        found["blocks"] = lambda price: fit({}, best(price, cut))
    if task.groups and not task.request.keep_widths:
        kept_at = _neuron_choice(task)
        found["widths and ranks"] = lambda price: fit(kept_at(price), best(price, cut))
    return found


def cuts(task: Task) -> Family:
    """What is to be fitted again: fewer neurons, or lower ranks where widths are kept."""
    fit = _Fit(task)
    if task.request.keep_widths:
        return lambda price: fit({}, lambda name, target: best_factors(target, task.costs, price))
    kept_at = _neuron_choice(task)
    return lambda price: fit(kept_at(price), lambda name, target: kept_dense(target))


class _Fit:
    """The fit of all sites of a task, given the neurons kept and what chooses structures."""

    def __init__(self, task: Task) -> None:
        self._task = task
        self._noise = NOISE_OF_TOLERANCE * task.request.tolerance
        self.targets = dense_targets(task.split, task.measured, self._noise)

    def __call__(self, kept: Mapping[str, NDArray[np.int64]], choose: Choice) -> Matrices:
        split, measured = self._task.split, self._task.measured
        return fit_sites(split, measured, kept, choose, self._noise, self.targets)


def _truncated_plainly(task: Task, price: float) -> Matrices:
    def rule(outputs: int, inputs: int, tail: Array) -> int | None:
        return best_rank(outputs, inputs, tail / max(tail[0], 1e-300), task.costs, price)

    return truncate_plainly(task.split, rule)


def _partitioned(task: Task, algorithm: Algorithm, price: float) -> Matrices:
    """The one knob of the paper's algorithms is a tolerance: the less, the higher the price."""
    relative = task.dense_cost / (task.request.tolerance * price)
    return partition_sites(task.split, task.device, algorithm, relative)


def _sites_in_blocks(task: Task, targets: Mapping[str, SiteTarget]) -> set[str]:
    """The sites for which blocks are best at some price of error, in the dense network."""
    scale = task.dense_cost / task.request.tolerance**2
    prices = [scale * 10.0**decade for decade in PRICE_DECADES]
    return {name for name, target in targets.items() if ever_in_blocks(target, task.costs, prices)}


def _neuron_choice(task: Task) -> Callable[[float], dict[str, NDArray[np.int64]]]:
    """price λ -> the neurons that each producer keeps, where it loses some."""

    def kept_at(price: float) -> dict[str, NDArray[np.int64]]:
        orders = task.neuron_orders
        return task.kept(best_widths(task.split, task.groups, orders, task.costs, price))

    return kept_at
