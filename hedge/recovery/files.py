"""Recovery to a file: every better result is written at once, Ctrl-C keeps the best, a later run goes on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from onnx import ModelProto, ValueInfoProto

from hedge.compression import (
    Case,
    CompressedModel,
    Source,
    certified,
    load_compressed,
    with_recovery,
)
from hedge.errors import InputError, ToleranceError
from hedge.graph import SplitModel
from hedge.recovery.cut_and_fit import case_of, recover, told, torch_of
from hedge.recovery.refitting import Recovery

INTERRUPTED = "interrupted"
# Of what is asked, that which a plan's promise and its figures hang on, beside columns.
SAME = (
    "tolerance", "objective", "batch", "method", "keep_widths", "relative_to", "norm", "derivatives",
)  # fmt: skip


def earlier_result(path: Path, split: SplitModel, source: Source) -> CompressedModel:
    """The result of an earlier run on the model that ``source`` names.

    Raises InputError if there is no file or it is of another model, ModelError if it is damaged.
    """
    earlier = load_compressed(path)
    if earlier.plan.source_sha256 != source.sha256 or not _fits(earlier, split):
        raise InputError(
            f"{path}: was not made from {source.name}; leave out --resume to start anew"
        )
    return earlier


def _fits(earlier: CompressedModel, split: SplitModel) -> bool:
    """Whether its inputs and outputs are the model's, and its matrices can be those of the model's sites:
    as large, with fewer neurons, or without the layers that its plan says were removed.
    """
    dense, found = split.matrices, earlier.matrices
    lost = dense.keys() - found.keys()
    if found.keys() - dense.keys() or lost != set(earlier.plan.removed):
        return False
    return _ports(earlier.skeleton) == _ports(split.skeleton) and all(
        lost or now <= before
        for name in found
        for now, before in zip(found[name].shape, dense[name].shape, strict=True)
    )


def _ports(skeleton: ModelProto) -> list[ValueInfoProto]:
    return [*skeleton.graph.input, *skeleton.graph.output]


def resumed(case: Case, earlier: CompressedModel, path: Path) -> CompressedModel:
    """An earlier result, certified for the tolerance asked for now.

    Raises InputError if it does not keep that or gains nothing by what is asked now, or no samples are
    left that it was not certified on before.
    """
    attempt = earlier.plan.attempts
    if attempt >= case.points.attempts:
        raise InputError(
            f"{path}: its runs have used up the samples to certify on; give more rows, or leave out "
            "--resume to start anew"
        )
    here = case_of(case, earlier)
    found = certified(here, earlier.matrices, attempt)
    if found is None and _is_asked_again(here, earlier):
        # Near the tolerance a second test may fail by chance; what was certified stays so.
        plan = earlier.plan.model_copy(update={"attempts": attempt + 1})
        found = replace(earlier, plan=plan)
    if found is None:
        raise InputError(
            f"{path}: {_errors_of(here, earlier)} and does not keep the tolerance "
            f"{case.request.tolerance:g}{_of_derivatives(case)}; leave out --resume to start anew"
        )
    if not found.plan.gains and found.plan.parameters != found.plan.dense_parameters:
        raise InputError(
            f"{path}: gains nothing over {case.source.name} at batch {case.request.batch} on "
            f"{case.device.name}; leave out --resume to start anew"
        )
    return with_recovery(found, earlier.plan.recovery, earlier.plan.rungs, torch_of(earlier))


def _is_asked_again(case: Case, earlier: CompressedModel) -> bool:
    """Whether a result was certified for what is asked now, on points of the same kind.

    A plan may say what its file does not hold, so its error on validation points has to be as it says.
    """
    plan, request = earlier.plan, case.request
    return (
        all(getattr(plan, name) == getattr(request, name) for name in SAME)
        and request.columns in (None, plan.columns)
        and (plan.points, plan.against) == (case.points.origin, case.against)
        and plan.device_profile == case.device
        and (plan.proved is not None or not request.certify)
        and case.validation_error(earlier.matrices) <= request.tolerance
    )


def _errors_of(case: Case, model: CompressedModel) -> str:
    """Those of a model by what is asked now, which its plan need not be about."""
    request = case.request
    values = replace(case, request=replace(request, derivatives=None))
    said = f"has an error of {values.validation_error(model.matrices):.2e}"
    if request.derivatives is None:
        return said
    slopes = case.slope_error(model.to_onnx(), case.validation)
    return said if slopes is None else f"{said}, {slopes.relative:.2e} of derivatives,"


def _of_derivatives(case: Case) -> str:
    promised = case.request.derivatives
    return "" if promised is None else f", {promised:g} of derivatives"


def recover_to_file(
    case: Case,
    found: CompressedModel,
    recovery: Recovery,
    write: Callable[[CompressedModel], None],
    *,
    resume: bool,
) -> CompressedModel:
    """:func:`recover` from ``found``; each better result is given to ``write``.

    Ctrl-C ends it with the best so far, whose plan says so.

    Raises ToleranceError if nothing keeps the tolerance, which ``found`` need not; OutputError, at once,
    if another process writes ``out`` meanwhile.
    """
    best = found

    def keep(model: CompressedModel) -> None:
        nonlocal best
        best = model
        if _keeps_tolerance(model):
            write(model)

    try:
        keep(found)
        best = recover(case, found, recovery, go_on=resume, on_better=keep)
    except KeyboardInterrupt:
        best = told(best, INTERRUPTED)
    if not _keeps_tolerance(best):
        raise ToleranceError(
            f"tolerance: {case.request.tolerance:g} was not met: the dense model is "
            f"{best.plan.promised_error:.2e} away from the reference, and recovery came no nearer "
            f"({best.plan.recovery}); allow more, or give a longer budget"
        )
    write(best)
    return best


def interrupted(model: CompressedModel) -> bool:
    """Whether Ctrl-C ended its recovery."""
    return model.plan.recovery.endswith(INTERRUPTED)


def _keeps_tolerance(model: CompressedModel) -> bool:
    return model.plan.promised_error <= model.plan.tolerance
