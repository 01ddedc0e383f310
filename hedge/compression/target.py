"""What a replacement of one site's matrix is judged by, and the candidates for it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from hedge.arrays import Array
from hedge.compression import bounds, structures
from hedge.compression.metric import mean_square, times_metric, whole_metric
from hedge.compression.seen import Seen
from hedge.graph import Matrix, SiteMatrix
from hedge.hmatrix import Spectrum, sampled_spectrum, weighted_spectrum

# Of larger matrices only a quarter of the spectrum is computed, and no more: a higher rank would hardly pay.
LARGEST_WHOLE_SPECTRUM, PART_OF_SPECTRUM, MOST_RANK = 512, 4, 1024
# Fewer singular values than this part are found from samples, without a matrix of second moments.
FEWER = 8
# Of those where no such rank is near the tolerance, for what is told of them.
A_FEW = 16
# Where this part of the numbers does, no further structure is looked for.
FEW = 1 / 8
# A Gemm of so many times the numbers takes no longer than the products of blocks.
MORE = 4


def highest_rank(shape: tuple[int, int]) -> int | None:
    """That up to which a large matrix is decomposed; None for one that is decomposed whole."""
    side = min(shape)
    return min(side // PART_OF_SPECTRUM, MOST_RANK) if side > LARGEST_WHOLE_SPECTRUM else None


@dataclass(frozen=True, eq=False)
class SiteTarget:
    """W (n_out, n_in) with what it reads and writes, and the metric B (n_out, n_out) or its diagonal.

    The squared error of H is E[|B^½ (W − H) (a − E[a])|²]; one of ``enough`` need not be improved on.
    """

    seen: Seen
    metric: Array
    enough: float

    @property
    def weight(self) -> Array:
        """W."""
        return self.seen.weight

    @cached_property
    def spectrum(self) -> Spectrum:
        """The best low-rank approximations, up to ranks that would pay beside what else is there."""
        shape = self.weight.shape
        most = highest_rank(shape)
        if most is not None and self._is_far(most):
            most = A_FEW
        if most is not None:
            good = [one.structure.numbers for one, error in self.fits if error <= self.enough]
            most = min([most, *(MORE * numbers // sum(shape) for numbers in good)])
            if most * FEWER <= min(shape):
                return sampled_spectrum(self.weight, self.metric, self.seen.written(), most)
        return weighted_spectrum(
            self.weight, whole_metric(self.metric), self.seen.covariance, most=most
        )

    def truncated(self, rank: int | None) -> SiteMatrix:
        """The best matrix of that rank, or W itself for None; bias 0."""
        factors = (self.weight,) if rank is None else self.spectrum.truncate(rank)
        return SiteMatrix(factors, np.zeros(len(self.weight)))

    @cached_property
    def fits(self) -> tuple[tuple[Matrix, float], ...]:
        """Candidates of all structures but factors, with bias 0, and their squared errors.

        What finds them is asked in turn, until one of few numbers need not be improved on.
        """
        found: list[tuple[Matrix, float]] = []
        for entry in structures.STRUCTURES:
            if entry.fits and not any(self._is_good(*one) for one in found):
                found += entry.fits(self.seen, self.metric, self.enough)
        return tuple(found)

    def _is_good(self, matrix: Matrix, error_squared: float) -> bool:
        few = matrix.structure.numbers <= FEW * self.weight.size
        return few and error_squared <= self.enough

    def _is_far(self, rank: int) -> bool:
        """Whether even so high a rank can't be near the tolerance."""
        exact = self.seen.probes_written
        if not bounds.can_tell(self.weight.shape, len(exact)) or self.enough <= 0.0:
            return False
        products = times_metric(exact, self.metric) @ exact.T
        return bounds.least_of_rank(products, rank) > bounds.FAR * self.enough

    def error_squared(self, matrix: Matrix) -> float:
        """That of any other replacement, measured on the probes."""
        if self.is_kept_by(matrix):
            return 0.0
        return mean_square(self.seen.probes_written - matrix.times(self.seen.probes), self.metric)

    def is_kept_by(self, matrix: Matrix) -> bool:
        """Whether ``matrix`` is W itself."""
        return isinstance(matrix, SiteMatrix) and matrix.factors[0] is self.weight
