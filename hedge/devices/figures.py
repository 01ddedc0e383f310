"""The figures of a device profile: each with its unit, where it comes from, and how."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

# Far beyond any device, and so near that products and quotients of figures stay finite.
SMALLEST, LARGEST = 1e-30, 1e30
MOST_ROWS = 10**9


class Strict(BaseModel):
    """A section of a profile: unknown keys and infinite numbers are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


def _plausible(value: float) -> float:
    if value and not SMALLEST <= value <= LARGEST:
        raise ValueError(f"is not between {SMALLEST:g} and {LARGEST:g}")
    return value


Source = Annotated[str, Field(min_length=1)]
Kind = Literal["measured", "datasheet", "estimated"]
Positive = Annotated[float, Field(gt=0), AfterValidator(_plausible)]
NonNegative = Annotated[float, Field(ge=0), AfterValidator(_plausible)]
Size = Annotated[int, Field(gt=0, le=MOST_ROWS)]


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

    size: Size
