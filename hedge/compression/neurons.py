"""Neuron reduction: which neurons of a hidden layer the others can be interpolated from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hedge.arrays import Array
from hedge.compression.measure import Measurements
from hedge.graph import NeuronGroup, SplitModel

# A neuron whose variance, given those chosen before, is below this part of the largest is a linear
# combination of them to rounding: choosing it would divide noise by noise.
DEPENDENT = 1e-14


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
    """What sites read of a group's neurons: deviations a − E[a] (N, n) of one tensor, and their metric.

    metric M = Σ Wᵀ B W (n, n) over the sites that read the tensor says how its error is felt.
    """

    deviations: Array
    metric: Array


def order_group(split: SplitModel, group: NeuronGroup, measured: Measurements) -> NeuronOrder:
    """The group's order by what all its consumers read; those of one tensor feel its error together."""
    metrics: dict[str, Array] = {}
    deviations: dict[str, Array] = {}
    for site in split.sites:
        if site.name in group.consumers:
            weight = site.matrix.dense()
            felt = weight.T @ measured.sensitivities[site.name] @ weight
            metrics[site.input] = metrics.get(site.input, 0.0) + felt
            deviations[site.input] = measured.deviations(measured.inputs[site.name])
    return order_neurons([Reading(deviations[name], metrics[name]) for name in metrics])


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
        self.covariance = reading.deviations.T @ reading.deviations / len(reading.deviations)  # R
        eigenvalues, vectors = np.linalg.eigh(reading.metric)
        factor = vectors * np.sqrt(np.maximum(eigenvalues, 0.0))  # M = F Fᵀ
        self.seen = self.covariance @ factor  # R F: (R M R)_jj is the squared norm of its row j
        self.error = max(float(np.sum(reading.metric * self.covariance)), 0.0)
        largest = float(self.covariance.diagonal().max())
        self.smallest = DEPENDENT * max(largest, np.finfo(float).tiny)

    @property
    def usable(self) -> NDArray[np.bool_]:
        """The neurons that are no combinations of those chosen, (n,)."""
        return np.asarray(self.covariance.diagonal() > self.smallest)

    def gains(self) -> Array:
        """By how much each neuron would lower the error, (n,)."""
        variance = np.where(self.usable, self.covariance.diagonal(), 1.0)
        return np.where(self.usable, np.sum(self.seen**2, axis=1) / variance, 0.0)

    def explain_by(self, j: int) -> None:
        """Take neuron j as known."""
        if not self.usable[j]:
            return
        column = self.covariance[:, j] / self.covariance[j, j]
        self.seen = self.seen - np.outer(column, self.seen[j])
        self.covariance = self.covariance - np.outer(column, self.covariance[j])
