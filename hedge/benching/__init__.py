"""Bench: measured latency beside predictions and bounds, and calibration of this machine."""

from __future__ import annotations

from hedge.benching.accuracy import Accuracy, OperatorAccuracy, evaluate, evaluate_operator
from hedge.benching.bench import UNSTABLE, BenchResult, Measurement, bench, machine_facts
from hedge.benching.calibration import (
    AUTO,
    FULL,
    QUICK,
    calibrate,
    keep_as_auto,
    this_machine,
)
from hedge.benching.confirmation import time_ratio
from hedge.benching.protocol import (
    Effort,
    bound_run,
    check_batches,
    check_threads,
    interleaved_times,
)

__all__ = [
    "AUTO",
    "FULL",
    "QUICK",
    "UNSTABLE",
    "Accuracy",
    "BenchResult",
    "Effort",
    "Measurement",
    "OperatorAccuracy",
    "bench",
    "bound_run",
    "calibrate",
    "check_batches",
    "check_threads",
    "evaluate",
    "evaluate_operator",
    "interleaved_times",
    "keep_as_auto",
    "machine_facts",
    "this_machine",
    "time_ratio",
]
