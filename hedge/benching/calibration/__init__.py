"""Measuring this machine: tables of what onnxruntime's nodes take here, or figures of its C."""

from __future__ import annotations

from hedge.benching.calibration.c_machine import FULL_C, QUICK_C, CScope, calibrate_c
from hedge.benching.calibration.cache import check_can_be_kept, keep_as_auto, this_machine
from hedge.benching.calibration.machine import FULL, QUICK, Scope, calibrate
from hedge.benching.calibration.timing import WindowedTimer, clocked

__all__ = [
    "FULL", "FULL_C", "QUICK", "QUICK_C", "CScope", "Scope", "WindowedTimer", "calibrate", "calibrate_c",
    "check_can_be_kept", "clocked",
    "keep_as_auto", "this_machine",
]  # fmt: skip
