"""Chebyshev interpolation beside crosses (ACA) as the first compression of kernels, at equal tolerance.

    python benchmarks/interpolation.py [POINTS]

Interpolation knows the kernel as a function: a block is the kernel between p² nodes in the boxes of its rows
and columns, between two matrices of Lagrange's polynomials; QRs and an SVD cut that to the rank that the
tolerance needs. Whether it is near enough is told by rows drawn at random, as ACA does; blocks that are not
are left to ACA. Seconds are those of the one core that is used: of the build, and of the blocks compared.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import sys
import time
from dataclasses import dataclass, field

import numpy as np

from benchmarks.hmatrix import kernel_entries
from hedge.arrays import Array, Indices
from hedge.hmatrix import aca, build, kd_tree, sampled_error, strong
from hedge.hmatrix.lowrank import SMALL_BLOCK, Found, InStacks
from hedge.hmatrix.stacks import Stack, Triplets, ranks_within, svd

SAMPLED = 8  # rows of a block that judge it
CASES = (("log|x-y|", 1e-3, 6), ("log|x-y|", 1e-5, 8), ("exp(-|x-y|)", 1e-3, 5),
         ("exp(-|x-y|)", 1e-5, 8))  # fmt: skip


@dataclass
class Told:
    """What a compressor did to the blocks that are large enough: seconds, how many, how many were not met."""

    seconds: float = 0.0
    blocks: int = 0
    missed: int = 0


@dataclass
class Crosses:
    """ACA, timed."""

    told: Told = field(default_factory=Told)

    def many(self, stack: Stack, tolerances: Array, rank_limit: int) -> Found:
        started = time.process_time()
        found = aca.many(stack, tolerances, rank_limit)
        if np.prod(stack.shape) > SMALL_BLOCK:
            self.told.seconds += time.process_time() - started
            self.told.blocks += len(stack)
        return found


@dataclass
class Interpolation:
    """p Chebyshev nodes along each side of a box."""

    name: str
    points: Array
    p: int
    told: Told = field(default_factory=Told)

    def many(self, stack: Stack, tolerances: Array, rank_limit: int) -> Found:
        if np.prod(stack.shape) <= SMALL_BLOCK or min(stack.shape) < self.p**2:
            return aca.many(stack, tolerances, rank_limit)
        started = time.process_time()
        left, at_rows = self._side(stack.rows, stack.heights)
        right, at_columns = self._side(stack.columns, stack.widths)
        core = self._between(at_rows, at_columns)
        rng, own = np.random.default_rng(0), np.arange(len(stack))[:, None]
        rows = (rng.random((len(stack), SAMPLED)) * stack.heights[:, None]).astype(np.intp)
        off = stack.at_rows(rows) - left[own, rows] @ core @ right.mT
        errors = np.sqrt((off**2).sum(axis=(1, 2)) * stack.heights / SAMPLED)
        q_left, r_left = np.linalg.qr(left)
        q_right, r_right = np.linalg.qr(right)
        u, values, vt = svd(r_left @ core @ r_right.mT)
        ranks, _ = ranks_within(values, tolerances * np.sqrt(0.5))
        found: Found = []
        for i, (rank, m, n) in enumerate(zip(ranks, stack.heights, stack.widths, strict=True)):
            a, b = q_left[i, :m] @ u[i, :, :rank], vt[i, :rank] @ q_right[i, :n].T
            found.append(Triplets(a, values[i, :rank], b))
        missed = np.flatnonzero(errors > tolerances / 2)
        for i, one in zip(missed, aca.many(stack.take(missed), tolerances[missed], rank_limit)
                          if len(missed) else (), strict=True):  # fmt: skip
            found[i] = one
        self.told.seconds += time.process_time() - started
        self.told.blocks += len(stack)
        self.told.missed += len(missed)
        return found

    def _side(self, indices: Indices, sizes: Indices) -> tuple[Array, Array]:
        """Lagrange's polynomials (b, m, p²) at the points of boxes, and the boxes' nodes (b, p², 2)."""
        at = self.points[indices]
        low, high = at.min(axis=1), at.max(axis=1)
        middle, half = (low + high)[:, None] / 2, np.maximum(high - low, 1e-300)[:, None] / 2
        x, y = (self._lagrange(along) for along in np.moveaxis((at - middle) / half, 2, 0))
        both = (x[..., :, None] * y[..., None, :]).reshape(*x.shape[:2], -1)
        both[np.arange(indices.shape[1]) >= sizes[:, None]] = 0.0  # what blocks are filled up with
        nodes = np.stack(np.meshgrid(self._nodes, self._nodes, indexing="ij"), axis=2)
        return both, middle + half * nodes.reshape(-1, 2)

    @property
    def _nodes(self) -> Array:
        return np.cos((2 * np.arange(self.p) + 1) * np.pi / (2 * self.p))

    def _lagrange(self, at: Array) -> Array:
        """(b, m) -> (b, m, p), by the barycentric formula."""
        angles = (2 * np.arange(self.p) + 1) * np.pi / (2 * self.p)
        apart = at[..., None] - self._nodes
        apart[np.abs(apart) < 1e-15] = 1e-15
        parts = (-1.0) ** np.arange(self.p) * np.sin(angles) / apart
        return np.asarray(parts / parts.sum(axis=2, keepdims=True))

    def _between(self, above: Array, beside: Array) -> Array:
        """The kernel between nodes, (b, p², p²), as the entries of the points have it."""
        b, count = above.shape[:2]
        own = np.concatenate((above.reshape(-1, 2), beside.reshape(-1, 2)))
        nodes = kernel_entries(self.name, own)
        rows = np.arange(b * count).reshape(b, count)
        return nodes.many(rows, rows + b * count)


def main(count: int) -> None:
    """Print a line for each kernel and tolerance."""
    if hasattr(os, "sched_setaffinity"):  # so that no other thread's time is counted
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    points = np.random.default_rng(0).random((count, 2))
    tree = kd_tree(points)
    for name, tolerance, p in CASES:
        entries = kernel_entries(name, points)
        compressors: dict[str, Crosses | Interpolation] = {
            "crosses": Crosses(), f"{p} x {p} nodes": Interpolation(name, points, p),
        }  # fmt: skip
        for label, compressor in compressors.items():
            started = time.process_time()
            h = build(entries, tolerance=tolerance, rows=tree, admissible=strong(),
                      compressor=InStacks(compressor.many))  # fmt: skip
            seconds = time.process_time() - started
            told = compressor.told
            print(f"{name:<12} {tolerance:g} {label:<12} build {seconds:.2f} s, of which {told.blocks} "
                  f"blocks {told.seconds:.2f} s, {told.missed} left to crosses; {h.numbers / count:.1f} "
                  f"numbers a row, error {sampled_error(entries, h):.1e}", flush=True)  # fmt: skip


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 16384)
