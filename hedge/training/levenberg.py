"""Levenberg–Marquardt steps for the residuals of a network (Levenberg, 1944; Marquardt, 1963).

The residual of a point depends on the network only through that point's streams, so the row of the
Jacobian J for layer l is Σ_s G_s ⊗ A_s, with A the layer's input streams and G = ∂r/∂Z. One reverse
pass gives all G. The damped step −(JᵀJ + nμI)⁻¹ Jᵀr is solved in the smaller of two equal forms:
over the P parameters, or over the n points as −Jᵀ(JJᵀ + nμI)⁻¹ r (Woodbury), where JJᵀ is the neural
tangent kernel and needs only products of the factors, never J.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from hedge.problems import Problem
from hedge.training.taylor import Network, Points, propagate, residual

# Damping of the first step, and its bounds: below the floor the systems are singular in float64,
# above the ceiling steps no longer change the network.
INITIAL_DAMPING = 1e-3
SMALLEST_DAMPING = 1e-14
LARGEST_DAMPING = 1e8
# Small rises and moderate falls, "delayed gratification" (Transtrum and Sethna, 2012): fewer refusals.
RAISE, LOWER = 2.0, 3.0


@dataclass(frozen=True)
class Linearisation:
    """Residuals r (n,) of a network with the factors of their Jacobian, inputs and gradients."""

    residual: Tensor
    inputs: tuple[Tensor, ...]
    gradients: tuple[Tensor, ...]

    @property
    def loss(self) -> float:
        """Mean square of the residuals."""
        return float(self.residual @ self.residual) / len(self.residual)


@dataclass(frozen=True)
class Step:
    """The outcome of one iteration; ``accepted`` is False if no damping lowered the loss."""

    network: Network
    loss: float
    damping: float
    accepted: bool


def linearise(problem: Problem, network: Network, points: Points) -> Linearisation:
    """Residuals at ``points`` and the factors of their Jacobian with respect to the parameters."""
    weights = tuple(w.detach().requires_grad_() for w in network.weights)
    streams = propagate(replace(network, weights=weights), points.x, points.axes)
    r = residual(problem, streams, points)
    gradients = torch.autograd.grad(r.sum(), streams.outputs)
    return Linearisation(r.detach(), tuple(a.detach() for a in streams.inputs), gradients)


def loss_of(problem: Problem, network: Network, points: Points) -> float:
    """Mean squared residual at ``points``."""
    with torch.no_grad():
        r = residual(problem, propagate(network, points.x, points.axes), points)
    return float(r @ r) / len(r)


def jacobian(lin: Linearisation) -> Tensor:
    """J (n, P), parameters in the order of :func:`parameters_of`."""
    blocks = []
    for a, g in zip(lin.inputs, lin.gradients, strict=True):
        blocks += [torch.einsum("sni,snj->nij", g, a).flatten(1), g[0]]
    return torch.cat(blocks, dim=1)


def tangent_kernel(lin: Linearisation) -> Tensor:
    """JJᵀ (n, n) from the factors: Σ over layers and stream pairs of (A_s A_tᵀ) ∘ (G_s G_tᵀ)."""
    n = len(lin.residual)
    kernel = torch.zeros((n, n), dtype=lin.residual.dtype)
    for a, g in zip(lin.inputs, lin.gradients, strict=True):
        kernel += g[0] @ g[0].T
        for s in range(len(a)):
            for t in range(s, len(a)):
                product = (a[s] @ a[t].T) * (g[s] @ g[t].T)
                kernel += product if s == t else product + product.T
    return kernel


def apply_transpose(lin: Linearisation, v: Tensor) -> Tensor:
    """Jᵀ v (P,) for v (n,)."""
    parts = []
    for a, g in zip(lin.inputs, lin.gradients, strict=True):
        weighted = (g * v[:, None]).flatten(0, 1)
        parts += [(weighted.T @ a.flatten(0, 1)).flatten(), v @ g[0]]
    return torch.cat(parts)


def parameters_of(network: Network) -> Tensor:
    """All parameters as one vector (P,): for each layer the weights row by row, then the biases."""
    layers = zip(network.weights, network.biases, strict=True)
    return torch.cat([part for w, b in layers for part in (w.flatten(), b)])


def with_parameters(network: Network, parameters: Tensor) -> Network:
    """The same network with other parameters (P,)."""
    sizes = [
        t.numel() for w, b in zip(network.weights, network.biases, strict=True) for t in (w, b)
    ]
    parts = torch.split(parameters, sizes)
    weights = tuple(p.view_as(w) for p, w in zip(parts[::2], network.weights, strict=True))
    return replace(network, weights=weights, biases=tuple(parts[1::2]))


def step(
    problem: Problem, network: Network, points: Points, damping: float, attempts: int = 16
) -> Step:
    """One Levenberg–Marquardt iteration at ``points`` from ``damping`` μ.

    The damping falls after a step that lowers the loss at once and rises until one does.
    """
    lin = linearise(problem, network, points)
    solve = _step_solver(lin)
    start = parameters_of(network)
    for attempt in range(attempts):
        change = solve(damping)
        if change is not None:
            moved = with_parameters(network, start + change)
            loss = loss_of(problem, moved, points)
            if loss < lin.loss:
                eased = damping / (LOWER if attempt == 0 else 1.0)
                return Step(moved, loss, max(eased, SMALLEST_DAMPING), accepted=True)
        damping = min(damping * RAISE, LARGEST_DAMPING)
    return Step(network, lin.loss, damping, accepted=False)


def _step_solver(lin: Linearisation) -> Callable[[float], Tensor | None]:
    """damping -> parameter change (P,), or None where the damped system is not positive definite."""
    n = len(lin.residual)
    parameters = sum(
        g.shape[-1] * (a.shape[-1] + 1) for a, g in zip(lin.inputs, lin.gradients, strict=True)
    )
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
