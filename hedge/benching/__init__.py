"""Bench: measured latency beside predictions and bounds, and calibration of this machine."""

from __future__ import annotations

from hedge.benching.accuracy import Accuracy, OperatorAccuracy, evaluate, evaluate_operator
from hedge.benching.bench import UNSTABLE, BenchResult, Measurement, bench
from hedge.benching.calibration import AUTO, calibrate, this_machine
from hedge.benching.protocol import Effort

__all__ = [
    "AUTO",
    "UNSTABLE",
    "Accuracy",
    "BenchResult",
    "Effort",
    "Measurement",
    "OperatorAccuracy",
    "bench",
    "calibrate",
    "evaluate",
    "evaluate_operator",
    "this_machine",
]
