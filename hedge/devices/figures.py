"""The figures of a device profile: each with its unit, where it comes from, and how.

Measured times over a grid of sizes are tables, which tell what lies between.
"""

from __future__ import annotations

from itertools import pairwise
from math import prod
from typing import Annotated, Any, Literal, Self

import numpy as np
import scipy
from numpy.typing import NDArray
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

# Far beyond any device, and so near that products and quotients of figures stay finite.
SMALLEST, LARGEST = 1e-30, 1e30
MOST_ROWS = 10**9
MOST_MEMORY = 10**15


class Strict(BaseModel):
    """A section of a profile: unknown keys and infinite numbers are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


def _plausible(value: float) -> float:
    if value and not SMALLEST <= value <= LARGEST:
        raise ValueError(f"is not between {SMALLEST:g} and {LARGEST:g}")
    return value


Source = Annotated[str, Field(min_length=1)]
Kind = Literal["measured", "datasheet", "estimated"]
# Strict: true is no second, and a text no number.
Positive = Annotated[float, Field(gt=0, strict=True), AfterValidator(_plausible)]
NonNegative = Annotated[float, Field(ge=0, strict=True), AfterValidator(_plausible)]
Size = Annotated[int, Field(gt=0, le=MOST_ROWS, strict=True)]


class Seconds(Strict):
    """A duration."""

    value: NonNegative
    unit: Literal["s"]
    source: Source
    kind: Kind = "estimated"


class Bytes(Strict):
    """So much memory."""

    value: Annotated[int, Field(gt=0, le=MOST_MEMORY, strict=True)]
    unit: Literal["byte"]
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


class Table(Strict):
    """Seconds at every combination of sizes, the last axis running fastest.

    Between the sizes time is multilinear, which is exact for c₀ + c₁ b + c₂ b k + … as products of
    matrices take; beyond the last size it grows in proportion to the size.
    """

    axes: tuple[tuple[Size, ...], ...]
    value: tuple[NonNegative, ...]
    unit: Literal["s"]
    source: Source
    kind: Kind = "estimated"

    @model_validator(mode="after")
    def _checked(self) -> Self:
        if not all(axis and all(a < b for a, b in pairwise(axis)) for axis in self.axes):
            raise ValueError("every axis must be a list of sizes in increasing order")
        if len(self.value) != prod(len(axis) for axis in self.axes):
            raise ValueError("needs one time for every combination of sizes")
        return self

    def at(self, *sizes: Any) -> NDArray[np.float64]:
        """Seconds at these sizes, one number or array for each axis.

        >>> table = Table(axes=((1, 3), (10, 20)), value=(1.0, 2.0, 3.0, 4.0), unit="s", source="x")
        >>> float(table.at(2, 15)), float(table.at(6, 20))
        (2.5, 8.0)
        """
        given = np.broadcast_arrays(*(np.asarray(size, dtype=np.float64) for size in sizes))
        places, beyond = [], np.ones(given[0].shape)
        for size, axis in zip(given, self.axes, strict=True):
            places.append(np.interp(size.ravel(), axis, np.arange(len(axis))))
            beyond *= np.maximum(size / axis[-1], 1.0)
        values = np.reshape(self.value, [len(axis) for axis in self.axes])
        between = scipy.ndimage.map_coordinates(values, places, order=1, mode="nearest")
        return np.asarray(between).reshape(beyond.shape) * beyond
