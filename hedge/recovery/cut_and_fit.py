"""Recovery step by step: cut a little, fit again, and cut again until the tolerance binds.

One deep cut does not recover; several small ones do (docs/mathematics.md, recovery). A rung cuts neurons
(or ranks, where widths are kept) until the output is off by a few percent, then fits what is left to the
dense model's outputs, which is cheap and safe. If that does not reach the tolerance, since the dense model
itself is too far from the reference, it goes on with the residual of the problem.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from importlib.metadata import version

from hedge.compression import (
    Case,
    CompressedModel,
    Network,
    Rung,
    certified,
    confirmed,
    parameter_count,
    with_recovery,
)
from hedge.compression.network import LARGE
from hedge.compression.points import UNLIMITED
from hedge.errors import InputError
from hedge.graph import PRECISIONS, Matrix, SplitModel, neuron_groups, split_of, stored_as
from hedge.memory import keep_freed_memory
from hedge.recovery.cutting import MOST_PARAMETERS, WORTHWHILE, cuts_of
from hedge.recovery.improvement import SAFELY
from hedge.recovery.refitting import Recovery, Shared, refitted, residual_to
from hedge.recovery.ways import Way, Ways
from hedge.recovery.work import SpentError
from hedge.request import Against

# A network is put to the test on so many times the points, at last with its error this part of what it was.
TESTS = ((1, 1.0), (4, 1.0), (4, 0.95))
# It is not tried how far networks of so many parameters can be cut.
LARGEST = 5_000_000


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
        residual_to(split, split.matrices, recovery, against, seed=0)


def can_be_cut(split: SplitModel, *, keep_widths: bool) -> bool:
    """Whether a network has ranks or neurons that can go."""
    return keep_widths or bool(neuron_groups(split).groups)


def too_large(split: SplitModel) -> str:
    """Why a network is not recovered that has too many parameters; empty for others."""
    count = parameter_count(split.matrices)
    if count <= LARGEST:
        return ""
    return f"left out: fits of {count:,} parameters, more than {LARGEST:,}, take hours"


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
    if why := too_large(case.split):
        return told(found, why)
    keep_freed_memory()
    shared = Shared.of(case, recovery)
    here = case_of(case, found)
    best, best_cost = told(found), here.cost(found.matrices)
    stand = Network(here, found.matrices) if go_on else Network(case, case.split.matrices)
    rungs, by = list(found.plan.rungs), torch_of(found)
    ways, attempt = Ways.usual(case.request.tolerance), found.plan.attempts
    try:
        while ways.untried:
            shared.work.check()
            if parameter_count(stand.matrices) > LARGE:
                case.tell(f"cutting {parameter_count(stand.matrices)} parameters")
            cuts = cuts_of(stand, ways.untried[0], shared.work)
            if not cuts:
                ways = ways.skipped()
                continue
            if attempt >= case.points.attempts:
                return told(best, _no_samples(case, shared), attempt)
            case.tell(f"cut to {parameter_count(cuts[0].matrices)} parameters, fitting again")
            fitted, rung, certificate, attempt = _recovered(cuts, ways.untried[0], shared, attempt)
            if certificate is None:
                ways = ways.failed()
                continue
            stand, rungs, ways = fitted, [*rungs, rung], ways.succeeded()
            if rung.on == "residual":
                by = {"torch": version("torch")}
            cost = stand.case.cost(certificate.matrices)
            if cost < best_cost:
                certificate = confirmed(stand.case, certificate)
                if not certificate.plan.gains:
                    continue
                best, best_cost = told(with_recovery(certificate, "", rungs, by)), cost
                on_better(best)
    except SpentError:
        return told(best, _spent(shared), attempt)
    return told(best, _all_tried(shared), attempt)


def _recovered(
    cuts: Sequence[Network], way: Way, shared: Shared, attempt: int
) -> tuple[Network, Rung, CompressedModel | None, int]:
    """The cuts fitted again, how, the certificate if there is one, and the attempt that comes next.

    One that is not certified is put to the test again on more points, and then fitted on to a lower error.
    """
    case = cuts[0].case
    aim = min(SAFELY * case.request.tolerance, case.likely(attempt))
    fitted, rung = refitted(cuts, way, shared, aim)
    certificate: CompressedModel | None = None
    for times, part in _tests(case):
        if part < 1.0:
            aim = part * rung.error
            fitted, further = refitted([fitted], way, shared, aim)
            both = {"cut_error": rung.cut_error, "steps": (rung.steps or 0) + (further.steps or 0)}
            rung = further.model_copy(update=both)
        if rung.error > aim or attempt >= case.points.attempts:
            break
        certificate = certified(fitted.case, _stored(fitted, aim), attempt, times)
        attempt += 1
        if certificate is not None:
            break
    return fitted, rung, certificate, attempt


def _tests(case: Case) -> Sequence[tuple[int, float]]:
    """More points alone say more of a mean, where there are any."""
    more = case.request.norm == "l2" and case.points.attempts == UNLIMITED
    return TESTS if more else TESTS[::2]


def case_of(case: Case, model: CompressedModel) -> Case:
    """The case for a model that may have lost layers, or constants per neuron."""
    if model.skeleton == case.split.skeleton:
        return case
    return case.folded(split_of(model.skeleton, model.matrices))


def _all_tried(shared: Shared) -> str:
    if shared.work.left == shared.recovery.allowance.steps:
        most = f"{100 * WORTHWHILE:.0f} % of the parameters and less than {MOST_PARAMETERS:,}"
        return f"no cut that can be fitted leaves less than {most}"
    return f"no deeper cut kept the tolerance, {_taken(shared)}"


def _spent(shared: Shared) -> str:
    taken, budget_s = _taken(shared), shared.recovery.allowance.budget_s
    return taken if shared.work.left == 0 else f"the budget of {budget_s:g} s is spent, {taken}"


def _no_samples(case: Case, shared: Shared) -> str:
    return (
        f"the samples are used up after {case.points.attempts} certifications (more rows allow more), "
        f"{_taken(shared)}"
    )


def _taken(shared: Shared) -> str:
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


def _stored(network: Network, safe: float) -> Mapping[str, Matrix]:
    """In the precision that takes the fewest bytes and keeps the error, where bytes count."""
    case, matrices = network.case, network.matrices
    if case.request.objective != "size":
        return matrices
    found = [{name: stored_as(m, p) for name, m in matrices.items()} for p in PRECISIONS]
    errors = [case.validation_error(one) for one in found]
    good = [m for m, e in zip(found, errors, strict=True) if e <= safe]
    return min(good, key=case.cost, default=matrices)
