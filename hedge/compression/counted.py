"""Costs that are counted, not predicted."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from hedge.compression.plan import Gain
from hedge.compression.site_plan import byte_count
from hedge.devices import Device
from hedge.graph import Matrix


@dataclass(frozen=True)
class CountedCost:
    """A cost of matrices that is counted, not predicted, so that any gain of it is one."""

    name: Gain
    of: Callable[[Device, Mapping[str, Matrix]], float]


BYTES = CountedCost("size", lambda device, matrices: float(byte_count(matrices)))
