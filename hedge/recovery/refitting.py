"""Fitting a cut network again, or the most promising of several, and what to."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Literal, get_args

import numpy as np

from hedge.arrays import Array
from hedge.compression import Allowance, Case, Network, Rung, parameter_count
from hedge.errors import InputError, ModelError, quoted
from hedge.graph import Evaluator, SiteMatrix, SplitModel, assemble, run_float32
from hedge.problems import Problem
from hedge.recovery.improvement import PATIENCE, cycles, until_stalled
from hedge.recovery.losses import Pool, ResampledLoss, outputs_loss, points_needed, residual_loss
from hedge.recovery.parametric_model import Matrices, parameters_of, with_parameters
from hedge.recovery.ways import LessALayer, LessANeuron, Way
from hedge.recovery.work import Work
from hedge.request import Against

RecoverOn = Literal["auto", "outputs", "gradients", "residual"]

# Without a layer most networks do not recover, and a fit has less patience.
LITTLE_PATIENCE = 8
# Of several cuts half go on after so many cycles, and again; the best few are fitted in turn.
HEATS, FINALISTS = (2, 4, 8), 3
# Outputs are fitted well enough when the error is so many times the dense model's own.
AS_GOOD = 1.1
# The residual, whose steps take far longer, leads no network to the aim that is so many times off on outputs.
NEAR = 2.5
# One of its steps counts as so many.
RESIDUAL_STEP = 5
# How a fit goes is told after its first cycle, and after so many steps each.
REPORTED = 2000


@dataclass(frozen=True)
class Recovery:
    """How a cut network is fitted again, and how much that may take.

    on "outputs" compares with the dense model's outputs, "gradients" with their derivatives too, even where
    none are promised (see :attr:`hedge.compression.Case.slopes`), "residual" goes on with the residual of
    ``problem``; "auto" does so where the problem is known, errors are against its reference and torch is
    there.

    Raises InputError for what can't be fitted to, and a problem that is missing.
    """

    allowance: Allowance
    on: RecoverOn = "auto"
    problem: Problem | None = None

    def uses_residual(self, against: Against) -> bool:
        """Whether the residual may be fitted to where errors are ``against`` that."""
        asked = self.on == "residual" or (self.on == "auto" and against == "reference")
        return asked and self.problem is not None

    def __post_init__(self) -> None:
        known = get_args(RecoverOn)
        if self.on not in known:
            raise InputError(
                f"recover: {quoted(self.on)} is not known; take one of {', '.join(known)}"
            )
        if self.on == "residual" and self.problem is None:
            raise InputError(
                "recover residual: no problem of the gallery is known; give --problem, or recover outputs"
            )


@dataclass(frozen=True)
class Shared:
    """What all fits of a run have in common; powers (m,) are those of the dense outputs' columns."""

    recovery: Recovery
    pool: Pool
    powers: Array
    work: Work

    @staticmethod
    def of(case: Case, recovery: Recovery) -> Shared:
        """Its work counts from now."""
        work = Work(recovery.allowance)
        return Shared(recovery, _pool(case, recovery), case.measured.powers, work)


def _pool(case: Case, recovery: Recovery) -> Pool:
    dense = assemble(case.split.skeleton, case.split.matrices)
    points = case.points.practice(points_needed(sum(case.widths)))
    if recovery.on != "gradients" and case.request.derivatives is None:
        return Pool(points, run_float32(dense, points))
    above, below, reach = case.pairs_around(points)
    pairs = np.concatenate([above, below])
    # In float64: a difference of float32 outputs would be mostly rounding.
    return Pool(pairs, Evaluator(dense)(pairs), np.full(len(points), 2.0 * reach))


def refitted(
    cuts: Sequence[Network], way: Way, shared: Shared, safe: float
) -> tuple[Network, Rung]:
    """The first of the cuts whose error becomes ``safe``, the most promising first, or the best; and how.

    Takes half of the work that is left. ``safe`` is relative, on the validation points.
    """
    before = shared.work.left
    patience = LITTLE_PATIENCE if isinstance(way, LessALayer) else PATIENCE
    seed = way.seed if isinstance(way, LessANeuron) else 0
    work = shared.work.for_fit(max(parameter_count(cut.matrices) for cut in cuts))
    starts = [_start(cut, shared, seed, work) for cut in cuts]
    done: list[_Fit] = []
    for start in _promising(starts, safe) if len(starts) > 1 else starts:
        done.append(_fitted(start, patience, safe))
        if done[-1].error <= safe or work.is_over():
            break
    best = min(done, key=lambda fit: fit.error)
    rung = Rung(
        parameters=parameter_count(best.matrices),
        cut_error=best.case.validation_error(best.cut),
        error=best.error,
        on=best.on,
        steps=before - shared.work.left,
    )
    return Network(best.case, best.matrices), rung


