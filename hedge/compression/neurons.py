"""Neuron reduction: which neurons of a hidden layer the others can be interpolated from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import linalg

from hedge.arrays import Array
from hedge.compression.measure import Measurements
from hedge.compression.metric import times_metric
from hedge.graph import NeuronGroup, SplitModel

# A neuron whose variance, given those chosen before, is below this part of the largest is a linear
# combination of them to rounding: choosing it would divide noise by noise.
DEPENDENT = 1e-14
# Metrics of more neurons are factorized by pivoted Cholesky: a few outputs feel them, so their rank is low.
MOST_EIGENVALUES = 1024


@dataclass(frozen=True)
class NeuronOrder:
    """Neurons in the order of choice, and the squared output error left after each, (n + 1,)."""

    order: NDArray[np.int64]
    error_squared: Array

    def kept(self, width: int) -> NDArray[np.int64]:
        """The first ``width`` neurons, in the layer's own order."""
        return np.sort(self.order[:width])


@dataclass(frozen=True)
class Reading:
    """What sites read of a group's neurons: the covariance (n, n) of one tensor, and its metric.

    metric M = Σ Wᵀ B W (n, n) over the sites that read the tensor says how its error is felt.
    """

    covariance: Array
    metric: Array


def order_group(split: SplitModel, group: NeuronGroup, measured: Measurements) -> NeuronOrder:
    """The group's order by what all its consumers read; those of one tensor feel its error together."""
    return order_neurons(_readings(split, group.consumers, measured))


def order_columns(split: SplitModel, sites: Sequence[str], measured: Measurements) -> NeuronOrder:
    """The same order of the columns that these sites read of one input."""
    return order_neurons(_readings(split, sites, measured))


def _readings(split: SplitModel, consumers: Sequence[str], measured: Measurements) -> list[Reading]:
    metrics: dict[str, Array] = {}
    covariances: dict[str, Array] = {}
    for site in split.sites:
        if site.name in consumers:
            weight = site.matrix.dense()
            felt = times_metric(weight.T, measured.sensitivities[site.name]) @ weight
            metrics[site.input] = metrics.get(site.input, 0.0) + felt
            covariances[site.input] = measured.seen(site).covariance
    return [Reading(covariances[name], metrics[name]) for name in metrics]


def order_neurons(readings: Sequence[Reading]) -> NeuronOrder:
    """Order a group's n neurons greedily by what they explain of the output.

    With R the covariance of a reading's activations given those chosen so far, choosing j lowers its
    error trace(M R) by (R M R)_jj / R_jj, and R by R_j R_jᵀ / R_jj (a pivoted Cholesky step). The
    neuron that lowers the sum over all readings most comes next. This is an interpolative
    decomposition in the output-weighted metric (docs/mathematics.md, fewer neurons).
    """
    rests = [_Rest(reading) for reading in readings]
    n = len(readings[0].metric)
    free = np.ones(n, dtype=bool)
    order = np.empty(n, dtype=np.int64)
    error = np.empty(n + 1)
    error[0] = sum(rest.error for rest in rests)
    for k in range(n):
        usable = free & np.any([rest.usable for rest in rests], axis=0)
        if not usable.any():
            # The rest are combinations of the chosen ones: they explain nothing more.
            order[k:] = np.flatnonzero(free)
            error[k + 1 :] = 0.0 if k else error[0]
            break
        gain = np.where(usable, sum(rest.gains() for rest in rests), -1.0)
        j = int(np.argmax(gain))
        for rest in rests:
            rest.explain_by(j)
        order[k], free[j] = j, False
        error[k + 1] = max(error[k] - gain[j], 0.0)
    return NeuronOrder(order, error)


class _Rest:
    """What the neurons chosen so far leave unexplained of one reading."""

    def __init__(self, reading: Reading) -> None:
        self._covariance = reading.covariance
        factor = _factor(reading.metric)  # M = F Fᵀ
        # R F, with R the covariance of what is left: (R M R)_jj is the squared norm of its row j.
        self._seen = self._covariance @ factor
        self._rows, self._count = np.empty_like(self._covariance), 0  # outer products: C − R
        self._variance = self._covariance.diagonal().copy()  # of R
        self.error = max(float(np.sum(reading.metric * self._covariance)), 0.0)
        self._smallest = DEPENDENT * max(float(self._variance.max()), np.finfo(float).tiny)

    @property
    def usable(self) -> NDArray[np.bool_]:
        """The neurons that are no combinations of those chosen, (n,)."""
        return np.asarray(self._variance > self._smallest)

    def gains(self) -> Array:
        """By how much each neuron would lower the error, (n,)."""
        variance = np.where(self.usable, self._variance, 1.0)
        return np.where(self.usable, np.sum(self._seen**2, axis=1) / variance, 0.0)

    def explain_by(self, j: int) -> None:
        """Take neuron j as known."""
        if not self.usable[j]:
            return
        known = self._rows[: self._count]
        left = self._covariance[j] - known[:, j] @ known
        column = left / self._variance[j]
        self._seen -= np.outer(column, self._seen[j])
        self._rows[self._count] = left / np.sqrt(self._variance[j])
        self._variance -= column * left
        self._count += 1


def _factor(metric: Array) -> Array:
    """F (n, r) with M = F Fᵀ."""
    if len(metric) <= MOST_EIGENVALUES:
        eigenvalues, vectors = np.linalg.eigh(metric)
        return np.asarray(vectors * np.sqrt(np.maximum(eigenvalues, 0.0)))
    lower, pivots, rank, _ = linalg.lapack.dpstrf(metric, lower=1)
    factor = np.empty((len(metric), rank))
    factor[pivots - 1] = np.tril(lower)[:, :rank]
    return factor
