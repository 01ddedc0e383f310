"""A split model as a function of its sites' factors and biases, and its loss on a batch of points."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from hedge.arrays import Array
from hedge.graph import AtSite, SiteMatrix, SplitModel, matrix_function
from hedge.quasi_newton import LossAndGradient

Matrices = Mapping[str, SiteMatrix]

# Every tensor is kept, and those of a wide network at all candidates would fill the memory.
ROWS_AT_ONCE = 4096


def parameters_of(matrices: Matrices) -> Array:
    """All factors and biases as one vector (P,), site after site."""
    return np.concatenate([a.ravel() for m in matrices.values() for a in (*m.factors, m.bias)])


def with_parameters(matrices: Matrices, parameters: Array) -> dict[str, SiteMatrix]:
    """The same matrices with other numbers (P,)."""
    changed, start = {}, 0

    def take(like: Array) -> Array:
        nonlocal start
        start += like.size
        return parameters[start - like.size : start].reshape(like.shape)

    for name, matrix in matrices.items():
        factors = tuple(take(factor) for factor in matrix.factors)
        changed[name] = SiteMatrix(factors, take(matrix.bias))
    return changed


@dataclass(frozen=True)
class Batch:
    """Points (n, d), the outputs wanted there (n, m), and what columns are multiplied by (m,).

    With ``step`` (n / 2,) the second half of the points are partners of the first, that far away.
    """

    points: Array
    outputs: Array
    scale: Array
    step: Array | None = None

    def loss_and_slope(self, outputs: Array) -> tuple[float, Array]:
        """The loss of these outputs (n, m), and its gradient by them (n, m)."""
        missed = self.scale * (outputs - self.outputs)
        loss, slope = float(np.sum(missed**2)), 2.0 * missed
        if self.step is not None:
            half, step = len(self.step), self.step[:, None]
            difference = (missed[:half] - missed[half:]) / step
            loss += float(np.sum(difference**2))
            change = 2.0 * difference / step
            slope[:half] += change
            slope[half:] -= change
        return loss / len(missed), self.scale * slope / len(missed)


class ParametricModel:
    """A split model as a function of its parameters (P,), in float64."""

    def __init__(self, split: SplitModel, matrices: Matrices) -> None:
        self._like = dict(matrices)
        self._at = matrix_function(split, matrices)

    def outputs(self, parameters: Array, points: Array) -> Array:
        """(n, m) at ``points`` (n, d)."""
        matrices = with_parameters(self._like, parameters)
        parts = np.array_split(points, -(-len(points) // ROWS_AT_ONCE))
        return np.concatenate([self._at(part)(matrices)[0] for part in parts])

    def loss_on(self, batch: Batch) -> LossAndGradient:
        """mean |scale · (u − target)|² and its gradient, as a function of the parameters (P,).

        With partners, plus the same of their differences over the step: Sobolev training with
        derivatives along their directions (Czarnecki et al., 2017).
        """
        run = self._at(batch.points)

        def loss_and_gradient(parameters: Array) -> tuple[float, Array]:
            matrices = with_parameters(self._like, parameters)
            with np.errstate(all="ignore"):  # what is not finite is no step of the line search
                outputs, back = run(matrices)
                loss, slope = batch.loss_and_slope(outputs)
                at_sites = back(slope)
            parts = [
                part.ravel()
                for name, matrix in matrices.items()
                for part in _site_gradient(matrix, at_sites[name])
            ]
            return loss, np.concatenate(parts)

        return loss_and_gradient


def _site_gradient(matrix: SiteMatrix, at: AtSite) -> Sequence[Array]:
    """Gradients of factors and bias of z = (F₁ F₂ …) a + b."""
    a, g = at.read, at.gradient
    bias = g.sum(axis=0)
    if len(matrix.factors) == 1:
        return g.T @ a, bias
    left, right = matrix.factors
    return g.T @ (a @ right.T), (g @ left).T @ a, bias
