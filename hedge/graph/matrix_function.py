"""A split model as a function of its sites' matrices, at points that stay, and the way back through it.

Fits evaluate it thousands of times. What no site moves is computed once for the points; the rest in numpy,
where all of it are sites, joints of features and elementwise ops that :mod:`hedge.ops` gives a value of, else
in onnxruntime.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from hedge.arrays import Array
from hedge.graph.evaluation import Evaluator
from hedge.graph.fusion import PLACEHOLDER_DOMAIN
from hedge.graph.nodes import attributes_of
from hedge.graph.ports import input_names, joined
from hedge.graph.reverse import Trace, constants_of, moved_by_sites, site_gradients, unbroadcast
from hedge.graph.sites import SplitModel, assemble
from hedge.graph.structures.factors import SiteMatrix, factor_labels
from hedge.ops import Op, op_of

Matrices = Mapping[str, SiteMatrix]


@dataclass(frozen=True)
class AtSite:
    """What a site reads (n, n_in), and the gradient of a loss by what it writes (n, n_out)."""

    read: Array
    gradient: Array


WayBack = Callable[[Array], dict[str, AtSite]]
"""The gradient of a loss by all outputs side by side (n, m) -> what each site makes of it, by name."""
MatrixFunction = Callable[[Matrices], tuple[Array, WayBack]]
"""Matrices of all sites -> the outputs (n, m) at the points, and the way back."""


def matrix_function(split: SplitModel, matrices: Matrices) -> Callable[[Array], MatrixFunction]:
    """For points (n, d), the model as a function of matrices of the shapes of these, in float64."""
    steps = _steps(split)
    if steps is not None:
        return _InNumpy(split, steps).at
    return _InRuntime(split, matrices).at


@dataclass(frozen=True)
class _Step:
    """A node that sites move: the site of this name, a Concat along this axis, or else an elementwise op."""

    op: Op
    operands: tuple[str, ...]
    output: str
    site: str = ""
    axis: int | None = None


def _steps(split: SplitModel) -> list[_Step] | None:
    """The nodes that sites move, in order; None if numpy can't evaluate one of them."""
    moved = moved_by_sites(split)
    steps = []
    for node in split.skeleton.graph.node:
        if not moved & set(node.output):
            continue
        step = _Step(op_of(node.op_type), tuple(node.input), node.output[0])
        if node.domain == PLACEHOLDER_DOMAIN:
            step = replace(step, site=node.name)
        elif node.op_type == "Concat" and not node.domain:
            step = replace(step, axis=attributes_of(node)["axis"])
        elif node.domain or step.op.value is None or not step.op.exact:
            return None
        steps.append(step)
    return steps


class _InNumpy:
    """Arrays (n, k) lie in memory feature by feature: products and passes over few features are faster so."""

    def __init__(self, split: SplitModel, steps: list[_Step]) -> None:
        self._split, self._steps = split, steps
        self._constants = constants_of(split)
        self._moved = {step.output for step in steps}
        self._outputs = [value.name for value in split.skeleton.graph.output]
        read = {name for step in steps for name in step.operands} | set(self._outputs)
        self._given = sorted(read - self._moved - self._constants.keys())

    def at(self, points: Array) -> MatrixFunction:
        given = {name: self._split.tensor(name, points, {}) for name in self._given}
        fixed = {**self._constants, **{k: np.asfortranarray(v) for k, v in given.items()}}

        def run(matrices: Matrices) -> tuple[Array, WayBack]:
            values = dict(fixed)
            with np.errstate(all="ignore"):  # what is not finite is the loss's to tell
                for step in self._steps:
                    values[step.output] = self._value(step, values, matrices)
            outputs = joined([values[name] for name in self._outputs], len(points))
            return outputs, lambda gradient: self._back(values, matrices, gradient)

        return run

    def _value(self, step: _Step, values: Mapping[str, Array], matrices: Matrices) -> Array:
        operands = [values[name] for name in step.operands]
        if step.axis is not None:
            return np.concatenate(operands, axis=step.axis)
        if not step.site:
            assert step.op.value is not None
            return step.op.value(*operands)
        z = operands[0]
        for factor in reversed(matrices[step.site].factors):
            z = _times(z, factor.T)
        z += matrices[step.site].bias
        return z

    def _back(
        self, values: Mapping[str, Array], matrices: Matrices, gradient: Array
    ) -> dict[str, AtSite]:
        gradients = self._by_output(values, gradient)
        found = {}
        for step in reversed(self._steps):
            g = gradients.pop(step.output, None)
            if g is None:
                g = np.zeros_like(values[step.output])
            if step.site:
                found[step.site] = AtSite(values[step.operands[0]], g)
            for name, part in self._to_operands(step, g, values, matrices):
                gradients[name] = gradients[name] + part if name in gradients else part
        return found

    def _by_output(self, values: Mapping[str, Array], gradient: Array) -> dict[str, Array]:
        found, start = {}, 0
        for name in self._outputs:
            shape = values[name].shape
            width = values[name].size // len(gradient)
            part = gradient[:, start : start + width].reshape(shape)
            found[name], start = np.asfortranarray(part), start + width
        return found

    def _to_operands(
        self, step: _Step, g: Array, values: Mapping[str, Array], matrices: Matrices
    ) -> list[tuple[str, Array]]:
        """Gradients of the operands that sites move."""
        names = step.operands
        if step.site:
            if names[0] not in self._moved:
                return []
            for factor in matrices[step.site].factors:
                g = _times(g, factor)
            return [(names[0], g)]
        if step.op.derivative is not None:
            return [(names[0], g * step.op.derivative(values[names[0]], values[step.output]))]
        parts: Sequence[Array]
        if step.axis is not None:
            ends = np.cumsum([values[name].shape[step.axis] for name in names])
            parts = np.split(g, ends[:-1], axis=step.axis)
        else:
            assert step.op.gradients is not None
            parts = step.op.gradients(g, values[names[0]], values[names[1]])
        return [
            (name, unbroadcast(part, values[name]))
            for name, part in zip(names, parts, strict=True)
            if name in self._moved
        ]


def _times(a: Array, matrix: Array) -> Array:
    """a @ matrix of a (n, k), feature by feature in memory."""
    if a.shape[1] == 1:  # BLAS is slow at outer products
        return (matrix.T * a.T).T
    return (matrix.T @ a.T).T


class _InRuntime:
    """Any graph, with the ways back of :func:`site_gradients`."""

    def __init__(self, split: SplitModel, matrices: Matrices) -> None:
        self._split = split
        graph = split.skeleton.graph
        tensors = [*input_names(split.skeleton), *(value.name for value in graph.output)]
        tensors += [name for node in graph.node for name in node.output if name]
        weights = list(_weights(matrices))
        self._evaluate = Evaluator(assemble(split.skeleton, matrices), tensors, weights)
        self._constants = constants_of(split)

    def at(self, points: Array) -> MatrixFunction:
        def run(matrices: Matrices) -> tuple[Array, WayBack]:
            values = self._evaluate.intermediates(points, _weights(matrices))
            traced = Trace(self._split.replaced(matrices), points, {**self._constants, **values})

            def back(gradient: Array) -> dict[str, AtSite]:
                at_sites = site_gradients(traced, gradient)
                return {
                    site.name: AtSite(traced.values[site.input], at_sites[site.name])
                    for site in self._split.sites
                }

            return traced.output, back

        return run


def _weights(matrices: Matrices) -> dict[str, Array]:
    """All factors and biases by their names in the graph."""
    return {
        f"{name}.{label}": values
        for name, matrix in matrices.items()
        for label, values in factor_labels(matrix).items()
    }
