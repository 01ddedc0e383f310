"""H²-matrices from H-matrices, arrays and entries, to a relative tolerance."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hedge.arrays import Array, Indices
from hedge.errors import InputError, ToleranceError
from hedge.hmatrix.bases import NestedBasis, Sides, clusters_of, filled, in_pieces, nested_basis
from hedge.hmatrix.checks import positive
from hedge.hmatrix.cluster import Admissible, ClusterTree, anywhere
from hedge.hmatrix.construction import ALARM, build, sampled_error, trees
from hedge.hmatrix.entries import Entries, as_entries
from hedge.hmatrix.hmatrix import HMatrix
from hedge.hmatrix.leaf import Leaf
from hedge.hmatrix.lowrank import Compressor, aca
from hedge.hmatrix.nested import Coupling, H2Matrix
from hedge.hmatrix.prices import Spectra, at_highest_price
from hedge.hmatrix.recompression import recompressed
from hedge.hmatrix.stacks import Triplets, orthogonalised, svd
from hedge.hmatrix.threads import one_blas_thread

BLOCKS_SHARE = 0.1  # of the tolerance, for blocks of their own; shared bases spend what is left
FLOOR_SHARE = 0.05  # of what is left, for bases before they are cut
NOISE = 1e-14  # singular values relative to a block's largest that are rounding
ROUNDING = 1e-12  # of an H-matrix that is built symmetric, between both halves

Flags = NDArray[np.bool_]


def build_nested(
    matrix: ArrayLike | Entries | HMatrix,
    *,
    tolerance: float,
    rows: ClusterTree | None = None,
    columns: ClusterTree | None = None,
    admissible: Admissible = anywhere,
    compressor: Compressor | None = None,
) -> H2Matrix:
    """An H²-matrix H with ‖A − H‖_F ≤ tolerance · ‖A‖_F: blocks of a cluster share its basis.

    matrix      an array (m, n) or :class:`Entries`, of which :func:`build` makes an H-matrix first, or
                an HMatrix itself, built with the same trees
    rows, columns, admissible, compressor   as for :func:`build`

    Raises what :func:`build` does; InputError for an HMatrix whose leaves add up or don't belong to
    the trees. Source: Börm, Data-sparse approximation of non-local operators by H²-matrices (2007).

    >>> from hedge.hmatrix import kd_tree, kernel, strong
    >>> points = np.random.default_rng(0).random((1500, 2))
    >>> def exponential(x, y):
    ...     return np.exp(-np.sqrt(((x - y) ** 2).sum(axis=0)))
    >>> entries = kernel(exponential, points, symmetric=True)
    >>> tree = kd_tree(points)
    >>> h2 = build_nested(entries, tolerance=1e-3, rows=tree, admissible=strong())
    >>> h = build(entries, tolerance=1e-3, rows=tree, admissible=strong())
    >>> sampled_error(entries, h2) < 1e-3, h2.numbers < h.numbers
    (True, True)
    """
    tolerance = min(positive("tolerance", tolerance), 1.0)
    if isinstance(matrix, HMatrix):
        rows, columns = trees(matrix.shape, rows, columns)
        return _shared(matrix, rows, columns, tolerance * matrix.frobenius_norm())
    entries = as_entries(matrix)
    rows, columns = trees(entries.shape, rows, columns)
    h = build(
        matrix,
        tolerance=BLOCKS_SHARE * tolerance,
        rows=rows,
        columns=columns,
        admissible=admissible,
        compressor=compressor,
    )
    # the norm of A is at least (1 - share) that of h
    budget = tolerance * (1 - BLOCKS_SHARE) * h.frobenius_norm() / (1 + BLOCKS_SHARE * tolerance)
    nested = _shared(h, rows, columns, budget)
    if compressor is aca or (compressor is None and isinstance(matrix, Entries)):
        error = sampled_error(entries, nested)
        if error > ALARM * tolerance:
            raise ToleranceError(
                f"build_nested: on sampled rows the error is {error:.1e}, above the tolerance "
                f"{tolerance:g}; this matrix has entries that ACA does not meet, use "
                "compressor=truncated_svd"
            )
    return nested


def smallest(
    matrix: ArrayLike | Entries,
    *,
    tolerance: float,
    rows: ClusterTree | None = None,
    columns: ClusterTree | None = None,
    admissible: Admissible = anywhere,
    compressor: Compressor | None = None,
) -> HMatrix | H2Matrix:
    """What keeps fewer numbers: :func:`build`'s H-matrix or :func:`build_nested`'s H²-matrix.

    Both are built. A matrix that is of low rank as a whole, or dense, is an H-matrix of one leaf.
    Arguments, promise and what is raised are theirs.

    >>> x = np.linspace(0, 1, 200)
    >>> smallest(np.outer(np.cos(x), x), tolerance=1e-9).numbers
    400
    """
    rows, columns = trees(as_entries(matrix).shape, rows, columns)
    plain, nested = (
        construct(
            matrix,
            tolerance=tolerance,
            rows=rows,
            columns=columns,
            admissible=admissible,
            compressor=compressor,
        )
        for construct in (build, build_nested)
    )
    return nested if nested.numbers < plain.numbers else plain


@dataclass(frozen=True, eq=False)
class _Block:
    """A block by its clusters and its singular triplets."""

    row: int
    column: int
    triplets: Triplets


def _shared(h: HMatrix, rows: ClusterTree, columns: ClusterTree, budget: float) -> H2Matrix:
    """Within ``budget`` of h in the Frobenius norm, whatever number of threads BLAS has."""
    h = h.astype(np.float64)
    places = _placed(h, rows, columns)
    symmetric = rows is columns and _is_symmetric(h)
    with one_blas_thread():
        triplets = _triplets(h.leaves)
        worth = _worth_sharing(h.leaves, triplets, budget)
        blocks = [_Block(*place, own) for place, own in zip(places, triplets, strict=True)]
        if symmetric:  # rounding may decide otherwise on both sides of the diagonal
            of_upper = dict(zip(places, worth, strict=True))
            worth = np.array([of_upper[min(place), max(place)] for place in places])
        shared = [
            block
            for block, share in zip(blocks, worth, strict=True)
            if share and (not symmetric or block.row <= block.column)
        ]
        leaves = tuple(leaf for leaf, share in zip(h.leaves, worth, strict=True) if not share)
        nested = _nested(rows, columns, shared, symmetric, leaves, FLOOR_SHARE * budget)
        return recompressed(nested, (1 - FLOOR_SHARE) * budget)[0]


def _placed(h: HMatrix, rows: ClusterTree, columns: ClusterTree) -> list[tuple[int, int]]:
    """Positions of the row and the column cluster of each leaf."""
    if h.overlapping:
        raise InputError("matrix: its leaves add up, for an H²-matrix they must tile it; use build")
    found = []
    for name, tree, order in (
        ("rows", rows, h.row_order),
        ("columns", columns, h.column_order),
    ):
        if not np.array_equal(tree.order, order):
            raise InputError(f"{name}: the H-matrix has another order; give the tree of its build")
        found.append({(c.start, c.stop): at for at, c in enumerate(clusters_of(tree))})
    try:
        return [(found[0][a.top, a.bottom], found[1][a.start, a.stop]) for a in h.leaves]
    except KeyError:
        raise InputError(
            "rows: a leaf of the H-matrix is no block of the trees; give those of its build"
        ) from None


def _is_symmetric(h: HMatrix) -> bool:
    """Whether the leaf across the diagonal of each leaf is its transpose."""
    by_place = {(a.top, a.bottom, a.start, a.stop): a for a in h.leaves}
    for leaf in h.leaves:
        other = by_place.get((leaf.start, leaf.stop, leaf.top, leaf.bottom))
        if other is None or other.is_dense != leaf.is_dense:
            return False
        if other is leaf or leaf.rank != other.rank:
            values = leaf.values()
            if np.abs(values - other.values().T).max() > ROUNDING * np.abs(values).max():
                return False
        elif not all(
            np.array_equal(a, b.T)
            for a, b in zip(leaf.factors, reversed(other.factors), strict=True)
        ):
            return False
    return True


def _triplets(leaves: Sequence[Leaf]) -> list[Triplets]:
    """The singular value decompositions of all leaves, without what is rounding."""
    found: list[Triplets | None] = [None] * len(leaves)
    for dense in (True, False):
        own = [i for i, leaf in enumerate(leaves) if leaf.is_dense == dense]
        if not own:
            continue
        for which in in_pieces(np.array([(*leaves[i].shape,) for i in own])):
            group = [own[i] for i in which]
            first = filled([leaves[i].factors[0] for i in group])
            if dense:
                u, s, vt = svd(first)
            else:
                u, s, vt = orthogonalised(first, filled([leaves[i].factors[1] for i in group]))
            ranks = (s > NOISE * s[:, :1]).sum(axis=1)
            for at, i in enumerate(group):
                m, n = leaves[i].shape
                found[i] = Triplets(u[at, :m], s[at], vt[at, :, :n]).cut(int(ranks[at]))
    return [own for own in found if own is not None]


def _worth_sharing(leaves: Sequence[Leaf], triplets: Sequence[Triplets], budget: float) -> Flags:
    """Which leaves low rank would suit at the price that the budget allows if none shared a basis."""
    sums = np.array([sum(leaf.shape) for leaf in leaves])
    sizes = np.array([leaf.shape[0] * leaf.shape[1] for leaf in leaves])
    dense = np.array([leaf.is_dense for leaf in leaves])
    spectra = Spectra.of([own.values for own in triplets])

    def choose(price: float, _: Flags) -> tuple[Flags, float]:
        ranks = spectra.ranks(price * sums)
        low_rank = ~dense | (ranks * sums < sizes)
        return low_rank, float(spectra.left_out(ranks)[low_rank].sum())

    return at_highest_price(choose, ~dense, spectra.largest, budget)


def _nested(
    rows: ClusterTree,
    columns: ClusterTree,
    blocks: Sequence[_Block],
    symmetric: bool,
    leaves: tuple[Leaf, ...],
    floor: float,
) -> H2Matrix:
    """Bases of all blocks, and the couplings of these in them."""
    lefts = [block.triplets.left * block.triplets.values for block in blocks]
    rights = [block.triplets.right.T * block.triplets.values for block in blocks]
    at_rows = np.array([block.row for block in blocks], dtype=np.intp)
    at_columns = np.array([block.column for block in blocks], dtype=np.intp)
    if symmetric:
        both = Sides(np.concatenate([at_rows, at_columns]), (*lefts, *rights))
        basis, found = nested_basis(rows.order, clusters_of(rows), both, floor)
        row_basis = column_basis = basis
        row_found, column_found = found[: len(blocks)], found[len(blocks) :]
    else:
        floor = floor / np.sqrt(2.0)
        row_basis, row_found = _of(rows, at_rows, lefts, floor)
        column_basis, column_found = _of(columns, at_columns, rights, floor)
    couplings = []
    for block, left, right in zip(blocks, row_found, column_found, strict=True):
        values = (left / block.triplets.values) @ right.T
        if symmetric and block.row == block.column:
            values = (values + values.T) / 2
        couplings.append(Coupling(block.row, block.column, (values,)))
        if symmetric and block.row != block.column:
            couplings.append(couplings[-1].transposed())
    return H2Matrix(row_basis, column_basis, tuple(couplings), leaves, symmetric)


def _of(
    tree: ClusterTree, clusters: Indices, panels: Sequence[Array], floor: float
) -> tuple[NestedBasis, list[Array]]:
    return nested_basis(tree.order, clusters_of(tree), Sides(clusters, tuple(panels)), floor)
