"""The families of candidates: from a price of error to matrices for all sites.

Of each site the price chooses structure and storage precision: dense, low rank or blocks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hedge.compression.allocation import Costs, best_rank, best_widths
from hedge.compression.case import Case, Matrices
from hedge.compression.fitting import Choice
from hedge.compression.network import Network, cut
from hedge.compression.target import SiteTarget
from hedge.graph import Matrix, Precision, SiteMatrix, matrix_bytes, outline, stored_as


def _kept_dense(target: SiteTarget) -> SiteMatrix:
    """The target's own matrix; bias 0."""
    return SiteMatrix((target.weight,), np.zeros(len(target.weight)))


def best_factors(target: SiteTarget, costs: Costs, price: float) -> SiteMatrix:
    """Dense or of the best rank, whichever minimises cost + price · error²; bias 0."""
    outputs, inputs = target.weight.shape
    tail = target.spectrum.tail_squared()
    return target.truncated(best_rank(outputs, inputs, tail, costs, price))


def _ever_cut(target: SiteTarget, costs: Costs, prices: Sequence[float]) -> bool:
    """Whether at one of the prices of error another structure than factors is the best."""
    return bool(target.fits) and any(
        not isinstance(_best_structure(target, costs, price), SiteMatrix) for price in prices
    )


def _best_structure(target: SiteTarget, costs: Costs, price: float) -> Matrix:
    """The same with all other structures among the candidates."""
    factors = best_factors(target, costs, price)
    low_rank = len(factors.factors) == 2
    error = float(target.spectrum.tail_squared()[factors.rank]) if low_rank else 0.0
    candidates: list[tuple[Matrix, float]] = [(factors, error), *target.fits]
    return min(candidates, key=lambda one: costs.of(one[0].structure) + price * one[1])[0]


def _best_stored(
    target: SiteTarget,
    costs: Mapping[Precision, Costs],
    price: float,
    structure: Callable[[SiteTarget, Costs, float], Matrix],
) -> Matrix:
    """The structure and precision that minimise bytes + price · error².

    For each precision the ``structure`` that is best at its bytes per number is rounded to it, and its
    error measured then. Where numbers are out of a precision's range it is no candidate.
    """
    stored = [
        stored_as(structure(target, costs[precision], price), precision) for precision in costs
    ]
    finite = [m for m in stored if all(np.isfinite(a).all() for a in m.arrays.values())]
    return min(
        finite, key=lambda matrix: matrix_bytes(matrix) + price * target.error_squared(matrix)
    )


Family = Callable[[float], Network]
"""price λ -> the network that minimises cost + λ · error² over one family of candidates."""

# Decades of λ to either side of (dense cost) / aim², and bisections within them.
PRICE_DECADES, PRICE_STEPS = range(-4, 5), 10


@dataclass(frozen=True)
class Tried:
    """A candidate of a search: its error on the validation points, seconds and joules of a call, its cost."""

    network: Network
    error: float
    seconds: float
    joules: float
    cost: float

    @property
    def matrices(self) -> Matrices:
        """Those of its sites."""
        return self.network.matrices


def tries(case: Case, family: Family, aim: float) -> Iterator[Tried]:
    """Bisect the price until the error is within ``aim``; yield every candidate on the way."""
    scale = case.dense_cost / aim**2
    low, high = float(PRICE_DECADES[0]), float(PRICE_DECADES[-1])
    known: list[Tried] = []
    for _ in range(PRICE_STEPS):
        middle = (low + high) / 2.0
        network = family(scale * 10.0**middle)
        again = (one for one in known if _same(one.matrices, network.matrices))
        candidate = next(again, None) or _tried(network)
        known.append(candidate)
        yield candidate
        if candidate.error <= aim:
            high = middle
        else:
            low = middle


def _same(one: Matrices, other: Matrices) -> bool:
    """Whether they are the very same, as fits of the same choices are."""
    return all(one[name] is other[name] for name in one)


def _tried(network: Network) -> Tried:
    case = network.case
    shapes = outline(case.split.skeleton, network.matrices)
    seconds, joules = case.seconds_and_joules_of(shapes)
    cost = case.cost_at(network.matrices, seconds, joules)
    return Tried(network, case.validation_error(network.matrices), seconds, joules, cost)


def families(case: Case) -> dict[str, Family]:
    """All that the request allows, by name."""
    blocks = _sites_cut(case, case.fits.targets)

    def best(price: float, within: set[str]) -> Choice:
        def choose(name: str, target: SiteTarget) -> Matrix:
            structure = _best_structure if name in within else best_factors
            if case.request.objective == "size":
                return _best_stored(target, case.costs_by_precision, price, structure)
            return structure(target, case.costs, price)

        return choose

    found: dict[str, Family] = {"ranks": lambda price: cut(case, {}, best(price, set()))}
    if blocks:
        found["blocks"] = lambda price: cut(case, {}, best(price, blocks))
    if case.groups and not case.request.keep_widths:
        kept_at = _neuron_choice(case)
        found["widths and ranks"] = lambda price: cut(case, kept_at(price), best(price, blocks))
    return found


def cuts(case: Case) -> Family:
    """What is to be fitted again: fewer neurons, or lower ranks where widths are kept."""
    if case.request.keep_widths:
        return lambda price: cut(
            case, {}, lambda name, target: best_factors(target, case.costs, price)
        )
    kept_at = _neuron_choice(case)
    return lambda price: cut(case, kept_at(price), lambda name, target: _kept_dense(target))


def _sites_cut(case: Case, targets: Mapping[str, SiteTarget]) -> set[str]:
    """The sites for which other structures than factors are best at some price of error, in the dense net."""
    scale = case.dense_cost / case.request.tolerance**2
    prices = [scale * 10.0**decade for decade in PRICE_DECADES]
    found = set()
    for name, target in targets.items():
        case.tell(f"looking for structure in {name}, {'x'.join(map(str, target.weight.shape))}")
        if _ever_cut(target, case.costs, prices):
            found.add(name)
    return found


def _neuron_choice(case: Case) -> Callable[[float], dict[str, NDArray[np.int64]]]:
    """price λ -> the neurons that each producer keeps, where it loses some."""

    def kept_at(price: float) -> dict[str, NDArray[np.int64]]:
        orders = case.neuron_orders
        return case.kept(best_widths(case.split, case.groups, orders, case.costs, price))

    return kept_at
