"""Measured times over a grid of sizes, and what lies between."""

from __future__ import annotations

from itertools import pairwise
from math import prod
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import model_validator
from scipy.ndimage import map_coordinates

from hedge.devices.figures import Kind, NonNegative, Size, Source, Strict


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
        between = map_coordinates(values, places, order=1, mode="nearest")
        return np.asarray(between).reshape(beyond.shape) * beyond
