"""Device profiles: TOML files in which every figure carries its unit and where it comes from."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, ValidationError, field_validator, model_validator

from hedge.devices.figures import (
    ByteRate,
    FlopRate,
    Joules,
    Seconds,
    SizedRate,
    Source,
    Strict,
    Table,
    Watts,
)
from hedge.documents import Count, Figure, fault, read_text
from hedge.errors import InputError, ProfileError
from hedge.names import as_text

SCHEMA = 1
AUTO = "auto"  # the name of what was calibrated here, and is kept in no file of the user's
MOST_BYTES = 2**20
STRING = re.compile(r"\"(?:[^\"\\\n]|\\.)*+\"?|'[^'\n]*+'?")  # or what begins as one
TOO_DEEP = re.compile(r"(?<![\w.-])(?:[\w-]++\s*+\.\s*+){64}")


class Paper(Strict):
    """The constants of the paper's Theorems 10 and 11."""

    compute: FlopRate  # C
    bandwidth: ByteRate  # B
    alpha: Joules  # per k² of a block
    beta: Joules  # per block


class Runtime(Strict):
    """What onnxruntime takes on one thread: a call, and every node of it (:mod:`hedge.devices.cost`).

    Tables are measured whole nodes; what has none is node + flops / compute + bytes / bandwidth +
    n · activation. gemm is over (rows, outputs, inputs), outputs in whole panels; batched over
    (rows, columns, depth) is one product of many, without the node; passes by name over (spans,
    length). compute_by_size holds rates of square products, where they are known to differ.
    """

    call: Seconds
    node: Seconds
    compute: FlopRate
    bandwidth: ByteRate
    activation: Seconds
    compute_by_size: tuple[SizedRate, ...] = ()
    gemm: Table | None = None
    batched: Table | None = None
    passes: dict[str, Table] = Field(default_factory=dict)

    @field_validator("gemm", "batched")
    @classmethod
    def _is_over_products(cls, table: Table | None) -> Table | None:
        if table is not None and len(table.axes) != 3:
            raise ValueError(f"needs 3 axes, has {len(table.axes)}")
        return table

    @field_validator("passes")
    @classmethod
    def _are_over_numbers(cls, tables: dict[str, Table]) -> dict[str, Table]:
        for op, table in tables.items():
            if len(table.axes) not in (1, 2):
                raise ValueError(f"{op} needs 1 or 2 axes, has {len(table.axes)}")
        return tables


class Limits(Strict):
    """What one core can't exceed, for the roofline: peak flop rate, fastest cache's bandwidth."""

    compute: FlopRate
    bandwidth: ByteRate


class Power(Strict):
    """Energy = idle power · time + flop_energy · flops."""

    idle: Watts
    flop_energy: Joules


# A profile that is off by more on networks that nothing was fitted to is unstable.
MOST_MEDIAN, MOST_WORST = 0.25, 1.0


class Calibration(Strict):
    """How measured figures came about, and how far predictions were off on graphs not in the fit.

    Deviations are the longer of predicted and measured time over the shorter, less 1: in the
    median, at the 90th percentile, at worst. ir_version and opset are the newest that its onnxruntime
    reads, None in profiles that don't tell. ``unstable`` says why the profile is not to be trusted,
    None if it is; it follows from them, also where a file does not hold it.
    """

    processor: Source
    onnxruntime: Source
    hedge: Source
    threads: Count
    graphs: Count
    fit_median: Figure
    held_out: Count
    held_out_median: Figure
    held_out_p90: Figure
    held_out_worst: Figure
    ir_version: Count | None = None
    opset: Count | None = None
    unstable: Source | None = None

    @model_validator(mode="after")
    def _marked(self) -> Self:
        if self.unstable is None:
            off = (self.held_out_median, self.held_out_worst, self.held_out)
            object.__setattr__(self, "unstable", why_unstable(*off))
        return self


def why_unstable(median: float, worst: float, networks: int) -> str | None:
    """Why a profile whose predictions are so far off is not to be trusted; None if it is."""
    if median <= MOST_MEDIAN and worst <= MOST_WORST:
        return None
    return (
        f"predictions are off by {median:.0%} in the median and {worst:.0%} at worst, on {networks} "
        "networks not in the fit"
    )


