"""What the eigenvalues of a tangent kernel say, dense or by Lanczos on its H-matrix."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy.sparse.linalg import ArpackNoConvergence, LinearOperator, eigsh

from hedge.arrays import Array
from hedge.hmatrix import HMatrix
from hedge.ntk.kernel import TangentKernel

DENSE_POINTS = 2048  # rows up to which all eigenvalues are computed
LEADING = 24  # eigenpairs that Lanczos finds of a larger kernel
LANCZOS_TOLERANCE = 1e-9


@dataclass(frozen=True, eq=False)
class Spectrum:
    """Eigenvalues of Θ, all of them or the leading ones, largest first, with their vectors.

    resolution is the accuracy of every eigenvalue: rounding, or the error of the H-matrix (Weyl).
    smallest is λ_min where it was found, else its upper bound; below the resolution it means nothing.
    """

    rows: int
    values: Array  # (k,)
    vectors: Array  # (N, k)
    smallest: float
    resolution: float
    trace: float
    frobenius: float
    numbers: int  # kept of Θ; N² if dense

    @property
    def largest(self) -> float:
        """λ_max."""
        return float(self.values[0])

    @property
    def resolved(self) -> bool:
        """Whether λ_min is larger than the error of the eigenvalues."""
        return bool(self.smallest > self.resolution)

    @property
    def condition(self) -> float:
        """λ_max / λ_min, or what it is at least, where λ_min is below the resolution."""
        return self.largest / max(self.smallest, self.resolution, np.finfo(np.float64).tiny)

    @property
    def effective_rank(self) -> float:
        """(Σ λ)² / Σ λ², the participation ratio: N for equal eigenvalues, 1 for a single one."""
        return self.trace**2 / self.frobenius**2 if self.frobenius > 0 else 0.0


def dense_spectrum(theta: Array) -> Spectrum:
    """All eigenvalues of a symmetric Θ (N, N).

    >>> dense_spectrum(np.diag([1.0, 4.0])).condition
    4.0
    """
    values, vectors = np.linalg.eigh(theta)
    values, vectors = values[::-1], vectors[:, ::-1]
    resolution = len(theta) * float(np.finfo(np.float64).eps) * max(abs(values[0]), abs(values[-1]))
    return Spectrum(
        len(theta), values, vectors, float(values[-1]), resolution,
        float(np.trace(theta)), float(np.linalg.norm(theta)), theta.size,
    )  # fmt: skip


def hierarchical_spectrum(h: HMatrix, tolerance: float, seed: int = 0) -> Spectrum:
    """Leading and smallest eigenvalues of a symmetric Θ from its H-matrix, by Lanczos.

    tolerance is that of the H-matrix: by Weyl's inequality all eigenvalues are within
    tolerance · ‖Θ‖_F. The smallest one is hard for Lanczos; where it does not converge, the bound
    found is given, which is below the resolution in all but well-conditioned kernels.
    """
    n = h.shape[0]
    start = np.random.default_rng(seed).standard_normal(n)
    operator = _symmetric_part(h)
    count = min(LEADING, n - 2)
    values, vectors = eigsh(operator, k=count, which="LA", v0=start, tol=LANCZOS_TOLERANCE)
    try:
        smallest = float(
            eigsh(operator, k=1, which="SA", v0=start, tol=1e-2, ncv=40, maxiter=20,
                  return_eigenvectors=False)[0]
        )  # fmt: skip
    except ArpackNoConvergence:
        smallest = 0.0  # so close to zero that Lanczos can't tell
    norm = h.frobenius_norm()
    order = np.argsort(-values)
    rounding = n * float(np.finfo(np.float64).eps) * float(values.max())
    resolution = max(tolerance * norm, rounding)
    return Spectrum(
        n, values[order], vectors[:, order], smallest, resolution,
        float(h.diagonal().sum()), norm, h.numbers,
    )  # fmt: skip


def _symmetric_part(h: HMatrix) -> LinearOperator:
    """(H + Hᵀ) / 2: ACA keeps symmetry only to its tolerance, Lanczos needs it exactly."""
    view = h.as_linear_operator()
    return LinearOperator(
        h.shape, matvec=lambda x: (view.matvec(x) + view.rmatvec(x)) / 2, dtype=h.dtype
    )


def spectrum_of(kernel: TangentKernel, tolerance: float, seed: int = 0) -> Spectrum:
    """Dense up to DENSE_POINTS rows, by H-matrix and Lanczos above.

    Raises InputError for a tolerance that is not positive.
    """
    if len(kernel) <= DENSE_POINTS:
        return dense_spectrum(kernel.dense())
    found = hierarchical_spectrum(kernel.hierarchical(tolerance), tolerance, seed)
    return replace(found, trace=float(kernel.diagonal().sum()))  # exact, and cheap
