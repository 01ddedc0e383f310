"""Calibration with a timer that knows the truth, and the profile kept for this machine."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from onnx import ModelProto

from hedge.benching import calibrate, this_machine
from hedge.benching.calibration import Scope, WindowedTimer
from hedge.benching.calibration.graphs import random_networks
from hedge.benching.calibration.tables import Grid, Measuring
from hedge.devices import (
    Device,
    find_profile,
    paper_bound_seconds,
    predicted_seconds,
    roofline_seconds,
    write_profile,
)
from hedge.graph import graph_work

TRUTH = find_profile("raspberry-pi-4b")
SMALL = Grid(
    rows=(1, 16, 1024),
    outputs=(16, 128, 512),
    inputs=(1, 16, 128, 512),
    product_rows=(1, 64),
    product_columns=(1, 64),
    product_depths=(1, 64),
    numbers=(1, 1024, 65536),
    spans=(2, 64),
    lengths=(1, 64),
    limit_s=0.5,
    pass_limit_s=0.5,
)

SCOPE = Scope(SMALL, networks=8, held_out=8, most_flops=2e7, sweeps=1, windows=1, window_s=0.0)


def by_the_truth(models: Sequence[ModelProto], batch: int) -> NDArray[np.float64]:
    """Times as a Raspberry Pi 4's figures give them, whatever machine this is."""
    return np.array([float(predicted_seconds(TRUTH, graph_work(m, batch))) for m in models])


@cache
def calibrated() -> Device:
    return calibrate(scope=SCOPE, timer=by_the_truth)


def test_a_calibrated_profile_predicts_what_it_was_measured_on() -> None:
    calibration = calibrated().calibration
    assert calibration is not None
    assert calibration.held_out_median < 0.1


def test_the_roofline_is_below_every_prediction() -> None:
    device = calibrated()
    for network in random_networks(5, seed=3, most_flops=1e7):
        work = graph_work(network.model, network.batch)
        assert roofline_seconds(device, work) <= predicted_seconds(device, work)


def test_theorem_11_holds_for_the_networks_it_was_fitted_to() -> None:
    device = calibrated()
    for network in random_networks(SCOPE.networks, seed=0, most_flops=SCOPE.most_flops):
        (seconds,) = by_the_truth([network.model], network.batch)
        assert paper_bound_seconds(device, network.blocks, network.batch) >= seconds


def test_the_profile_of_this_machine_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def measured(**_: object) -> Device:
        asked.append("measured")
        return calibrated()

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr("hedge.benching.calibration.cache.calibrate", measured)
    assert this_machine() == this_machine() == calibrated()
    assert len(asked) == 1
    (cached,) = (tmp_path / "hedge").iterdir()
    assert cached.read_bytes() == write_profile(calibrated())
    cached.write_text("damaged")
    assert this_machine() == calibrated()
    assert cached.read_bytes() == write_profile(calibrated())
    this_machine(refresh=True)
    assert len(asked) == 3
    monkeypatch.setattr("onnxruntime.__version__", "99.0.0")
    this_machine()
    assert len(asked) == 4


class Machine:
    """A clock that stands still unless a model runs, and others that take the core now and then."""

    def __init__(self, each_s: float, taken_s: float, every: int) -> None:
        self.now = self.own = 0.0
        self.runs = 0
        self._each, self._taken, self._every = each_s, taken_s, every

    def run(self) -> None:
        self.runs += 1
        self.own += self._each
        self.now += self._each + (self._taken if self.runs % self._every == 0 else 0.0)


@pytest.mark.parametrize("each_s", [1e-5, 1e-2], ids=["short runs", "long runs"])
def test_a_core_that_others_take_in_between_changes_no_time(
    each_s: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    every = 7 if each_s < 1e-3 else 1  # each long run is interrupted
    machine = Machine(each_s, 5e-3, every)
    monkeypatch.setattr("hedge.benching.calibration.timing.bound_run", lambda *_: machine.run)
    timer = WindowedTimer(1, 3, 1e-2, lambda: machine.now, lambda: machine.own)
    assert timer([ModelProto()], 1) == pytest.approx(each_s)


@pytest.mark.parametrize("limit_s", [0.0, 1e-5, 1.0])
def test_a_larger_size_is_never_faster_whatever_the_noise_and_the_limit(limit_s: float) -> None:
    rng = np.random.default_rng(0)

    def noisy(models: Sequence[ModelProto], batch: int) -> NDArray[np.float64]:
        return by_the_truth(models, batch) * np.exp(rng.standard_normal(len(models)))

    grid = replace(SMALL, limit_s=limit_s)
    table = Measuring(grid, noisy, sweeps=2, source="made up").gemms()
    values = np.reshape(table.value, [len(axis) for axis in table.axes])
    for axis in range(values.ndim):
        assert (np.diff(values, axis=axis) >= 0).all()


def test_a_cache_folder_that_can_not_be_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / ("x" * 300)))
    monkeypatch.setattr(
        "hedge.benching.calibration.cache.calibrate", lambda on_progress, scope: calibrated()
    )
    said: list[str] = []
    assert this_machine(said.append) == calibrated()
    assert "can't be kept" in said[-1]
