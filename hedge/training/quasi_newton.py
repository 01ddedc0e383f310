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

LossAndGradient = Callable[[Tensor], tuple[float, Tensor]]
"""Parameters (P,) -> the loss and its gradient (P,)."""

Update = Literal["bfgs", "ssbfgs", "ssbroyden"]

# Constants of the strong Wolfe conditions, and trial steps before a search is given up.
DECREASE, CURVATURE, TRIALS = 1e-4, 0.9, 20
# First lengths along the negative gradient after a failed search: in a narrow valley, such as a network
# that has just grown stands in, only the shorter ones find a way down.
RESTARTS = (1.0, 1e-4, 1e-8)


# Rank-two updates that are kept as factors before they are added to the matrix in one product.
KEPT_UPDATES = 16


@dataclass(frozen=True, eq=False)
class InverseHessian:
    """H = c H₀ + V M Vᵀ: the latest updates stay factors, since each pass over H₀ costs P² memory.

    base is H₀ (P, P), scale c, columns V (P, k), middle M (k, k), k up to 32.
    """

    base: Tensor
    scale: float
    columns: Tensor
    middle: Tensor

    def __matmul__(self, vector: Tensor) -> Tensor:
        """H v (P,)."""
        product = torch.mv(self.base, vector).mul_(self.scale)
        return product.addmv_(self.columns, self.middle @ (self.columns.T @ vector))

    def dense(self) -> Tensor:
        """H (P, P)."""
        return torch.addmm(self.base, self.columns @ self.middle, self.columns.T, beta=self.scale)

    def updated(self, tau: float, columns: Tensor, middle: Tensor) -> InverseHessian:
        """H / τ + W N Wᵀ, with ``columns`` W (P, 2) and ``middle`` N (2, 2)."""
        old = len(self.middle)
        both = middle.new_zeros((old + 2, old + 2))
        both[:old, :old], both[old:, old:] = self.middle / tau, middle
        wide = torch.cat([self.columns, columns], dim=1)
        full = InverseHessian(self.base, self.scale / tau, wide, both)
        return from_dense(full.dense()) if len(full.middle) >= 2 * KEPT_UPDATES else full


def from_dense(matrix: Tensor) -> InverseHessian:
    """H given as a matrix (P, P)."""
    return InverseHessian(matrix, 1.0, matrix[:, :0], matrix[:0, :0])


@dataclass(frozen=True, eq=False)
class Iterate:
    """Where a minimisation stands: x (P,), loss and gradient g there, H and the direction −H g (P,).

    H is None at the start and after a restart: the next step is along the negative gradient.
    ``stuck`` says that not even this one lowered the loss.
    """

    x: Tensor
    loss: float
    gradient: Tensor
    direction: Tensor
    inverse: InverseHessian | None = None
    loss_before: float | None = None
    stuck: bool = False


def start(objective: LossAndGradient, x: Tensor, inverse: Tensor | None = None) -> Iterate:
    """The first iterate at x (P,), with an inverse Hessian (P, P) from earlier steps if there is one."""
    loss, gradient = objective(x)
    if inverse is None:
        return Iterate(x, loss, gradient, _steepest(gradient))
    return Iterate(x, loss, gradient, -(inverse @ gradient), from_dense(inverse))


def advance(objective: LossAndGradient, now: Iterate, update: Update) -> Iterate:
    """One step. A failed line search restarts from the negative gradient, before it is ``stuck``.

    >>> bowl = lambda x: (float(x @ x), 2.0 * x)
    >>> iterate = start(bowl, torch.tensor([3.0, 4.0], dtype=torch.float64))
    >>> for _ in range(3):
    ...     iterate = advance(bowl, iterate, "ssbroyden")
    >>> iterate.loss < 1e-6
    True
    """
    down = _steepest(now.gradient)
    anew = replace(now, inverse=None, loss_before=None)
    for attempt in (now, *(replace(anew, direction=length * down) for length in RESTARTS)):
        moved = _strong_wolfe(objective, attempt)
        if moved is not None:
            return _updated(attempt, moved, update)
    return replace(anew, direction=down, stuck=True)


def _steepest(gradient: Tensor) -> Tensor:
    return -gradient / max(1.0, float(gradient.norm()))


def _strong_wolfe(objective: LossAndGradient, now: Iterate) -> Iterate | None:
    """Where the strong Wolfe conditions hold along the direction (scipy's search), or None."""
    if not float(now.direction @ now.gradient) < 0:
        return None
    last: tuple[np.ndarray, float, Tensor] | None = None

    def evaluate(x: np.ndarray) -> tuple[np.ndarray, float, Tensor]:
        # scipy asks for the value and then for the gradient at the same place.
        nonlocal last
        if last is None or not np.array_equal(x, last[0]):
            loss, gradient = objective(torch.from_numpy(x))
            finite = math.isfinite(loss) and bool(torch.isfinite(gradient).all())
            last = (x, loss if finite else math.inf, gradient)
        return last

    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")  # a search that fails is told by its result
        length, *_ = line_search(
            lambda x: evaluate(x)[1],
            lambda x: evaluate(x)[2].numpy(),
            now.x.numpy(),
            now.direction.numpy(),
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
    x, loss, gradient = evaluate(now.x.numpy() + length * now.direction.numpy())
    if not loss < now.loss:
        return None
    return replace(now, x=torch.from_numpy(x), loss=loss, gradient=gradient, loss_before=now.loss)


def _updated(now: Iterate, moved: Iterate, update: Update) -> Iterate:
    """``moved`` with H after the step s from ``now``, which changed the gradient by y."""
    s, y = moved.x - now.x, moved.gradient - now.gradient
    ys = float(y @ s)
    if not ys > 0:  # H stays as it is
        inverse = now.inverse
        kept = _steepest(moved.gradient) if inverse is None else -(inverse @ moved.gradient)
        return replace(moved, direction=kept)
    if now.inverse is None:
        # The first H has the size of the inverse curvature along the step (Shanno and Phua, 1978).
        size = ys / float(y @ y)
        inverse = from_dense(torch.eye(len(s), dtype=s.dtype) * size)
        hg, hy, step_curvature = size * moved.gradient, size * y, float(s @ s) / size
    else:
        # H y = H g − H g_before, and the latter is minus the direction: one pass over H for all.
        inverse = now.inverse
        hg = inverse @ moved.gradient
        hy = hg + now.direction
        step_curvature = -float(s @ now.gradient) * math.sqrt(
            float(s @ s) / float(now.direction @ now.direction)
        )
    yhy = float(y @ hy)
    if not yhy > 0:
        return replace(moved, inverse=None, direction=_steepest(moved.gradient))
    tau, phi = _scaling(step_curvature / ys, yhy / ys, len(s), update)
    middle = torch.tensor(
        [
            [phi * yhy / (ys * ys * tau) + 1.0 / ys, -phi / (ys * tau)],
            [-phi / (ys * tau), (phi - 1.0) / (yhy * tau)],
        ],
        dtype=s.dtype,
    )
    both = torch.stack([s, hy], dim=1)
    direction = -(hg / tau + both @ (middle @ (both.T @ moved.gradient)))
    return replace(moved, inverse=inverse.updated(tau, both, middle), direction=direction)


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
