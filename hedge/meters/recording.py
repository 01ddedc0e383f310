"""The energy that some work takes, read while it runs."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TypeVar

from hedge.errors import MeterError
from hedge.meters.meter import Meter, Reading

_Result = TypeVar("_Result")
_Sample = tuple[float, Reading]  # the time in seconds, and what the meter said

# Counters move every millisecond and a running machine draws power. Of a window of 10 s, a longer
# standstill would hide more than a tenth.
LONGEST_STANDSTILL_S = 1.0


@dataclass(frozen=True)
class Energy:
    """Joules, and the seconds they were spent in."""

    joules: float
    seconds: float

    @property
    def watts(self) -> float:
        """The mean power."""
        return self.joules / self.seconds


def energy_of(meter: Meter, samples: Sequence[_Sample]) -> Energy:
    """The energy between the first and the last of at least two samples.

    Raises MeterError if the meter stood still for 1 s, or all along.
    """
    total, still = 0.0, 0.0
    for (earlier, before), (later, after) in pairwise(samples):
        joules = meter.joules(before, after, later - earlier)
        still = 0.0 if joules > 0 else still + later - earlier
        if still >= LONGEST_STANDSTILL_S:
            break
        total += joules
    if still >= LONGEST_STANDSTILL_S or not total > 0:
        raise MeterError(
            f"energy: {meter.source} stopped: it counted nothing for {max(still, 0.0):.1f} s"
        )
    return Energy(total, samples[-1][0] - samples[0][0])


def record(meter: Meter, work: Callable[[], _Result]) -> tuple[Energy, _Result]:
    """Do the work and tell the energy of the machine while it was done, and the work's result.

    Raises MeterError if the meter can't be read or stands still.
    """
    samples: list[_Sample] = [_sample(meter)]
    failures: list[MeterError] = []
    done = threading.Event()

    def watch() -> None:
        try:
            while not done.wait(meter.interval_s):
                samples.append(_sample(meter))
        except MeterError as error:
            failures.append(error)

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        result = work()
    finally:
        done.set()
        watcher.join()
    if failures:
        raise failures[0]
    samples.append(_sample(meter))
    return energy_of(meter, samples), result


def _sample(meter: Meter) -> _Sample:
    reading = meter.read()
    return time.perf_counter(), reading
