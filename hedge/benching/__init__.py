"""Bench: measured latency beside predictions and bounds, and calibration of this machine."""

from __future__ import annotations

from hedge.benching.accuracy import Accuracy, OperatorAccuracy, evaluate, evaluate_operator
from hedge.benching.bench import UNSTABLE, BenchResult, Measurement, bench, machine_facts
from hedge.benching.calibration import AUTO, calibrate, this_machine
from hedge.benching.protocol import (
    LARGEST_BATCH,
    Effort,
    bound_run,
    check_threads,
    interleaved_times,
)

__all__ = [
    "AUTO",
    "LARGEST_BATCH",
    "UNSTABLE",
    "Accuracy",
    "BenchResult",
    "Effort",
    "Measurement",
    "OperatorAccuracy",
    "bench",
    "bound_run",
    "calibrate",
    "check_threads",
    "evaluate",
    "evaluate_operator",
    "interleaved_times",
    "machine_facts",
    "this_machine",
]
