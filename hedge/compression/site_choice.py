"""One site's structure and storage precision by price: dense, low rank or blocks."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from hedge.compression.allocation import Costs, best_rank
from hedge.compression.target import SiteTarget
from hedge.graph import Matrix, Precision, SiteMatrix, matrix_bytes, stored_as


def kept_dense(target: SiteTarget) -> SiteMatrix:
    """The target's own matrix; bias 0."""
    return SiteMatrix((target.weight,), np.zeros(len(target.weight)))


def best_factors(target: SiteTarget, costs: Costs, price: float) -> SiteMatrix:
    """Dense or of the best rank, whichever minimises cost + price · error²; bias 0."""
    outputs, inputs = target.weight.shape
    tail = target.spectrum.tail_squared()
    return target.truncated(best_rank(outputs, inputs, tail, costs, price))


def ever_cut(target: SiteTarget, costs: Costs, prices: Sequence[float]) -> bool:
    """Whether at one of the prices of error another structure than factors is the best."""
    return bool(target.fits) and any(
        not isinstance(best_structure(target, costs, price), SiteMatrix) for price in prices
    )


def best_structure(target: SiteTarget, costs: Costs, price: float) -> Matrix:
    """The same with all other structures among the candidates."""
    factors = best_factors(target, costs, price)
    low_rank = len(factors.factors) == 2
    error = float(target.spectrum.tail_squared()[factors.rank]) if low_rank else 0.0
    candidates: list[tuple[Matrix, float]] = [(factors, error), *target.fits]
    return min(candidates, key=lambda one: costs.of(one[0].structure) + price * one[1])[0]


def best_stored(
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
