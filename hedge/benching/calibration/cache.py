"""The profile of this machine, measured once and kept."""

from __future__ import annotations

import os
import re
from pathlib import Path

import onnxruntime

from hedge.benching.calibration.machine import QUICK, calibrate
from hedge.benching.machine import processor_name
from hedge.devices import Device, read_profile, write_profile
from hedge.errors import HedgeError, OutputError
from hedge.files import check_writable, refused, write_atomically
from hedge.progress import Progress, silent

# Of a file's name; what a system calls its processor has no limit.
LONGEST_KEY = 160


def this_machine(on_progress: Progress = silent) -> Device:
    """The profile of this machine, from the user's cache folder; quickly measured if there is none.

    A profile is one of a processor and an onnxruntime: with another one it is measured again. Where it
    can't be kept, progress says so.
    """
    kept = _kept()
    if kept is not None:
        return kept
    device = calibrate(on_progress=on_progress, scope=QUICK)
    try:
        return keep_as_auto(device, on_progress)
    except OutputError as error:
        on_progress(f"the calibration can't be kept and will be measured again next time ({error})")
    return device


def _kept() -> Device | None:
    """The calibration in the cache; None if there is none, or it is damaged or of an older form."""
    try:
        device = read_profile(cached_path())
    except HedgeError:
        return None
    return None if device.calibration is None else device


def cached_path() -> Path:
    """Where the profile of this processor and onnxruntime is kept.

    Raises OutputError if the user has no home, as in some containers.
    """
    key = re.sub(r"[^A-Za-z0-9]+", "-", f"{processor_name()}-ort-{onnxruntime.__version__}")
    return _cache_folder() / "hedge" / f"{key[:LONGEST_KEY]}-tables.toml"


def _cache_folder() -> Path:
    named = os.environ.get("XDG_CACHE_HOME")
    if named:
        return Path(named)
    try:
        return Path.home() / ".cache"
    except RuntimeError as error:
        raise OutputError(
            "the profile of this machine can't be kept: you have no home folder; name one in "
            "XDG_CACHE_HOME"
        ) from error


def check_can_be_kept() -> None:
    """Raise OutputError, before the long work, if :func:`keep_as_auto` would."""
    path = cached_path()
    with refused(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    check_writable(path, force=True)


def keep_as_auto(device: Device, on_progress: Progress) -> Device:
    """Make it the profile that ``auto`` means, but for an unstable one beside a better one; that which is.

    An unstable one is kept where there is none better, since measuring anew each time gives no better.

    Raises OutputError if it can't be kept.
    """
    kept = _kept()
    if device.unstable is not None:
        if kept is not None and _deviation(kept) < _deviation(device):
            on_progress(
                f"the new calibration is unstable ({device.unstable}); the last one is kept"
            )
            return kept
        on_progress(
            f"auto is unstable: {device.unstable}; hedge calibrate --refresh measures again"
        )
    check_can_be_kept()
    path = cached_path()
    write_atomically(path, write_profile(device), force=True)
    return device


def _deviation(device: Device) -> tuple[bool, float]:
    """Unstable ones after stable ones, then by how far they are off."""
    assert device.calibration is not None
    return device.unstable is not None, device.calibration.held_out_median
