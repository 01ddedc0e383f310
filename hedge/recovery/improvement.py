"""Fitting a cut network again: quasi-Newton steps on a loss whose points are renewed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import count
from typing import TypeVar

import numpy as np
import scipy

from hedge import quasi_newton
from hedge.arrays import Array
from hedge.quasi_newton import Inverse, LossAndGradient
from hedge.recovery.losses import ResampledLoss
from hedge.recovery.work import Work

T = TypeVar("T")

STEPS = 100
# A fit whose best error has not fallen by a tenth within so many cycles has stalled.
PATIENCE, FALLEN = 15, 0.9
# Nor is one worth its work that would take so many times as many cycles as it falls now, over so many.
AHEAD, TREND = 2.0, 6
# Fitted to this part of the tolerance, an error is certified on fresh points too.
SAFELY = 0.95
# Up to so many parameters a dense inverse Hessian pays; beyond, L-BFGS with so many pairs.
DENSE_INVERSE, PAIRS = 4000, 50


def until_stalled(
    found: Iterable[T], error_of: Callable[[T], float], enough: float, patience: int
) -> Iterator[T]:
    """What is found, cycle after cycle, until its error is enough, stalls, or falls too slowly."""
    mark, since = float("inf"), 0
    least: list[float] = []  # until each cycle
    for one in found:
        yield one
        error = min([error_of(one), *least[-1:]])
        least.append(error)
        mark, since = (error, 0) if error < FALLEN * mark else (mark, since + 1)
        if error <= enough or since >= patience or _cycles_left(least, enough) > AHEAD * patience:
            return


def _cycles_left(least: Sequence[float], enough: float) -> float:
    """Until the error is ``enough``, if it goes on to fall as over the last cycles; 0 while these are few."""
    if len(least) <= TREND or not least[-1] > enough > 0.0:
        return 0.0
    fall = np.log(least[-1 - TREND] / least[-1]) / TREND
    return float(np.log(least[-1] / enough) / fall) if fall > 0.0 else 0.0


def cycles(loss: ResampledLoss, parameters: Array, work: Work) -> Iterator[Array]:
    """Parameters (P,) after each cycle of steps, until the work is over; H is kept between them."""
    inverse: Inverse | None = None
    for cycle in count():
        if work.is_over():
            return
        objective = loss(parameters, cycle)
        if len(parameters) > DENSE_INVERSE:
            parameters = _limited_memory(objective, parameters, work)
        else:
            parameters, inverse = _self_scaled(objective, parameters, inverse, work)
        yield parameters


def _limited_memory(objective: LossAndGradient, parameters: Array, work: Work) -> Array:
    def count_step(intermediate_result: object) -> None:
        work.step()
        if work.is_over():
            raise StopIteration

    found = scipy.optimize.minimize(
        objective, parameters, jac=True, method="L-BFGS-B", callback=count_step,
        options={"maxiter": STEPS, "maxcor": PAIRS, "ftol": 0.0, "gtol": 0.0},
    )  # fmt: skip
    if found.nit == 0:  # no way down: counts all the same, so that a fit ends
        work.step()
    return np.asarray(found.x)


def _self_scaled(
    objective: LossAndGradient, parameters: Array, inverse: Inverse | None, work: Work
) -> tuple[Array, Inverse | None]:
    at = quasi_newton.start(objective, parameters, inverse)
    for _ in range(STEPS):
        at = quasi_newton.advance(objective, at, "ssbroyden")
        work.step()
        if at.stuck or work.is_over():
            break
    return at.x, at.inverse