class Device(Strict):
    """A device profile (``device_profiles/*.toml``)."""

    hedge_profile: Literal[1]
    name: Source
    description: Source
    paper: Paper
    runtime: Runtime
    limits: Limits
    power: Power
    calibration: Calibration | None = None

    @property
    def unstable(self) -> str | None:
        """Why its predictions are not to be trusted; None if they are, or were never checked."""
        return None if self.calibration is None else self.calibration.unstable


def read_profile(path: Path) -> Device:
    """Read and check a profile.

    Raises ProfileError naming the file and the key that is missing, misspelt or out of range.
    """
    try:
        text = read_text(path, MOST_BYTES)
    except InputError as error:
        raise ProfileError(str(error)) from error
    try:
        if TOO_DEEP.search(
            STRING.sub("s", text)
        ):  # tomllib takes a time that grows with the square of the depth
            raise ValueError("a key of too many parts")
        return Device.model_validate(tomllib.loads(text))
    except ValidationError as error:
        raise ProfileError(f"{path}: {fault(error, _REASONS)}") from error
    except (ValueError, RecursionError) as error:  # no TOML, numbers too long, nested too deep
        raise ProfileError(f"{path}: is not TOML ({error})") from error


_REASONS = {
    "missing": "is missing; add it (see device_profiles/ for the form)",
    "extra_forbidden": "is not known; remove it or correct its spelling",
    "greater_than": "must be greater than 0",
    "greater_than_equal": "must not be negative",
    "finite_number": "must be finite",
}


def write_profile(device: Device) -> bytes:
    """The TOML of a profile, as :func:`read_profile` reads it."""
    lines: list[str] = []
    _write_section(lines, "", device.model_dump(exclude_none=True, exclude_defaults=True))
    return ("\n".join(lines) + "\n").encode()


def _write_section(lines: list[str], name: str, section: dict[str, Any]) -> None:
    """Its own keys first, then tables of figures as sections below it."""
    inner = {
        key: value
        for key, value in section.items()
        if isinstance(value, dict) and ("value" not in value or "axes" in value)
    }
    if name:
        lines += ["", f"[{name}]"]
    lines += [
        f"{_key(key)} = {_inline(value)}" for key, value in section.items() if key not in inner
    ]
    for key, value in inner.items():
        _write_section(lines, f"{name}.{_key(key)}" if name else _key(key), value)


def _key(key: str) -> str:
    return key if key.isidentifier() and key.isascii() else _quoted(key)


def _inline(value: Any) -> str:
    if isinstance(value, str):
        return _quoted(value)
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{_key(k)} = {_inline(v)}" for k, v in value.items()) + " }"
    if isinstance(value, tuple | list):
        return "[" + ", ".join(_inline(one) for one in value) + "]"
    return repr(value)


def _quoted(text: str) -> str:
    """A TOML string: one of JSON but for DEL, which TOML wants escaped."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def named_after(path: Path, device: Device) -> Device:
    """The profile under the name of its file, ``pi`` for ``pi.toml``: ``auto`` is what is kept for here."""
    name = path.name if path.stem == AUTO else path.stem
    return device.model_copy(update={"name": as_text(name)})


def shipped_profiles() -> dict[str, Path]:
    """The profiles that come with hedge, by name."""
    installed = Path(__file__).parent.parent / "device_profiles"
    checkout = Path(__file__).parent.parent.parent / "device_profiles"
    folder = installed if installed.is_dir() else checkout
    return {path.stem: path for path in sorted(folder.glob("*.toml"))}


def find_profile(name: str) -> Device:
    """The profile of that name, or in the file of that path; one that is called auto after its file.

    Raises ProfileError, with the known names, if there is neither.

    >>> find_profile("paper-example").paper.compute.value
    1000.0
    """
    shipped = shipped_profiles()
    if name in shipped:
        return read_profile(shipped[name])
    if name.endswith(".toml"):
        device = read_profile(Path(name))
        return named_after(Path(name), device) if device.name == AUTO else device
    known = ", ".join([AUTO, *shipped])
    raise ProfileError(f"device {name!r} is not known; use one of {known}, or a .toml file")
