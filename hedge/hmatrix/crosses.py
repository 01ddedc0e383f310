"""Adaptive cross approximation of a stack of blocks, one cross of every block at a time."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from hedge.arrays import Array, Indices
from hedge.hmatrix.stacks import Refusal, Stack, Triplets, break_even, orthogonalised

Flags = NDArray[np.bool_]

SAMPLED_LINES = 8  # rows, and columns, at least, in the stopping test
FIRST_ROOM = 16  # crosses that fit before more memory is taken
PER_BLOCK = (
    "numbers", "tolerances", "capacities", "left", "right", "fresh", "pivots", "ranks", "lines",
    "sampled_rows", "sampled_columns", "in_rows", "in_columns",
)  # fmt: skip
"""Arrays of a run, block by block."""


def crosses(stack: Stack, tolerances: Array, rank_limit: int) -> list[Triplets | Refusal]:
    """The SVD of what crosses made of each block, within half its tolerance on samples, or a refusal.

    What is drawn at random hangs on the stack's place in the matrix only.
    """
    found: list[Triplets | Refusal] = [Refusal("")] * len(stack)
    seed = (*stack.rows[0, :1], *stack.columns[0, :1], *stack.shape)
    run = _Run.started(stack, tolerances, rank_limit, np.random.default_rng(seed))
    while len(run.numbers):
        accepted = run.step()
        _keep(run, accepted, found)
        given_up = run.given_up & ~accepted
        for i in np.flatnonzero(given_up):
            found[run.numbers[i]] = Refusal(
                "ACA did not reach the tolerance within rank "
                f"{min(run.ranks[i], run.capacities[i])}"
            )
        run.drop(accepted | given_up)
    return found


def _keep(run: _Run, accepted: Flags, found: list[Triplets | Refusal]) -> None:
    which = np.flatnonzero(accepted)
    if not len(which):
        return
    u, values, vt = orthogonalised(run.left[which, :, : run.used], run.right[which, : run.used])
    for at, i in enumerate(which):
        height, width = run.stack.heights[i], run.stack.widths[i]
        found[run.numbers[i]] = Triplets(u[at, :height], values[at], vt[at, :, :width])


@dataclass(eq=False)
class _Run:
    """The blocks not yet done, with their crosses so far; changed in place from step to step.

    left (b, m, room) and right (b, room, n) hold ``used`` crosses, those of zeros included, which
    ranks (b,) leave out. fresh (b, m) are rows that were no pivot. A block has a sample once a small
    cross asked for one and it failed: residuals in_rows (b, s, n) at sampled_rows (b, s), and in_columns
    (b, m, s) at sampled_columns (b, s); lines (b,) of them count, 0 before.
    """

    stack: Stack
    numbers: Indices
    tolerances: Array
    capacities: Indices
    rng: np.random.Generator
    left: Array
    right: Array
    fresh: Flags
    pivots: Indices
    ranks: Indices
    lines: Indices
    sampled_rows: Indices
    sampled_columns: Indices
    in_rows: Array
    in_columns: Array
    used: int = 0
    given_up: Flags = field(default_factory=lambda: np.zeros(0, dtype=bool))

    @staticmethod
    def started(stack: Stack, tolerances: Array, rank_limit: int, rng: np.random.Generator) -> _Run:
        b, (m, n) = len(stack), stack.shape
        capacities = [
            min(break_even(int(h), int(w)), rank_limit)
            for h, w in zip(stack.heights, stack.widths, strict=True)
        ]
        none = np.zeros((b, 0), dtype=np.intp)
        return _Run(
            stack,
            np.arange(b),
            tolerances,
            np.array(capacities),
            rng,
            np.empty((b, m, FIRST_ROOM)),
            np.empty((b, FIRST_ROOM, n)),
            np.arange(m) < stack.heights[:, None],
            rng.integers(stack.heights),
            np.zeros(b, dtype=np.intp),
            np.zeros(b, dtype=np.intp),
            none,
            none,
            np.zeros((b, 0, n)),
            np.zeros((b, m, 0)),
        )

    def step(self) -> Flags:
        """One more cross of every block; which (b,) are done with it. ``given_up`` (b,) can't be."""
        if self.used == self.left.shape[2]:
            self.left = np.concatenate((self.left, np.empty_like(self.left)), axis=2)
            self.right = np.concatenate((self.right, np.empty_like(self.right)), axis=1)
        sizes = self._cross()
        sampled = self.lines > 0
        small = sizes <= self.tolerances / 4
        ready = np.where(sampled, self._estimates() <= self.tolerances / 2, small)
        accepted = np.zeros(len(sizes), dtype=bool)
        drawn = np.flatnonzero(ready)
        if len(drawn):
            accepted[drawn] = self._agrees(drawn)
        pivots = self._largest_left()
        stuck = np.zeros(len(sizes), dtype=bool)
        sampled = (self.lines > 0) & ~accepted
        if sampled.any():
            which = np.flatnonzero(sampled)
            pivots[which] = self._worst_rows(which)
            # rounding: what is left can't be taken away by crosses
            stuck[which] = ~self.fresh[which, pivots[which]] & (sizes[which] == 0.0)
        self.pivots = pivots
        self.given_up = stuck | (self.ranks > self.capacities)
        return accepted

    def _cross(self) -> Array:
        """Take the next cross off; its norms (b,)."""
        every, k = np.arange(len(self.numbers)), self.used
        done = self.left[every, self.pivots, :k][:, None]
        row = self.stack.at_rows(self.pivots[:, None])[:, 0]
        row -= (done @ self.right[:, :k])[:, 0]
        self.fresh[every, self.pivots] = False
        at = np.argmax(np.abs(row), axis=1)
        top = row[every, at]
        column = self.stack.at_columns(at[:, None])[:, :, 0]
        column -= (self.left[:, :, :k] @ self.right[every, :k, at][:, :, None])[:, :, 0]
        empty = top == 0.0
        column /= np.where(empty, 1.0, top)[:, None]
        column[empty] = 0.0
        self.left[:, :, k], self.right[:, k] = column, row
        self.ranks += ~empty
        self.used = k + 1
        for i in np.flatnonzero(self.lines):
            s = self.lines[i]
            rows, columns = self.sampled_rows[i, :s], self.sampled_columns[i, :s]
            self.in_rows[i, :s] -= np.outer(column[i, rows], row[i])
            self.in_columns[i, :, :s] -= np.outer(column[i], row[i, columns])
        return np.asarray(np.linalg.norm(column, axis=1) * np.linalg.norm(row, axis=1))

    def _estimates(self) -> Array:
        """‖block − left right‖_F as sampled rows or columns predict it, the larger of the two."""
        if not self.in_rows.shape[1]:
            return np.zeros(len(self.numbers))
        return _predicted(self.in_rows, self.in_columns, self.stack, np.maximum(self.lines, 1))

    def _agrees(self, drawn: Indices) -> Flags:
        """Whether lines drawn afresh agree that blocks are done; those of the others are kept.

        As many lines as crosses, so that the test costs no more than they did.
        """
        stack = self.stack.take(drawn)
        most = np.minimum(stack.heights, stack.widths)
        lines = np.minimum(max(SAMPLED_LINES, self.used), most)
        rows = _stratified(stack.heights, lines, self.rng)
        columns = _stratified(stack.widths, lines, self.rng)
        left, right = self.left[drawn, :, : self.used], self.right[drawn, : self.used]
        own = np.arange(len(drawn))[:, None]
        in_rows = stack.at_rows(rows) - left[own, rows] @ right
        in_columns = stack.at_columns(columns) - left @ np.take_along_axis(
            right, columns[:, None, :], axis=2
        )
        beyond = np.arange(rows.shape[1]) >= lines[:, None]
        in_rows[beyond] = 0.0
        in_columns.swapaxes(1, 2)[beyond] = 0.0
        agrees = np.asarray(
            _predicted(in_rows, in_columns, stack, lines) <= self.tolerances[drawn] / 2
        )
        if not agrees.all():
            self._store(drawn[~agrees], lines[~agrees], rows[~agrees], columns[~agrees],
                        in_rows[~agrees], in_columns[~agrees])  # fmt: skip
        return agrees

    def _store(
        self,
        blocks: Indices,
        lines: Indices,
        rows: Indices,
        columns: Indices,
        in_rows: Array,
        in_columns: Array,
    ) -> None:
        more = rows.shape[1] - self.in_rows.shape[1]
        if more > 0:
            wider = ((0, 0), (0, more))
            self.sampled_rows = np.pad(self.sampled_rows, wider)
            self.sampled_columns = np.pad(self.sampled_columns, wider)
            self.in_rows = np.pad(self.in_rows, (*wider, (0, 0)))
            self.in_columns = np.pad(self.in_columns, ((0, 0), *wider))
        s = rows.shape[1]
        self.lines[blocks] = lines
        self.sampled_rows[blocks, :s], self.sampled_columns[blocks, :s] = rows, columns
        self.in_rows[blocks, :s], self.in_columns[blocks, :, :s] = in_rows, in_columns

    def _largest_left(self) -> Indices:
        """The row (b,) of the largest entry of the last cross that was no pivot."""
        last = np.abs(self.left[:, :, self.used - 1])
        return np.asarray(np.argmax(np.where(self.fresh, last, -1.0), axis=1))

    def _worst_rows(self, which: Indices) -> Indices:
        """The row of the largest residual seen, of each of the blocks."""
        in_rows = np.abs(self.in_rows[which]).max(axis=2)
        in_columns = np.abs(self.in_columns[which]).max(axis=2)
        at = np.argmax(in_rows, axis=1)
        of_rows = self.sampled_rows[which, at]
        by_columns = in_columns.max(axis=1) > in_rows.max(axis=1)
        return np.asarray(np.where(by_columns, np.argmax(in_columns, axis=1), of_rows))

    def drop(self, done: Flags) -> None:
        """Leave out the blocks (b,) that are done."""
        if not done.any():
            return
        stay = np.flatnonzero(~done)
        self.stack = self.stack.take(stay)
        for name in PER_BLOCK:
            setattr(self, name, getattr(self, name)[stay])


def _predicted(in_rows: Array, in_columns: Array, stack: Stack, lines: Indices) -> Array:
    by_rows = np.sqrt(np.einsum("bsn,bsn->b", in_rows, in_rows) * stack.heights / lines)
    by_columns = np.sqrt(np.einsum("bms,bms->b", in_columns, in_columns) * stack.widths / lines)
    return np.asarray(np.maximum(by_rows, by_columns))


def _stratified(sizes: Indices, lines: Indices, rng: np.random.Generator) -> Indices:
    """Positions (b, s) below sizes (b,), one at random in each of ``lines`` (b,) equal parts.

    Every position is as likely as any other, and the parts leave no large hole.
    """
    most = int(lines.max())
    parts = (np.arange(most) + rng.random((len(sizes), most))) / lines[:, None]
    return np.minimum((parts * sizes[:, None]).astype(np.intp), sizes[:, None] - 1)
