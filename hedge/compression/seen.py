"""What a matrix reads and writes in samples, from which all its second moments follow."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from hedge.arrays import Array, rows_times

# So many samples measure the errors of candidates.
PROBES = 1024


@dataclass(frozen=True, eq=False)
class Seen:
    """W (n_out, n_in), what it reads, values (N, n_in), and what it writes there up to a constant.

    outputs (N, n_out) may be left out, then they are computed when they are asked for. Both are kept as
    they are, and taken about their mean when they are needed: matrices of n_in² or n_out² numbers are not
    formed but by ``covariance``. With ``reach`` they are values and ends of pairs, see :func:`moment_rows`.
    grid are the sides of the one that its rows or columns are told to be on.

    >>> seen = Seen(np.array([[2.0, 1.0]]), np.array([[1.0, 5.0], [3.0, 5.0]]))
    >>> seen.variances, seen.probes_written.ravel()
    (array([1., 0.]), array([-2.,  2.]))
    """

    weight: Array
    values: Array
    outputs: Array | None = None
    reach: float | None = None
    grid: tuple[int, ...] | None = None

    def read(self) -> Array:
        """What W reads, about its mean: (N, n_in), or (2 N, n_in) as :func:`moment_rows` has it."""
        return moment_rows(self.values - self.values.mean(axis=0), self.reach)

    def written(self) -> Array:
        """The same of what it writes, (N, n_out)."""
        if self.outputs is None:
            return rows_times(self.read(), self.weight)
        return moment_rows(self.outputs - self.outputs.mean(axis=0), self.reach)

    @cached_property
    def probes(self) -> Array:
        """Some rows of what is read, (PROBES, n_in) or as many as there are."""
        if self.reach is None:
            return np.asarray(self.values[:PROBES] - self.values.mean(axis=0))
        return self.read()[:PROBES].copy()

    @cached_property
    def probes_written(self) -> Array:
        """What W makes of them, once for all candidates."""
        if self.outputs is None:
            return rows_times(self.probes, self.weight)
        if self.reach is None:
            return np.asarray(self.outputs[:PROBES] - self.outputs.mean(axis=0))
        return self.written()[:PROBES].copy()

    @cached_property
    def covariance(self) -> Array:
        """C (n_in, n_in) of what is read."""
        return covariance_of(self.read())

    @cached_property
    def variances(self) -> Array:
        """Its diagonal (n_in,)."""
        read = self.read()
        return np.asarray(np.einsum("ij,ij->j", read, read) / len(read))


def covariance_of(deviations: Array) -> Array:
    """The mean of their outer products, (N, n) -> (n, n)."""
    products = deviations.T @ deviations
    products /= len(deviations)
    return np.asarray(products)


def moment_rows(values: Array, reach: float | None) -> Array:
    """Rows (N, n) whose mean outer product counts; with ``reach``, of points and of pairs around them.

    ``values`` are then those at points, ends x + v and ends x − v; the rows are then values and differences
    (f(x + v) − f(x − v)) / (2 reach), one of each in turn, times √2, so that their mean square is the sum of
    both mean squares.
    """
    if reach is None:
        return values
    at, above, below = np.split(values, 3)
    both = np.stack([at, (above - below) / (2.0 * reach)], axis=1)
    return np.asarray(np.sqrt(2.0) * both.reshape(-1, values.shape[1]))
