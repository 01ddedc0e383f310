"""A prediction put to the test: a candidate beside its dense original, briefly."""

from __future__ import annotations

import numpy as np
from onnx import ModelProto

from hedge.benching.machine import processor_name
from hedge.benching.protocol import Effort, bound_run, interleaved_times
from hedge.devices import Device

BRIEF = Effort(warm_up_s=0.05, timed_s=0.4, least_runs=9)
# Beyond the caches time is proportional to rows, and so many fit into any memory.
MOST_ROWS = 16384


def calibrated_here(device: Device) -> bool:
    """Whether its figures were measured on this machine, or one with the same processor."""
    calibration = device.calibration
    return calibration is not None and calibration.processor == processor_name()


def time_ratio(
    dense: ModelProto, candidate: ModelProto, batch: int, effort: Effort = BRIEF
) -> float:
    """The candidate's median time over the dense model's, on one thread of this machine.

    Runs are interleaved, see :func:`hedge.benching.interleaved_times`; takes about a second, more
    where one call takes over 20 ms. Batches above 16,384 rows are timed at that.

    Raises ModelError if onnxruntime can't run one of them.
    """
    rows = min(batch, MOST_ROWS)
    runs = [bound_run(model, rows, threads=1) for model in (dense, candidate)]
    times = interleaved_times(runs, effort)
    return float(np.median(times[1]) / np.median(times[0]))
