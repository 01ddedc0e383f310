"""What a tangent kernel's eigenvalues say, dense or by Lanczos on its H-matrix; before and
after compression, with the theorems that speak of it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto
from scipy.sparse.linalg import ArpackNoConvergence, LinearOperator, eigsh

from hedge.arrays import Array
from hedge.errors import InputError
from hedge.graph import SiteMatrix, assemble, linear_layers, split
from hedge.hmatrix import HMatrix, Leaf, build, in_given_order
from hedge.hmatrix.threads import one_blas_thread
from hedge.ntk.kernel import TangentKernel
from hedge.paper import (
    Bound,
    dependency_adjusted,
    dependency_eigenvalue_bound,
    effective_condition_bound,
    eigenvalue_shift_bound,
    tangent_kernel_bound,
)

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


@one_blas_thread()  # two would wait for each other in thousands of products of small blocks
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


def _spectrum_of(kernel: TangentKernel, tolerance: float, seed: int = 0) -> Spectrum:
    """Dense up to DENSE_POINTS rows, by H-matrix and Lanczos above.

    Raises InputError for a tolerance that is not positive.
    """
    if len(kernel) <= DENSE_POINTS:
        return dense_spectrum(kernel.dense())
    found = hierarchical_spectrum(kernel.hierarchical(tolerance), tolerance, seed)
    return replace(found, trace=float(kernel.diagonal().sum()))  # exact, and cheap


_MakeKernel = Callable[[ModelProto], TangentKernel]

BOUND_POINTS = 256  # rows on which both sides of the theorems are computed
DEPENDENCY_POINTS, DEPENDENCY_BLOCKS = 64, 8  # the size of the paper's examples 3 and 4
DEPENDENCY_STRENGTH = 0.01  # γ is this over the largest ‖H_ij H_klᵀ‖_F


@dataclass(frozen=True, eq=False)
class Comparison:
    """Spectra before and after, how far apart the kernels are, and the bounds.

    difference is ‖Θ − Θ_H‖_F / ‖Θ‖_F on the rows the bounds were computed on. rank_correlation is
    Spearman's, between λ_i and v_iᵀ Θ_H v_i over the eigenvectors v_i of Θ whose λ_i is resolved: 1 if
    the modes are learned in the same order. (Between sorted eigenvalues, as in the paper's table 1, it
    is 1 for any two kernels.)
    """

    before: Spectrum
    after: Spectrum | None
    difference: float | None
    rank_correlation: float | None
    bounds: tuple[Bound, ...]
    bound_rows: int


def compare_kernels(
    model: ModelProto,
    compressed: ModelProto | None,
    make: _MakeKernel,
    tolerance: float,
    seed: int = 0,
) -> Comparison:
    """Spectra of the kernels that ``make`` gives, and Theorems 4, 5, 6 and 9 beside them.

    Without a compressed model the theorems are those of Θ and its own H-matrix at ``tolerance``.
    Raises InputError for a tolerance that is not positive, ModelError for models that can't be
    differentiated.
    """
    kernel = make(model)
    rows = np.random.default_rng(seed).permutation(len(kernel))[:BOUND_POINTS]
    theta = kernel.at(rows).dense()
    before = _spectrum_of(kernel, tolerance, seed)
    adjusted = _dependency_bounds(theta[:DEPENDENCY_POINTS, :DEPENDENCY_POINTS])
    if compressed is None:
        own = build(theta, tolerance=tolerance).to_dense()
        bounds = (*_bounds(theta, (own + own.T) / 2), *adjusted)
        return Comparison(before, None, None, None, bounds, len(rows))
    other = make(compressed)
    if len(other) != len(kernel):
        raise InputError(
            f"compressed: its kernel has {len(other)} rows, the model's {len(kernel)}; they must have "
            "the same number of outputs"
        )
    theta_h = other.at(rows).dense()
    size = float(np.linalg.norm(theta))
    return Comparison(
        before,
        _spectrum_of(other, tolerance, seed),
        float(np.linalg.norm(theta - theta_h)) / size if size > 0 else 0.0,
        _rank_correlation(before, other),
        (*_weight_bound(model, compressed, make, rows, theta, theta_h),
         *_bounds(theta, theta_h), *adjusted),
        len(rows),
    )  # fmt: skip


def _rank_correlation(before: Spectrum, other: TangentKernel) -> float | None:
    from scipy.stats import spearmanr  # takes a third of a second to import

    resolved = before.values > before.resolution
    vectors = before.vectors[:, resolved]
    if vectors.shape[1] < 2 or len(vectors) != len(other):
        return None
    # v Θ v = Σ_rows v_i (Θ v)_i, in blocks of rows so that Θ is never kept
    quotients = np.zeros(vectors.shape[1])
    every = np.arange(len(other))
    for start in range(0, len(other), 512):
        some = every[start : start + 512]
        quotients += np.sum(vectors[some] * (other.block(some, every) @ vectors), axis=0)
    return float(spearmanr(before.values[resolved], quotients).statistic)


def _bounds(theta: Array, approximation: Array) -> tuple[Bound, ...]:
    shift = float(np.linalg.norm(theta - approximation, 2))
    return (
        *effective_condition_bound(theta, approximation, shift),
        *eigenvalue_shift_bound(theta, approximation),
    )


def _weight_bound(
    model: ModelProto,
    compressed: ModelProto,
    make: _MakeKernel,
    rows: NDArray[np.intp],
    theta: Array,
    theta_h: Array,
) -> tuple[Bound, ...]:
    """Theorem 4, its constant measured as in its proof: one layer at a time."""
    parts = split(model)
    before, after = linear_layers(parts), linear_layers(split(compressed))
    same = [a.weight.shape for a in before] == [b.weight.shape for b in after]
    if not same or len(before) != len(parts.sites):
        return ()  # neurons were removed, so that Θ and Θ_H have other parameters
    constant, errors = 0.0, []
    for site, layer in zip(parts.sites, after, strict=True):
        error = float(np.linalg.norm(site.matrix.dense() - layer.weight))
        errors.append(error)
        if error > 0:
            changed = {**parts.matrices, site.name: SiteMatrix((layer.weight,), layer.bias)}
            moved = make(assemble(parts.skeleton, changed)).at(rows).dense()
            constant += float(np.linalg.norm(theta - moved)) / error
    if not any(errors):
        return ()
    return tangent_kernel_bound(theta, theta_h, constant, max(errors), errors)


def _dependency_bounds(theta: Array) -> tuple[Bound, ...]:
    """Theorem 9 for Algorithm 2 on 8 × 8 blocks of rank 1, as in examples 2 to 4."""
    n = len(theta)
    if n % DEPENDENCY_BLOCKS or n < 2 * DEPENDENCY_BLOCKS:
        return ()
    h = uniform_blocks(theta, DEPENDENCY_BLOCKS, rank=1)
    values = [leaf.values() for leaf in h.leaves]
    strongest = max(float(np.linalg.norm(p @ q.T)) for p in values for q in values)
    if strongest <= 0:
        return ()
    adjusted = dependency_adjusted(h, gamma=DEPENDENCY_STRENGTH / strongest)
    b = DEPENDENCY_BLOCKS
    d = adjusted.dependencies.T.reshape(b, b, b, b)  # [k, l, i, j]: of block kl in the sum for ij
    return dependency_eigenvalue_bound(theta, h.to_dense(), adjusted.matrix.to_dense(), d)


def uniform_blocks(matrix: Array, blocks: int, rank: int) -> HMatrix:
    """``blocks`` × ``blocks`` leaves of equal size and rank, row by row: the paper's partition."""
    order = in_given_order(len(matrix)).order
    edges = np.linspace(0, len(matrix), blocks + 1).astype(int)
    leaves = []
    for top, bottom in pairwise(edges):
        for start, stop in pairwise(edges):
            u, s, vt = np.linalg.svd(matrix[top:bottom, start:stop], full_matrices=False)
            factors = (u[:, :rank] * s[:rank], vt[:rank])
            leaves.append(Leaf(int(top), int(bottom), int(start), int(stop), factors))
    return HMatrix(order, order, tuple(leaves))
