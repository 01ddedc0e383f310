"""The whole chain without any clock: made-up devices are calibrated, and asked for networks not seen.

A sample; benchmarks/calibration.py takes 200.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from benchmarks.prediction import Graph, graphs
from hedge.benching import FULL, QUICK, calibrate
from hedge.benching.calibration import Scope
from hedge.devices import Device, Work, predicted_seconds
from hedge.graph import graph_work
from tests.benching.simulated_device import SimulatedDevice, random_devices
from tests.benching.test_calibration import SCOPE

# The finer grid with half of its rows, and without its largest sizes, whose weights take long to make.
FINE_GRID = replace(
    FULL.grid,
    rows=FULL.grid.rows[:-1:2],
    product_rows=FULL.grid.product_rows[::2],
    outputs=FULL.grid.outputs[:-1],
    inputs=FULL.grid.inputs[:-1],
    lengths=FULL.grid.lengths[:-1],
    most_products=5e6,
    most_numbers=3e5,
)
COARSE = replace(QUICK, sweeps=1)
FINE = replace(FULL, grid=FINE_GRID, sweeps=1, networks=8, held_out=8, most_flops=2e7)


@cache
def networks() -> list[tuple[Graph, Work]]:
    return [(one, graph_work(one.model, one.batch)) for one in graphs()[::4]]


def off(device: SimulatedDevice, profile: Device) -> np.ndarray:
    """The longer of predicted and true time over the shorter, less 1, of each network."""
    ratios = np.array(
        [
            float(predicted_seconds(profile, work)) / device.seconds(one.model, one.batch)
            for one, work in networks()
        ]
    )
    return np.maximum(ratios, 1.0 / ratios) - 1.0


@pytest.mark.parametrize(
    ("number", "scope"),
    [(2, COARSE), (13, COARSE), (26, FINE)],
    ids=["a quiet Pi Zero", "a busy board", "a server"],
)
def test_networks_not_seen_are_predicted(number: int, scope: Scope) -> None:
    device = random_devices(number + 1)[number]
    profile = calibrate(scope=scope, timer=device.timer(scope))
    assert profile.unstable is None
    median, most = (0.15, 0.40) if device.disturbance.busy else (0.10, 0.25)
    found = off(device, profile)
    assert np.median(found) <= median
    assert np.quantile(found, 0.95) <= most


def test_the_same_device_gives_the_same_profile() -> None:
    first, second = (
        calibrate(scope=SCOPE, timer=random_devices(4)[3].timer(SCOPE)) for _ in range(2)
    )
    assert first == second


def disturbed(**disturbance: float) -> Device:
    device = random_devices(9)[8]
    device.disturbance = replace(device.disturbance, **disturbance)
    scope = replace(SCOPE, window_s=1e-3)
    return calibrate(scope=scope, timer=device.timer(scope))


def test_a_machine_that_is_throttled_is_marked() -> None:
    assert disturbed().unstable is None
    reason = disturbed(throttled=2.5, throttled_after_s=0.2).unstable
    assert reason is not None


def test_time_that_others_take_unnoticed_is_marked() -> None:
    reason = disturbed(share=0.5, burst_s=0.001, seen=False).unstable
    assert reason is not None
    assert "unnoticed by the process's own clock" in reason
    assert disturbed(share=0.5, burst_s=0.001, seen=True).unstable is None
