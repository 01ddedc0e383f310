"""The figures of a device profile: each with its unit, where it comes from, and how."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field


class Strict(BaseModel):
    """A section of a profile: unknown keys and infinite numbers are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


Source = Annotated[str, Field(min_length=1)]
Kind = Literal["measured", "datasheet", "estimated"]
Positive = Annotated[float, Field(gt=0)]
NonNegative = Annotated[float, Field(ge=0)]


class Seconds(Strict):
    """A duration."""

    value: NonNegative
    unit: Literal["s"]
    source: Source
    kind: Kind = "estimated"


class Joules(Strict):
    """An energy."""

    value: NonNegative
    unit: Literal["J"]
    source: Source
    kind: Kind = "estimated"


class Watts(Strict):
    """A power."""

    value: NonNegative
    unit: Literal["W"]
    source: Source
    kind: Kind = "estimated"


class FlopRate(Strict):
    """Floating-point operations per second."""

    value: Positive
    unit: Literal["flop/s"]
    source: Source
    kind: Kind = "estimated"


class ByteRate(Strict):
    """Bytes per second."""

    value: Positive
    unit: Literal["byte/s"]
    source: Source
    kind: Kind = "estimated"


class SizedRate(FlopRate):
    """The rate of a product of square matrices with ``size`` rows."""

    size: Annotated[int, Field(ge=1)]
