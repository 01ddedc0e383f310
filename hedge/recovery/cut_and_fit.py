"""Recovery step by step: cut a little, fit again, and cut again until the tolerance binds.

One deep cut does not recover; several small ones do (docs/mathematics.md, recovery). A rung cuts neurons
(or ranks, where widths are kept) until the output is off by a few percent, then fits what is left to the
dense model's outputs, which is cheap and safe. If that does not reach the tolerance, since the dense model
itself is too far from the reference, it goes on with the residual of the problem.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from importlib.metadata import version
from typing import Literal, get_args

import numpy as np

from hedge.arrays import Array
from hedge.compression import (
    Allowance,
    Case,
    CompressedModel,
    Rung,
    certified,
    confirmed,
    parameter_count,
    with_recovery,
)
from hedge.errors import InputError, ModelError, quoted
from hedge.graph import (
    PRECISIONS,
    Evaluator,
    Matrix,
    SiteMatrix,
    SplitModel,
    assemble,
    neuron_groups,
    run_float32,
    split_of,
    stored_as,
)
from hedge.memory import keep_freed_memory
from hedge.problems import Problem
from hedge.recovery.cutting import EARLY_LAYER, LAYER, Network, Way, cut_of
from hedge.recovery.improvement import PATIENCE, SAFELY, fits
from hedge.recovery.losses import Pool, ResampledLoss, outputs_loss, points_needed, residual_loss
from hedge.recovery.parametric_model import Matrices, parameters_of, with_parameters
from hedge.recovery.work import SpentError, Work
from hedge.request import Against

RecoverOn = Literal["auto", "outputs", "gradients", "residual"]

# Errors of the output a cut aims at, deepest first; a rung that fails is tried again less deep.
DEPTHS = (1e-1, 3e-2, 1e-2)
# Then one neuron is cut, in turn of so many layers, where it is missed the least.
SINGLES = 6
# A layer's fit has less patience.
LAYER_PATIENCE = 8
# Outputs are fitted well enough when the error is so many times the dense model's own.
AS_GOOD = 1.1
# One cycle in so many is reported.
REPORTED = 5
# It is not tried how far networks of so many parameters can be cut.
LARGEST = 5_000_000


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


def check_residual(
    split: SplitModel, recovery: Recovery, against: Against, *, keep_widths: bool
) -> None:
    """Raise what ``recover`` on the residual would, before the long work.

    InputError if layers are to be factorized or torch is not installed, ModelError if the model's
    residual can't be differentiated.
    """
    if keep_widths and recovery.on == "residual":
        raise InputError(
            "recover residual: needs dense layers, and keep-widths factorizes them; leave one out"
        )
    if not keep_widths:
        _residual(split, split.matrices, recovery, against, seed=0)


def can_be_cut(split: SplitModel, *, keep_widths: bool) -> bool:
    """Whether a network has ranks or neurons that can go."""
    return keep_widths or bool(neuron_groups(split).groups)


def recover(
    case: Case,
    found: CompressedModel,
    recovery: Recovery,
    *,
    go_on: bool = False,
    on_better: Callable[[CompressedModel], None] = lambda model: None,
) -> CompressedModel:
    """The cheapest certified network that the allowance allows; ``found`` if none is cheaper.

    Starts from the dense network or, with ``go_on``, from ``found``, if that was recovered before.
    ``on_better`` sees every certified result that is cheaper than the last, so that Ctrl-C, which goes
    through, loses nothing.
    """
    if not can_be_cut(case.split, keep_widths=case.request.keep_widths):
        return told(found, "no neuron of it can go")
    count = parameter_count(case.split.matrices)
    if count > LARGEST:
        return told(
            found, f"left out: fits of {count:,} parameters, more than {LARGEST:,}, take hours"
        )
    keep_freed_memory()
    shared = _Shared.of(case, recovery)
    here = case_of(case, found)
    best, best_cost = told(found), here.cost(found.matrices)
    stand = Network(here, found.matrices) if go_on else Network(case, case.split.matrices)
    rungs, by = list(found.plan.rungs), torch_of(found)
    ways: list[tuple[int, Way]] = [
        (patience, way)
        for patience in PATIENCE
        for way in (EARLY_LAYER, *DEPTHS, *range(SINGLES), LAYER)
    ]
    untried, attempt = list(ways), found.plan.attempts
    try:
        while untried:
            patience, way = untried.pop(0)
            cut = cut_of(stand, way, shared.work)
            if cut is None:
                continue
            case.tell(f"cut to {parameter_count(cut.matrices)} parameters, fitting again")
            safe = min(SAFELY * case.request.tolerance, case.likely(attempt))
            of_layer = way in (EARLY_LAYER, LAYER)
            wait = min(patience, LAYER_PATIENCE) if of_layer else patience
            fitted, rung = _fitted(cut, shared, wait, safe)
            certificate = None
            if rung.error <= safe:
                if attempt >= case.points.attempts:
                    return told(best, _no_samples(case, shared), attempt)
                certificate = certified(cut.case, _stored(cut.case, fitted, safe), attempt)
                attempt += 1
            if certificate is None:
                if of_layer:  # a smaller network will hardly do without one
                    ways = [one for one in ways if one != (patience, way)]
                continue
            stand, rungs = Network(cut.case, fitted), [*rungs, rung]
            # From a little deeper on: much deeper cuts failed before, and cost as much work.
            place = max(0, ways.index((patience, way)) - 1)
            untried = ways[place:] + ways[:place]
            if rung.on == "residual":
                by = {"torch": version("torch")}
            cost = cut.case.cost(certificate.matrices)
            if cost < best_cost:
                certificate = confirmed(cut.case, certificate)
                if not certificate.plan.gains:
                    continue
                best, best_cost = told(with_recovery(certificate, "", rungs, by)), cost
                on_better(best)
    except SpentError:
        return told(best, _spent(shared), attempt)
    return told(best, f"no deeper cut kept the tolerance, {_taken(shared)}", attempt)


@dataclass(frozen=True)
class _Shared:
    """What all fits of a run have in common; powers (m,) are those of the dense outputs' columns."""

    recovery: Recovery
    pool: Pool
    powers: Array
    work: Work

    @staticmethod
    def of(case: Case, recovery: Recovery) -> _Shared:
        """Its work counts from now."""
        work = Work(recovery.allowance)
        return _Shared(recovery, _pool(case, recovery), case.measured.powers, work)


