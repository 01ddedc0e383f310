"""The residual of a problem as what a cut network is fitted to; of all recovery only this needs torch."""

from __future__ import annotations

import torch

from hedge.arrays import Array
from hedge.graph import SplitModel
from hedge.problems import Problem
from hedge.quasi_newton import LossAndGradient
from hedge.recovery.losses import ResampledLoss
from hedge.training.from_graph import network_in
from hedge.training.loss import loss_and_gradient
from hedge.training.network import with_parameters
from hedge.training.objective import objective_of
from hedge.training.sampling import residual_based_points, sobol_points
from hedge.training.seeds import stream_seed

RESIDUAL_POINTS = 4000
# Network and problem are compared at so many points.
AGREEMENT_POINTS = 512


def mean_square_residual(dense: SplitModel, problem: Problem, seed: int) -> ResampledLoss:
    """Mean squared residual of ``problem``, for a model whose sites are all dense.

    With the terms of its conditions that the form does not meet, and of what was measured, if there are any.

    Raises ModelError if its residual can't be differentiated.
    """
    points = problem.domain.sample(AGREEMENT_POINTS, seed)
    like, as_given = network_in(dense, problem, points)
    beside = objective_of(as_given, like.weights[0])
    first = beside.terms(sobol_points(as_given, RESIDUAL_POINTS, seed, like.weights[0]), seed)
    balance = beside.balance(like, first)

    def on_new_points(parameters: Array, cycle: int) -> LossAndGradient:
        network = with_parameters(like, torch.from_numpy(parameters))
        drawn = stream_seed(seed, cycle)
        points = residual_based_points(as_given, network, RESIDUAL_POINTS, drawn)
        terms = beside.terms(points, drawn, balance)

        def objective(x: Array) -> tuple[float, Array]:
            moved = with_parameters(like, torch.from_numpy(x))
            loss, gradient = loss_and_gradient(as_given, moved, terms)
            return loss, gradient.numpy()

        return objective

    return on_new_points
