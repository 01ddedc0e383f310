"""Bench: measured latency beside predictions and bounds, and calibration of this machine."""

from __future__ import annotations

from hedge.benching.accuracy import Accuracy, evaluate
from hedge.benching.backends import BACKENDS, ONNXRUNTIME, backend_for, find_backend
from hedge.benching.bench import bench
from hedge.benching.calibration import (
    FULL,
    QUICK,
    calibrate,
    check_can_be_kept,
    keep_as_auto,
    this_machine,
)
from hedge.benching.changes import Change, changes_since, check_comparable, check_shared
from hedge.benching.energy import Metering, check_window
from hedge.benching.fleet import BenchRow, fleet_document, read_bench_rows
from hedge.benching.machine import Machine, calibrated_here, machine_facts, processor_name
from hedge.benching.protocol import (
    Effort,
    bound_run,
    check_batches,
    check_threads,
    interleaved_times,
    median_seconds,
    time_ratio,
)
from hedge.benching.remote import RemoteBench, bench_on, bench_on_each
from hedge.benching.result import BenchResult, Measurement, read_result
from hedge.exporting.compiling import has_compiler

__all__ = [
    "BACKENDS", "FULL", "ONNXRUNTIME", "QUICK", "Accuracy", "BenchResult", "BenchRow", "Change", "Effort",
    "Machine", "Measurement", "Metering", "RemoteBench", "backend_for", "bench", "bench_on", "bench_on_each",
    "bound_run", "calibrate", "calibrated_here", "changes_since", "check_batches",
    "check_can_be_kept", "check_comparable", "check_shared", "check_threads", "check_window",
    "evaluate", "find_backend", "fleet_document", "has_compiler", "interleaved_times", "keep_as_auto",
    "machine_facts", "median_seconds", "processor_name", "read_bench_rows", "read_result", "this_machine",
    "time_ratio",
]  # fmt: skip
