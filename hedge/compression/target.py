"""What a replacement of one site's matrix is judged by, and the candidates for it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from hedge.arrays import Array
from hedge.compression import bounds, structures
from hedge.graph import Matrix, SiteMatrix
from hedge.hmatrix import Spectrum, weighted_spectrum

PROBES = 1024
# Of larger matrices only a quarter of the spectrum is computed: a higher rank would hardly pay.
LARGEST_WHOLE_SPECTRUM, PART_OF_SPECTRUM = 512, 4
# Of those where no such rank is near the tolerance, for what is told of them.
A_FEW = 16
# Where this part of the numbers does, no further structure is looked for.
FEW = 1 / 8
# A Gemm of so many times the numbers takes no longer than the products of blocks.
MORE = 4


def highest_rank(shape: tuple[int, int]) -> int | None:
    """That up to which a large matrix is decomposed; None for one that is decomposed whole."""
    side = min(shape)
    return side // PART_OF_SPECTRUM if side > LARGEST_WHOLE_SPECTRUM else None


@dataclass(frozen=True, eq=False)
class SiteTarget:
    """W (n_out, n_in), the metric B (n_out, n_out), the covariance C (n_in, n_in) of the inputs a.

    The squared error of H is E[|B^½ (W − H) (a − E[a])|²]; one of ``enough`` need not be improved on.
    probes (N, n_in) are some of the a − E[a].
    """

    weight: Array
    metric: Array
    covariance: Array
    probes: Array
    enough: float

    @cached_property
    def spectrum(self) -> Spectrum:
        """The best low-rank approximations, up to ranks that would pay beside what else is there."""
        most = highest_rank(self.weight.shape)
        if most is not None and self._is_far(most):
            most = A_FEW
        if most is not None:
            good = [one.structure.numbers for one, error in self.fits if error <= self.enough]
            most = min([most, *(MORE * numbers // sum(self.weight.shape) for numbers in good)])
        return weighted_spectrum(self.weight, self.metric, self.covariance, most=most)

    def truncated(self, rank: int | None) -> SiteMatrix:
        """The best matrix of that rank, or W itself for None; bias 0."""
        factors = (self.weight,) if rank is None else self.spectrum.truncate(rank)
        return SiteMatrix(factors, np.zeros(len(self.weight)))

    @cached_property
    def fits(self) -> tuple[tuple[Matrix, float], ...]:
        """Candidates of all structures but factors, with bias 0, and their squared errors.

        What finds them is asked in turn, until one of few numbers need not be improved on.
        """
        given = self.weight, self.metric, self.covariance, self.probes, self.enough
        found: list[tuple[Matrix, float]] = []
        for entry in structures.STRUCTURES:
            if entry.fits and not any(self._is_good(*one) for one in found):
                found += entry.fits(*given)
        return tuple(found)

    def _is_good(self, matrix: Matrix, error_squared: float) -> bool:
        few = matrix.structure.numbers <= FEW * self.weight.size
        return few and error_squared <= self.enough

    def _is_far(self, rank: int) -> bool:
        """Whether even so high a rank can't be near the tolerance."""
        if not bounds.can_tell(self.weight.shape, len(self.probes)) or self.enough <= 0.0:
            return False
        products = self._exact @ self.metric @ self._exact.T
        return bounds.least_of_rank(products, rank) > bounds.FAR * self.enough

    def error_squared(self, matrix: Matrix) -> float:
        """That of any other replacement, measured on the probes."""
        difference = self._exact - matrix.times(self.probes)
        return float(np.vdot(difference @ self.metric, difference)) / len(difference)

    def is_kept_by(self, matrix: Matrix) -> bool:
        """Whether ``matrix`` is W itself."""
        return isinstance(matrix, SiteMatrix) and matrix.factors[0] is self.weight

    @cached_property
    def _exact(self) -> Array:
        """What W makes of the probes, once for all replacements."""
        return np.asarray(self.probes @ self.weight.T)