@dataclass(frozen=True)
class _Fit:
    """How far a cut network has come: its matrices, their error, and what they were fitted to."""

    case: Case
    cut: Matrices
    matrices: Matrices
    error: float
    on: str = "cut"

    def after(self, cycles: Iterable[Array], on: str) -> Iterator[_Fit]:
        """The best so far after each of these cycles, which are fitted to ``on``."""
        fit = self
        for parameters in cycles:
            matrices = with_parameters(self.cut, parameters)
            error = self.case.validation_error(matrices)
            if error < fit.error:
                fit = replace(fit, matrices=matrices, error=error, on=on)
            yield fit


@dataclass(frozen=True, eq=False)
class _Start:
    """A fit, the cycles that will go on with it on the outputs, and the residual that comes then, if any."""

    fit: _Fit
    cycles: Iterator[Array]
    residual: ResampledLoss | None
    work: Work


def _start(cut: Network, shared: Shared, seed: int, work: Work) -> _Start:
    """``seed`` is added to the request's; the residual has half of the work."""
    case, recovery = cut.case, shared.recovery
    sites = {name: m for name, m in cut.matrices.items() if isinstance(m, SiteMatrix)}
    norm, seed = case.request.norm, case.request.seed + seed
    outputs = outputs_loss(case.split, sites, shared.pool, shared.powers, seed, norm)
    residual = residual_to(case.split, sites, recovery, case.against, seed)
    part = work if residual is None else work.part(-(-work.left // 2))
    return _Start(
        _Fit(case, sites, sites, case.validation_error(sites)),
        cycles(outputs, parameters_of(sites), part), residual, work,
    )  # fmt: skip


def _promising(starts: Sequence[_Start], safe: float) -> Sequence[_Start]:
    """Those that a few cycles bring the furthest, best first: the least missed is often not among them."""
    for heat in HEATS:
        starts = [_warmed(start, heat) for start in starts]
        starts = sorted(starts, key=lambda start: start.fit.error)
        starts = starts[: max(FINALISTS, len(starts) // 2)]
        if starts[0].fit.error <= safe:
            break
    return starts[:FINALISTS]


def _warmed(start: _Start, cycles: int) -> _Start:
    fit = start.fit
    for each in fit.after(islice(start.cycles, cycles), "outputs"):
        fit = each
    return replace(start, fit=fit)


def _fitted(start: _Start, patience: int, safe: float) -> _Fit:
    """Until its error is ``safe``, or falls too slowly."""
    fit, residual, case = start.fit, start.residual, start.fit.case
    # The dense model's outputs lead no nearer to the reference than the dense model is.
    enough = safe if residual is None else max(safe, AS_GOOD * _dense_error(case))
    fit = _followed(fit, "outputs", start.cycles, patience, enough, start.work)
    if fit.error <= safe or residual is None or fit.error > NEAR * enough:
        return fit
    work = start.work.dearer(RESIDUAL_STEP)
    on_residual = cycles(residual, parameters_of(fit.matrices), work)
    return _followed(fit, "residual", on_residual, patience, safe, work)


def _followed(
    fit: _Fit, on: str, cycles: Iterator[Array], patience: int, enough: float, work: Work
) -> _Fit:
    def error(fit: _Fit) -> float:
        return fit.error

    best, due = fit, work.left
    for best in until_stalled(fit.after(cycles, on), error, enough, patience):
        if work.left <= due:
            fit.case.tell(f"fitting {on}: error {best.error:.2e}, {work.left} steps left")
            due = work.left - REPORTED
    return best


def _dense_error(case: Case) -> float:
    whole = case.unfolded
    return whole.validation_error(whole.split.matrices)


def residual_to(
    split: SplitModel, matrices: Matrices, recovery: Recovery, against: Against, seed: int
) -> ResampledLoss | None:
    """The residual to be fitted to; None if it is not asked for, or not there and only offered."""
    if recovery.problem is None or not recovery.uses_residual(against):
        return None
    try:
        return residual_loss(split, matrices, recovery.problem, seed)
    except (ModelError, InputError):  # it can't be differentiated, or torch is not there
        if recovery.on == "residual":
            raise
        return None