def case_of(case: Case, model: CompressedModel) -> Case:
    """The case for a model that may have lost layers."""
    if model.matrices.keys() == case.split.matrices.keys():
        return case
    return case.folded(split_of(model.skeleton, model.matrices))


def _spent(shared: _Shared) -> str:
    taken, budget_s = _taken(shared), shared.recovery.allowance.budget_s
    return taken if shared.work.left == 0 else f"the budget of {budget_s:g} s is spent, {taken}"


def _no_samples(case: Case, shared: _Shared) -> str:
    return (
        f"the samples are used up after {case.points.attempts} certifications (more rows allow more), "
        f"{_taken(shared)}"
    )


def _taken(shared: _Shared) -> str:
    steps = shared.recovery.allowance.steps
    return f"{steps - shared.work.left} of {steps} steps taken"


def told(model: CompressedModel, ending: str = "", attempts: int = 0) -> CompressedModel:
    """The model with how many cuts were recovered in its plan, and why there are no more.

    ``attempts`` is how many candidates were put to the test meanwhile, whatever came of them.
    """
    rungs = model.plan.rungs
    counted = max(attempts, model.plan.attempts)
    model = replace(model, plan=model.plan.model_copy(update={"attempts": counted}))
    said = f"{len(rungs)} cut(s) recovered" if rungs else "nothing cheaper found"
    return with_recovery(model, f"{said}; {ending}" if ending else said, rungs)


def torch_of(model: CompressedModel) -> dict[str, str]:
    """The version of torch that recovered a model, if it did."""
    return {name: text for name, text in model.plan.versions.items() if name == "torch"}


def _pool(case: Case, recovery: Recovery) -> Pool:
    dense = assemble(case.split.skeleton, case.split.matrices)
    points = case.points.practice(points_needed(sum(case.widths)))
    if recovery.on != "gradients" and case.request.derivatives is None:
        return Pool(points, run_float32(dense, points))
    above, below, reach = case.pairs_around(points)
    pairs = np.concatenate([above, below])
    # In float64: a difference of float32 outputs would be mostly rounding.
    return Pool(pairs, Evaluator(dense)(pairs), np.full(len(points), 2.0 * reach))


def _fitted(cut: Network, shared: _Shared, patience: int, safe: float) -> tuple[Matrices, Rung]:
    """The cut network fitted again, until its error is ``safe``, and how that went; takes half of the
    work left.

    What it is fitted to shares that equally, so that the residual has its part.
    """
    case, work = cut.case, shared.work
    sites = {name: m for name, m in cut.matrices.items() if isinstance(m, SiteMatrix)}
    before, rung_work = work.left, work.for_fit(parameter_count(sites))
    cut_error = case.validation_error(sites)

    def error_of(parameters: Array) -> float:
        return case.validation_error(with_parameters(sites, parameters))

    best, best_error, on = parameters_of(sites), cut_error, "cut"
    losses = _losses(case, sites, shared)
    for number, (name, loss) in enumerate(losses):
        part = rung_work.part(-(-rung_work.left // (len(losses) - number)))
        # The dense model's outputs lead no nearer to the reference than the dense model is.
        last = number == len(losses) - 1
        enough = max(safe, 0.0 if last else AS_GOOD * _dense_error(case))
        fitting = fits(loss, best, error_of, enough, patience, part)
        for cycle, (parameters, error) in enumerate(fitting):
            if cycle % REPORTED == 0:
                case.tell(f"fitting {name}: error {error:.2e}, {work.left} steps left")
            if error < best_error:
                best, best_error, on = parameters, error, name
        if best_error <= safe:
            break
    rung = Rung(
        parameters=parameter_count(sites), cut_error=cut_error, error=best_error, on=on,
        steps=before - work.left,
    )  # fmt: skip
    return with_parameters(sites, best), rung


def _dense_error(case: Case) -> float:
    whole = case.unfolded
    return whole.validation_error(whole.split.matrices)


def _stored(case: Case, matrices: Matrices, safe: float) -> Mapping[str, Matrix]:
    """In the precision that takes the fewest bytes and keeps the error, where bytes count."""
    if case.request.objective != "size":
        return matrices
    found = [{name: stored_as(m, p) for name, m in matrices.items()} for p in PRECISIONS]
    errors = [case.validation_error(one) for one in found]
    good = [m for m, e in zip(found, errors, strict=True) if e <= safe]
    return min(good, key=case.cost, default=matrices)


def _losses(case: Case, cut: Matrices, shared: _Shared) -> list[tuple[str, ResampledLoss]]:
    seed, recovery = case.request.seed, shared.recovery
    norm = case.request.norm
    outputs = outputs_loss(case.split, cut, shared.pool, shared.powers, seed, norm)
    residual = _residual(case.split, cut, recovery, case.against, seed)
    found = [("outputs", outputs)]
    return found if residual is None else [*found, ("residual", residual)]


def _residual(
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
