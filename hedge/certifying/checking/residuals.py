"""What is claimed of a function as a problem's solution, box by box."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from hedge.arrays import Array
from hedge.certifying.certificate import Solution
from hedge.certifying.checking.graphs import outputs
from hedge.certifying.checking.held import Held, constant
from hedge.certifying.checking.jets import Axes, Jet, jet_of
from hedge.certifying.checking.lines import read_lines
from hedge.certifying.checking.nodes import Graph
from hedge.certifying.checking.polynomials import Basis
from hedge.certifying.checking.proving import Figures, largest_of, mean_squares
from hedge.certifying.checking.rules import Rules
from hedge.problems import Problem
from hedge.problems.conditions import Condition

NONE: tuple[str, ...] = ()


@dataclass(frozen=True)
class Residual:
    """r and u as functions of real numbers: |r| and |u|, and the mean of r²."""

    graph: Graph
    problem: Problem
    domain: Array

    columns = (("the residual", "the value"), ("the residual",), NONE)

    @property
    def widest(self) -> int:
        """A tensor with its derivatives."""
        return self.graph.widest * 4

    def figures(self, basis: Basis, points: Held) -> tuple[Figures, Held]:
        """Of the boxes of these points, and r."""
        rules, boxes = Rules(basis), points.radius.shape[1]
        named = _named(self.graph, self.problem, rules, points, ("u", *self.problem.derivatives))
        residual = read_lines(self.problem.only_residual, self.problem, rules, points, named)
        value = largest_of(named["u"], boxes)
        square, _ = mean_squares(basis, residual, boxes)
        largest = np.concatenate([largest_of(residual, boxes), value], axis=1)
        return Figures(largest, square, np.zeros((boxes, 0))), residual


@dataclass(frozen=True)
class Mismatch:
    """What a condition is missed by on a face: its input is at one of these ends.

    With two of them, a jump, it is that at the second one minus that at the first.
    """

    graph: Graph
    problem: Problem
    condition: Condition
    ends: tuple[float, ...]

    columns = (("the mismatch",), NONE, NONE)

    @cached_property
    def domain(self) -> Array:
        """Of the boxes, which reach over the condition's input, too."""
        return np.array(self.problem.domain.intervals)

    @property
    def widest(self) -> int:
        """A tensor with its derivatives."""
        return self.graph.widest * 4

    def figures(self, basis: Basis, points: Held) -> tuple[Figures, Held]:
        """Of the boxes of these points, and the mismatch."""
        rules, boxes = Rules(basis), points.radius.shape[1]
        variable = self.problem.inputs.index(self.condition.face.letter)
        names, line = self.condition.derivatives, self.condition.mismatch
        each = []
        for end in self.ends:
            face = _at_end(points, variable, end)
            named = _named(self.graph, self.problem, rules, face, names)
            each.append(read_lines(line, self.problem, rules, face, named))
        missed = each[0] if len(each) == 1 else rules.combined(each[1], each[0], -1.0)
        nothing = np.zeros((boxes, 0))
        return Figures(largest_of(missed, boxes), nothing, nothing), missed


@dataclass(frozen=True)
class Rounding:
    """How far what is deployed is from u."""

    graph: Graph
    solution: Solution

    columns = (("the rounding",), NONE, NONE)

    @cached_property
    def domain(self) -> Array:
        """Of the boxes."""
        return np.array(self.solution.domain)

    @property
    def widest(self) -> int:
        """Of the network alone."""
        return self.graph.widest

    def figures(self, basis: Basis, points: Held) -> tuple[Figures, Held]:
        """Of the boxes of these points, and u."""
        boxes = points.radius.shape[1]
        deployed = Rules(basis, self.solution.unit, self.solution.errors)
        found = outputs(self.graph, deployed, points)
        # a radius that is not finite says that the rounding has been followed where nothing is known
        rounding = np.where(np.isfinite(found.radius), found.rounding, np.inf)
        nothing = np.zeros((boxes, 0))
        return Figures(np.broadcast_to(rounding.T, (boxes, 1)), nothing, nothing), found


def _at_end(points: Held, variable: int, end: float) -> Held:
    polynomials, radius = points.polynomials.copy(), points.radius.copy()
    polynomials[:, variable] = 0.0
    polynomials[0, variable] = end
    radius[variable] = 0.0
    return Held(polynomials, radius, points.rounding, points.shape)


def _named(
    graph: Graph, problem: Problem, rules: Rules, points: Held, names: Sequence[str]
) -> Mapping[str, Held]:
    """The derivatives of these names, (1,) each; those that are 0 everywhere are that."""
    axes: dict[str, Axes] = {name: tuple(sorted(problem.axes(name))) for name in names}
    jet: Jet = jet_of(graph, rules, points, axes.values())
    zero = constant(np.zeros(1))
    return {name: jet.get(which, zero) for name, which in axes.items()}
