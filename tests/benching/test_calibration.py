"""Calibration with a timer that knows the truth, and the profile kept for this machine."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from numpy.typing import NDArray
from onnx import ModelProto

from hedge.benching import calibrate, keep_as_auto, this_machine
from hedge.benching.calibration import Scope, WindowedTimer, clocked
from hedge.benching.calibration.filling import Spending
from hedge.benching.calibration.graphs import random_networks
from hedge.benching.calibration.tables import Grid, Measuring
from hedge.benching.calibration.timing import Window
from hedge.devices import (
    Device,
    find_profile,
    marginal_seconds,
    pass_work,
    predicted_seconds,
    read_profile,
    roofline_seconds,
    write_profile,
)
from hedge.devices.profile import Calibration
from hedge.graph import graph_work, reads_here, reads_of
from hedge.ops import OPS
from hedge.paper import paper_bound_seconds

TRUTH = find_profile("raspberry-pi-4b")
SMALL = Grid(
    rows=(1, 16, 1024),
    outputs=(16, 128, 512),
    inputs=(1, 16, 128, 512),
    product_rows=(1, 16, 256),
    product_columns=(1, 16, 64),
    product_depths=(1, 16, 64),
    numbers=(1, 1024, 8192, 65536),
    spans=(1, 16, 64, 512),
    lengths=(1, 16, 64, 512, 8192),
    most_products=2e7,
    most_numbers=1e5,
    long_s=0.5,
)

SCOPE = Scope(
    SMALL, networks=8, held_out=8, most_flops=2e7, sweeps=1, windows=1, window_s=0.0, limit_s=1e3
)


def by_the_truth(models: Sequence[ModelProto], batch: int) -> NDArray[np.float64]:
    """Times as a Raspberry Pi 4's figures give them, whatever machine this is."""
    return np.array([float(predicted_seconds(TRUTH, graph_work(m, batch))) for m in models])


@cache
def calibrated() -> Device:
    return calibrate(scope=SCOPE, timer=by_the_truth)


def test_a_calibrated_profile_predicts_what_it_was_measured_on() -> None:
    calibration = calibrated().calibration
    assert calibration is not None
    assert calibration.fit_median < 0.02
    assert calibration.held_out_median < 0.15  # in blocks, too, on a grid of three sizes
    assert calibration.unstable is None


def test_a_calibration_notes_what_the_runtime_reads() -> None:
    assert reads_of(calibrated()) == replace(
        reads_here(), runtime=f"onnxruntime {onnxruntime.__version__} of auto"
    )


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
    assert len(asked) == 2
    monkeypatch.setattr("onnxruntime.__version__", "99.0.0")
    this_machine()
    assert len(asked) == 3


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
    timer = WindowedTimer(clocked(1, 1e-2, lambda: machine.now, lambda: machine.own), 3)
    assert timer([ModelProto()], 1) == pytest.approx(each_s)


@pytest.mark.parametrize("most_products", [0.0, 1e4, 1e9])
def test_a_larger_size_is_never_faster_whatever_the_noise_and_the_limit(
    most_products: float,
) -> None:
    rng = np.random.default_rng(0)

    def noisy(models: Sequence[ModelProto], batch: int) -> NDArray[np.float64]:
        return by_the_truth(models, batch) * np.exp(rng.standard_normal(len(models)))

    grid = replace(SMALL, most_products=most_products)
    measuring = Measuring(grid, noisy, sweeps=2, spending=Spending(1e3))
    measuring.fill("gemm")
    table = measuring.table("gemm", "made up")
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


def off_by(median: float, worst: float = 0.0) -> Device:
    """A profile that was so far off when it was checked."""
    calibration = calibrated().calibration
    assert calibration is not None
    figures = {"held_out_median": median, "held_out_p90": worst, "held_out_worst": worst}
    checked = Calibration(**{**calibration.model_dump(), **figures, "unstable": None})
    return calibrated().model_copy(update={"calibration": checked})


@pytest.mark.parametrize(
    ("median", "worst", "unstable"), [(0.25, 1.0, False), (0.26, 0.3, True), (0.1, 1.1, True)]
)
def test_a_profile_that_is_too_far_off_is_marked_in_its_file(
    median: float, worst: float, unstable: bool, tmp_path: Path
) -> None:
    device = off_by(median, worst)
    assert (device.unstable is not None) is unstable
    path = tmp_path / "pi.toml"
    path.write_bytes(write_profile(device))
    text = path.read_text()
    assert ("unstable = " in text) is unstable
    assert read_profile(path) == device
    # Files from before there was the key tell by the same figures.
    path.write_text("\n".join(line for line in text.splitlines() if "unstable" not in line))
    assert read_profile(path) == device


def test_auto_keeps_no_unstable_profile_beside_a_better_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(
        "hedge.benching.calibration.cache.calibrate", lambda on_progress, scope: off_by(0.6)
    )
    said: list[str] = []
    first = this_machine(said.append)
    assert first == off_by(0.6)
    assert "auto is unstable: predictions are off by 60%" in said.pop()
    assert keep_as_auto(off_by(0.9), said.append) == first
    assert "the last one is kept" in said.pop()
    assert keep_as_auto(off_by(0.5), said.append) == off_by(0.5)
    said.clear()
    assert keep_as_auto(off_by(0.1), said.append) == off_by(0.1)
    assert not said
    assert keep_as_auto(off_by(0.3), said.append) == off_by(0.1)
    assert "the last one is kept" in said.pop()
    assert this_machine() == off_by(0.1)


def test_the_tables_to_blame_are_measured_again_and_then_the_profile_is_marked() -> None:
    """Gemms that take ten times as long wherever another node is beside them: no table can hold."""
    told: list[str] = []

    def inconsistent(models: Sequence[ModelProto], batch: int) -> NDArray[np.float64]:
        tanh = [any(node.op_type == "Tanh" for node in model.graph.node) for model in models]
        return by_the_truth(models, batch) * np.where(tanh, 10.0, 1.0)

    device = calibrate(scope=SCOPE, timer=inconsistent, on_progress=told.append)
    assert device.unstable is not None
    assert "networks not in the fit" in device.unstable
    assert any(line.startswith("measuring again: ") for line in told)


@pytest.mark.parametrize("op", sorted(name for name, op in OPS.items() if op.fused))
def test_an_activation_behind_a_gemm_takes_time(op: str) -> None:
    work = pass_work(f"Gemm+{op}", 1, 10**6)
    for device in (TRUTH, calibrated()):
        assert marginal_seconds(device, work) > 1e-5
    assert calibrated().runtime.passes[f"Gemm+{op}"].value[-1] > 0.0
    earlier = calibrated().runtime.model_copy(
        update={"passes": {k: v for k, v in calibrated().runtime.passes.items() if op not in k}}
    )
    assert marginal_seconds(calibrated().model_copy(update={"runtime": earlier}), work) > 1e-5


def test_windows_are_added_until_two_agree() -> None:
    times = iter([9.0, 3.0, 2.0, 1.0, 1.01, 5.0])  # the first warms up

    def start(model: ModelProto, batch: int) -> Callable[[], Window]:
        return lambda: Window(np.array([seconds := next(times)]), seconds, 1.0)

    assert WindowedTimer(start, 2)([ModelProto()], 1) == pytest.approx(1.0)
    assert next(times) == 5.0
