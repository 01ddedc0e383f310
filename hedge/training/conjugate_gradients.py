"""Conjugate gradients over all entries of a matrix S: B S C = C, preconditioned from the left."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hedge.arrays import Array
from hedge.problems import OperatorProblem
from hedge.training.multilevel import Multilevel


@dataclass(frozen=True, eq=False)
class Iterate:
    """Where the descent stands: S, minus the gradient there, and the direction of the next step, (n, n) each.

    square is the squared gradient in the preconditioner's norm, first that at S = 0.
    """

    layer: Array
    residual: Array
    direction: Array
    square: float
    first: float

    @property
    def loss(self) -> float:
        """The squared gradient relative to that of S = 0."""
        return self.square / self.first if self.square else 0.0


def start(hierarchy: Multilevel, moment: Array) -> Iterate:
    """At S = 0, for C = ``moment``."""
    direction = hierarchy.times(moment)
    square = float(np.sum(moment * direction))
    return Iterate(np.zeros_like(moment), moment, direction, square, square)


def advance(
    problem: OperatorProblem, hierarchy: Multilevel, moment: Array, now: Iterate
) -> Iterate:
    """One step; none where the equation is solved to the last bit.

    All numbers are NaN if a direction is found along which the energy falls for ever.
    """
    if now.square == 0.0:
        return now
    # B acts on columns; its rows are the nodes. In C's order, as a checkpoint has it: sums depend on that.
    change = np.ascontiguousarray(problem.layer.times((now.direction @ moment).T).T)
    curvature = float(np.sum(now.direction * change))
    length = now.square / curvature if curvature > 0.0 else float("nan")
    layer = length * now.direction  # of large grids no more matrices than are needed
    layer += now.layer
    residual = np.multiply(change, -length, out=change)
    residual += now.residual
    preconditioned = hierarchy.times(residual)
    square = float(np.sum(residual * preconditioned))
    direction = now.direction * (square / now.square)
    direction += preconditioned
    return Iterate(layer, residual, direction, square, now.first)
