"""The profile of this machine, measured once and kept."""

from __future__ import annotations

import os
import re
from pathlib import Path

import onnxruntime

from hedge.benching.calibration.machine import QUICK, Progress, calibrate
from hedge.benching.machine import processor_name
from hedge.devices import Device, read_profile, write_profile
from hedge.errors import HedgeError
from hedge.files import write_atomically


def this_machine(on_progress: Progress = lambda message: None, *, refresh: bool = False) -> Device:
    """The profile of this machine, from the user's cache folder; quickly measured if there is none.

    A profile is one of a processor and an onnxruntime: with another one, and with ``refresh``, it is
    measured again.
    """
    path = cached_path()
    try:
        if not refresh and (device := read_profile(path)).calibration is not None:
            return device
    except HedgeError:
        pass  # none, not readable, damaged, or of an older form: measure again and replace it
    device = calibrate(on_progress=on_progress, scope=QUICK)
    keep_as_auto(device, on_progress)
    return device


def cached_path() -> Path:
    """Where the profile of this processor and onnxruntime is kept."""
    folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "hedge"
    key = re.sub(r"[^A-Za-z0-9]+", "-", f"{processor_name()}-ort-{onnxruntime.__version__}")
    return folder / f"{key}-tables.toml"


def keep_as_auto(device: Device, on_progress: Progress) -> None:
    """Make it the profile that ``auto`` means."""
    path = cached_path()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, write_profile(device), force=True)
    except (HedgeError, OSError):
        on_progress(
            f"the calibration can't be kept in {path.parent}; it will be measured again next time"
        )
