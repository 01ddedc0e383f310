"""The optimisers behind one door: some steps of one of them on one set of points."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import torch
from scipy.optimize import minimize
from torch import Tensor

from hedge import quasi_newton
from hedge.arrays import Array
from hedge.hmatrix.threads import one_blas_thread
from hedge.problems import Problem
from hedge.quasi_newton import LossAndGradient
from hedge.training import levenberg
from hedge.training.levenberg import INITIAL_DAMPING
from hedge.training.loss import loss_and_gradient
from hedge.training.network import Network, parameters_of, with_parameters
from hedge.training.terms import Term

Optimiser = Literal["levenberg", "ssbroyden", "ssbfgs", "bfgs", "lbfgs", "adam"]

ADAM_RATE = 2e-3
# L-BFGS remembers so many steps.
MEMORY = 50
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

    damping is Levenberg–Marquardt's μ; inverse the quasi-Newton H (P, P) in float64, if there is one.
    steps counts those taken so far.
    """

    network: Network
    steps: int = 0
    loss: float = math.inf
    damping: float = INITIAL_DAMPING
    inverse: Tensor | None = None


def schedule(method: Optimiser, parameters: int, fields: int = 1) -> _Schedule:
    """How long a method works on one set of points, and the sizes of such a set.

    Points are renewed all the time, so sets start small: a Levenberg–Marquardt step costs n P² over the
    parameters and n² P over the points, a quasi-Newton step n P + P². For Levenberg–Marquardt
    each equation of a point is a row; problems have about as many as fields, and so many times fewer points.
    """
    if method != "levenberg":
        return _Schedule(steps=100, points=4000, most_points=16_000)
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
    objective = _objective(problem, now.network, terms)
    x = parameters_of(now.network).double().cpu().numpy()
    if method == "adam":
        return _adam(objective, now, x, wanted)
    if method == "lbfgs":
        return _lbfgs(objective, now, x, wanted)
    before = None if now.inverse is None else quasi_newton.from_dense(now.inverse.numpy())
    at, taken = quasi_newton.start(objective, x, before), now.steps
    for _ in wanted:
        at, taken = quasi_newton.advance(objective, at, method), taken + 1
        if at.stuck:
            break
    network = _placed(now.network, at.x)
    inverse = None if at.inverse is None else torch.from_numpy(at.inverse.dense())
    return replace(now, network=network, steps=taken, loss=at.loss, inverse=inverse)


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


def _adam(objective: LossAndGradient, now: Descent, x: Array, wanted: Iterator[int]) -> Descent:
    variable, taken = torch.tensor(x, requires_grad=True), now.steps
    values = variable.detach().numpy()  # the same memory
    optimizer = torch.optim.Adam([variable], lr=ADAM_RATE)
    for _ in wanted:
        variable.grad = torch.from_numpy(objective(values)[1])
        optimizer.step()
        taken += 1
    loss, _ = objective(values)
    return replace(now, network=_placed(now.network, values), steps=taken, loss=loss)


def _lbfgs(objective: LossAndGradient, now: Descent, x: Array, wanted: Iterator[int]) -> Descent:
    taken = now.steps

    def count(_: object) -> None:
        nonlocal taken
        taken += 1
        if next(wanted, None) is None:
            raise StopIteration

    next(wanted, None)
    found = minimize(
        objective,
        x,
        jac=True,
        method="L-BFGS-B",
        callback=count,
        options={"maxcor": MEMORY, "ftol": 0.0, "gtol": 0.0},
    )
    network = _placed(now.network, found.x)
    # Where not even one step can be taken, it counts all the same, so that a run ends.
    return replace(now, network=network, steps=max(taken, now.steps + 1), loss=float(found.fun))


def _objective(problem: Problem, network: Network, terms: Sequence[Term]) -> LossAndGradient:
    """The loss as a function of float64 parameters (P,) in numpy, wherever the network is."""

    def objective(x: Array) -> tuple[float, Array]:
        loss, gradient = loss_and_gradient(problem, _placed(network, x), terms)
        return loss, gradient.double().cpu().numpy()

    return objective


def _placed(network: Network, x: Array) -> Network:
    return with_parameters(network, torch.from_numpy(x).to(network.weights[0]))
