"""The loss mean(w r²) of a network, its gradient, and the factors of the residuals' Jacobian.

Where a problem has several equations, r² is the sum of the squares of their residuals. Points pass in
chunks that fit the processor's caches; only the residuals themselves, functions of the S output
streams, are differentiated by torch.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

from hedge.errors import InputError
from hedge.problems import Problem
from hedge.training.network import Network
from hedge.training.points import Points, residual
from hedge.training.taylor import propagate, reverse

# Numbers of a layer's streams in one chunk: 4 MiB in float64, so that a few of them stay in the caches
# and every operation is large enough for all cores.
CHUNK_NUMBERS = 524_288


@dataclass(frozen=True)
class Linearisation:
    """Residuals r (N,) of a network with the factors of their Jacobian, inputs and gradients.

    N = equations × points, all points of the first equation first. The row of the Jacobian for layer l
    is Σ_s G_s ⊗ A_s, with A the layer's input streams and G = ∂r/∂Z, each (·, S, N).
    """

    residual: Tensor
    inputs: tuple[Tensor, ...]
    gradients: tuple[Tensor, ...]


def residuals(problem: Problem, network: Network, points: Points) -> Tensor:
    """r (R, n) of the R equations at ``points``."""

    def of_chunk(rows: slice) -> Tensor:
        part = points[rows]
        with torch.no_grad():
            outputs = propagate(network, part.inputs, part.axes).outputs[-1]
            return torch.stack(residual(problem, outputs, part))

    return torch.cat([of_chunk(rows) for rows in _chunks(network, points)], dim=1)


def mean_square(
    problem: Problem, network: Network, points: Points, weights: Tensor | None = None
) -> float:
    """mean(w r²) at ``points``; the weights w (n,) are one if not given."""
    r = residuals(problem, network, points)
    weighted = r if weights is None else weights * r
    return float(r.flatten() @ weighted.flatten()) / len(points)


def linearise(
    problem: Problem, network: Network, points: Points, weights: Tensor | None = None
) -> Linearisation:
    """√w r at ``points`` and the factors of its Jacobian with respect to the parameters."""
    with torch.no_grad():
        streams = propagate(network, points.inputs, points.axes)
    found, outputs = _residuals_of(problem, streams.outputs[-1], points)
    root = None if weights is None else weights.sqrt()
    rows, gradients = [], []
    for r in found:
        (seed,) = torch.autograd.grad(r, outputs, torch.ones_like(r), retain_graph=True)
        with torch.no_grad():
            rows.append(r.detach() if root is None else root * r)
            gradients.append(reverse(network, streams, seed if root is None else root * seed))
    if len(rows) == 1:
        return Linearisation(rows[0], streams.inputs, gradients[0])
    return Linearisation(
        torch.cat(rows),
        tuple(a.repeat(1, 1, len(rows)) for a in streams.inputs),
        tuple(torch.cat(g, dim=2) for g in zip(*gradients, strict=True)),
    )


def loss_and_gradient(
    problem: Problem, network: Network, points: Points, weights: Tensor | None = None
) -> tuple[float, Tensor]:
    """mean(w r²) and its gradient (P,) with respect to :func:`parameters_of` the network.

    ``weights`` w (n,) of the points are one if not given.
    """

    def of_chunk(rows: slice) -> tuple[float, Tensor]:
        part = points[rows]
        with torch.no_grad():
            streams = propagate(network, part.inputs, part.axes)
        found, outputs = _residuals_of(problem, streams.outputs[-1], part)
        with torch.no_grad():
            weighted = found if weights is None else [weights[rows] * r for r in found]
            loss = sum(float(r @ w) for r, w in zip(found, weighted, strict=True))
            slopes = [(2.0 / len(points)) * w for w in weighted]
        (seed,) = torch.autograd.grad(found, outputs, slopes)
        with torch.no_grad():
            gradients = reverse(network, streams, seed)
            flat = [
                part
                for a, g in zip(streams.inputs, gradients, strict=True)
                for part in ((g.flatten(1) @ a.flatten(1).T).flatten(), g[:, 0].sum(1))
            ]
        return loss, torch.cat(flat)

    losses, gradients = zip(*map(of_chunk, _chunks(network, points)), strict=True)
    return sum(losses) / len(points), torch.stack(gradients).sum(0)


def _residuals_of(
    problem: Problem, outputs: Tensor, points: Points
) -> tuple[tuple[Tensor, ...], Tensor]:
    """r (n,) of each equation as functions of the output streams (m, S, n), and these streams."""
    outputs = outputs.detach().requires_grad_()
    with torch.enable_grad():
        found = residual(problem, outputs, points)
    for number, r in enumerate(found, 1):
        if not r.requires_grad:
            which = f" of equation {number}" if len(found) > 1 else ""
            raise InputError(
                f"problem {problem.name!r}: its residual{which} does not depend on the solution; make it of "
                "the derivatives it is given"
            )
    return found, outputs


def _chunks(network: Network, points: Points) -> list[slice]:
    """Rows of the points in pieces of equal size, as many as are needed to make them small."""
    widest = max(len(bias) for bias in network.biases)
    numbers = len(points) * widest * len(points.axes)
    count = math.ceil(numbers / CHUNK_NUMBERS)
    ends = [len(points) * k // count for k in range(count + 1)]
    return [slice(a, b) for a, b in pairwise(ends) if a < b]


def jacobian(lin: Linearisation) -> Tensor:
    """J (n, P), parameters in the order of :func:`parameters_of`."""
    blocks = []
    for a, g in zip(lin.inputs, lin.gradients, strict=True):
        blocks += [torch.einsum("isn,jsn->nij", g, a).flatten(1), g[:, 0].T]
    return torch.cat(blocks, dim=1)


def tangent_kernel(lin: Linearisation) -> Tensor:
    """JJᵀ (n, n) from the factors: Σ over layers and stream pairs of (A_s A_tᵀ) ∘ (G_s G_tᵀ)."""
    n = len(lin.residual)
    kernel = lin.residual.new_zeros((n, n))
    for a, g in zip(lin.inputs, lin.gradients, strict=True):
        kernel += g[:, 0].T @ g[:, 0]
        for s in range(a.shape[1]):
            for t in range(s, a.shape[1]):
                product = (a[:, s].T @ a[:, t]) * (g[:, s].T @ g[:, t])
                kernel += product if s == t else product + product.T
    return kernel


def apply_transpose(lin: Linearisation, v: Tensor) -> Tensor:
    """Jᵀ v (P,) for v (n,)."""
    parts = []
    for a, g in zip(lin.inputs, lin.gradients, strict=True):
        parts += [((g * v).flatten(1) @ a.flatten(1).T).flatten(), g[:, 0] @ v]
    return torch.cat(parts)
