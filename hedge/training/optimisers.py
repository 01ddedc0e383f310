"""The optimisers behind one door: some steps of one of them on one set of points."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from hedge import quasi_newton
from hedge.arrays import Array
from hedge.hmatrix.threads import one_blas_thread
from hedge.problems import Problem
from hedge.quasi_newton import LossAndGradient
from hedge.training import last_layer, levenberg
from hedge.training.levenberg import INITIAL_DAMPING
from hedge.training.loss import loss_and_gradient
from hedge.training.network import Network, parameters_of, with_parameters
from hedge.training.terms import Term

Optimiser = Literal["levenberg", "ssbroyden", "ssbfgs", "bfgs", "lbfgs", "adam", "least-squares"]

ADAM_RATE = 2e-3
# How slowly Adam forgets gradients and their squares, and what keeps it from dividing by zero.
ADAM_DECAYS, ADAM_LEAST = (0.9, 0.999), 1e-8
# Points of the other methods' first sets: for each parameter and each input, and their bounds.
POINTS_FOR_PARAMETER, POINTS_FOR_INPUT = 0.7, 40
FEWEST_POINTS, MANY_POINTS = 600, 4000
# Up to so many parameters, Levenberg–Marquardt solves over them, with as many points.
POINTS_OVER_PARAMETERS = 3000


@dataclass(frozen=True)
class _Schedule:
    """Steps taken on one set of points, and how many points a set has at first and at most."""

    steps: int
    points: int
    most_points: int


@dataclass(frozen=True, eq=False)
class Descent:
    """Where an optimiser stands between sets of points, and what it carries from one to the next.

    damping is Levenberg–Marquardt's μ, or the least one of the last layer's steps; inverse the quasi-Newton
    H (P, P) in float64, if there is one; memory (2, k, P) in float64 L-BFGS's last k steps and the changes of
    the gradient along them, or Adam's means of the gradient and of its square (k = 1), over so many steps as
    are ``remembered``. steps counts those taken so far.
    """

    network: Network
    steps: int = 0
    loss: float = math.inf
    damping: float = INITIAL_DAMPING
    inverse: Tensor | None = None
    memory: Tensor | None = None
    remembered: int = 0


def schedule(method: Optimiser, parameters: int, fields: int = 1, inputs: int = 1) -> _Schedule:
    """How long a method works on one set of points, and the sizes of such a set.

    Points are renewed all the time, so sets start small, and grow where they are learned by heart: a
    Levenberg–Marquardt step costs n P² over the parameters and n² P over the points, a quasi-Newton step
    n P + P², which somewhat fewer points than parameters keep in balance; in a hundred dimensions so few tell
    too little. For Levenberg–Marquardt each equation of a point is a row; problems have about as many as
    fields, and so many times fewer points. Least squares of one wide layer have four rows for each
    number that they solve for.
    """
    if method == "least-squares":
        wanted = 4 * parameters // (inputs + 1 + fields)
        points = min(max(wanted, FEWEST_POINTS), 4 * MANY_POINTS)
        return _Schedule(20, points, 2 * points)
    if method != "levenberg":
        wanted = max(round(POINTS_FOR_PARAMETER * parameters), POINTS_FOR_INPUT * inputs)
        points = min(max(wanted, FEWEST_POINTS), MANY_POINTS)
        return _Schedule(steps=100, points=points, most_points=4 * MANY_POINTS)
    rows = POINTS_OVER_PARAMETERS if parameters <= POINTS_OVER_PARAMETERS else 1000
    points = max(rows // fields, 1)
    return _Schedule(steps=4, points=points, most_points=2 * points)


@one_blas_thread()  # beside torch's threads, those of numpy would wait for each other
def descend(
    problem: Problem,
    now: Descent,
    terms: Sequence[Term],
    method: Optimiser,
    steps: int,
    out_of_time: Callable[[], bool] = lambda: False,
) -> Descent:
    """``steps`` steps of ``method`` on the loss of ``terms``.

    Fewer steps if ``out_of_time`` says so between two of them.
    """
    wanted = _until(out_of_time, steps)
    if method == "levenberg":
        return _levenberg(problem, now, terms, wanted)
    if method == "least-squares":
        return _least_squares(problem, now, terms, wanted)
    objective = _objective(problem, now.network, terms)
    x = parameters_of(now.network).double().cpu().numpy()
    if method == "adam":
        return _adam(objective, now, x, wanted)
    at, taken = quasi_newton.start(objective, x, _inverse_of(now)), now.steps
    for _ in wanted:
        at, taken = quasi_newton.advance(objective, at, method), taken + 1
        if at.stuck:
            break
    after = replace(now, network=_placed(now.network, at.x), steps=taken, loss=at.loss)
    return _remembering(after, at.inverse)


def _inverse_of(now: Descent) -> quasi_newton.Inverse | None:
    if now.memory is not None:
        return quasi_newton.RecentSteps(*now.memory.numpy())
    return None if now.inverse is None else quasi_newton.from_dense(now.inverse.numpy())


def _remembering(now: Descent, inverse: quasi_newton.Inverse | None) -> Descent:
    if isinstance(inverse, quasi_newton.RecentSteps):
        memory = torch.from_numpy(np.stack([inverse.steps, inverse.changes]))
        return replace(now, memory=memory, remembered=memory.shape[1])
    dense = None if inverse is None else torch.from_numpy(inverse.dense())
    return replace(now, inverse=dense, memory=None, remembered=0)


def _until(out_of_time: Callable[[], bool], steps: int) -> Iterator[int]:
    for step in range(steps):
        yield step
        if out_of_time():
            return


def _levenberg(
    problem: Problem, now: Descent, terms: Sequence[Term], wanted: Iterator[int]
) -> Descent:
    network, damping, taken = now.network, now.damping, now.steps
    for _ in wanted:
        outcome = levenberg.step(problem, network, terms, damping)
        network, damping, taken = outcome.network, outcome.damping, taken + 1
    # No descent on these points: start anew on the next ones.
    kept = damping if outcome.accepted else INITIAL_DAMPING
    return replace(
        now, network=network, steps=taken, loss=outcome.loss, damping=kept
    )  # fmt: skip


def _least_squares(
    problem: Problem, now: Descent, terms: Sequence[Term], wanted: Iterator[int]
) -> Descent:
    network, damping, taken = now.network, now.damping, now.steps
    for _ in wanted:
        outcome = last_layer.step(problem, network, terms, now.damping, damping)
        network, damping, taken = outcome.network, outcome.damping, taken + 1
        if outcome.is_final:
            break
    return replace(now, network=network, steps=taken, loss=outcome.loss)


def _adam(objective: LossAndGradient, now: Descent, x: Array, wanted: Iterator[int]) -> Descent:
    """Kingma and Ba (2015), whose means go on from the steps before."""
    means = np.zeros((2, len(x))) if now.memory is None else now.memory[:, 0].numpy()
    taken, count = now.steps, now.remembered
    for _ in wanted:
        _, gradient = objective(x)
        means = np.stack(
            [
                decay * mean + (1.0 - decay) * power
                for decay, mean, power in zip(
                    ADAM_DECAYS, means, (gradient, gradient**2), strict=True
                )
            ]
        )
        taken, count = taken + 1, count + 1
        mean, square = (m / (1.0 - d**count) for m, d in zip(means, ADAM_DECAYS, strict=True))
        x = x - ADAM_RATE * mean / (np.sqrt(square) + ADAM_LEAST)
    loss, _ = objective(x)
    memory = torch.from_numpy(means[:, None].copy())
    network = _placed(now.network, x)
    return replace(now, network=network, steps=taken, loss=loss, memory=memory, remembered=count)


def _objective(problem: Problem, network: Network, terms: Sequence[Term]) -> LossAndGradient:
    """The loss as a function of float64 parameters (P,) in numpy, wherever the network is."""

    def objective(x: Array) -> tuple[float, Array]:
        loss, gradient = loss_and_gradient(problem, _placed(network, x), terms)
        return loss, gradient.double().cpu().numpy()

    return objective


def _placed(network: Network, x: Array) -> Network:
    return with_parameters(network, torch.from_numpy(x).to(network.weights[0]))
