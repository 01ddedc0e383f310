"""Neuron reduction: which neurons of a hidden layer the others can be interpolated from."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

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


def order_neurons(activations: Array, metric: Array) -> NeuronOrder:
    """Order a layer's neurons greedily by what they explain of the output.

    activations (N, n); metric M = W_{l+1}ᵀ B W_{l+1} (n, n), how an error of the activations is
    felt. With R the covariance of the activations given those chosen so far, choosing j lowers the
    error trace(M R) by (R M R)_jj / R_jj, and R by R_j R_jᵀ / R_jj (a pivoted Cholesky step). This
    is an interpolative decomposition in the output-weighted metric (DESIGN, neuron reduction).
    """
    n = activations.shape[1]
    centred = activations - activations.mean(axis=0)
    remaining = centred.T @ centred / len(centred)
    eigenvalues, vectors = np.linalg.eigh(metric)
    factor = vectors * np.sqrt(np.maximum(eigenvalues, 0.0))  # M = F Fᵀ
    seen = remaining @ factor  # R F, kept up to date: (R M R)_jj is the squared norm of its row j
    smallest = DEPENDENT * max(float(remaining.diagonal().max()), np.finfo(float).tiny)

    free = np.ones(n, dtype=bool)
    order = np.empty(n, dtype=np.int64)
    error = np.empty(n + 1)
    error[0] = max(float(np.sum(metric * remaining)), 0.0)
    for k in range(n):
        variance = np.where(free, remaining.diagonal(), 0.0)
        usable = variance > smallest
        if not usable.any():
            # The rest are combinations of the chosen ones: they explain nothing more.
            order[k:] = np.flatnonzero(free)
            error[k + 1 :] = 0.0 if k else error[0]
            break
        gain = np.where(usable, np.sum(seen**2, axis=1) / np.where(usable, variance, 1.0), -1.0)
        j = int(np.argmax(gain))
        column = remaining[:, j] / variance[j]
        seen = seen - np.outer(column, seen[j])
        remaining = remaining - np.outer(column, remaining[j])
        order[k], free[j] = j, False
        error[k + 1] = max(error[k] - gain[j], 0.0)
    return NeuronOrder(order, error)
