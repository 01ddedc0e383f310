"""Levenberg–Marquardt steps for the residuals of a network (Levenberg, 1944; Marquardt, 1963).

The damped step −(JᵀJ + nμI)⁻¹ Jᵀr is solved in the smaller of two equal forms: over the P parameters,
or over the n points as −Jᵀ(JJᵀ + nμI)⁻¹ r (Woodbury), where JJᵀ is the neural tangent kernel and
needs only products of the layers' factors, never J.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from hedge.problems import Problem
from hedge.training.loss import (
    Linearisation,
    apply_transpose,
    jacobian,
    linearise,
    mean_square,
    tangent_kernel,
)
from hedge.training.network import Network, parameters_of, with_parameters
from hedge.training.terms import Term

# Damping of the first step, and its bounds: below the floor the systems are singular in float64,
# above the ceiling steps no longer change the network.
INITIAL_DAMPING = 1e-3
SMALLEST_DAMPING = 1e-14
LARGEST_DAMPING = 1e8
# Small rises and moderate falls, "delayed gratification" (Transtrum and Sethna, 2012): fewer refusals.
RAISE, LOWER = 2.0, 3.0


@dataclass(frozen=True)
class _LevenbergStep:
    """The outcome of one iteration; ``accepted`` is False if no damping lowered the loss."""

    network: Network
    loss: float
    damping: float
    accepted: bool


def step(
    problem: Problem,
    network: Network,
    terms: Sequence[Term],
    damping: float,
    attempts: int = 16,
) -> _LevenbergStep:
    """One Levenberg–Marquardt iteration on the loss of ``terms`` from ``damping`` μ.

    The damping falls after a step that lowers the loss at once and rises until one does.
    """
    start = parameters_of(network)
    lin = linearise(problem, network, terms)
    before = float(lin.residual @ lin.residual) / len(terms[0])
    solve = _step_solver(lin, len(start))
    for attempt in range(attempts):
        change = solve(damping)
        if change is not None:
            moved = with_parameters(network, start + change)
            loss = mean_square(problem, moved, terms)
            if loss < before:
                eased = damping / (LOWER if attempt == 0 else 1.0)
                return _LevenbergStep(moved, loss, max(eased, SMALLEST_DAMPING), accepted=True)
        damping = min(damping * RAISE, LARGEST_DAMPING)
    return _LevenbergStep(network, before, damping, accepted=False)


def _step_solver(lin: Linearisation, parameters: int) -> Callable[[float], Tensor | None]:
    """damping -> parameter change (P,), or None where the damped system is not positive definite."""
    n = len(lin.residual)
    over_parameters = parameters <= n
    if over_parameters:
        j = jacobian(lin)
        matrix, right_side = j.T @ j / n, apply_transpose(lin, lin.residual) / n
    else:
        matrix, right_side = tangent_kernel(lin) / n, lin.residual / n

    def solve(damping: float) -> Tensor | None:
        shifted = matrix.clone()
        shifted.diagonal().add_(damping)
        factor, failed = torch.linalg.cholesky_ex(shifted)
        if int(failed):
            return None
        solution = torch.cholesky_solve(right_side[:, None], factor)[:, 0]
        return -solution if over_parameters else -apply_transpose(lin, solution)

    return solve
