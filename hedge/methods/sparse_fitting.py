"""Pruning in steps, each fitted again to the dense model's outputs."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from operator import itemgetter

import numpy as np
from numpy.typing import NDArray

from hedge.arrays import Array
from hedge.compression import Case
from hedge.graph import SiteMatrix, run_float32
from hedge.methods.candidate import Candidate
from hedge.methods.pruning import largest_kept, pruned_candidate, pruned_within
from hedge.quasi_newton import LossAndGradient
from hedge.recovery import (
    Pool,
    ResampledLoss,
    Work,
    outputs_loss,
    parameters_of,
    points_needed,
    with_parameters,
)
from hedge.recovery.improvement import PATIENCE, SAFELY, cycles, until_stalled

Matrices = Mapping[str, SiteMatrix]

# The part of the non-zero weights that a step keeps, least first; one that fails is tried with more.
KEPT = (0.5, 0.7, 0.85)


@dataclass(frozen=True)
class Sparse:
    """Dense matrices as a function of those of their numbers that may change.

    free (P,) says which: all biases, and the weights that are not zero.
    """

    matrices: Matrices
    free: NDArray[np.bool_]

    @property
    def values(self) -> Array:
        """The numbers that may change."""
        return parameters_of(self.matrices)[self.free]

    def filled(self, values: Array) -> Array:
        """All parameters (P,) with these among the zeros."""
        whole = np.zeros(len(self.free))
        whole[self.free] = values
        return whole

    def with_values(self, values: Array) -> Matrices:
        """The same matrices with other numbers where they may change."""
        return with_parameters(self.matrices, self.filled(values))

    def restricted(self, loss: ResampledLoss) -> ResampledLoss:
        """A loss of all parameters as one of those that may change."""

        def on_new_points(values: Array, cycle: int) -> LossAndGradient:
            objective = loss(self.filled(values), cycle)

            def on_values(x: Array) -> tuple[float, Array]:
                value, gradient = objective(self.filled(x))
                return value, gradient[self.free]

            return on_values

        return on_new_points


def with_zeros_held(matrices: Matrices) -> Sparse:
    """Matrices whose zeros are to stay."""
    parts = [
        part
        for matrix in matrices.values()
        for part in (matrix.dense().ravel() != 0.0, np.ones(matrix.bias.size, dtype=bool))
    ]
    return Sparse(matrices, np.concatenate(parts))


def prune_and_fit(case: Case) -> Candidate:
    """Prune and fit again by turns (Han et al., 2015), with the work that the case allows.

    Starts from what pruning alone reaches; each step keeps about half of the weights. The fit is that
    of hedge's own recovery, to the dense model's outputs, with the zeros held.
    """
    work = Work(case.allowance)
    points = case.points.practice(points_needed(sum(case.widths)))
    pool = Pool(points, run_float32(case.dense, points))
    best, steps, parts = pruned_within(case), 0, list(KEPT)
    while parts and not work.is_over():
        left = largest_kept(best, round(parts[0] * _nonzeros(best)))
        loss = outputs_loss(case.split, left, pool, case.measured.powers, case.request.seed)
        start = with_zeros_held(left)
        fitted = _fitted(case, start, loss, work.for_fit(len(start.values)))
        if case.error(fitted, case.validation).surely_within(case.request.tolerance):
            best, steps, parts = fitted, steps + 1, list(KEPT)
        else:
            parts.pop(0)
    return pruned_candidate(case, best, f"{steps} step(s) fitted again; ")


def _fitted(case: Case, start: Sparse, loss: ResampledLoss, work: Work) -> Matrices:
    def error_of(values: Array) -> float:
        return case.error(start.with_values(values), case.validation).relative

    cycle = cycles(start.restricted(loss), start.values, work)
    tried = ((values, error_of(values)) for values in cycle)
    enough = SAFELY * case.request.tolerance
    found = until_stalled(tried, itemgetter(1), enough, PATIENCE)
    best, _ = min(found, key=itemgetter(1), default=(start.values, math.inf))
    return start.with_values(best)


def _nonzeros(matrices: Matrices) -> int:
    return sum(int(np.count_nonzero(matrix.dense())) for matrix in matrices.values())
