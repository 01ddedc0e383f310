"""Derivatives of a reference solution by central differences."""

from __future__ import annotations

import numpy as np

from hedge.problems import Problem


def difference(problem: Problem, x: np.ndarray, axes: tuple[int, ...], h: float) -> np.ndarray:
    """Sixth-order central differences of the reference, (n, m)."""
    if not axes:
        return problem.reference(x)
    weights = {-3: -1 / 60, -2: 3 / 20, -1: -3 / 4, 1: 3 / 4, 2: -3 / 20, 3: 1 / 60}
    moved = x.copy()
    total = np.zeros((len(x), problem.outputs))
    for offset, weight in weights.items():
        moved[:, axes[0]] = x[:, axes[0]] + offset * h
        total += weight * difference(problem, moved, axes[1:], h)
    return total / h


def reference_residual(problem: Problem, x: np.ndarray, h: float) -> np.ndarray:
    """The residual of each equation at ``x`` (n, d) with the reference in it, (R, n)."""
    named = {
        d: difference(problem, x, problem.axes(d), h)[:, problem.field(d)]
        for d in problem.derivatives
    }
    return np.stack(problem.residuals(list(x.T), named, np))
