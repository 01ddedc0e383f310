"""Collocation points: uniform at first, then drawn where the residual is large."""

from __future__ import annotations

import numpy as np
import torch

from hedge.problems import Problem
from hedge.training.taylor import Network, Points, place, propagate, residual

# Candidates drawn for each point kept.
CANDIDATES = 8


def uniform_points(problem: Problem, count: int, seed: int) -> Points:
    """Independent uniform points of the domain."""
    return place(problem, torch.from_numpy(problem.domain.sample(count, seed)))


def residual_based_points(problem: Problem, network: Network, count: int, seed: int) -> Points:
    """Points with density ∝ |r| / mean|r| + 1 (residual-based adaptive distribution, Wu et al. 2023).

    The constant keeps half of the points uniform, so no region is left unseen.
    """
    x = torch.from_numpy(problem.domain.sample(CANDIDATES * count, seed))
    candidates = place(problem, x)
    with torch.no_grad():
        streams = propagate(network, x, candidates.axes)
        r = residual(problem, streams, candidates).abs().numpy()
    mean = r.mean()
    density = r / mean + 1.0 if mean > 0 else np.ones(len(r))
    # A stream of its own: the seed alone would repeat the numbers that made the candidates.
    chosen = np.random.default_rng((seed, CANDIDATES)).choice(
        len(r), size=count, replace=False, p=density / density.sum()
    )
    return place(problem, x[torch.from_numpy(np.sort(chosen))])
