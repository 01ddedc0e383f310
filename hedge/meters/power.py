"""Meters that tell watts: energy is their integral by the trapezoidal rule."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from hedge.meters.meter import Reading


@dataclass(frozen=True)
class PowerMeter:
    """A sensor of power; ``watts`` reads it, and raises MeterError if it can't be read.

    >>> PowerMeter("a lamp", 1.0, lambda: 60.0).joules((40.0,), (60.0,), 2.0)
    100.0
    """

    source: str
    interval_s: float
    watts: Callable[[], float]

    def read(self) -> Reading:
        """The power now."""
        return (self.watts(),)

    def joules(self, before: Reading, after: Reading, seconds: float) -> float:
        """The mean of the two powers times ``seconds``."""
        return 0.5 * (before[0] + after[0]) * seconds
