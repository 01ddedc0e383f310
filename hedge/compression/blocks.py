"""Fitting blocks with shared bases to a site's matrix in the output-weighted norm."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import NamedTuple

import numpy as np
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
    below LEAST_SIDE; of large ones, layouts are left out at ranks that are surely far from ``enough``.
    """
    shape = seen.weight.shape
    if min(shape) < LEAST_SIDE:
        return ()
    probes, outputs = seen.probes, seen.probes_written
    tried = {layout: _ranks(layout) for layout in layouts(*shape)}
    if bounds.can_tell(shape, len(probes)) and enough > 0.0:
        for layout in tried:
            missed = bounds.least_of_blocks(probes, outputs, metric, layout)
            tried[layout] = _near_enough(layout, missed, enough)
    if not any(tried.values()):
        return ()
    products = _Products.of(seen, metric)
    fits: list[BlockFit] = []
    for layout, ranks in tried.items():
        good = [f.matrix.structure.numbers for f in fits if f.error_squared <= enough]
        if layout.leaves * math.prod(layout.leaf) > TOO_MANY * min(good, default=math.inf):
            break  # and of all larger leaves
        for matrix in _fits(products, layout, ranks) if ranks else ():
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
        highest = int(min(limit, rows // 2, columns // 2))
        if highest:
            yield replace(layout, rank=max(_ranks(replace(layout, rank=highest))))


def _ranks(layout: BlockLayout) -> list[int]:
    """Those tried of a layout."""
    return [rank for rank in RANKS if rank <= layout.rank]


def _near_enough(layout: BlockLayout, missed: Array, enough: float) -> list[int]:
    """Of its ranks those that may do, by what each misses at least."""
    if missed[-1] > bounds.FAR * enough:
        return []
    near = [rank for rank in _ranks(layout) if missed[rank] <= bounds.TOO_FAR * enough]
    return near or [layout.rank]


def _fits(products: _Products, layout: BlockLayout, ranks: Sequence[int]) -> Iterator[BlockMatrix]:
    """Matrices of such a layout, of these ranks, which rise."""
    parts = _Parts.of(products, layout)
    told = _Told.nothing(parts)
    for rank in ranks:
        told = told.grown(parts, rank)
        yield parts.fitted(told)


@dataclass(frozen=True, eq=False)
class _Told:
    """What t = V a of N samples goes along with, V_i being the first k rows of each basis.

    seen is t, (N, p, k); itself, read and written are its covariances with t (p, k, p, k), with what is
    read (p, k, p m) and written (p, k, p m').
    """

    seen: Array
    itself: Array
    read: Array
    written: Array

    @property
    def rank(self) -> int:
        """k."""
        return int(self.seen.shape[2])

    @staticmethod
    def nothing(parts: _Parts) -> _Told:
        """Of rank 0."""
        count, samples = parts.layout.leaves, len(parts.read)
        none = (
            np.zeros((count, 0, parts.read.shape[1])),
            np.zeros((count, 0, parts.written.shape[1])),
        )
        return _Told(np.zeros((samples, count, 0)), np.zeros((count, 0, count, 0)), *none)

    def grown(self, parts: _Parts, rank: int) -> _Told:
        """Of a higher rank: only what the further directions tell is computed."""
        count, samples, known = parts.layout.leaves, len(parts.read), self.rank
        width = parts.layout.leaf[1]
        more = np.empty((samples, count, rank - known))
        for j in range(count):
            more[:, j] = parts.read[:, _nth(j, width)] @ parts.right[j, known:rank].T
        seen = np.concatenate((self.seen, more), axis=2)
        by_count = more.reshape(samples, -1).T / samples
        beside = (by_count @ seen.reshape(samples, -1)).reshape(count, rank - known, count, rank)
        itself = np.empty((count, rank, count, rank))
        itself[:, :known, :, :known] = self.itself
        itself[:, known:] = beside
        itself[:, :known, :, known:] = beside[..., :known].transpose(2, 3, 0, 1)
        read, written = (
            np.concatenate((before, (by_count @ values).reshape(count, rank - known, -1)), axis=1)
            for before, values in ((self.read, parts.read), (self.written, parts.written))
        )
        return _Told(seen, itself, read, written)


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

    def fitted(self, told: _Told) -> BlockMatrix:
        """The best D, U and S for V, block row after block row."""
        layout, rank = self.layout, told.rank
        count, (height, width) = layout.leaves, layout.leaf
        rows = np.zeros((count, height, width + rank))
        coupling = np.zeros((count, rank, count * rank))
        read, written = (values.reshape(count * rank, -1) for values in (told.read, told.written))
        itself = _ridged(told.itself.reshape(count * rank, -1))
        for i in range(count):
            found = self._block_row(
                i, rank, itself, read[:, _nth(i, width)], written[:, _nth(i, height)]
            )
            dense, left, coupling[i] = _balanced(*found)
            rows[i] = np.concatenate((dense, left), axis=1)
        return BlockMatrix(
            rows=rows,
            coupling=coupling.reshape(count * rank, -1),
            right=self.right[:, :rank].copy(),
            bias=np.zeros(layout.outputs),
            inputs=layout.inputs,
        )

    def _block_row(
        self, i: int, rank: int, seen: Array, seen_own: Array, seen_z: Array
    ) -> tuple[Array, Array, Array]:
        """D_i (m', m), U_i (m', k) and row i of S, (k, p k), its own block zero.

        seen (p k, p k), seen_own (p k, m) and seen_z (p k, m') are covariances of t with itself, a_i and z_i.
        H reads t_j = V_j a_j of the other blocks, and a_i itself. So a_i is partialled out of t and of
        z = W a; what is left of z is regressed on what is left of t, and truncated to ``rank`` in
        the metrics B_ii and cov(t | a_i): reduced-rank regression, exact if B couples no blocks.
        """
        height, width = self.layout.leaf
        read, written = self.read[:, _nth(i, width)], self.written[:, _nth(i, height)]
        # With C_ii = L Lᵀ: L⁻¹ cov(a_i, t) and L⁻¹ cov(a_i, z), so that rests stay semidefinite.
        root = linalg.cholesky(_ridged(covariance_of(read)), lower=True)
        seen_by_root = linalg.solve_triangular(root, seen_own.T, lower=True)
        z_by_root = linalg.solve_triangular(root, read.T @ written / len(read), lower=True)
        rest = seen - seen_by_root.T @ seen_by_root
        z_and_rest = seen_z - seen_by_root.T @ z_by_root
        own = _nth(i, rank)  # tells nothing beyond a_i: apart from all others, it is given no part
        rest[own], rest[:, own], z_and_rest[own] = 0.0, 0.0, 0.0
        rest[own, own] = np.eye(rank) * max(float(rest.diagonal().max()), RIDGE)
        left, right = _regressed(z_and_rest, rest, self._metric_of(i), rank)
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


def _regressed(together: Array, seen: Array, metric: Array, rank: int) -> tuple[Array, Array]:
    """The factors (m', k), (k, r) of the best regression of that rank, filled up with zeros to ``rank``.

    together (r, m') is the covariance of what is seen and what is wanted, seen (r, r) that of what is seen.
    """
    root = linalg.cholesky(seen, lower=True)
    whitened = linalg.solve_triangular(root, together, lower=True)
    left, right = weighted_spectrum(whitened.T, metric).truncate(rank)
    right = linalg.solve_triangular(root, right.T, lower=True, trans="T").T
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
