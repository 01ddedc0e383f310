"""The network that is recovered: a split model as a function of its sites' factors and biases."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from hedge.arrays import Array
from hedge.graph import (
    Evaluator,
    Site,
    SiteMatrix,
    SplitModel,
    Trace,
    assemble,
    constants_of,
    factor_labels,
    input_names,
    site_gradients,
)

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
class Lesson:
    """Points (n, d), the outputs wanted there (n, m), and what columns are multiplied by (m,).

    With ``step`` (n / 2,) the second half of the points are partners of the first, that far away.
    """

    points: Array
    outputs: Array
    scale: Array
    step: Array | None = None


class Student:
    """Mean squared distance of a model's outputs from those wanted, and its gradient, in float64."""

    def __init__(self, split: SplitModel, matrices: Matrices) -> None:
        self._split = split
        self._like = dict(matrices)
        graph = split.skeleton.graph
        tensors = [*input_names(split.skeleton), *(value.name for value in graph.output)]
        tensors += [name for node in graph.node for name in node.output if name]
        weights = list(_weights(matrices))
        self._evaluate = Evaluator(assemble(split.skeleton, matrices), tensors, weights)
        self._constants = constants_of(split)

    def outputs(self, parameters: Array, points: Array) -> Array:
        """(n, m) at ``points`` (n, d)."""
        parts = np.array_split(points, -(-len(points) // ROWS_AT_ONCE))
        return np.concatenate([self._run(parameters, part).output for part in parts])

    def loss_and_gradient(self, parameters: Array, lesson: Lesson) -> tuple[float, Array]:
        """mean |scale · (u − target)|² and its gradient (P,).

        With partners, plus the same of their differences over the step: Sobolev training with
        derivatives along random directions (Czarnecki et al., 2017).
        """
        run = self._run(parameters, lesson.points)
        missed = lesson.scale * (run.output - lesson.outputs)
        loss, slope = float(np.sum(missed**2)), 2.0 * missed
        if lesson.step is not None:
            half, step = len(lesson.step), lesson.step[:, None]
            difference = (missed[:half] - missed[half:]) / step
            loss += float(np.sum(difference**2))
            change = 2.0 * difference / step
            slope[:half] += change
            slope[half:] -= change
        count = len(missed)
        at_sites = site_gradients(run, lesson.scale * slope / count)
        parts = [
            part.ravel()
            for site in run.split.sites
            for part in _site_gradient(site, run.values[site.input], at_sites[site.name])
        ]
        return loss / count, np.concatenate(parts)

    def _run(self, parameters: Array, points: Array) -> Trace:
        matrices = with_parameters(self._like, parameters)
        values = self._evaluate.intermediates(points, _weights(matrices))
        return Trace(self._split.replaced(matrices), points, {**self._constants, **values})


def _weights(matrices: Matrices) -> dict[str, Array]:
    """All factors and biases by their names in the graph."""
    return {
        f"{name}.{label}": values
        for name, matrix in matrices.items()
        for label, values in factor_labels(matrix).items()
    }


def _site_gradient(site: Site, a: Array, g: Array) -> Sequence[Array]:
    """Gradients of factors and bias of z = (F₁ F₂ …) a + b from g = ∂loss/∂z (n, n_out)."""
    factors, bias = site.matrix.factors, g.sum(axis=0)
    if len(factors) == 1:
        return g.T @ a, bias
    left, right = factors
    return g.T @ (a @ right.T), (g @ left).T @ a, bias
