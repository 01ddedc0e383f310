"""Ranks of nested bases cut within a budget, where that saves most: one price for all clusters."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from hedge.arrays import Array, Indices
from hedge.errors import InputError
from hedge.hmatrix.bases import NestedBasis, filled, in_pieces, left_vectors, narrowed, upwards
from hedge.hmatrix.checks import positive
from hedge.hmatrix.nested import Coupling, H2Matrix
from hedge.hmatrix.prices import Spectra, at_highest_price
from hedge.hmatrix.stacks import svd

ROUNDS = 3  # of ranks that hang on each other through the price
TRIES = 4  # of cutting again with what the last cut left of the budget
SPENT = 0.98  # of a budget: enough not to cut again
BASES_SHARE = (
    0.97  # of the budget; what is left goes into couplings, whose errors are orthogonal to it
)


def recompress(h: H2Matrix, *, tolerance: float) -> tuple[H2Matrix, float]:
    """A matrix of fewer numbers and its error, ‖H − result‖_F ≤ error · ‖H‖_F with error ≤ tolerance.

    The error is what the cuts leave out, not an estimate; dense leaves stay as they are. Raises
    InputError for a tolerance that is not positive, and for what is no H²-matrix.

    >>> from hedge.hmatrix import build_nested
    >>> x = np.linspace(0, 1, 300)
    >>> h = build_nested(1 / (1 + 5 * abs(x[:, None] - x)), tolerance=1e-8)
    >>> smaller, error = recompress(h, tolerance=1e-3)
    >>> smaller.numbers < h.numbers, error <= 1e-3
    (True, True)
    """
    if not isinstance(h, H2Matrix):
        raise InputError(
            f"h: is a {type(h).__name__}, not an H2Matrix; make one with build_nested, or cut an "
            "HMatrix with truncate"
        )
    budget = min(positive("tolerance", tolerance), 1.0) * h.frobenius_norm()
    smaller, error = recompressed(h.astype(np.float64), budget)
    return smaller.astype(h.dtype), error / (h.frobenius_norm() or 1.0)


def recompressed(h: H2Matrix, budget: float) -> tuple[H2Matrix, float]:
    """The matrix with smaller bases, and its error ≤ ``budget``, both in the Frobenius norm.

    A direction of a basis stays if the square of what it carries is above λ times the numbers that it
    takes: of its own, in the parent's transfer and in couplings. λ is found from the singular values
    of all clusters; the error is the root of what the cuts do leave out.
    """
    sides = [_Weighted.of(h.row_basis, h.couplings, h.symmetric)]
    if not h.symmetric:
        sides.append(_Weighted.of(h.column_basis, h.T.couplings, symmetric=False))
    bases = BASES_SHARE * budget
    allowed, best, error = bases, h, 0.0
    for _ in range(TRIES):
        ranks = _ranks_at_price(sides, allowed)
        cuts = [side.cut(own) for side, own in zip(sides, ranks, strict=True)]
        lost = math.sqrt(sum(cut.lost_squared for cut in cuts))
        if lost > bases:
            allowed *= SPENT * bases / lost
            continue
        best, error = _coupled(h, cuts), lost
        if lost >= SPENT * bases or lost == 0.0:
            break
        allowed *= math.sqrt(SPENT) * bases / lost
    couplings, squared = _factored(best, math.sqrt(max(budget**2 - error**2, 0.0)))
    return replace(best, couplings=couplings), math.sqrt(error**2 + squared)


@dataclass(frozen=True, eq=False)
class _Cut:
    """A smaller basis, the old one in it (new k, old k) for each cluster, and the squared error."""

    basis: NestedBasis
    changes: tuple[Array, ...]
    lost_squared: float


@dataclass(frozen=True, eq=False)
class _Weighted:
    """A basis with what its blocks are to it.

    weights[i] (k_i, z) has the singular values of all rows of the cluster in its basis: of its own
    blocks and those of the clusters above. partners (c, 2) are the clusters of couplings on this side and
    the other. A symmetric matrix counts each direction, and its error, twice.
    """

    basis: NestedBasis
    weights: tuple[Array, ...]
    spectra: Spectra
    partners: Indices
    symmetric: bool

    @staticmethod
    def of(basis: NestedBasis, couplings: Sequence[Coupling], symmetric: bool) -> _Weighted:
        weights = _weights(basis, couplings)
        spectra: list[Array] = [np.zeros(0)] * len(weights)
        for which in in_pieces(np.array([weight.shape for weight in weights])):
            found = np.linalg.svd(filled([weights[i] for i in which]), compute_uv=False)
            for i, s in zip(which, found, strict=True):
                spectra[i] = s[: len(weights[i])]
        pairs = [(c.row, c.column) for c in couplings]
        partners = np.array(pairs, dtype=np.intp).reshape(-1, 2)
        return _Weighted(basis, weights, Spectra.of(spectra), partners, symmetric)

    def costs(self, own: Indices, other: Indices) -> Array:
        """Numbers that one direction takes at each cluster (c,), with ranks as they are."""
        costs = np.zeros(len(own))
        np.add.at(costs, self.partners[:, 0], other[self.partners[:, 1]].astype(np.float64))
        if self.symmetric:
            costs *= 2.0  # couplings on both sides of the diagonal
        is_leaf = np.array([not children for children in self.basis.children])
        costs[is_leaf] += np.array([cluster.size for cluster in self.basis.clusters])[is_leaf]
        parents = np.array([self.basis.parts[at][0] for at in range(1, len(own))], dtype=np.intp)
        costs[1:] += own[parents]
        np.add.at(costs, parents, own[1:].astype(np.float64))
        return costs

    @property
    def times(self) -> float:
        """How often each direction counts."""
        return 2.0 if self.symmetric else 1.0

    def ranks(self, price: float, costs: Array) -> Indices:
        """How many directions of each cluster are worth their numbers."""
        return self.spectra.ranks(price * costs / self.times)

    def lost_squared(self, ranks: Indices) -> float:
        """At most the squared error with these ranks."""
        return self.times * float(self.spectra.left_out(ranks).sum())

    def cut(self, ranks: Indices) -> _Cut:
        """The best basis of these ranks, from the leaves upwards."""
        basis = self.basis
        matrices: list[Array] = [np.zeros((0, 0))] * len(ranks)
        changes: list[Array] = [np.zeros((0, 0))] * len(ranks)
        lost = 0.0
        for level in upwards(basis.clusters):
            # the old basis in what is left of those below
            old = [self._below(at, changes) for at in level]
            panels = [
                self.weights[at] if matrix is None else matrix @ self.weights[at]
                for at, matrix in zip(level, old, strict=True)
            ]
            for which in in_pieces(np.array([panel.shape for panel in panels])):
                vectors = left_vectors([panels[i] for i in which])
                for i, (u, s) in zip(which, vectors, strict=True):
                    at, matrix = level[i], old[i]
                    rank = min(ranks[at], int(np.count_nonzero(s)))
                    u, lost = u[:, :rank], lost + float((s[rank:] ** 2).sum())
                    matrices[at] = basis.matrices[at] @ u if matrix is None else u.copy()
                    changes[at] = u.T.copy() if matrix is None else u.T @ matrix
        cut = NestedBasis(basis.order, basis.clusters, tuple(matrices))
        return _Cut(cut, tuple(changes), self.times * lost)

    def _below(self, at: int, changes: Sequence[Array]) -> Array | None:
        children = self.basis.children[at]
        if not children:
            return None
        return np.concatenate([changes[child] @ self.basis.parts[child][1] for child in children])


def _weights(basis: NestedBasis, couplings: Sequence[Coupling]) -> tuple[Array, ...]:
    """From the root downwards: own couplings, and the parent's weights in the cluster's basis."""
    pieces: list[list[Array]] = [[np.zeros((k, 0))] for k in basis.ranks]
    for c in couplings:
        pieces[c.row].append(c.values)
    found: list[Array] = [np.zeros((0, 0))] * len(pieces)
    for level in reversed(list(upwards(basis.clusters))):
        for at in level:
            if at in basis.parts:
                parent, part = basis.parts[at]
                pieces[at].append(part @ found[parent])
        stack = [np.concatenate(pieces[at], axis=1) for at in level]
        for which in in_pieces(np.array([matrix.shape for matrix in stack])):
            own = filled([stack[i] for i in which])
            own = narrowed(own)
            for i, matrix in zip(which, own, strict=True):
                found[level[i]] = matrix[: len(stack[i])]
    return tuple(found)


def _ranks_at_price(sides: Sequence[_Weighted], budget: float) -> list[Indices]:
    """The ranks of all clusters at the highest price that keeps the budget."""

    def choose(price: float, ranks: list[Indices]) -> tuple[list[Indices], float]:
        for _ in range(ROUNDS):
            costs = [
                side.costs(own, other)
                for side, own, other in zip(sides, ranks, reversed(ranks), strict=True)
            ]
            ranks = [side.ranks(price, cost) for side, cost in zip(sides, costs, strict=True)]
        return ranks, sum(side.lost_squared(own) for side, own in zip(sides, ranks, strict=True))

    largest = max(side.spectra.largest for side in sides)
    return at_highest_price(choose, [side.basis.ranks for side in sides], largest, budget)


def _coupled(h: H2Matrix, cuts: Sequence[_Cut]) -> H2Matrix:
    """The couplings in the new bases."""
    rows, columns = cuts[0], cuts[-1]
    couplings = tuple(
        replace(c, factors=(rows.changes[c.row] @ c.values @ columns.changes[c.column].T,))
        for c in h.couplings
    )
    return replace(h, row_basis=rows.basis, column_basis=columns.basis, couplings=couplings)


def _factored(h: H2Matrix, budget: float) -> tuple[tuple[Coupling, ...], float]:
    """Couplings of low rank in two factors where that takes fewer numbers, and the squared error."""
    couplings = [c for c in h.couplings if not (h.symmetric and c.row > c.column)]
    times = np.array([1.0 + (h.symmetric and c.row != c.column) for c in couplings])
    values = [coupling.values for coupling in couplings]
    found: list[tuple[Array, Array, Array]] = [(np.zeros(0),) * 3] * len(values)
    shapes = np.array([matrix.shape for matrix in values], dtype=np.intp).reshape(-1, 2)
    for which in in_pieces(shapes) if len(values) else ():
        u, s, vt = svd(filled([values[i] for i in which]))
        for at, i in enumerate(which):
            k, n = shapes[i]
            r = min(k, n)
            found[i] = u[at, :k, :r], s[at, :r], vt[at, :r, :n]
    spectra, sums = Spectra.of([s for _, s, _ in found]), shapes.sum(axis=1)

    def choose(price: float, _: Indices) -> tuple[Indices, float]:
        ranks = spectra.ranks(price * sums)  # errors and numbers across the diagonal: twice both
        ranks = np.where(ranks * sums < shapes.prod(axis=1), ranks, shapes.min(axis=1))
        return ranks, float((times * spectra.left_out(ranks)).sum())

    ranks = at_highest_price(choose, shapes.min(axis=1), spectra.largest, budget)
    results = []
    for coupling, matrix, (u, s, vt), rank in zip(couplings, values, found, ranks, strict=True):
        factors: tuple[Array, ...] = (matrix,)
        if rank * sum(matrix.shape) < matrix.size:
            factors = (u[:, :rank] * s[:rank], vt[:rank].copy())
        results.append(replace(coupling, factors=factors))
        if h.symmetric and coupling.row != coupling.column:
            results.append(results[-1].transposed())
    return tuple(results), float((times * spectra.left_out(ranks)).sum())
