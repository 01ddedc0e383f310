"""Fitting a cut network again: quasi-Newton steps on a loss whose points are renewed."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import minimize

from hedge.training import quasi_newton

Array = NDArray[np.float64]
Objective = Callable[[Array], tuple[float, Array]]
"""Parameters (P,) -> loss and gradient (P,)."""
Course = Callable[[Array, int], Objective]
"""Parameters (P,) and the number of a cycle -> the loss on that cycle's points."""

STEPS = 100
# Up to so many parameters a dense inverse Hessian pays; beyond, L-BFGS with so many pairs.
DENSE_INVERSE, PAIRS = 4000, 50


def cycles(course: Course, parameters: Array) -> Iterator[Array]:
    """Parameters (P,) after each cycle of steps, for ever; H is kept from one to the next."""
    inverse: torch.Tensor | None = None
    cycle = 0
    while True:
        objective = course(parameters, cycle)
        if len(parameters) > DENSE_INVERSE:
            found = minimize(
                objective, parameters, jac=True, method="L-BFGS-B",
                options={"maxiter": STEPS, "maxcor": PAIRS, "ftol": 0.0, "gtol": 0.0},
            )  # fmt: skip
            parameters = found.x
        else:
            parameters, inverse = _quasi_newton(objective, parameters, inverse)
        yield parameters
        cycle += 1


def _quasi_newton(
    objective: Objective, parameters: Array, inverse: torch.Tensor | None
) -> tuple[Array, torch.Tensor | None]:
    def in_torch(x: torch.Tensor) -> tuple[float, torch.Tensor]:
        loss, gradient = objective(x.numpy())
        return loss, torch.from_numpy(gradient)

    at = quasi_newton.start(in_torch, torch.from_numpy(parameters.copy()), inverse)
    for _ in range(STEPS):
        at = quasi_newton.advance(in_torch, at, "ssbroyden")
        if at.stuck:
            break
    return at.x.numpy(), None if at.inverse is None else at.inverse.dense()
