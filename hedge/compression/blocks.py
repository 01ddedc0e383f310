"""Fitting blocks with shared bases to a site's matrix in the output-weighted norm."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import linalg

from hedge.arrays import Array
from hedge.compression import bounds
from hedge.graph import BlockLayout, BlockMatrix
from hedge.hmatrix import weighted_spectrum

# Sites with a shorter side are not cut: their leaves would be too small to pay for ten nodes.
LEAST_SIDE = 256
LEAF_SIZES = (16, 32, 64, 128)
RANKS = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64)
LEAST_LEAVES = 4
# The coupling may take so many times the numbers of the leaves; beyond, larger leaves are cheaper.
LARGEST_COUPLING = 4.0
# Leaves that alone have so many times the numbers of what is good enough are not tried.
TOO_MANY = 2
# Every direction gets this part of the largest variance, so that covariances have an inverse.
RIDGE = 1e-12


class BlockFit(NamedTuple):
    """A candidate, with bias 0, and its squared error E[|B^½ (W − H) a|²]."""

    matrix: BlockMatrix
    error_squared: float


def block_fits(
    weight: Array, metric: Array, covariance: Array, probes: Array, enough: float
) -> tuple[BlockFit, ...]:
    """Candidates over sizes of leaves and ranks; ranks grow until the squared error is ``enough``.

    weight is W (n_out, n_in), metric B (n_out, n_out), covariance C (n_in, n_in) that of the inputs a,
    and probes (N, n_in) are some of these, centred, on which errors are measured. Neurons keep their
    order, so blocks pay where it means something (sensors on a grid). Empty for matrices with a side
    below LEAST_SIDE; of large ones, layouts that are far from ``enough`` at any rank are left out.
    """
    if min(weight.shape) < LEAST_SIDE:
        return ()
    outputs = probes @ weight.T
    tried = list(layouts(*weight.shape))
    if bounds.can_tell(weight.shape, len(probes)) and enough > 0.0:
        most = bounds.FAR * enough
        tried = [
            layout
            for layout in tried
            if bounds.least_of_blocks(probes, outputs, metric, layout) <= most
        ]
    if not tried:
        return ()
    products = _Products.of(weight, metric, covariance)
    fits: list[BlockFit] = []
    for layout in tried:
        good = [f.matrix.structure.numbers for f in fits if f.error_squared <= enough]
        if layout.leaves * math.prod(layout.leaf) > TOO_MANY * min(good, default=math.inf):
            break  # and of all larger leaves
        for matrix in _fits(products, layout):
            difference = products.root.times((outputs - matrix.times(probes)).T)
            error_squared = float(np.sum(difference**2)) / len(probes)
            fits.append(BlockFit(matrix, error_squared))
            if error_squared <= enough:
                break
    return tuple(fits)


@dataclass(frozen=True, eq=False)
class _Root:
    """Lᵀ with B = L Lᵀ; of a diagonal B the diagonal alone, so that products cost nothing."""

    values: Array  # (n, n) or (n, 1)

    @staticmethod
    def of(metric: Array) -> _Root:
        diagonal = metric.diagonal()
        if np.count_nonzero(metric) == np.count_nonzero(diagonal):
            return _Root(np.sqrt(diagonal)[:, None])
        floor = RIDGE * float(diagonal.max()) * np.eye(len(metric))
        return _Root(np.asarray(linalg.cholesky(metric + floor)))

    @property
    def diagonal(self) -> bool:
        return bool(self.values.shape[1] == 1)

    def times(self, matrix: Array) -> Array:
        """Lᵀ times (n, m)."""
        return self.values * matrix if self.diagonal else self.values @ matrix

    def times_rows(self, rows: slice, matrix: Array) -> Array:
        """Lᵀ times a matrix (n, m) that is zero outside ``rows``, of which it is given those."""
        if not self.diagonal:
            return np.asarray(self.values[:, rows] @ matrix)
        result = np.zeros((len(self.values), matrix.shape[1]))
        result[rows] = self.values[rows] * matrix
        return result


@dataclass(frozen=True, eq=False)
class _Products:
    """What all layouts need: the site, Lᵀ W, and W C."""

    weight: Array
    metric: Array
    covariance: Array
    root: _Root
    seen: Array
    correlation: Array

    @staticmethod
    def of(weight: Array, metric: Array, covariance: Array) -> _Products:
        root = _Root.of(metric)
        return _Products(weight, metric, covariance, root, root.times(weight), weight @ covariance)


def layouts(outputs: int, inputs: int) -> Iterator[BlockLayout]:
    """The layouts tried for a matrix, one for each size of leaves, with their highest rank."""
    for leaf in LEAF_SIZES:
        count = round(float(np.sqrt(outputs * inputs)) / leaf)
        if count < LEAST_LEAVES:
            continue
        layout = BlockLayout(outputs, inputs, count, rank=1)
        rows, columns = layout.leaf
        limit = np.sqrt(LARGEST_COUPLING * rows * layout.padded[1]) / count
        ranks = [k for k in RANKS if k <= min(limit, rows // 2, columns // 2)]
        if ranks:
            yield replace(layout, rank=ranks[-1])


def _fits(products: _Products, layout: BlockLayout) -> Iterator[BlockMatrix]:
    """Matrices of such a layout, of rising rank."""
    parts = _Parts.of(products, layout)
    for rank in RANKS:
        if rank <= layout.rank:
            yield parts.fitted(rank)


@dataclass(frozen=True, eq=False)
class _Parts:
    """The quantities of one cut, filled up to whole leaves. Bases V_i are nested in their rank.

    right (p, K, m); with t = V a: seen_inputs cov(t, a) (p, K, p m), seen cov(t, t) (p, K, p, K),
    seen_outputs cov(W a, t) (p m', p, K).
    """

    layout: BlockLayout
    covariance: Array
    metric: Array
    correlation: Array
    right: Array
    seen_inputs: Array
    seen: Array
    seen_outputs: Array

    @staticmethod
    def of(products: _Products, layout: BlockLayout) -> _Parts:
        count, rank = layout.leaves, layout.rank
        columns, (height, width) = layout.leaf[1], layout.padded
        covariance = _filled(products.covariance, width, width)
        metric = _filled(products.metric, height, height)
        correlation = _filled(products.correlation, height, width)
        right = np.stack([_basis(products, layout, j, covariance) for j in range(count)])
        blocks = covariance.reshape(count, columns, width)
        seen_inputs = right @ blocks
        seen = np.einsum("ikjm,jlm->ikjl", seen_inputs.reshape(count, rank, count, columns), right)
        cut = correlation.reshape(height, count, columns)
        seen_outputs = np.einsum("rjm,jkm->rjk", cut, right)
        return _Parts(
            layout, covariance, metric, correlation, right, seen_inputs, seen, seen_outputs
        )

    def fitted(self, rank: int) -> BlockMatrix:
        """The best D, U and S for V, block row after block row."""
        layout = self.layout
        count, (height, width) = layout.leaves, layout.leaf
        rows = np.zeros((count, height, width + rank))
        coupling = np.zeros((count, rank, count, rank))
        for i in range(count):
            others = np.arange(count) != i
            dense, left, right = _balanced(*self._block_row(i, others, rank))
            rows[i] = np.concatenate((dense, left), axis=1)
            coupling[i][:, others] = right.reshape(rank, count - 1, rank)
        return BlockMatrix(
            rows=rows,
            coupling=coupling.reshape(count * rank, -1),
            right=self.right[:, :rank].copy(),
            bias=np.zeros(layout.outputs),
            inputs=layout.inputs,
        )

    def _block_row(
        self, i: int, others: NDArray[np.bool_], rank: int
    ) -> tuple[Array, Array, Array]:
        """D_i (m', m), U_i (m', k) and row i of S without its own block, (k, (p − 1) k).

        H reads t_j = V_j a_j of the other blocks, and a_i itself. So a_i is partialled out of t and of
        z = W a; what is left of z is regressed on what is left of t, and truncated to ``rank`` in
        the metrics B_ii and cov(t | a_i): reduced-rank regression, exact if B couples no blocks.
        """
        height, width = self.layout.leaf
        place, own = _nth(i, width), _nth(i, height)
        seen_own = self.seen_inputs[others, :rank, place].reshape(-1, width)
        seen = self.seen[others, :rank][:, :, others, :rank].reshape(len(seen_own), -1)
        z_and_own = self.correlation[own, place]
        z_and_seen = self.seen_outputs[own][:, others, :rank].reshape(height, -1)
        # With C_ii = L Lᵀ: L⁻¹ cov(a_i, t) and L⁻¹ cov(a_i, z), so that rests stay semidefinite.
        root = linalg.cholesky(_ridged(self.covariance[place, place]), lower=True)
        seen_by_root = linalg.solve_triangular(root, seen_own.T, lower=True)
        z_by_root = linalg.solve_triangular(root, z_and_own.T, lower=True)
        rest = _ridged(seen) - seen_by_root.T @ seen_by_root
        z_and_rest = z_and_seen - z_by_root.T @ seen_by_root
        slope = linalg.solve(rest, z_and_rest.T, assume_a="pos").T
        left, right = _truncated(slope, self.metric[own, own], rest, rank)
        unexplained = z_by_root - seen_by_root @ (left @ right).T
        dense = linalg.solve_triangular(root, unexplained, lower=True, trans="T").T
        return dense, left, right


def _balanced(dense: Array, left: Array, right: Array) -> tuple[Array, Array, Array]:
    """Columns of U as large as D: one scale per row then serves both in int8."""
    size, largest = np.abs(left).max(axis=0), float(np.abs(dense).max())
    usable = (size > 0.0) & (largest > 0.0)
    scale = np.divide(largest, size, out=np.ones_like(size), where=usable)
    return dense, left * scale, right / scale[:, None]


def _nth(i: int, size: int) -> slice:
    return slice(i * size, (i + 1) * size)


def _truncated(slope: Array, metric: Array, seen: Array, rank: int) -> tuple[Array, Array]:
    """The factors, filled up with zeros to ``rank``."""
    left, right = weighted_spectrum(slope, metric, seen).truncate(rank)
    missing = rank - left.shape[1]
    return np.pad(left, ((0, 0), (0, missing))), np.pad(right, ((0, missing), (0, 0)))


def _basis(products: _Products, layout: BlockLayout, j: int, covariance: Array) -> Array:
    """V_j (K, m): what the other block rows read of a_j, rows of unit variance, by importance."""
    rows, columns = layout.leaf
    own, place = _nth(j, rows), _nth(j, columns)
    own_part = products.root.times_rows(own, products.weight[own, place])
    read = products.seen[:, place] - own_part
    # Only the inner products of the columns matter, and R of a QR keeps those.
    small = _filled(np.asarray(np.linalg.qr(read, mode="r")), columns, columns)
    own_covariance = covariance[place, place]
    basis = weighted_spectrum(small, np.eye(columns), own_covariance).right[: layout.rank]
    # By the Cholesky factor, as the variance of what hardly varies would round to less than zero.
    size = np.linalg.norm(basis @ linalg.cholesky(_ridged(own_covariance), lower=True), axis=1)
    return np.asarray(basis / np.where(size > 0.0, size, 1.0)[:, None])


def _ridged(covariance: Array) -> Array:
    """A covariance that may be singular, or zero, made positive definite."""
    largest = float(covariance.diagonal().max())
    floor = RIDGE * largest if largest > 0.0 else 1.0
    return np.asarray(covariance + floor * np.eye(len(covariance)))


def _filled(values: Array, rows: int, columns: int) -> Array:
    missing = ((0, rows - values.shape[0]), (0, columns - values.shape[1]))
    return np.pad(values, missing) if any(m for _, m in missing) else values
