"""The methods of a comparison, in the order of its rows."""

from __future__ import annotations

from hedge.compression import byte_count, compress, parameter_count
from hedge.exporting import to_onnx
from hedge.rivals import RIVALS, Candidate, Method, Task


def dense(task: Task) -> Candidate:
    """The model as it is."""
    matrices = task.split.matrices
    return Candidate(task.dense, parameter_count(matrices), byte_count(matrices))


def hedge(task: Task) -> Candidate:
    """What ``hedge compress`` gives, without retraining."""
    compressed = compress(task.split, task.device, task.points, task.request, task.source)
    plan = compressed.plan
    note = f"chosen for batch {plan.batch} on {plan.device}"
    return Candidate(to_onnx(compressed), plan.parameters, plan.bytes, plan.note or note)


METHODS: dict[str, Method] = {"dense": dense, "hedge": hedge, **RIVALS}
