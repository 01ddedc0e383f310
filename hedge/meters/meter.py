"""What a meter is: something read now and then, and the energy between two readings."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

# Joules counted so far, or watts now; of a meter with several channels one number each.
Reading = tuple[float, ...]


class Meter(Protocol):
    """A source of energy figures."""

    @property
    def source(self) -> str:
        """What is measured, and by what."""
        ...

    @property
    def interval_s(self) -> float:
        """Seconds between two readings."""
        ...

    def read(self) -> Reading:
        """The counters or powers now; raises MeterError if they can't be read."""
        ...

    def joules(self, before: Reading, after: Reading, seconds: float) -> float:
        """The energy between two readings ``seconds`` apart."""
        ...


@dataclass(frozen=True)
class PowerMeter:
    """A sensor of power; ``watts`` reads it, and raises MeterError if it can't be read.

    Energy is its integral by the trapezoidal rule.

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
