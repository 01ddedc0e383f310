"""A profile that did not pass its check: marked where it is made, warned of where it is used."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

import pytest

import hedge
from hedge.benching import Effort, bench
from hedge.benching.cold_start import ColdStart
from hedge.devices import Device, find_profile, read_profile, write_profile
from hedge.devices.profile import Calibration
from hedge.errors import InputError, ModelError, UnstableProfileWarning
from hedge.request import LARGEST_BATCH, Request
from tests.cli.conftest import Run
from tests.conftest import random_mlp

BRIEF = Effort(warm_up_s=0.0, timed_s=0.01, least_runs=2)
WARNING = "hedge: warning: the profile 'pi' is unstable (predictions are off by 60%"


def checked(median: float, processor: str = "another") -> Device:
    """A laptop's figures as if measured, and so far off in the median."""
    calibration = Calibration(
        processor=processor, onnxruntime="1", hedge="1", threads=1, graphs=1, fit_median=0.0,
        held_out=8, held_out_median=median, held_out_p90=median, held_out_worst=median,
    )  # fmt: skip
    laptop = find_profile("laptop-x86")
    return laptop.model_copy(update={"name": "auto", "calibration": calibration})


@pytest.fixture
def profile(tmp_path: Path) -> Path:
    path = tmp_path / "pi.toml"
    path.write_bytes(write_profile(checked(0.6)))
    return path


@pytest.fixture
def dense(tmp_path: Path) -> Path:
    path = tmp_path / "m.onnx"
    path.write_bytes(random_mlp([2, 8, 8, 1]).SerializeToString())
    return path


@pytest.mark.parametrize("median", [0.1, 0.6], ids=["stable", "unstable"])
def test_calibrate_names_the_profile_after_its_file_and_says_if_it_is_unstable(
    median: float, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hedge.benching.calibrate", lambda *_, **__: checked(median))
    done = run("calibrate", "--out", "pi.toml")
    assert done.code == 0
    assert ("hedge: warning: unstable: predictions are off by 60%" in done.err) is (median > 0.25)
    written = read_profile(tmp_path / "pi.toml")
    assert written.name == "pi"
    assert (written.unstable is not None) is (median > 0.25)


def test_a_file_that_calls_itself_auto_is_called_after_its_name(
    profile: Path, tmp_path: Path
) -> None:
    assert find_profile(str(profile)).name == "pi"
    (tmp_path / "auto.toml").write_bytes(write_profile(checked(0.1)))
    assert find_profile(str(tmp_path / "auto.toml")).name == "auto.toml"
    named = checked(0.1).model_copy(update={"name": "my-board"})
    (tmp_path / "b.toml").write_bytes(write_profile(named))
    assert find_profile(str(tmp_path / "b.toml")).name == "my-board"


@pytest.mark.filterwarnings("default")
def test_every_command_that_decides_by_it_warns_once(run: Run, profile: Path, dense: Path) -> None:
    box, device = ("--domain=0:1,0:1",), ("--device", "pi.toml")
    small = "m.hedge.safetensors"
    commands = [
        ("compress", "m.onnx", "--no-recover", *device, *box, "--tolerance", "1e-2", "--out", small),
        ("export", small, "--out", "a.onnx"),
        ("export", small, *device, "--out", "b.onnx"),
        ("bench", "m.onnx", *device, "--batch", "1", "--seconds", "0.01"),
        ("compare", "m.onnx", *device, *box, "--batch", "1", "--seconds", "0.01",
         "--budget", "0.01"),
        ("devices", "m.onnx", "--check", "pi.toml", "--batch", "1", "--seconds", "0.01"),
    ]  # fmt: skip
    for command in commands:
        done = run(*command)
        assert done.code == 0, done.err
        lines = [line for line in done.err.splitlines() if "is unstable" in line]
        assert len(lines) == 1, command
        assert lines[0].startswith(WARNING)


def test_the_library_warns(dense: Path, profile: Path) -> None:
    with pytest.warns(UnstableProfileWarning, match="'pi' is unstable"):
        hedge.compress(dense, device=str(profile), domain="0:1,0:1", tolerance=1e-2, recover=None)


def test_any_device_of_this_processor_is_at_hand(
    heat_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from hedge.benching import processor_name

    timed: list[int] = []

    def slower(dense: object, candidate: object, batch: int) -> float:
        timed.append(batch)
        return 2.0

    monkeypatch.setattr("hedge.api.compressing.time_ratio", slower)
    for processor in ("another", processor_name()):
        device = checked(0.1, processor)
        plan = hedge.compress(
            heat_path, device=device, tolerance=1e-2, batch=512, recover=None
        ).plan
        assert plan.gains is (processor == "another")
    assert timed == [512]


def test_the_largest_batch_is_one_everywhere(dense: Path) -> None:
    Request(1e-3, batch=LARGEST_BATCH)
    with pytest.raises(InputError, match=f"1 and {LARGEST_BATCH}"):
        Request(1e-3, batch=LARGEST_BATCH + 1)
    with pytest.raises(InputError, match=f"1 and {LARGEST_BATCH}"):
        hedge.bench([dense], device="laptop-x86", batches=[LARGEST_BATCH + 1])


def test_why_a_cold_start_failed_is_told_and_the_times_are_kept(
    dense: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(model: bytes, batch: int, threads: int) -> ColdStart:
        raise ModelError("it can't be started in a fresh process (exit code -9, it said nothing)")

    monkeypatch.setattr(import_module("hedge.benching.bench"), "cold_start", failing)
    result = bench([dense], find_profile("laptop-x86"), batches=[1], effort=BRIEF)
    (measurement,), (failure,) = result.models, result.failures
    assert measurement.median_s > 0.0
    assert measurement.start_s is None
    assert (failure.path, failure.batch) == ("m.onnx", 1)
    assert "exit code -9" in failure.reason
