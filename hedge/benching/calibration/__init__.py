"""Measuring this machine: tables of what onnxruntime's nodes take here."""

from __future__ import annotations

from hedge.benching.calibration.cache import check_can_be_kept, keep_as_auto, this_machine
from hedge.benching.calibration.machine import FULL, QUICK, Scope, calibrate
from hedge.benching.calibration.timing import WindowedTimer, clocked

__all__ = [
    "FULL", "QUICK", "Scope", "WindowedTimer", "calibrate", "check_can_be_kept", "clocked",
    "keep_as_auto", "this_machine",
]  # fmt: skip
