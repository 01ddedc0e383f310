"""Joules per call, gross and without what the idle machine takes, from a meter of known power."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from hedge.benching import Effort, Metering, bench, check_window
from hedge.benching.energy import energy_per_call, idle_watts
from hedge.devices import Device
from hedge.errors import InputError, MeterError
from hedge.meters import PowerMeter, record


def metering(watts: float) -> Metering:
    return Metering(PowerMeter("fake, 1 sensor", 0.01, lambda: watts), 0.05)


def test_gross_and_net_joules_per_call() -> None:
    found = energy_per_call(lambda: time.sleep(1e-3), metering(5.0), idle_w=3.0)
    assert found.source == "fake, 1 sensor"
    assert found.window_s >= 0.05
    assert 0 < found.calls < 60
    assert found.gross_j * found.calls == pytest.approx(5.0 * found.window_s)
    assert found.net_j * found.calls == pytest.approx(2.0 * found.window_s)


def test_the_idle_power_is_the_meters() -> None:
    assert idle_watts(metering(3.25)) == pytest.approx(3.25)


@pytest.mark.parametrize("seconds", [0.0, 9.9, -1.0, float("nan"), float("inf")])
def test_windows_under_10_s_are_refused(seconds: float) -> None:
    with pytest.raises(InputError, match=r"energy: .* is not between 10 and"):
        check_window(seconds)


def test_a_meter_that_fails_leaves_the_times(
    heat_path: Path, laptop: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    windows = 0

    def watts() -> float:
        if windows == 2:  # the first is of the idle machine
            raise MeterError("energy: unplugged")
        return 4.0

    def counted(*what: object) -> object:
        nonlocal windows
        windows += 1
        return record(*what)

    monkeypatch.setattr("hedge.benching.energy.record", counted)
    watched = Metering(PowerMeter("loose", 0.01, watts), 0.06)
    effort = Effort(warm_up_s=0.01, timed_s=0.02)
    result = bench([heat_path], laptop, batches=[1], effort=effort, metering=watched)
    assert result.models[0].median_s > 0
    assert result.models[0].measured_energy is None
    (failure,) = result.failures
    assert "energy: unplugged" in failure.reason


def test_a_bench_with_a_meter_names_it(heat_path: Path, laptop: Device) -> None:
    effort = Effort(warm_up_s=0.01, timed_s=0.02)
    result = bench([heat_path], laptop, batches=[1], effort=effort, metering=metering(4.0))
    energy = result.models[0].measured_energy
    assert energy is not None
    assert energy.source == "fake, 1 sensor"
    assert energy.net_j == pytest.approx(0.0, abs=1e-9)
