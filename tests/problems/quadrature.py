"""Functions on a grid of Gauss–Lobatto panels: exact derivatives of polynomials, norms, values on faces."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.polynomial import legendre

from hedge.problems import Problem
from hedge.problems.conditions import Condition, Period
from hedge.problems.stability import Evidence, Kind


@dataclass(frozen=True)
class Axis:
    """Nodes, ends among them, with weights of a quadrature and the matrix that differentiates values."""

    nodes: np.ndarray
    weights: np.ndarray
    derivative: np.ndarray


def axis(breaks: Sequence[float], count: int) -> Axis:
    """``count`` nodes between any two breaks."""
    cosines = -np.cos(np.pi * np.arange(count) / (count - 1))
    inverse = np.linalg.inv(legendre.legvander(cosines, count - 1))
    slopes = legendre.legval(cosines, legendre.legder(np.eye(count))).T @ inverse
    half = np.diff(breaks) / 2.0
    middle = np.asarray(breaks)[:-1] + half
    nodes = np.concatenate([m + h * cosines for m, h in zip(middle, half, strict=True)])
    weights = np.concatenate([2.0 * h * inverse[0] for h in half])
    return Axis(nodes, weights, np.kron(np.diag(1.0 / half), slopes))


@dataclass(frozen=True)
class Grid:
    """A problem's domain as the product of axes, one for each input."""

    problem: Problem
    axes: tuple[Axis, ...]

    @property
    def columns(self) -> list[np.ndarray]:
        return list(np.meshgrid(*(a.nodes for a in self.axes), indexing="ij"))

    def derivative(self, values: np.ndarray, name: str) -> np.ndarray:
        for i in self.problem.axes(name):
            moved = np.tensordot(self.axes[i].derivative, values, axes=(1, i))
            values = np.moveaxis(moved, 0, i)
        return values

    def norm(self, values: np.ndarray, kind: Kind, over: str) -> float:
        """The norm over these inputs, the largest over all others."""
        if kind == "max":
            return float(np.abs(values).max())
        power = {"L1": 1, "L2": 2}[kind]
        powers = np.abs(values) ** power
        for letter in sorted(over, key=self.problem.inputs.index, reverse=True):
            i = self.problem.inputs.index(letter)
            powers = np.tensordot(powers, self.axes[i].weights, axes=(i, 0))
        return float(powers.max() ** (1.0 / power))


@dataclass(frozen=True)
class GridNorms:
    """Of a function on a grid, as :class:`hedge.problems.stability.Norms` has them."""

    grid: Grid
    values: np.ndarray

    def of(self, kind: Kind, over: str) -> float:
        return self.grid.norm(self.values, kind, over)

    def of_largest(self, letter: str, rate: float = 0.0) -> float:
        i = self.grid.problem.inputs.index(letter)
        others = tuple(j for j in range(self.values.ndim) if j != i)
        along = self.grid.axes[i]
        grown = np.exp(rate * (along.nodes[-1] - along.nodes)) * np.abs(self.values).max(others)
        return float(along.weights @ grown)


@dataclass(frozen=True)
class Disturbed:
    """u = u* + p on a grid: the derivatives of u* as they are known, those of p as the grid has them."""

    grid: Grid
    solution: Mapping[str, np.ndarray]
    error: np.ndarray

    def derivative(self, name: str) -> np.ndarray:
        return self.solution[name] + self.grid.derivative(self.error, name)

    def evidence(self) -> Evidence:
        problem = self.grid.problem
        named = {name: self.derivative(name) for name in problem.derivatives}
        residual = problem.residual(self.grid.columns, named, np)
        missed = [self._missed(condition) for condition in problem.conditions]
        return Evidence(
            GridNorms(self.grid, residual), missed, float(np.abs(self.derivative("u")).max())
        )

    def _missed(self, condition: Condition) -> float:
        i = self.grid.problem.inputs.index(condition.face.letter)
        values = {name: self.derivative(name) for name in condition.derivatives}

        def at(end: int) -> np.ndarray:
            columns = [np.take(x, -end, axis=i) for x in self.grid.columns]
            named = {name: np.take(v, -end, axis=i) for name, v in values.items()}
            return condition.mismatch(columns, named, np)

        face = condition.face
        missed = [at(1) - at(0)] if isinstance(face, Period) else [at(end) for end in face.ends]
        return float(np.abs(missed).max())
