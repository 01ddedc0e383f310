"""Making a case of a dense model, where what is asked of it makes sense."""

from __future__ import annotations

from onnx import ModelProto

from hedge.certifying import Solution
from hedge.compression.case import ALLOWED, Case, TimeRatio
from hedge.compression.measure import Reference, centred, check_not_zero
from hedge.compression.points import PointSets
from hedge.compression.proof import check_provable
from hedge.devices import Device
from hedge.errors import InputError, ModelError
from hedge.graph import SplitModel, check_finite, split
from hedge.problems import OperatorProblem, Problem
from hedge.progress import Progress, silent
from hedge.request import Against, Allowance, Request, Source


def prepare(
    dense: ModelProto,
    device: Device,
    points: PointSets,
    request: Request,
    source: Source,
    *,
    problem: Problem | OperatorProblem | None = None,
    reference: Reference | None = None,
    against: Against = "dense",
    allowance: Allowance = ALLOWED,
    time_ratio: TimeRatio | None = None,
    tell: Progress = silent,
    parts: SplitModel | None = None,
    dense_solution: Solution | None = None,
) -> Case:
    """The case of a dense model, after a look at its outputs on the validation points.

    ``time_ratio`` measures candidates where the device is at hand, see :func:`confirmed`; ``parts`` is the
    model's split, where that is known, ``dense_solution`` what is proved of it as the problem's solution.

    Raises ModelError for a model without linear sites, whose output is zero, not finite, or constant where
    errors are relative to the spread, or that can't be certified where that is asked; InputError for a
    request that makes no sense for it.
    """
    case = Case(
        dense=dense,
        split=parts or split(dense),
        source=source,
        points=points,
        request=request,
        device=device,
        problem=problem,
        reference=reference,
        against=against,
        allowance=allowance,
        time_ratio=time_ratio,
        tell=tell,
        dense_solution=dense_solution,
    )
    if request.certify:
        check_provable(case)
    deployed = case.deployed
    check_finite(deployed)
    check_not_zero(deployed)
    if case.to_spread and not centred(deployed).any():
        raise ModelError(
            "its output is constant on the domain, so there is no error relative to its spread; leave out "
            "--relative-to spread"
        )
    if request.derivatives is not None and not case.slopes.at(points.validation).any():
        raise InputError("derivatives: are zero on the whole domain; leave out --derivatives")
    if not (request.fits and case.no_prospect):
        tell("measuring activations and how the output feels each site")
        case.measured  # noqa: B018 - raises what it must, before the search
    return case
