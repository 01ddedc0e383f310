"""The families of candidates: from a price of error to matrices for all sites."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

import numpy as np
from numpy.typing import NDArray

from hedge.compression.allocation import best_widths
from hedge.compression.case import Case, Matrices
from hedge.compression.fitting import Choice, dense_targets, fit_sites
from hedge.compression.structures import (
    best_factors,
    best_stored,
    best_structure,
    ever_in_blocks,
    kept_dense,
)
from hedge.compression.target import SiteTarget
from hedge.graph import Matrix

Family = Callable[[float], Matrices]
"""price λ -> matrices that minimise cost + λ · error² over one family of candidates."""

# Decades of λ to either side of (dense cost) / aim², and bisections within them.
PRICE_DECADES, PRICE_STEPS = range(-4, 5), 10
# The error of activations that fits must bear, see fit_sites.
NOISE_OF_TOLERANCE = 0.1


def affordable(
    case: Case,
    family: Family,
    aim: float,
    on_judged: Callable[[Matrices, float], None] = lambda matrices, error: None,
) -> Iterator[Matrices]:
    """Bisect the price; yield every candidate whose error on the validation points is within aim.

    ``on_judged`` is told of all candidates, with their errors.
    """
    scale = case.dense_cost / aim**2
    low, high = float(PRICE_DECADES[0]), float(PRICE_DECADES[-1])
    for _ in range(PRICE_STEPS):
        middle = (low + high) / 2.0
        matrices = family(scale * 10.0**middle)
        error = case.error(matrices, case.validation).relative
        on_judged(matrices, error)
        if error <= aim:
            yield matrices
            high = middle
        else:
            low = middle


def families(case: Case) -> dict[str, Family]:
    """All that the request allows, by name."""
    fit = _Fit(case)
    cut = _sites_in_blocks(case, fit.targets)

    def best(price: float, within: set[str]) -> Choice:
        def choose(name: str, target: SiteTarget) -> Matrix:
            structure = best_structure if name in within else best_factors
            if case.request.objective == "size":
                return best_stored(target, case.costs_by_precision, price, structure)
            return structure(target, case.costs, price)

        return choose

    found: dict[str, Family] = {"ranks": lambda price: fit({}, best(price, set()))}
    if cut:
        found["blocks"] = lambda price: fit({}, best(price, cut))
    if case.groups and not case.request.keep_widths:
        kept_at = _neuron_choice(case)
        found["widths and ranks"] = lambda price: fit(kept_at(price), best(price, cut))
    return found


def cuts(case: Case) -> Family:
    """What is to be fitted again: fewer neurons, or lower ranks where widths are kept."""
    fit = _Fit(case)
    if case.request.keep_widths:
        return lambda price: fit({}, lambda name, target: best_factors(target, case.costs, price))
    kept_at = _neuron_choice(case)
    return lambda price: fit(kept_at(price), lambda name, target: kept_dense(target))


class _Fit:
    """The fit of all sites of a case, given the neurons kept and what chooses structures."""

    def __init__(self, case: Case) -> None:
        self._case = case
        self._noise = NOISE_OF_TOLERANCE * case.request.tolerance
        self.targets = dense_targets(case.split, case.measured, self._noise)

    def __call__(self, kept: Mapping[str, NDArray[np.int64]], choose: Choice) -> Matrices:
        split, measured = self._case.split, self._case.measured
        return fit_sites(split, measured, kept, choose, self._noise, self.targets)


def _sites_in_blocks(case: Case, targets: Mapping[str, SiteTarget]) -> set[str]:
    """The sites for which blocks are best at some price of error, in the dense network."""
    scale = case.dense_cost / case.request.tolerance**2
    prices = [scale * 10.0**decade for decade in PRICE_DECADES]
    return {name for name, target in targets.items() if ever_in_blocks(target, case.costs, prices)}


def _neuron_choice(case: Case) -> Callable[[float], dict[str, NDArray[np.int64]]]:
    """price λ -> the neurons that each producer keeps, where it loses some."""

    def kept_at(price: float) -> dict[str, NDArray[np.int64]]:
        orders = case.neuron_orders
        return case.kept(best_widths(case.split, case.groups, orders, case.costs, price))

    return kept_at
