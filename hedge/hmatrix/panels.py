"""Products with an H-matrix: its leaves regrouped so that few large products do the work."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from hedge.hmatrix.leaf import Leaf

Array = NDArray[np.float64]
Indices = NDArray[np.intp]


@dataclass(frozen=True, eq=False)
class Panels:
    """The leaves regrouped so that a product takes two matrix products per cluster, not per leaf.

    All right factors of one column cluster stand below each other; their products with x, put behind
    x itself, are the *sources*. All dense values and left factors of one row cluster stand side by
    side and take from the sources what ``gather`` names.
    """

    row_order: Indices
    column_order: Indices
    column_panels: tuple[tuple[int, int, int, int, Array], ...]  # start, stop, from, to, (K, n)
    row_panels: tuple[tuple[int, int, int, int, Array], ...]  # top, bottom, from, to, (m, K)
    gather: Indices
    sources: int

    @staticmethod
    def of(row_order: Indices, column_order: Indices, leaves: tuple[Leaf, ...]) -> Panels:
        """Copy the factors into panels."""
        by_columns: dict[tuple[int, int], list[int]] = {}
        by_rows: dict[tuple[int, int], list[int]] = {}
        for i, leaf in enumerate(leaves):
            if not leaf.is_dense:
                by_columns.setdefault((leaf.start, leaf.stop), []).append(i)
            by_rows.setdefault((leaf.top, leaf.bottom), []).append(i)
        column_panels, coefficients, end = [], {}, len(column_order)
        for (start, stop), members in by_columns.items():
            first = end
            for i in members:
                rank = leaves[i].factors[1].shape[0]
                coefficients[i] = np.arange(end, end + rank)
                end += rank
            panel = np.concatenate([leaves[i].factors[1] for i in members])
            column_panels.append((start, stop, first, end, panel))
        row_panels, gather, position = [], [], 0
        for (top, bottom), members in by_rows.items():
            first = position
            for i in members:
                leaf = leaves[i]
                taken = np.arange(leaf.start, leaf.stop) if leaf.is_dense else coefficients[i]
                gather.append(taken)
                position += len(taken)
            panel = np.concatenate([leaves[i].factors[0] for i in members], axis=1)
            row_panels.append((top, bottom, first, position, panel))
        taken_from = np.concatenate(gather)
        return Panels(
            row_order, column_order, tuple(column_panels), tuple(row_panels), taken_from, end
        )

    def apply(self, x: Array) -> Array:
        """H x."""
        sources = np.empty((self.sources, *x.shape[1:]), dtype=x.dtype)
        sources[: len(x)] = x[self.column_order]
        for start, stop, first, last, panel in self.column_panels:
            np.matmul(panel, sources[start:stop], out=sources[first:last])
        taken = sources[self.gather]
        reordered = np.zeros((len(self.row_order), *x.shape[1:]), dtype=x.dtype)
        for top, bottom, first, last, panel in self.row_panels:
            reordered[top:bottom] += panel @ taken[first:last]
        y = np.empty_like(reordered)
        y[self.row_order] = reordered
        return np.asarray(y)

    @cached_property
    def _scatter(self) -> sparse.csr_array:
        """(sources, taken): adds up, for each source, all places that took from it."""
        taken = len(self.gather)
        ones = np.ones(taken, dtype=self.row_panels[0][-1].dtype)
        return sparse.csr_array(
            (ones, (self.gather, np.arange(taken))), shape=(self.sources, taken)
        )

    def apply_transposed(self, x: Array) -> Array:
        """Hᵀ x, the same steps backwards."""
        reordered = x[self.row_order]
        taken = np.empty((len(self.gather), *x.shape[1:]), dtype=x.dtype)
        for top, bottom, first, last, panel in self.row_panels:
            np.matmul(panel.T, reordered[top:bottom], out=taken[first:last])
        sources = self._scatter @ taken
        result = sources[: len(self.column_order)]
        for start, stop, first, last, panel in self.column_panels:
            result[start:stop] += panel.T @ sources[first:last]
        y = np.empty_like(result)
        y[self.column_order] = result
        return np.asarray(y)
