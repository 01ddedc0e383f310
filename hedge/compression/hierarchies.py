"""H-matrices of a site's matrix, in the order of rows and columns that suits it."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from hedge import hmatrix  # what builds is loaded when it is asked for
from hedge.arrays import Array
from hedge.compression.metric import diagonal_of_metric, mean_square
from hedge.compression.orders import Orders, Weighed, best_orders
from hedge.compression.seen import Seen
from hedge.errors import InputError
from hedge.graph import HierarchyMatrix, SplitModel, as_order
from hedge.grids import in_words
from hedge.hmatrix import Entries, Leaf, in_given_order, randomized_svd, weak

# Sites with a shorter side have too few leaves for a hierarchy.
LEAST_SIDE = 1024
LEAF_SIZES = (64, 128)
# Blocks of a higher rank are cut, so that leaves of a kind have ranks alike.
RANK_LIMIT = 24
# Errors that candidates are built for, in parts of the one that need not be improved on.
COARSEST = 8.5
AIMS = (COARSEST, 5.0, 2.0)
# An aim is met if the error is this near; if not, the tolerance is set right once.
NEAR = 0.15
# Rows and columns that hardly count are weighed by this part of the largest weight, so that all have one.
LEAST_WEIGHT = 1e-6


@dataclass(frozen=True, eq=False)
class _Site:
    """A matrix in an order, weighed so that its Frobenius norm is about the output's error."""

    weighed: Entries
    above: Array
    beside: Array
    orders: Orders

    def matrix(self, tolerance: float, leaf_size: int) -> HierarchyMatrix:
        """An H-matrix so far off, bias 0."""
        rows, columns = self.weighed.shape
        h = hmatrix.build(
            self.weighed,
            tolerance=tolerance,
            rows=in_given_order(rows, leaf_size),
            columns=in_given_order(columns, leaf_size),
            admissible=weak,
            compressor=randomized_svd(),  # sees every entry, and is certain
            rank_limit=RANK_LIMIT,
        )
        return HierarchyMatrix(
            tuple(self._unweighed(leaf) for leaf in h.leaves),
            np.zeros(rows),
            columns,
            as_order(self.orders.rows),
            as_order(self.orders.columns),
        )

    def _unweighed(self, leaf: Leaf) -> Leaf:
        first, *others = leaf.factors
        factors = [first / self.above[leaf.top : leaf.bottom, None], *others]
        factors[-1] = factors[-1] / self.beside[leaf.start : leaf.stop]
        return replace(leaf, factors=tuple(factors), reason="")


def hierarchy_fits(
    seen: Seen, metric: Array, enough: float
) -> Iterator[tuple[HierarchyMatrix, float]]:
    """Candidates with bias 0 and their squared errors on the probes, from the coarsest to ``enough``.

    Arguments as for :func:`hedge.compression.blocks.block_fits`. None for matrices with a side below
    LEAST_SIDE, and where blocks drawn at random are of full rank in every order that is tried.
    """
    weight, probes, exact = seen.weight, seen.probes, seen.probes_written
    if min(weight.shape) < LEAST_SIDE or enough <= 0.0:
        return
    power = mean_square(exact, metric)
    if not power > 0.0:
        return
    above, beside = _weights(diagonal_of_metric(metric)), _weights(seen.variances)
    weighed = Weighed(weight, above, beside)
    orders = best_orders(weighed, COARSEST * float(np.sqrt(enough / power)), seen.grid)
    if orders is None:
        return
    entries = weighed.ordered(orders.rows, orders.columns)
    site = _Site(entries, above[orders.rows], beside[orders.columns], orders)
    for leaf_size in LEAF_SIZES:
        ratio = 1.0  # of the error on the probes to the tolerance
        for aim in AIMS:
            wanted = aim * float(np.sqrt(enough / power))
            for _ in range(2):
                matrix = site.matrix(min(wanted / ratio, 1.0), leaf_size)
                error_squared = mean_square(exact - matrix.times(probes), metric)
                found = float(np.sqrt(error_squared / power))
                if found == 0.0 or 1.0 - NEAR < found / wanted <= 1.0:
                    break
                ratio *= found / wanted * 1.03
            yield matrix, error_squared


def may_have_hierarchy(
    weight: Array,
    felt: Array,
    varying: Array,
    tolerance: float,
    grid: tuple[int, ...] | None = None,
) -> bool:
    """Whether blocks drawn at random are of low rank in some order, for a squared relative error.

    felt (n_out,) are the squared weights of what ``weight`` writes, varying (n_in,) the variances of what
    it reads; ``grid`` as for :func:`hedge.compression.orders.best_orders`.
    """
    if min(weight.shape) < LEAST_SIDE:
        return False
    weighed = Weighed(weight, _weights(felt), _weights(varying))
    return best_orders(weighed, COARSEST * tolerance, grid) is not None


def check_grid(grid: tuple[int, ...] | None, split: SplitModel) -> None:
    """Raise InputError for a grid that no large matrix is on."""
    if grid is None:
        return
    large = [site.matrix.shape for site in split.sites if min(site.matrix.shape) >= LEAST_SIDE]
    sizes = sorted({size for shape in large for size in shape})
    if math.prod(grid) in sizes:
        return
    told = f"large matrices here have {', '.join(map(str, sizes))} rows or columns"
    if not sizes:
        told = f"no matrix here has both sides of {LEAST_SIDE} or more, where grids matter"
    raise InputError(
        f"grid: {in_words(grid)} has {math.prod(grid)} points, and {told}; leave it out, or give theirs"
    )


def _weights(variances: Array) -> Array:
    """Their roots, none far below the largest."""
    roots = np.sqrt(np.maximum(variances, 0.0))
    largest = float(roots.max())
    return np.maximum(roots, LEAST_WEIGHT * largest) if largest > 0.0 else np.ones_like(roots)
