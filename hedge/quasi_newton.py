"""Quasi-Newton steps: self-scaled BFGS and Broyden's family with a dense inverse Hessian, and L-BFGS.

H ← (H − H y yᵀ H / yᵀHy + φ v vᵀ) / τ + s sᵀ / yᵀs,   v = √(yᵀHy) (s / yᵀs − H y / yᵀHy),

with s the step and y the change of the gradient. Scaling by τ (Oren and Luenberger, 1974) keeps H from
overestimating curvature it has long passed; φ and τ of Broyden's family are those of Al-Baali,
Spedicato and Maggioni (2014), which Urbán, Stefanou and Pons (2025) found best for PINNs. L-BFGS
remembers the last steps in place of H (Nocedal, 1980).
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import scipy
from scipy.linalg import blas

from hedge.arrays import Array

LossAndGradient = Callable[[Array], tuple[float, Array]]
"""Parameters (P,) -> the loss and its gradient (P,)."""

DenseUpdate = Literal["bfgs", "ssbfgs", "ssbroyden"]
Update = Literal[DenseUpdate, "lbfgs"]

# Constants of the strong Wolfe conditions, and trial steps before a search is given up.
DECREASE, CURVATURE, TRIALS = 1e-4, 0.9, 20
# First lengths along the negative gradient after a failed search: in a narrow valley, such as a network
# that has just grown stands in, only the shorter ones find a way down.
RESTARTS = (1.0, 1e-4, 1e-8)
# L-BFGS remembers so many steps.
MEMORY = 50
# Rank-two updates that are kept as factors before they are added to the matrix in one product.
KEPT_UPDATES = 16


@dataclass(frozen=True, eq=False)
class InverseHessian:
    """H = c H₀ + Vᵀ M V: the latest updates stay factors, since each pass over H₀ costs P² memory.

    base holds H₀ (P, P) in its lower triangle, in Fortran's order, since BLAS reads only this half;
    scale is c, rows V (k, P), middle M (k, k), k up to 32.
    """

    base: Array
    scale: float
    rows: Array
    middle: Array

    def __matmul__(self, vector: Array) -> Array:
        """H v (P,)."""
        product: Array = blas.dsymv(self.scale, self.base, vector, lower=1)
        product += (self.middle @ (self.rows @ vector)) @ self.rows
        return product

    def dense(self) -> Array:
        """H (P, P)."""
        whole = self._merged().base
        for i in range(len(whole)):  # in place: a mask of the triangle would be as large again
            whole[i, i + 1 :] = whole[i + 1 :, i]
        return whole.T

    def updated(self, tau: float, rows: Array, middle: Array) -> InverseHessian:
        """H / τ + Wᵀ N W, with ``rows`` W (2, P) and ``middle`` N (2, 2)."""
        old = len(self.middle)
        both = np.zeros((old + 2, old + 2))
        both[:old, :old], both[old:, old:] = self.middle / tau, middle
        full = InverseHessian(self.base, self.scale / tau, np.concatenate([self.rows, rows]), both)
        return full._merged() if len(both) >= 2 * KEPT_UPDATES else full

    def _merged(self) -> InverseHessian:
        """The same without factors: their product is added to a copy of the lower triangle."""
        half = 0.5 * (self.middle @ self.rows)
        base = blas.dsyr2k(1.0, self.rows.T, half.T, beta=self.scale, c=self.base, lower=1)
        return _without_factors(base)


def from_dense(matrix: Array) -> InverseHessian:
    """H given as a symmetric matrix (P, P)."""
    # Symmetric, so that rows may be columns: Fortran's order is mostly there already.
    return _without_factors(np.asfortranarray(matrix.T))


def _without_factors(base: Array) -> InverseHessian:
    return InverseHessian(base, 1.0, np.empty((0, len(base))), np.empty((0, 0)))


@dataclass(frozen=True, eq=False)
class RecentSteps:
    """H by the last k steps s (k, P) and the changes y (k, P) of the gradient along them, the latest last."""

    steps: Array
    changes: Array

    def __matmul__(self, vector: Array) -> Array:
        """H v (P,): from the latest step to the first, and back."""
        rest = vector.copy()
        products = [float(s @ y) for s, y in zip(self.steps, self.changes, strict=True)]
        pairs = list(zip(self.steps, self.changes, products, strict=True))
        shares = []
        for s, y, ys in reversed(pairs):
            shares.append(float(s @ rest) / ys)
            rest -= shares[-1] * y
        latest = self.changes[-1]
        rest *= products[-1] / float(latest @ latest)
        for (s, y, ys), share in zip(pairs, reversed(shares), strict=True):
            rest += (share - float(y @ rest) / ys) * s
        return rest

    def after(self, s: Array, y: Array) -> RecentSteps:
        """With one more step, of which the oldest is forgotten if there are too many."""
        return RecentSteps(
            np.concatenate([self.steps, s[None]])[-MEMORY:],
            np.concatenate([self.changes, y[None]])[-MEMORY:],
        )


Inverse = InverseHessian | RecentSteps


@dataclass(frozen=True, eq=False)
class _Iterate:
    """Where a minimisation stands: x (P,), loss and gradient g there, H and the direction −H g (P,).

    H is None at the start and after a restart: the next step is along the negative gradient.
    ``stuck`` says that not even this one lowered the loss.
    """

    x: Array
    loss: float
    gradient: Array
    direction: Array
    inverse: Inverse | None = None
    loss_before: float | None = None
    stuck: bool = False


@np.errstate(all="ignore")
def start(objective: LossAndGradient, x: Array, inverse: Inverse | None = None) -> _Iterate:
    """The first iterate at x (P,), with the inverse Hessian of earlier steps if there is one."""
    loss, gradient = objective(x)
    if inverse is None:
        return _Iterate(x, loss, gradient, _steepest(gradient))
    return _Iterate(x, loss, gradient, -(inverse @ gradient), inverse)


@np.errstate(all="ignore")  # numbers that overflow are no step, which is told by the result
def advance(objective: LossAndGradient, now: _Iterate, update: Update) -> _Iterate:
    """One step. A failed line search restarts from the negative gradient, before it is ``stuck``.

    >>> bowl = lambda x: (float(x @ x), 2.0 * x)
    >>> iterate = start(bowl, np.array([3.0, 4.0]))
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


