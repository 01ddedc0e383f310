"""Device profiles: TOML files in which every figure carries its unit and where it comes from."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, ValidationError, field_validator, model_validator

from hedge.devices.figures import (
    ByteRate,
    Bytes,
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
from hedge.errors import InputError, ProfileError, quoted, suggestion
from hedge.names import as_text
from hedge.ops import op_of

SCHEMA = 1
AUTO = "auto"  # the name of what was calibrated here, and is kept in no file of the user's
MOST_BYTES = 2**20
MOST_LANES = 256
STRING = re.compile(r"\"(?:[^\"\\\n]|\\.)*+\"?|'[^'\n]*+'?")  # or what begins as one
TOO_DEEP = re.compile(r"(?<![\w.-])(?:[\w-]++\s*+\.\s*+){64}")


RUNTIMES = ("onnxruntime", "c")
UNIONS = {"runtime": RUNTIMES}


class Paper(Strict):
    """The constants of the paper's Theorems 10 and 11."""

    compute: FlopRate  # C
    bandwidth: ByteRate  # B
    alpha: Joules  # per k² of a block
    beta: Joules  # per block


class OnnxRuntime(Strict):
    """What onnxruntime takes on one thread: a call, and every node of it (:mod:`hedge.devices.cost`).

    Tables are measured whole nodes; what has none is node + flops / compute + bytes / bandwidth +
    n · activation. gemm is over (rows, outputs, inputs), outputs in whole panels; batched over
    (rows, columns, depth) is one product of many, without the node; passes by name over (spans,
    length). compute_by_size holds rates of square products, where they are known to differ.
    """

    name: Literal["onnxruntime"] = "onnxruntime"
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


class CLoops(Strict):
    """What the loops of exported C take: a call, and each of what is counted (:mod:`hedge.devices.c_cost`).

    product starts one; eights, four and single are one input of a block of so many outputs, eights of 8
    vectors; float16, bfloat16 and int8 are one weight that is stored so; step starts a loop over numbers,
    number is one that arithmetic makes, function a transcendental one without a figure of its own.
    """

    call: Seconds
    product: Seconds
    eights: Seconds
    four: Seconds
    single: Seconds
    float16: Seconds
    bfloat16: Seconds
    int8: Seconds
    step: Seconds
    number: Seconds
    function: Seconds
    functions: dict[str, Seconds] = Field(default_factory=dict)

    @field_validator("functions")
    @classmethod
    def _are_functions(cls, functions: dict[str, Seconds]) -> dict[str, Seconds]:
        for name in functions:
            if not op_of(name).transcendental:
                raise ValueError(f"{quoted(name)} is no function that hedge knows; remove it")
        return functions

    @property
    def names(self) -> tuple[str, ...]:
        """The figures that it has, but for functions by name."""
        return tuple(name for name, value in self if isinstance(value, Seconds))


class CRow(CLoops):
    """One row, by NAME_eval; vector is one input of a block of one vector of outputs, where there are any.

    Weights in less than float32 are multiplied by no blocks but in loops over the outputs, of which narrow
    starts one. latency is a loop of tanh beside its numbers: what one tanh takes from its first operation to
    its last, which numbers beside it don't hide.
    """

    narrow: Seconds
    latency: Seconds
    vector: Seconds | None = None


class CTile(CLoops):
    """16 rows at once, by NAME_eval_batch: a number is then one of each row, eights are 8 outputs.

    wide is one output of a product whose outputs lie more than 4 KiB apart, beside its number: such
    were measured to take longer.
    """

    wide: Seconds


C_FIGURES = tuple(name for name in CRow.model_fields | CTile.model_fields if name != "functions")


class CRuntime(Strict):
    """Exported C, by a compiler with its flags, on a target whose vectors hold ``lanes`` floats."""

    name: Literal["c"]
    compiler: Source
    lanes: Annotated[int, Field(gt=0, le=MOST_LANES, strict=True)]
    row: CRow
    tile: CTile

    @model_validator(mode="after")
    def _has_vectors(self) -> Self:
        if self.lanes > 1 and self.row.vector is None:
            raise ValueError("row.vector: is missing; vectors of more than one float need it")
        if self.lanes == 1 and self.row.vector is not None:
            raise ValueError("row.vector: is not for lanes = 1; remove it")
        return self


class Memory(Strict):
    """Bytes that a network's constants may take, and that a call may take."""

    flash: Bytes | None = None
    ram: Bytes | None = None


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
    reads, None in profiles that don't tell, and of C. ``unstable`` says why the profile is not to be trusted,
    None if it is; it follows from them, also where a file does not hold it.
    """

    processor: Source
    onnxruntime: Source | None = None
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
    runtime: Annotated[OnnxRuntime | CRuntime, Field(discriminator="name")]
    limits: Limits
    power: Power
    memory: Memory | None = None
    calibration: Calibration | None = None

    @field_validator("runtime", mode="before")
    @classmethod
    def _named(cls, runtime: Any) -> Any:
        """Files of before runtimes had names are of onnxruntime."""
        return {"name": "onnxruntime", **runtime} if isinstance(runtime, dict) else runtime

    @model_validator(mode="after")
    def _knows_its_version(self) -> Self:
        measured = self.calibration
        if isinstance(self.runtime, OnnxRuntime) and measured and measured.onnxruntime is None:
            raise ValueError("calibration.onnxruntime: is missing; add it")
        return self

    @property
    def runs_c(self) -> bool:
        """Whether its runtime is C."""
        return isinstance(self.runtime, CRuntime)

    @property
    def runtime_label(self) -> str:
        """Its runtime, with the version or the compiler where these are known."""
        if isinstance(self.runtime, CRuntime):
            return f"C, {self.runtime.compiler}"
        known = None if self.calibration is None else self.calibration.onnxruntime
        return "onnxruntime" if known is None else f"onnxruntime {known}"

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
        raise ProfileError(f"{path}: {fault(error, _REASONS, UNIONS)}") from error
    except (ValueError, RecursionError) as error:  # no TOML, numbers too long, nested too deep
        raise ProfileError(f"{path}: is not TOML ({error})") from error


_REASONS = {
    "missing": "is missing; add it (see device_profiles/ for the form)",
    "extra_forbidden": "is not known; remove it or correct its spelling",
    "greater_than": "must be greater than 0",
    "greater_than_equal": "must not be negative",
    "finite_number": "must be finite",
    "union_tag_invalid": f"name must be one of {', '.join(RUNTIMES)}",
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
    known = [AUTO, *shipped]
    near = suggestion(name, known, f"take one of {', '.join(known)}")
    raise ProfileError(f"device {name!r} is not known; {near}, or a .toml file")
