"""Joules per call from a meter, over a window long enough to mean something."""

from __future__ import annotations

import time
from dataclasses import dataclass

from hedge.benching.protocol import Call
from hedge.benching.result import MeasuredEnergy
from hedge.errors import InputError
from hedge.meters import Meter, record

# MLPerf Tiny measures energy over at least 10 s.
LEAST_WINDOW_S, LONGEST_WINDOW_S = 10.0, 3600.0


@dataclass(frozen=True)
class Metering:
    """A meter, and the seconds that each of its windows lasts."""

    meter: Meter
    window_s: float


def check_window(seconds: float) -> None:
    """Raise InputError for a window that is too short to measure energy, or absurdly long."""
    if not LEAST_WINDOW_S <= seconds <= LONGEST_WINDOW_S:
        raise InputError(
            f"energy: {seconds:g} s is not between {LEAST_WINDOW_S:g} and {LONGEST_WINDOW_S:g}"
        )


def idle_watts(metering: Metering) -> float:
    """The mean power of the machine while it waits; raises MeterError if it can't be read."""
    waited, _ = record(metering.meter, lambda: time.sleep(metering.window_s))
    return waited.watts


def energy_per_call(run: Call, metering: Metering, idle_w: float) -> MeasuredEnergy:
    """Run back to back for a window; joules per call, gross and net of ``idle_w``.

    Raises MeterError if the meter can't be read or stops.
    """

    def work() -> int:
        calls, started = 0, time.perf_counter()
        while time.perf_counter() - started < metering.window_s:
            run()
            calls += 1
        return calls

    spent, calls = record(metering.meter, work)
    return MeasuredEnergy(
        source=metering.meter.source,
        gross_j=spent.joules / calls,
        net_j=(spent.joules - idle_w * spent.seconds) / calls,
        idle_w=idle_w,
        window_s=spent.seconds,
        calls=calls,
    )
