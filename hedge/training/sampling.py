"""Collocation points: Sobol's sequence, and points drawn where the residual is large."""

from __future__ import annotations

import numpy as np
import torch
from scipy.spatial import cKDTree
from torch import Tensor

from hedge.arrays import Array, Indices
from hedge.errors import InputError
from hedge.problems import Problem
from hedge.training.loss import residuals
from hedge.training.network import Network
from hedge.training.points import Points, place
from hedge.training.taylor import closure

# Candidates drawn for each point kept.
CANDIDATES = 8
# Numbers that candidates' inputs may have at once, 256 MiB in float64: in 100 dimensions a point has 10,000.
AT_ONCE = 2**25
# Residual-based attention: how fast weights forget, and how much the largest residual adds.
FORGET, LEARN = 0.9, 0.1


def sobol_points(problem: Problem, count: int, seed: int, like: Tensor) -> Points:
    """Scrambled Sobol points of the domain, of the dtype and on the device of ``like``."""
    return place(problem, torch.from_numpy(problem.domain.spread(count, seed)).to(like))


def residual_based_points(
    problem: Problem, network: Network, count: int, seed: int, *, evenly: bool = False
) -> Points:
    """Points with density ∝ |r| / mean|r| + 1 (residual-based adaptive distribution, Wu et al. 2023).

    |r| is the root of the sum of squares over the equations. The constant keeps half of the points
    uniform, so no region is left unseen. They are drawn one by one, or ``evenly``: every region has its
    share of them then. A network learns faster on a few that cluster by chance, as long as each set is soon
    followed by another.
    """
    like = network.weights[0]
    x = torch.from_numpy(problem.domain.spread(CANDIDATES * count, seed)).to(like)
    streams = closure([problem.axes(name) for name in problem.derivatives])
    parts = torch.split(x, max(AT_ONCE // (like.shape[1] * len(streams)), 1))
    candidates = place(problem, x) if len(parts) == 1 else None
    r = np.concatenate(
        [_sizes(problem, network, candidates or place(problem, part)) for part in parts]
    )
    usable = np.isfinite(r)
    if usable.sum() < count:
        where = ", ".join(f"{v:.3g}" for v in x[int(np.argmin(usable))].tolist())
        raise InputError(
            f"problem {problem.name!r}: its residual is not finite at ({where}) and other points; "
            "check its functions and its domain"
        )
    mean = r[usable].mean()
    density = np.where(usable, r / mean + 1.0 if mean > 0 else 1.0, 0.0)
    # A stream of its own: the seed alone would repeat the numbers that made the candidates.
    rng = np.random.default_rng((seed, CANDIDATES))
    chosen = (
        _spread_rows(x.cpu().numpy(), density, count, rng.random())
        if evenly
        else rng.choice(len(r), size=count, replace=False, p=density / density.sum())
    )
    rows = torch.from_numpy(np.sort(chosen)).to(x.device)
    return place(problem, x[rows]) if candidates is None else candidates[rows]


def _spread_rows(x: Array, density: Array, count: int, start: float) -> Indices:
    """``count`` rows of x (n, d), each as likely as its density says, and every region with its share.

    Systematic sampling (Madow, 1949) along an order in which neighbours are near each other, from ``start``
    in [0, 1).
    """
    full = np.zeros(len(x), dtype=bool)
    while True:  # none more than once: what is due to those beyond goes to the others
        rest = max(float(density[~full].sum()), np.finfo(float).tiny)
        share = np.where(full, 1.0, density * ((count - full.sum()) / rest))
        if not (share > 1.0).any():
            break
        full |= share > 1.0
    width = np.ptp(x, axis=0)  # 0 where float32 can't tell points apart
    order = cKDTree((x - x.min(axis=0)) / np.where(width > 0.0, width, 1.0), leafsize=1).indices
    passed = np.cumsum(share[order])
    ticks = (start + np.arange(count)) * (passed[-1] / count)
    found: Indices = order[np.searchsorted(passed[:-1], ticks, side="right")]
    return found


def _sizes(problem: Problem, network: Network, points: Points) -> Array:
    """|r| at points, (n,)."""
    found: Array = (
        torch.linalg.vector_norm(residuals(problem, network, points), dim=0).double().cpu().numpy()
    )
    return found


def attention(weights: Tensor | None, r: Tensor) -> Tensor:
    """Weights (n,) of points that stay, after residuals r (R, n) were seen at them.

    w ← 0.9 w + 0.1 |r| / max|r|, from one on: residual-based attention (Anagnostopoulos, Toscano,
    Stergiopulos and Karniadakis, 2024).
    """
    size: Tensor = torch.linalg.vector_norm(r, dim=0)
    start = torch.ones_like(size) if weights is None else weights
    return FORGET * start + LEARN * size / size.max().clamp_min(torch.finfo(size.dtype).tiny)
