"""What a replacement of one site's matrix is judged by, and the candidates for it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from hedge.arrays import Array
from hedge.compression import structures
from hedge.graph import Matrix, SiteMatrix
from hedge.hmatrix import Spectrum, weighted_spectrum

PROBES = 1024
# Of larger matrices only a quarter of the spectrum is computed: a higher rank would hardly pay.
LARGEST_WHOLE_SPECTRUM, PART_OF_SPECTRUM = 512, 4


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
        """The best low-rank approximations."""
        side = min(self.weight.shape)
        most = side // PART_OF_SPECTRUM if side > LARGEST_WHOLE_SPECTRUM else None
        return weighted_spectrum(self.weight, self.metric, self.covariance, most=most)

    def truncated(self, rank: int | None) -> SiteMatrix:
        """The best matrix of that rank, or W itself for None; bias 0."""
        factors = (self.weight,) if rank is None else self.spectrum.truncate(rank)
        return SiteMatrix(factors, np.zeros(len(self.weight)))

    @cached_property
    def fits(self) -> tuple[tuple[Matrix, float], ...]:
        """Candidates of all structures but factors, with bias 0, and their squared errors."""
        given = self.weight, self.metric, self.covariance, self.probes, self.enough
        finders = [entry.fits for entry in structures.STRUCTURES if entry.fits]
        return tuple(found for fits in finders for found in fits(*given))

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
