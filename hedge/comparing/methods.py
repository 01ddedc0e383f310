"""The methods of a comparison, in the order of its rows."""

from __future__ import annotations

from dataclasses import replace

from hedge.compression import Case, CompressedModel, byte_count, compress, parameter_count
from hedge.exporting import to_onnx
from hedge.rivals import RIVALS, Absent, Candidate, Method


def dense(case: Case) -> Candidate:
    """The model as it is."""
    matrices = case.split.matrices
    return Candidate(case.dense, parameter_count(matrices), byte_count(matrices))


def hedge(case: Case) -> Candidate:
    """What ``hedge compress`` gives, without retraining."""
    return _candidate(compress(case))


def hedge_recovered(case: Case) -> Candidate | Absent:
    """The same, cut further and fitted again with the work that is allowed (needs torch)."""
    try:
        from hedge.recovery import Recovery, recover
    except ModuleNotFoundError as error:
        if error.name != "torch":
            raise
        return Absent("needs torch: pip install 'hedge-pinn[train]'")
    return _candidate(recover(case, compress(case), Recovery(case.allowance, "outputs")))


def paper(case: Case) -> Candidate:
    """Algorithms 3 and 4 of the paper, whichever needs less of the paper's energy."""
    return _candidate(compress(replace(case, request=replace(case.request, method="paper"))))


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
