"""The staircase: cut a little, fit again, and cut again until the tolerance binds.

One deep cut does not recover; several small ones do (DESIGN, recovery). A rung cuts neurons (or ranks,
where widths are kept) until the output is off by a few percent, then fits what is left to the dense
model's outputs, which is cheap and safe. If that does not reach the tolerance, since the dense model
itself is too far from the reference, it goes on with the residual of the problem.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from hedge.compression import (
    CompressedModel,
    Rung,
    Task,
    affordable,
    certified,
    confirmed,
    cuts,
    measure,
    parameter_count,
    with_recovery,
)
from hedge.errors import InputError, ModelError, ToleranceError
from hedge.graph import Evaluator, Matrix, SiteMatrix, assemble, run_float32
from hedge.problems import Domain, Problem
from hedge.recovery.courses import Course, Pool, outputs_course, points_needed, residual_course
from hedge.recovery.improvement import cycles
from hedge.recovery.student import Matrices, parameters_of, with_parameters

Array = NDArray[np.float64]
Progress = Callable[[str], None]
RecoverOn = Literal["auto", "outputs", "gradients", "residual"]

# Errors of the output a cut aims at, deepest first; a rung that fails is tried again less deep.
DEPTHS = (1e-1, 3e-2, 1e-2)
# A cut that leaves more than this part of the parameters is not worth the time to recover.
WORTHWHILE = 0.95
# Fitted to this part of the tolerance, an error is certified on fresh points too.
SAFELY = 0.9
# Outputs are learned when the error is so many times the dense model's own.
AS_GOOD = 1.1
# A fit whose best error has not fallen by a tenth within so many cycles has stalled. What time is left
# when all depths have failed goes into more patience.
PATIENCE = (15, 60)
# One cycle in so many is reported.
REPORTED = 5
# A rung gets at least so many seconds.
LEAST_SECONDS = 5.0
# Networks of more parameters are not fitted again: L-BFGS would take hours.
MOST_PARAMETERS = 50_000
# Half the distance of a pair of points that stands for a derivative, in parts of the domain.
HALF_STEP = 1e-3


@dataclass(frozen=True)
class Recovery:
    """How a cut network is fitted again, and for how many seconds at most.

    on "outputs" compares with the dense model's outputs, "gradients" with their derivatives along
    random directions too (``domain`` known), "residual" goes on with the residual of ``problem``;
    "auto" does so where the problem is known and errors are against its reference.

    Raises InputError for a budget that is not positive, or a problem or domain that is missing.
    """

    budget_s: float
    on: RecoverOn = "auto"
    problem: Problem | None = None
    domain: Domain | None = None

    def __post_init__(self) -> None:
        if not 0.0 < self.budget_s < float("inf"):
            raise InputError(
                f"budget: {self.budget_s:g} s is not positive; give the seconds to recover for"
            )
        if self.on == "residual" and self.problem is None:
            raise InputError("recover residual: the problem is not known; give --problem")
        if self.on == "gradients" and self.domain is None:
            raise InputError("recover gradients: the domain is not known; give --domain")


def recover(
    task: Task,
    found: CompressedModel | None,
    recovery: Recovery,
    *,
    start: Mapping[str, Matrix] | None = None,
    on_progress: Progress = lambda message: None,
    on_better: Callable[[CompressedModel], None] = lambda model: None,
) -> CompressedModel:
    """The cheapest certified network that the budget allows; ``found`` if none is cheaper.

    Starts from the dense network, or from ``start``: matrices that were recovered before. ``on_better``
    sees every certified result that is cheaper than the last. Ctrl-C ends it with the best so far.

    Raises ToleranceError if nothing keeps the tolerance and nothing that did was ``found`` before.
    """
    clock = _Clock(recovery.budget_s)
    pool = _pool(task, recovery)
    best = found
    stand: Mapping[str, Matrix] = start or task.split.matrices
    rungs = [] if found is None else list(found.plan.rungs)
    least_error = float("inf")
    attempts = [(patience, depth) for patience in PATIENCE for depth in DEPTHS]
    try:
        while attempts and not clock.is_over:
            patience, depth = attempts[0]
            cut = _cut(task, stand, depth)
            if cut is None:
                attempts.pop(0)
                continue
            on_progress(f"cut to {parameter_count(cut)} parameters, fitting again")
            fitted, rung = _fitted(task, cut, pool, recovery, clock, patience, on_progress)
            least_error = min(least_error, rung.error)
            certificate = None
            if rung.error <= SAFELY * task.request.tolerance:
                certificate = certified(task, fitted, len(rungs) % task.points.attempts)
            if certificate is None:
                attempts.pop(0)
                continue
            stand, rungs = fitted, [*rungs, rung]
            if best is None or task.cost(fitted) < task.cost(best.matrices):
                certificate = confirmed(task, certificate)
                if best is not None and not certificate.plan.gains:
                    continue
                said = f"{len(rungs)} cuts recovered in {clock.spent_s:.0f} s"
                best = with_recovery(certificate, said, rungs)
                on_better(best)
    except KeyboardInterrupt:
        on_progress("interrupted; keeping the best so far")
    if best is None:
        raise ToleranceError(
            f"tolerance: {task.request.tolerance:g} was not met within {clock.spent_s:.0f} s of recovery; "
            f"the least error was {least_error:.2e}: allow more, or a longer budget"
        )
    if best is not found:
        return best
    said = f"nothing cheaper kept the tolerance within {clock.spent_s:.0f} s"
    return with_recovery(best, f"{best.plan.recovery}; {said}".lstrip("; "), rungs)


class _Clock:
    """Seconds since its making, of a budget."""

    def __init__(self, budget_s: float) -> None:
        self._started, self._budget_s = time.perf_counter(), budget_s

    @property
    def spent_s(self) -> float:
        return time.perf_counter() - self._started

    @property
    def left_s(self) -> float:
        return max(0.0, self._budget_s - self.spent_s)

    @property
    def is_over(self) -> bool:
        return self.left_s == 0.0


def _pool(task: Task, recovery: Recovery) -> Pool:
    dense = assemble(task.split.skeleton, task.split.matrices)
    points = task.points.practice(points_needed(sum(task.measured.columns)))
    if recovery.on != "gradients" or recovery.domain is None:
        return Pool(points, run_float32(dense, points))
    lower, upper = recovery.domain.lower, recovery.domain.upper
    rng = np.random.default_rng(task.request.seed)
    direction = rng.standard_normal(points.shape)
    direction /= np.linalg.norm(direction, axis=1, keepdims=True)
    step = HALF_STEP * (upper - lower) * direction
    inside = np.clip(points, lower + np.abs(step), upper - np.abs(step))
    pairs = np.concatenate([inside + step, inside - step])
    # In float64: a difference of float32 outputs would be mostly rounding.
    return Pool(pairs, Evaluator(dense)(pairs), 2.0 * np.linalg.norm(step, axis=1))


def _cut(task: Task, matrices: Mapping[str, Matrix], depth: float) -> Matrices | None:
    """The cheapest cut of a network whose output moves by about ``depth``, if it is worthwhile."""
    dense = {name: SiteMatrix((m.dense(),), m.bias) for name, m in matrices.items()}
    split = task.split.replaced(dense)
    here = replace(task, split=split, measured=measure(split, task.points.fit, task.request.seed))
    aim = max(depth, task.request.tolerance)
    cheapest = min(affordable(here, cuts(here), aim), key=task.cost, default=None)
    if cheapest is None:
        return None
    count = parameter_count(cheapest)
    worthwhile = count <= min(WORTHWHILE * parameter_count(matrices), MOST_PARAMETERS)
    sites = {name: m for name, m in cheapest.items() if isinstance(m, SiteMatrix)}
    return sites if worthwhile else None


def _fitted(
    task: Task,
    cut: Matrices,
    pool: Pool,
    recovery: Recovery,
    clock: _Clock,
    patience: int,
    on_progress: Progress,
) -> tuple[Matrices, Rung]:
    """The cut network fitted again, and how that went; takes half of the time left at most."""
    started = clock.spent_s
    end = started + max(LEAST_SECONDS, clock.left_s / 2.0)
    cut_error = task.error(cut, task.validation).relative
    best, best_error, on = cut, cut_error, "cut"
    good = SAFELY * task.request.tolerance
    courses = _courses(task, cut, pool, recovery)
    for name, course in courses.items():
        # The dense model's outputs lead no nearer to the reference than the dense model is.
        learned = 0.0 if name == next(reversed(courses)) else AS_GOOD * _dense_error(task)
        fits = _fits(task, best, course, max(good, learned), patience, lambda: clock.spent_s > end)
        for cycle, (matrices, error) in enumerate(fits):
            if cycle % REPORTED == 0:
                on_progress(f"fitting {name}: error {error:.2e}, {clock.left_s:.0f} s left")
            if error < best_error:
                best, best_error, on = matrices, error, name
        if best_error <= good:
            break
    rung = Rung(
        parameters=parameter_count(best), cut_error=cut_error, error=best_error, on=on,
        seconds=clock.spent_s - started,
    )  # fmt: skip
    return best, rung


def _courses(task: Task, cut: Matrices, pool: Pool, recovery: Recovery) -> dict[str, Course]:
    """What a cut is fitted to, one after the other until the tolerance is kept."""
    seed = task.request.seed
    found = {"outputs": outputs_course(task.split, cut, pool, task.measured, seed)}
    reference = recovery.on == "auto" and task.against == "reference"
    if recovery.problem is not None and (recovery.on == "residual" or reference):
        try:
            found["residual"] = residual_course(task.split, cut, recovery.problem, seed)
        except ModelError:
            if recovery.on == "residual":
                raise
    return found


def _dense_error(task: Task) -> float:
    return task.error(task.split.matrices, task.validation).relative


def _fits(
    task: Task,
    start: Matrices,
    course: Course,
    enough: float,
    patience: int,
    out_of_time: Callable[[], bool],
) -> Iterator[tuple[Matrices, float]]:
    """The network and its error after each cycle, until that is enough, stalls or time is up."""
    mark, since = float("inf"), 0
    for parameters in cycles(course, parameters_of(start), out_of_time):
        matrices = with_parameters(start, parameters)
        error = task.error(matrices, task.validation).relative
        yield matrices, error
        mark, since = (error, 0) if error < 0.9 * mark else (mark, since + 1)
        if error <= enough or since >= patience or out_of_time():
            return
