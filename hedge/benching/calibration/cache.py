"""The profile of this machine, measured once and kept."""

from __future__ import annotations

import os
import re
from pathlib import Path

import onnxruntime

from hedge.benching.calibration.machine import QUICK, Progress, calibrate
from hedge.benching.machine import processor_name
from hedge.devices import Device, read_profile, write_profile
from hedge.errors import HedgeError, OutputError
from hedge.files import check_writable, refused, write_atomically

# Of a file's name; what a system calls its processor has no limit.
LONGEST_KEY = 160


def this_machine(on_progress: Progress = lambda message: None, *, refresh: bool = False) -> Device:
    """The profile of this machine, from the user's cache folder; quickly measured if there is none.

    A profile is one of a processor and an onnxruntime: with another one, and with ``refresh``, it is
    measured again. Where it can't be kept, progress says so; with ``refresh``, which asks for it to be
    kept, OutputError is raised.
    """
    try:
        if not refresh and (device := read_profile(cached_path())).calibration is not None:
            return device
    except HedgeError:
        pass  # none, not readable, damaged, or of an older form: measure again and replace it
    if refresh:
        check_can_be_kept()
    device = calibrate(on_progress=on_progress, scope=QUICK)
    try:
        keep_as_auto(device, on_progress)
    except OutputError as error:
        if refresh:
            raise
        on_progress(f"the calibration can't be kept and will be measured again next time ({error})")
    return device


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


def keep_as_auto(device: Device, on_progress: Progress) -> None:
    """Make it the profile that ``auto`` means; raises OutputError if it can't be kept."""
    check_can_be_kept()
    path = cached_path()
    write_atomically(path, write_profile(device), force=True)
    on_progress(f"kept in {path}")
