"""The methods of a comparison, in the order of its rows."""

from __future__ import annotations

from dataclasses import replace

from hedge.compression import (
    CompressedModel,
    Request,
    Task,
    byte_count,
    compress,
    parameter_count,
    prepare,
)
from hedge.exporting import to_onnx
from hedge.rivals import RIVALS, Absent, Candidate, Contest, Method


def dense(contest: Contest) -> Candidate:
    """The model as it is."""
    matrices = contest.split.matrices
    return Candidate(contest.dense, parameter_count(matrices), byte_count(matrices))


def hedge(contest: Contest) -> Candidate:
    """What ``hedge compress`` gives, without retraining."""
    return _candidate(compress(_task(contest, contest.request)))


def hedge_recovered(contest: Contest) -> Candidate | Absent:
    """The same, cut further and fitted again with the work that the contest allows (needs torch)."""
    try:
        from hedge.recovery import Recovery, recover
    except ModuleNotFoundError as error:
        if error.name != "torch":
            raise
        return Absent("needs torch: pip install 'hedge-pinn[train]'")
    task = _task(contest, contest.request)
    recovery = Recovery(contest.allowance, "outputs")
    return _candidate(recover(task, compress(task), recovery))


def paper(contest: Contest) -> Candidate:
    """Algorithms 3 and 4 of the paper, whichever needs less of the paper's energy."""
    return _candidate(compress(_task(contest, replace(contest.request, method="paper"))))


def _task(contest: Contest, request: Request) -> Task:
    return prepare(contest.split, contest.device, contest.points, request, contest.source)


def _candidate(compressed: CompressedModel) -> Candidate:
    plan = compressed.plan
    note = plan.note or plan.recovery or f"chosen for batch {plan.batch} on {plan.device}"
    return Candidate(to_onnx(compressed), plan.parameters, plan.bytes, note)


METHODS: dict[str, Method] = {
    "dense": dense,
    "hedge": hedge,
    "hedge, recovered": hedge_recovered,
    "paper": paper,
    **RIVALS,
}
