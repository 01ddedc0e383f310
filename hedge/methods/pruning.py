"""Magnitude pruning: the smallest weights of all become zero, at once or in steps, each fitted again."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from operator import itemgetter

import numpy as np
from numpy.typing import NDArray

from hedge.arrays import Array
from hedge.compression import Case
from hedge.devices import BYTES_PER_FLOAT
from hedge.graph import SiteMatrix, assemble, run_float32
from hedge.methods.bisection import coarsest_within
from hedge.methods.candidate import Candidate
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


def magnitude_pruning(case: Case) -> Candidate:
    """Keep as few of the largest weights as the tolerance allows (Han et al., 2015), no retraining.

    The file stays dense, for onnxruntime has no sparse kernel: fewer bytes, the same time.
    """
    return pruned_candidate(case, _pruned_within(case))


def _pruned_within(case: Case) -> Mapping[str, SiteMatrix]:
    """The matrices with the fewest weights that are surely within the tolerance."""
    dense = case.split.matrices
    total = sum(math.prod(matrix.shape) for matrix in dense.values())
    _, matrices = coarsest_within(
        case, lambda kept: largest_kept(dense, round(kept)), float(total), 0.0
    )
    return matrices


def pruned_candidate(case: Case, matrices: Mapping[str, SiteMatrix], how: str = "") -> Candidate:
    """Pruned matrices as a dense file, sized as they would be stored; ``how`` begins its note."""
    weights = [matrix.dense() for matrix in matrices.values()]
    kept = sum(int(np.count_nonzero(w)) for w in weights)
    biases = sum(matrix.bias.size for matrix in matrices.values())
    sparse = sum(csr_bytes(w) < BYTES_PER_FLOAT * w.size for w in weights)
    return Candidate(
        model=assemble(case.split.skeleton, matrices),
        parameters=kept + biases,
        bytes=sum(min(csr_bytes(w), BYTES_PER_FLOAT * w.size) for w in weights)
        + BYTES_PER_FLOAT * biases,
        note=f"{how}{kept} of {sum(w.size for w in weights)} weights kept; bytes with {sparse} of "
        f"{len(weights)} layers as CSR; runs as a dense file",
    )


def largest_kept(dense: Mapping[str, SiteMatrix], count: int) -> dict[str, SiteMatrix]:
    """The ``count`` largest weights of all sites together; the others zero, biases as they are."""
    weights = {name: matrix.dense() for name, matrix in dense.items()}
    flat = np.concatenate([w.ravel() for w in weights.values()])
    flat[np.argsort(-np.abs(flat), kind="stable")[count:]] = 0.0
    ends = np.cumsum([w.size for w in weights.values()])
    pieces = np.split(flat, ends[:-1])
    return {
        name: SiteMatrix((piece.reshape(weights[name].shape),), dense[name].bias)
        for name, piece in zip(weights, pieces, strict=True)
    }


def csr_bytes(weight: np.ndarray) -> int:
    """Bytes of a matrix (n_out, n_in) as compressed sparse rows: values, column numbers, row starts.

    Values are float32, row starts 32 bits, column numbers 16 where they fit and else 32.

    >>> csr_bytes(np.eye(3))
    34
    """
    rows, columns = weight.shape
    per_value = BYTES_PER_FLOAT + (2 if columns <= 2**16 else 4)
    nonzeros = int(np.count_nonzero(weight))
    return nonzeros * per_value + 4 * (int(rows) + 1)


Matrices = Mapping[str, SiteMatrix]

# The part of the non-zero weights that a step keeps, least first; one that fails is tried with more.
KEPT = (0.5, 0.7, 0.85)


@dataclass(frozen=True)
class _Sparse:
    """Dense matrices as a function of those of their numbers that may change.

    free (P,) says which: all biases, and the weights that are not zero.
    """

    matrices: Matrices
    free: NDArray[np.bool_]

    @property
    def values(self) -> Array:
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


def with_zeros_held(matrices: Matrices) -> _Sparse:
    """Matrices whose zeros are to stay."""
    parts = [
        part
        for matrix in matrices.values()
        for part in (matrix.dense().ravel() != 0.0, np.ones(matrix.bias.size, dtype=bool))
    ]
    return _Sparse(matrices, np.concatenate(parts))


def prune_and_fit(case: Case) -> Candidate:
    """Prune and fit again by turns (Han et al., 2015), with the work that the case allows.

    Starts from what pruning alone reaches; each step keeps about half of the weights. The fit is that
    of hedge's own recovery, to the dense model's outputs, with the zeros held.
    """
    work = Work(case.allowance)
    points = case.points.practice(points_needed(sum(case.widths)))
    pool = Pool(points, run_float32(case.dense, points))
    best, steps, parts = _pruned_within(case), 0, list(KEPT)
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


def _fitted(case: Case, start: _Sparse, loss: ResampledLoss, work: Work) -> Matrices:
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
