"""What a meter is: something read now and then, and the energy between two readings."""

from __future__ import annotations

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