def _steepest(gradient: Array) -> Array:
    return -gradient / max(1.0, float(np.linalg.norm(gradient)))


def _strong_wolfe(objective: LossAndGradient, now: _Iterate) -> _Iterate | None:
    """Where the strong Wolfe conditions hold along the direction (scipy's search), or None."""
    if not float(now.direction @ now.gradient) < 0:
        return None
    last: tuple[Array, float, Array] | None = None

    def evaluate(x: Array) -> tuple[Array, float, Array]:
        # scipy asks for the value and then for the gradient at the same place.
        nonlocal last
        if last is None or not np.array_equal(x, last[0]):
            loss, gradient = objective(x)
            finite = math.isfinite(loss) and bool(np.isfinite(gradient).all())
            last = (x, loss if finite else math.inf, gradient)
        return last

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a search that fails is told by its result
        length, *_ = scipy.optimize.line_search(
            lambda x: evaluate(x)[1],
            lambda x: evaluate(x)[2],
            now.x,
            now.direction,
            gfk=now.gradient,
            old_fval=now.loss,
            # The first trial expects the decrease of the last step.
            old_old_fval=now.loss_before,
            c1=DECREASE,
            c2=CURVATURE,
            maxiter=TRIALS,
        )
    if length is None:
        return None
    x, loss, gradient = evaluate(now.x + length * now.direction)
    if not loss < now.loss:
        return None
    return replace(now, x=x, loss=loss, gradient=gradient, loss_before=now.loss)


def _updated(now: _Iterate, moved: _Iterate, update: Update) -> _Iterate:
    """``moved`` with H after the step s from ``now``, which changed the gradient by y."""
    s, y = moved.x - now.x, moved.gradient - now.gradient
    ys = float(y @ s)
    if not ys > 0:  # H stays as it is
        inverse = now.inverse
        kept = _steepest(moved.gradient) if inverse is None else -(inverse @ moved.gradient)
        return replace(moved, direction=kept)
    if update == "lbfgs":
        recent = now.inverse
        if not isinstance(recent, RecentSteps):
            recent = RecentSteps(np.empty((0, len(s))), np.empty((0, len(s))))
        recent = recent.after(s, y)
        return replace(moved, inverse=recent, direction=-(recent @ moved.gradient))
    if not isinstance(now.inverse, InverseHessian):
        # The first H has the size of the inverse curvature along the step (Shanno and Phua, 1978).
        size = ys / float(y @ y)
        inverse = replace(from_dense(np.eye(len(s))), scale=size)
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
    middle = np.array(
        [
            [phi * yhy / (ys * ys * tau) + 1.0 / ys, -phi / (ys * tau)],
            [-phi / (ys * tau), (phi - 1.0) / (yhy * tau)],
        ]
    )
    both = np.stack([s, hy])
    direction = -(hg / tau + (middle @ (both @ moved.gradient)) @ both)
    return replace(moved, inverse=inverse.updated(tau, both, middle), direction=direction)


def _scaling(b: float, h: float, n: int, update: DenseUpdate) -> tuple[float, float]:
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
