"""Self-scaled quasi-Newton steps with a dense inverse Hessian: BFGS and Broyden's family.

H ← (H − H y yᵀ H / yᵀHy + φ v vᵀ) / τ + s sᵀ / yᵀs,   v = √(yᵀHy) (s / yᵀs − H y / yᵀHy),

with s the step and y the change of the gradient. Scaling by τ (Oren and Luenberger, 1974) keeps H from
overestimating curvature it has long passed; φ and τ of Broyden's family are those of Al-Baali,
Spedicato and Maggioni (2014), which Urbán, Stefanou and Pons (2025) found best for PINNs.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import torch
from scipy.optimize import line_search
from torch import Tensor

Objective = Callable[[Tensor], tuple[float, Tensor]]
"""Parameters (P,) -> the loss and its gradient (P,)."""

Update = Literal["bfgs", "ssbfgs", "ssbroyden"]

# Constants of the strong Wolfe conditions, and trial steps before a search is given up.
DECREASE, CURVATURE, TRIALS = 1e-4, 0.9, 20
# First lengths along the negative gradient: where training starts in a narrow valley, as a network
# that has grown does, only the shorter ones find it.
RESTARTS = (1.0, 1e-4, 1e-8)


@dataclass(frozen=True, eq=False)
class Iterate:
    """Where a minimisation stands: x (P,), loss and gradient there, and H (P, P).


    H is None at the start and after a restart: the next step is along the negative gradient.
    ``stuck`` says that not even this one lowered the loss.
    """

    x: Tensor
    loss: float
    gradient: Tensor
    inverse: Tensor | None = None
    loss_before: float | None = None
    stuck: bool = False


def start(objective: Objective, x: Tensor, inverse: Tensor | None = None) -> Iterate:
    """The first iterate at x (P,), with an inverse Hessian (P, P) from earlier steps if there is one."""
    loss, gradient = objective(x)
    return Iterate(x, loss, gradient, inverse)


def advance(objective: Objective, now: Iterate, update: Update) -> Iterate:
    """One step. A failed line search restarts from the negative gradient, before it is ``stuck``.

    >>> bowl = lambda x: (float(x @ x), 2.0 * x)
    >>> iterate = start(bowl, torch.tensor([3.0, 4.0], dtype=torch.float64))
    >>> for _ in range(3):
    ...     iterate = advance(bowl, iterate, "ssbroyden")
    >>> iterate.loss < 1e-6
    True
    """
    g = now.gradient
    down = -g / max(1.0, float(g.norm()))
    tries = [(None, length * down) for length in RESTARTS]
    for inverse, direction in [*_own_direction(now), *tries]:
        found = _strong_wolfe(objective, now, direction)
        if found is not None:
            s, y = found.x - now.x, found.gradient - now.gradient
            length = float(s @ direction) / float(direction @ direction)
            curvature_along_s = -length * float(s @ g)
            updated = _updated(inverse, s, y, curvature_along_s, update)
            return replace(found, inverse=updated, loss_before=now.loss)
    return replace(now, inverse=None, loss_before=None, stuck=True)


def _own_direction(now: Iterate) -> list[tuple[Tensor | None, Tensor]]:
    return [] if now.inverse is None else [(now.inverse, -(now.inverse @ now.gradient))]


def _strong_wolfe(objective: Objective, now: Iterate, direction: Tensor) -> Iterate | None:
    """Where the strong Wolfe conditions hold along ``direction`` (scipy's search), or None."""
    if not float(direction @ now.gradient) < 0:
        return None
    last: tuple[np.ndarray, Iterate] | None = None

    def evaluate(x: np.ndarray) -> Iterate:
        # scipy asks for the value and then for the gradient at the same place.
        nonlocal last
        if last is None or not np.array_equal(x, last[0]):
            loss, gradient = objective(torch.from_numpy(x))
            finite = math.isfinite(loss) and bool(torch.isfinite(gradient).all())
            last = (x, Iterate(torch.from_numpy(x), loss if finite else math.inf, gradient))
        return last[1]

    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")  # a search that fails is told by its result
        length, *_ = line_search(
            lambda x: evaluate(x).loss,
            lambda x: evaluate(x).gradient.numpy(),
            now.x.numpy(),
            direction.numpy(),
            gfk=now.gradient.numpy(),
            old_fval=now.loss,
            # The first trial expects the decrease of the last step.
            old_old_fval=now.loss_before,
            c1=DECREASE,
            c2=CURVATURE,
            maxiter=TRIALS,
        )
    if length is None:
        return None
    found = evaluate(now.x.numpy() + length * direction.numpy())
    return found if found.loss < now.loss else None


def _updated(
    inverse: Tensor | None, s: Tensor, y: Tensor, step_curvature: float, update: Update
) -> Tensor | None:
    """H after the step s (P,) that changed the gradient by y (P,); sᵀH⁻¹s is ``step_curvature``."""
    ys = float(y @ s)
    if not ys > 0:
        return inverse
    if inverse is None:
        # The first H has the size of the inverse curvature along the step (Shanno and Phua, 1978).
        inverse = torch.eye(len(s), dtype=s.dtype) * (ys / float(y @ y))
        step_curvature = float(s @ s) * float(y @ y) / ys
    hy = inverse @ y
    yhy = float(y @ hy)
    tau, phi = _scaling(step_curvature / ys, yhy / ys, len(s), update)
    middle = torch.tensor(
        [
            [phi * yhy / (ys * ys * tau) + 1.0 / ys, -phi / (ys * tau)],
            [-phi / (ys * tau), (phi - 1.0) / (yhy * tau)],
        ],
        dtype=s.dtype,
    )
    both = torch.stack([s, hy], dim=1)
    return torch.addmm(inverse, both @ middle, both.T, beta=1.0 / tau)


def _scaling(b: float, h: float, n: int, update: Update) -> tuple[float, float]:
    """τ and φ from b = sᵀH⁻¹s / yᵀs and h = yᵀHy / yᵀs, in n dimensions."""
    if update == "bfgs":
        return 1.0, 1.0
    if update == "ssbfgs":
        return min(1.0, 1.0 / b), 1.0
    a = max(h * b - 1.0, 1e-14)  # ≥ 0 by Cauchy and Schwarz
    c = math.sqrt(a / (1.0 + a))
    rho = min(1.0, h * (1.0 - c))
    theta = max((rho - 1.0) / a, min(1.0 / rho, (1.0 - b) / b))
    sigma = 1.0 + a * theta
    root = abs(sigma) ** (1.0 / (1.0 - n)) if n > 1 else 1.0
    shrink = min(1.0, 1.0 / b)
    tau = min(shrink * root, sigma) if theta <= 0 else shrink * min(root, 1.0 / theta)
    return tau, (1.0 - theta) / sigma
