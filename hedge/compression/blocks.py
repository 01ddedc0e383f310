"""Fitting blocks with shared bases to a site's matrix in the output-weighted norm."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import linalg

from hedge.arrays import Array
from hedge.compression import bounds
from hedge.compression.metric import diagonal_of_metric, part_of_metric, whole_metric
from hedge.compression.seen import Seen, covariance_of
from hedge.graph import BlockLayout, BlockMatrix
from hedge.hmatrix import weighted_spectrum

# Sites with a shorter side are not cut: their leaves would be too small to pay for ten nodes.
LEAST_SIDE = 256
LEAF_SIZES = (16, 32, 64, 128)
RANKS = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64)
# A row of blocks is fitted to what all others tell, which takes their number cubed.
LEAST_LEAVES, MOST_LEAVES = 4, 512
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


def block_fits(seen: Seen, metric: Array, enough: float) -> tuple[BlockFit, ...]:
    """Candidates over sizes of leaves and ranks; ranks grow until the squared error is ``enough``.

    seen is W (n_out, n_in) with samples of what it reads and writes, metric B (n_out, n_out), or its
    diagonal (n_out,). Neurons keep their
    order, so blocks pay where it means something (sensors on a grid). Empty for matrices with a side
    below LEAST_SIDE; of large ones, layouts that are far from ``enough`` at any rank are left out.
    """
    shape = seen.weight.shape
    if min(shape) < LEAST_SIDE:
        return ()
    probes, outputs = seen.probes, seen.probes_written
    tried = list(layouts(*shape))
    if bounds.can_tell(shape, len(probes)) and enough > 0.0:
        most = bounds.FAR * enough
        tried = [
            layout
            for layout in tried
            if bounds.least_of_blocks(probes, outputs, metric, layout) <= most
        ]
    if not tried:
        return ()
    products = _Products.of(seen, metric)
    fits: list[BlockFit] = []
    for layout in tried:
        good = [f.matrix.structure.numbers for f in fits if f.error_squared <= enough]
        if layout.leaves * math.prod(layout.leaf) > TOO_MANY * min(good, default=math.inf):
            break  # and of all larger leaves
        for matrix in _fits(products, layout):
            difference = products.root.times((outputs - matrix.times(probes)).T)
            error_squared = float(np.vdot(difference, difference)) / len(probes)
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
        if metric.ndim == 2 and np.count_nonzero(metric) > np.count_nonzero(metric.diagonal()):
            floor = RIDGE * float(metric.diagonal().max()) * np.eye(len(metric))
            return _Root(np.asarray(linalg.cholesky(metric + floor)))
        return _Root(np.sqrt(diagonal_of_metric(metric))[:, None])

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
    """What all layouts need: W, B and Lᵀ, and what is read and written, about their means: (N, n)."""

    weight: Array
    metric: Array
    root: _Root
    read: Array
    written: Array

    @staticmethod
    def of(seen: Seen, metric: Array) -> _Products:
        return _Products(seen.weight, metric, _Root.of(metric), seen.read(), seen.written())

    def felt(self, columns: slice) -> Array:
        """These columns of Lᵀ W, (n_out, m)."""
        if self.root.diagonal:
            return self.root.times(self.weight[:, columns])
        return self._felt[:, columns]

    @cached_property
    def _felt(self) -> Array:
        return self.root.times(self.weight)


def layouts(outputs: int, inputs: int) -> Iterator[BlockLayout]:
    """The layouts tried for a matrix, one for each size of leaves, with their highest rank."""
    for leaf in LEAF_SIZES:
        count = round(float(np.sqrt(outputs * inputs)) / leaf)
        if not LEAST_LEAVES <= count <= MOST_LEAVES:
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


class _Told(NamedTuple):
    """Covariances of t with itself (p k, p k), with what is read (p k, p m) and written (p k, p m')."""

    itself: Array
    read: Array
    written: Array


@dataclass(frozen=True, eq=False)
class _Parts:
    """One cut, filled up to whole leaves. Bases V_i are nested in their rank.

    right (p, K, m), read (N, p m), written (N, p m').
    """

    layout: BlockLayout
    metric: Array
    right: Array
    read: Array
    written: Array

    @staticmethod
    def of(products: _Products, layout: BlockLayout) -> _Parts:
        height, width = layout.padded
        metric = products.metric
        read = _filled(products.read, len(products.read), width)
        written = _filled(products.written, len(products.written), height)
        right = np.stack([_basis(products, layout, j, read) for j in range(layout.leaves)])
        return _Parts(layout, _filled_metric(metric, height), right, read, written)

    def fitted(self, rank: int) -> BlockMatrix:
        """The best D, U and S for V, block row after block row."""
        layout = self.layout
        count, (height, width) = layout.leaves, layout.leaf
        told = self._told(rank)
        rows = np.zeros((count, height, width + rank))
        coupling = np.zeros((count, rank, count, rank))
        for i in range(count):
            others = np.arange(count) != i
            dense, left, right = _balanced(*self._block_row(i, others, told, rank))
            rows[i] = np.concatenate((dense, left), axis=1)
            coupling[i][:, others] = right.reshape(rank, count - 1, rank)
        return BlockMatrix(
            rows=rows,
            coupling=coupling.reshape(count * rank, -1),
            right=self.right[:, :rank].copy(),
            bias=np.zeros(layout.outputs),
            inputs=layout.inputs,
        )

    def _told(self, rank: int) -> _Told:
        """What t = V a of every sample, (N, p k), goes along with."""
        layout = self.layout
        found = np.empty((len(self.read), layout.leaves * rank))
        for j in range(layout.leaves):
            place = _nth(j, layout.leaf[1])
            found[:, _nth(j, rank)] = self.read[:, place] @ self.right[j, :rank].T
        by_count = found.T / len(found)
        return _Told(by_count @ found, by_count @ self.read, by_count @ self.written)

    def _block_row(
        self, i: int, others: NDArray[np.bool_], told: _Told, rank: int
    ) -> tuple[Array, Array, Array]:
        """D_i (m', m), U_i (m', k) and row i of S without its own block, (k, (p − 1) k).

        H reads t_j = V_j a_j of the other blocks, and a_i itself. So a_i is partialled out of t and of
        z = W a; what is left of z is regressed on what is left of t, and truncated to ``rank`` in
        the metrics B_ii and cov(t | a_i): reduced-rank regression, exact if B couples no blocks.
        """
        height, width = self.layout.leaf
        place, own = _nth(i, width), _nth(i, height)
        read, written = self.read[:, place], self.written[:, own]
        others = np.repeat(others, rank)
        seen_own, seen = told.read[others, place], told.itself[others][:, others]
        z_and_seen = told.written[others, own].T
        # With C_ii = L Lᵀ: L⁻¹ cov(a_i, t) and L⁻¹ cov(a_i, z), so that rests stay semidefinite.
        root = linalg.cholesky(_ridged(covariance_of(read)), lower=True)
        seen_by_root = linalg.solve_triangular(root, seen_own.T, lower=True)
        z_by_root = linalg.solve_triangular(root, read.T @ written / len(read), lower=True)
        rest = _ridged(seen) - seen_by_root.T @ seen_by_root
        z_and_rest = z_and_seen - z_by_root.T @ seen_by_root
        slope = linalg.solve(rest, z_and_rest.T, assume_a="pos").T
        left, right = _truncated(slope, self._metric_of(i), rest, rank)
        unexplained = z_by_root - seen_by_root @ (left @ right).T
        dense = linalg.solve_triangular(root, unexplained, lower=True, trans="T").T
        return dense, left, right

    def _metric_of(self, i: int) -> Array:
        """B_ii (m', m')."""
        return whole_metric(part_of_metric(self.metric, _nth(i, self.layout.leaf[0])))


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


def _basis(products: _Products, layout: BlockLayout, j: int, read: Array) -> Array:
    """V_j (K, m): what the other block rows read of a_j, rows of unit variance, by importance."""
    rows, columns = layout.leaf
    own, place = _nth(j, rows), _nth(j, columns)
    felt = products.felt(place) - products.root.times_rows(own, products.weight[own, place])
    # Only the inner products of the columns matter, and R of a QR keeps those.
    small = _filled(np.asarray(np.linalg.qr(felt, mode="r")), columns, columns)
    own_covariance = covariance_of(read[:, place])
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


def _filled_metric(metric: Array, size: int) -> Array:
    return (
        np.pad(metric, (0, size - len(metric))) if metric.ndim == 1 else _filled(metric, size, size)
    )
