"""Energy between readings: sums, integrals, meters that stop or fail, with a fake meter."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hedge.errors import MeterError
from hedge.meters import PowerMeter, RaplMeter, energy_of, record


@dataclass
class FakeCounter:
    """Counts two joules between readings, for as many readings as it lives."""

    lives: int = 10**6
    source: str = "fake"
    interval_s: float = 0.005
    counted: float = 0.0
    readings: int = field(default=0)

    def read(self) -> tuple[float]:
        self.readings += 1
        if self.readings > self.lives:
            raise MeterError("energy: fake can't be read (unplugged)")
        self.counted += 2.0
        return (self.counted,)

    def joules(self, before: tuple[float, ...], after: tuple[float, ...], seconds: float) -> float:
        return after[0] - before[0]


def until_read(meter: FakeCounter, readings: int) -> str:
    """Work that takes until the meter was read so often."""
    while meter.readings < readings:
        time.sleep(1e-3)
    return "done"


def test_work_is_done_once_while_the_meter_is_read() -> None:
    meter = FakeCounter()
    energy, result = record(meter, lambda: until_read(meter, 4))
    assert result == "done"
    assert meter.readings > 4
    assert energy.joules == 2.0 * (meter.readings - 1)
    assert energy.seconds >= 2 * meter.interval_s
    assert energy.watts == energy.joules / energy.seconds


@pytest.mark.parametrize("lives", [0, 1, 3])
def test_a_meter_that_fails_before_at_the_end_or_in_between(lives: int) -> None:
    meter = FakeCounter(lives, interval_s=1000.0 if lives == 1 else 0.005)
    with pytest.raises(MeterError, match="unplugged"):
        record(meter, lambda: until_read(meter, lives + 1 if lives == 3 else 1))


def test_an_error_of_the_work_passes() -> None:
    with pytest.raises(ZeroDivisionError):
        record(FakeCounter(), lambda: 1 / 0)


def test_the_integral_of_a_ramp_of_power_is_exact() -> None:
    samples = [(t, (3.0 + 2.0 * t,)) for t in (0.0, 0.5, 0.7, 2.0)]
    energy = energy_of(PowerMeter("ramp", 0.1, lambda: 0.0), samples)
    assert energy.joules == pytest.approx(3.0 * 2.0 + 2.0**2)
    assert energy.seconds == 2.0


@given(
    steps=st.lists(st.floats(0.1, 24.9), min_size=1, max_size=30),
    start=st.floats(0.0, 50.0, exclude_max=True),
)
def test_a_counter_that_wraps_loses_nothing(steps: list[float], start: float) -> None:
    meter = RaplMeter((Path("unread"),), (50.0,))

    def samples() -> Iterator[tuple[float, tuple[float, ...]]]:
        total = start
        yield 0.0, (start,)
        for i, step in enumerate(steps):
            total += step
            yield i + 1.0, (total % 50.0,)

    assert energy_of(meter, list(samples())).joules == pytest.approx(sum(steps))


def test_a_counter_that_stops_is_refused_however_much_it_counted_before() -> None:
    meter = FakeCounter()
    moving = [(float(t), (float(t),)) for t in range(6)]
    assert energy_of(meter, moving).joules == 5.0
    still = [(5.0 + t, (5.0,)) for t in range(1, 7)]
    with pytest.raises(MeterError, match="fake stopped"):
        energy_of(meter, [*moving, *still, (20.0, (30.0,))])
    with pytest.raises(MeterError, match="fake stopped"):  # a tenth of the least window
        energy_of(meter, [*moving, *still[:1]])
    assert energy_of(meter, [*moving, (5.4, (5.0,)), (6.0, (7.0,))]).joules == 7.0  # a pause


def test_a_counter_that_never_moves_is_refused_even_if_briefly() -> None:
    with pytest.raises(MeterError, match="fake stopped"):
        energy_of(FakeCounter(), [(0.0, (7.0,)), (0.1, (7.0,))])
