"""The values of an axis: a list, a range, or a named set."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from glob import glob
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from hedge.devices import shipped_profiles
from hedge.documents import LARGEST, fault
from hedge.errors import InputError, quoted
from hedge.problems import GALLERY

MOST_VALUES = 100_000
RANGE = "{from = 1e-4, to = 1e-1, count = 4}"
# The profile that the paper's examples count with is of no device.
NO_DEVICE = "paper-example"


def expanded(name: str, value: Any, folder: Path, models: Callable[[], list[str]]) -> list[Any]:
    """The values that are meant by what stands behind an axis; one alone is one value.

    folder is that which names of files begin at, models gives those that come with hedge.
    Raises InputError for a range that is none, and a pattern that no file fits.
    """
    if isinstance(value, Mapping):
        return _range(name, value)
    values = value if isinstance(value, list) else [value]
    found = [each for one in values for each in _set(name, one, folder, models)]
    if not found:
        raise InputError(
            f"axes.{name}: has no value, so that there is no cell; give one, or leave it out"
        )
    return found


def _set(name: str, value: Any, folder: Path, models: Callable[[], list[str]]) -> list[Any]:
    """What a name stands for that is that of a set, or itself."""
    if (name, value) == ("device", "all"):
        return [device for device in shipped_profiles() if device != NO_DEVICE]
    if (name, value) == ("problem", "gallery"):
        return list(GALLERY)
    if (name, value) == ("model", "shipped"):
        return models()
    if name == "model" and isinstance(value, str) and any(mark in value for mark in "*?["):
        # Path.glob takes no absolute pattern
        found = glob(value, root_dir=folder)  # noqa: PTH207
        files = sorted(name for name in found if (folder / name).is_file())
        if not files:
            raise InputError(
                f"axes.model: no file in {folder} fits {quoted(value)}; give another one"
            )
        return files
    return [value]


def _range(name: str, value: Mapping[str, Any]) -> list[Any]:
    """From one number to another: so many in between in equal ratios, or in steps."""
    keys = set(value)
    if keys not in ({"from", "to"}, {"from", "to", "step"}, {"from", "to", "count"}):
        known = "from, to, and step or count"
        raise InputError(f"axes.{name}: a range has {known}, as in {RANGE}; not {_listed(keys)}")
    for key in keys:
        if not _is_number(value[key]):
            raise InputError(
                f"axes.{name}.{key}: {quoted(value[key])} is no number between -1e100 and 1e100"
            )
    low, high = value["from"], value["to"]
    if low > high:
        raise InputError(f"axes.{name}: goes from {low:g} down to {high:g}; exchange the two")
    if "count" in keys:
        return _in_ratios(name, float(low), float(high), value["count"])
    step = value.get("step", 1)
    if step <= 0:
        raise InputError(f"axes.{name}.step: {step:g} is not positive")
    steps = (high - low) / step
    _check_count(name, steps + 1)
    count = math.floor(steps + 1e-9) + 1
    return [low + step * i for i in range(count)]


def _in_ratios(name: str, low: float, high: float, count: Any) -> list[float]:
    if type(count) is not int or count < 2:
        raise InputError(f"axes.{name}.count: {quoted(count)} is no whole number of at least 2")
    _check_count(name, count)
    if low <= 0:
        raise InputError(f"axes.{name}.from: {low:g} is not positive; give step in place of count")
    inner = [low * (high / low) ** (i / (count - 1)) for i in range(1, count - 1)]
    # twelve digits, so that 1e-3 between 1e-4 and 1e-2 is called that
    return [low, *(float(f"{one:.12g}") for one in inner), high]


def _is_number(value: Any) -> bool:
    return type(value) in (int, float) and -LARGEST <= value <= LARGEST


def _check_count(name: str, count: float) -> None:
    if count > MOST_VALUES:
        raise InputError(f"axes.{name}: has {count:.6g} values; at most {MOST_VALUES}")


def checked(name: str, values: list[Any], reader: TypeAdapter[Any]) -> list[Any]:
    """The values as their option takes them; raises InputError for one that it doesn't, or two alike."""
    found = []
    for value in values:
        try:
            found.append(reader.validate_python(value))
        except ValidationError as error:
            raise InputError(f"axes.{name}: {quoted(value)}: {fault(error)}") from error
    if len(
        twice := {str(one) for one in found if found.count(one) > 1} if len(found) < 2000 else set()
    ):
        raise InputError(f"axes.{name}: {quoted(min(twice))} stands there twice; leave one out")
    return found


def _listed(keys: set[str]) -> str:
    return ", ".join(sorted(keys)) or "none"
