"""Many blocks at once: stacks of blocks filled up to one shape with zeros, and their decompositions.

Zero rows and columns change no singular value, so that blocks of nearly one shape share a stack and
every step over them is one call to LAPACK for all.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from hedge.arrays import Array, Indices
from hedge.hmatrix.entries import Entries

STACK_ENTRIES = 2**19
"""Entries of a stack at most, where its blocks allow: 4 MiB, which a processor keeps close."""

FIRST_RANGE = 8  # random directions that are tried first
SMALL_SIDE = 64  # up to which a range is worth no more work than one product
CAUTION = 0.8  # of the rank that random directions show to be needed, as they show it too large


@dataclass(frozen=True, eq=False)
class Triplets:
    """A low-rank block left (m, k) · diag(values) · right (k, n); both sides are orthonormal."""

    left: Array
    values: Array
    right: Array

    @property
    def rank(self) -> int:
        """k."""
        return len(self.values)

    @property
    def shape(self) -> tuple[int, int]:
        """(m, n)."""
        return len(self.left), self.right.shape[1]

    def cut(self, rank: int) -> Triplets:
        """The leading ones, in memory of their own."""
        return Triplets(
            self.left[:, :rank].copy(), self.values[:rank].copy(), self.right[:rank].copy()
        )

    def transposed(self) -> Triplets:
        """Those of the transposed block."""
        return Triplets(self.right.T, self.values, self.left.T)


@dataclass(frozen=True)
class Refusal:
    """The block should stay dense, or be cut, because of ``reason``."""

    reason: str


@dataclass(frozen=True, eq=False)
class Stack:
    """b blocks of a matrix, by their entries; rows (b, m) and columns (b, n) are its indices.

    heights (b,) and widths (b,) are the blocks' own sizes; what lies beyond counts as zero.
    """

    entries: Entries
    rows: Indices
    columns: Indices
    heights: Indices
    widths: Indices

    @staticmethod
    def of(entries: Entries) -> Stack:
        """The whole matrix as a stack of one."""
        m, n = entries.shape
        return Stack(entries, np.arange(m)[None], np.arange(n)[None], np.array([m]), np.array([n]))

    def __len__(self) -> int:
        return len(self.heights)

    @property
    def shape(self) -> tuple[int, int]:
        """(m, n) that all are filled up to."""
        return self.rows.shape[1], self.columns.shape[1]

    def whole(self) -> Array:
        """All entries (b, m, n)."""
        return self._within(self.entries.many(self.rows, self.columns), heights=True, widths=True)

    def at_rows(self, rows: Indices) -> Array:
        """Rows (b, s, n) at positions (b, s) of each block."""
        own = np.take_along_axis(self.rows, rows, axis=1)
        return self._within(self.entries.many(own, self.columns), heights=False, widths=True)

    def at_columns(self, columns: Indices) -> Array:
        """Columns (b, m, s) at positions (b, s) of each block."""
        own = np.take_along_axis(self.columns, columns, axis=1)
        return self._within(self.entries.many(self.rows, own), heights=True, widths=False)

    def _within(self, values: Array, *, heights: bool, widths: bool) -> Array:
        m, n = self.shape
        if heights and (self.heights < m).any():
            values = np.where((np.arange(m) < self.heights[:, None])[:, :, None], values, 0.0)
        if widths and (self.widths < n).any():
            values = np.where((np.arange(n) < self.widths[:, None])[:, None, :], values, 0.0)
        return values

    def take(self, which: Indices) -> Stack:
        """Some of the blocks."""
        return Stack(
            self.entries,
            self.rows[which],
            self.columns[which],
            self.heights[which],
            self.widths[which],
        )

    def one(self, at: int) -> Entries:
        """One of the blocks."""
        rows, columns = self.rows[at, : self.heights[at]], self.columns[at, : self.widths[at]]
        return self.entries.block(rows, columns)


def break_even(rows: int, columns: int) -> int:
    """The largest rank with which two factors take fewer numbers than the block."""
    return (rows * columns - 1) // (rows + columns)


def alike(sizes: Indices) -> Iterator[Indices]:
    """Groups of the (b, q) sizes that a stack may hold together, as indices in ascending order.

    Sizes that differ by up to an eighth are filled up; the last columns of sizes may be ranks.
    """
    grain = 2 ** np.maximum(np.floor(np.log2(np.maximum(sizes, 1))).astype(np.intp) - 2, 0)
    keys = -(-sizes // grain) * grain
    order = np.lexsort(keys.T[::-1])
    ends = np.flatnonzero((keys[order][1:] != keys[order][:-1]).any(axis=1)) + 1
    for group in np.split(order, ends):
        yield np.sort(group)


def pieces(group: Indices, entries: int) -> list[Indices]:
    """The group in parts, each of at most STACK_ENTRIES, where a block has so many ``entries``."""
    count = max(STACK_ENTRIES // max(entries, 1), 1)
    return [group[i : i + count] for i in range(0, len(group), count)]


def ranks_within(values: Array, tolerances: Array) -> tuple[Indices, Array]:
    """For values (b, r), descending: the least ranks (b,) whose rests (b,) are ≤ tolerances (b,).

    The rests are square roots of sums of the squares of what is left out.
    """
    tails = np.zeros((len(values), values.shape[1] + 1))
    tails[:, :-1] = np.sqrt(np.cumsum((values**2)[:, ::-1], axis=1)[:, ::-1])
    ranks = (tails > tolerances[:, None]).sum(axis=1)
    return ranks, tails[np.arange(len(values)), ranks]


def svd(stack: Array) -> tuple[Array, Array, Array]:
    """(b, m, r), (b, r), (b, r, n) of (b, m, n)."""
    u, values, vt = np.linalg.svd(stack, full_matrices=False)
    return u, values, vt


def norms(stack: Array) -> Array:
    """Frobenius norms (b,) of (b, m, n)."""
    flat = stack.reshape(len(stack), -1)
    return np.asarray(np.sqrt(np.einsum("bi,bi->b", flat, flat)))


def orthogonalised(left: Array, right: Array) -> tuple[Array, Array, Array]:
    """The SVDs of the products of (b, m, k) and (b, k, n), by QRs: no m × n work."""
    q_left, r_left = np.linalg.qr(left)
    q_right, r_right = np.linalg.qr(right.mT)
    u, values, vt = svd(r_left @ r_right.mT)
    return q_left @ u, values, vt @ q_right.mT


def ranges(
    values: Array, tolerances: Array, largest: int, limits: Indices, rng: np.random.Generator
) -> tuple[list[Triplets | None], list[str]]:
    """Truncated SVDs of blocks (b, m, n) from random ranges, certain to be within tolerances (b,).

    The range is doubled until the part of a block outside it, which is computed and not estimated, is
    within half of the squared tolerance; the rest is for truncation. None where ``largest`` directions
    don't hold the block, or the singular values found leave no hope for a rank within limits (b,);
    reasons (b,) say so.
    """
    b, m, n = values.shape
    found: list[Triplets | None] = [None] * b
    reasons = [""] * b
    open_, size = np.arange(b), FIRST_RANGE
    while size <= min(largest, min(m, n) // 2) and len(open_):
        own = values if len(open_) == b else values[open_]
        tolerance = tolerances[open_]
        basis = np.linalg.qr(own @ rng.standard_normal((n, size)))[0]
        if min(m, n) > SMALL_SIDE:
            # a QR between the products, or what is below the root of the precision would be lost
            basis = np.linalg.qr(own @ np.linalg.qr(own.mT @ basis)[0])[0]
        inside = basis.mT @ own
        outside = _outside(own, basis, inside)
        held = np.flatnonzero(outside <= tolerance * math.sqrt(0.5))
        u, s, vt = svd(inside[held])
        ranks, _ = ranks_within(s, np.sqrt(tolerance[held] ** 2 - outside[held] ** 2))
        left = basis[held] @ u
        for at, i in enumerate(open_[held]):
            found[i] = Triplets(left[at], s[at], vt[at]).cut(int(ranks[at]))
        rest = np.delete(np.arange(len(open_)), held)
        if min(m, n) > SMALL_SIDE:
            needed = _needed(inside[rest], outside[rest], tolerance[rest])
            hopeless = CAUTION * needed > limits[open_[rest]]
            for i in open_[rest[hopeless]]:
                reasons[i] = f"random directions show a rank above {limits[i]}"
            rest = rest[~hopeless]
        open_ = open_[rest]
        size *= 2
    if largest < min(m, n) // 2:
        for i in open_:
            reasons[i] = f"{size // 2} random directions do not hold it"
    return found, reasons


def _outside(values: Array, basis: Array, inside: Array) -> Array:
    """‖values − basis inside‖_F (b,) of blocks (b, m, n), of large ones some rows at a time."""
    b, m, n = values.shape
    height = max(STACK_ENTRIES // (b * n), 1)
    squared = np.zeros(b)
    for top in range(0, m, height):
        rows = slice(top, top + height)
        squared += norms(values[:, rows] - basis[:, rows] @ inside) ** 2
    return np.asarray(np.sqrt(squared))


def _needed(inside: Array, outside: Array, tolerances: Array) -> Array:
    """Ranks (b,) that blocks need at least, by what was found of them, (b, size, n), and not, (b,).

    No later singular value is above the one in the middle.
    """
    half = inside.shape[1] // 2
    s = np.linalg.svd(inside, compute_uv=False)
    missing = outside**2 + (s[:, half:] ** 2).sum(axis=1) - tolerances**2
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(half + missing / s[:, half - 1] ** 2)
