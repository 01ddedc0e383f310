"""Device profiles: TOML files in which every figure carries its unit and where it comes from."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from hedge.errors import ProfileError

SCHEMA = 1


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


Source = Annotated[str, Field(min_length=1)]
Positive = Annotated[float, Field(gt=0)]
NonNegative = Annotated[float, Field(ge=0)]


class Seconds(_Strict):
    """A duration."""

    value: NonNegative
    unit: Literal["s"]
    source: Source


class Joules(_Strict):
    """An energy."""

    value: NonNegative
    unit: Literal["J"]
    source: Source


class Watts(_Strict):
    """A power."""

    value: NonNegative
    unit: Literal["W"]
    source: Source


class FlopRate(_Strict):
    """Floating-point operations per second."""

    value: Positive
    unit: Literal["flop/s"]
    source: Source


class ByteRate(_Strict):
    """Bytes per second."""

    value: Positive
    unit: Literal["byte/s"]
    source: Source


class Paper(_Strict):
    """The constants of the paper's Theorems 10 and 11."""

    compute: FlopRate  # C
    bandwidth: ByteRate  # B
    alpha: Joules  # per k² of a block
    beta: Joules  # per block


class Runtime(_Strict):
    """The device model: t = call + nodes · node + flops / compute + bytes / bandwidth + n · activation.

    It describes onnxruntime on one thread.
    """

    call: Seconds
    node: Seconds
    compute: FlopRate
    bandwidth: ByteRate
    activation: Seconds


class Limits(_Strict):
    """What one core can't exceed, for the roofline: peak flop rate, fastest cache's bandwidth."""

    compute: FlopRate
    bandwidth: ByteRate


class Power(_Strict):
    """Energy = idle power · time + flop_energy · flops."""

    idle: Watts
    flop_energy: Joules


class Device(_Strict):
    """A device profile (``device_profiles/*.toml``)."""

    hedge_profile: Literal[1]
    name: Source
    description: Source
    paper: Paper
    runtime: Runtime
    limits: Limits
    power: Power


def read_profile(path: Path) -> Device:
    """Read and check a profile.

    Raises ProfileError naming the file and the key that is missing, misspelt or out of range.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ProfileError(f"{path}: can't be read as a device profile ({error})") from error
    try:
        return Device.model_validate(tomllib.loads(text))
    except tomllib.TOMLDecodeError as error:
        raise ProfileError(f"{path}: is not TOML ({error})") from error
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        reason = _REASONS.get(first["type"], first["msg"])
        raise ProfileError(f"{path}: key {key!r}: {reason}") from error


_REASONS = {
    "missing": "is missing; add it (see device_profiles/ for the form)",
    "extra_forbidden": "is not known; remove it or correct its spelling",
    "greater_than": "must be greater than 0",
    "greater_than_equal": "must not be negative",
    "finite_number": "must be finite",
}


def write_profile(device: Device) -> bytes:
    """The TOML of a profile, as :func:`read_profile` reads it."""
    lines = [f"hedge_profile = {SCHEMA}"]
    lines += [f"{key} = {_quoted(getattr(device, key))}" for key in ("name", "description")]
    for section in ("paper", "runtime", "limits", "power"):
        lines += ["", f"[{section}]"]
        for key, figure in getattr(device, section):
            lines.append(
                f"{key} = {{ value = {figure.value!r}, unit = {_quoted(figure.unit)}, "
                f"source = {_quoted(figure.source)} }}"
            )
    return ("\n".join(lines) + "\n").encode()


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def shipped_profiles() -> dict[str, Path]:
    """The profiles that come with hedge, by name."""
    installed = Path(__file__).parent.parent / "device_profiles"
    checkout = Path(__file__).parent.parent.parent / "device_profiles"
    folder = installed if installed.is_dir() else checkout
    return {path.stem: path for path in sorted(folder.glob("*.toml"))}


def find_profile(name: str) -> Device:
    """The profile of that name, or in the file of that path.

    Raises ProfileError, with the known names, if there is neither.

    >>> find_profile("paper-example").paper.compute.value
    1000.0
    """
    shipped = shipped_profiles()
    if name in shipped:
        return read_profile(shipped[name])
    if name.endswith(".toml"):
        return read_profile(Path(name))
    known = ", ".join(["auto", *shipped])
    raise ProfileError(f"device {name!r} is not known; use one of {known}, or a .toml file")
