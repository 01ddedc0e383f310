"""Calibration of C with times that follow from known figures, and its compiler."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

import hedge
from hedge.benching import backend_for, calibrated_here, find_backend
from hedge.benching.calibration import QUICK_C, WindowedTimer, calibrate_c
from hedge.benching.calibration.c_networks import CNetwork, c_networks
from hedge.benching.calibration.c_timing import clocked_c
from hedge.benching.calibration.timing import Window
from hedge.devices import CRuntime, Device, predicted_seconds, read_profile, write_profile
from hedge.devices.profile import CLoops
from hedge.errors import InputError, ModelError
from hedge.exporting import open_model
from hedge.exporting.compiling import FLAGS, Compiler, compiler_here, compiler_of, flags_in
from hedge.graph import assemble, graph_work, reads_of, usual_forms
from tests.conftest import random_mlp
from tests.devices.c_profile import c_device
from tests.exporting.c_compiler import needs_gcc

TRUTH = c_device(lanes=4)
SCOPE = replace(QUICK_C, windows=1)
Noise = Callable[[], float]


def timer(noise: Noise = lambda: 1.0) -> WindowedTimer[CNetwork]:
    """Times as the made-up figures give them, whatever machine this is."""

    def open_network(network: CNetwork, batch: int) -> Callable[[], Window]:
        seconds = float(predicted_seconds(TRUTH, network.work(batch))) * noise()
        window = Window(np.full(5, seconds), 5 * seconds, 1.0)
        return lambda: window

    return WindowedTimer(open_network, windows=1)


@pytest.fixture
def compiler(tmp_path: Path) -> Compiler:
    return made_up_compiler(tmp_path, "#define __SSE2__ 1")


def made_up_compiler(folder: Path, macros: str, told: str = "acc 1.0") -> Compiler:
    """A program that answers as a compiler does."""
    script = folder / "acc"
    script.write_text(
        f"#!/bin/sh\ncase $1 in\n--version) echo '{told}' ;;\n*) echo '{macros}' ;;\nesac\n"
    )
    script.chmod(0o755)
    return Compiler(str(script), ("-O2",))


def test_a_compiler_of_another_machine_is_told_as_one(tmp_path: Path) -> None:
    compiler = made_up_compiler(tmp_path, "")
    script = Path(compiler.command)
    script.write_text("#!/bin/sh\n[ $1 != -shared ] || echo code > model.so\n")
    with pytest.raises(ModelError, match=r"can't be loaded .*; take a compiler for this machine"):
        compiler.library({"m.c": ""})


def figures(loops: CLoops) -> dict[str, float]:
    return {name: getattr(loops, name).value for name in loops.names} | {
        name: one.value for name, one in loops.functions.items()
    }


def test_figures_are_found_again_by_the_times_that_follow_from_them(
    compiler: Compiler, tmp_path: Path
) -> None:
    found = calibrate_c(compiler, scope=SCOPE, timer=timer())
    assert isinstance(found.runtime, CRuntime)
    assert isinstance(TRUTH.runtime, CRuntime)
    assert found.runtime.lanes == 4
    assert found.runtime.compiler == "acc 1.0 -O2"
    for mine, true in (
        (found.runtime.row, TRUTH.runtime.row),
        (found.runtime.tile, TRUTH.runtime.tile),
    ):
        expected = figures(true)
        others = expected.pop("function")
        expected.pop("four", None) if mine is found.runtime.row else None  # vectors of 4 leave none
        expected |= dict.fromkeys(("Exp", "Sigmoid", "Softplus"), others)
        assert figures(mine) == {
            **figures(mine), **{k: pytest.approx(v, rel=2e-3) for k, v in expected.items()}
        }  # fmt: skip
    assert found.calibration is not None
    assert found.calibration.held_out_worst < 1e-3
    assert found.unstable is None
    path = tmp_path / "p.toml"
    path.write_bytes(write_profile(found))
    assert read_profile(path) == found


def noisy(seed: int) -> Noise:
    """A percent of noise, and one in ten twice as slow each time."""
    rng = np.random.default_rng(seed)
    return lambda: (
        (2.0 if rng.random() < 0.1 else 1.0) * float(np.exp(0.01 * rng.standard_normal()))
    )


def test_times_that_were_disturbed_move_little(compiler: Compiler) -> None:
    found = calibrate_c(compiler, scope=SCOPE, timer=timer(noisy(0)))
    works = [one.work(batch) for one in c_networks(20, 7, 4) for batch in (1, 1024)]
    ratios = [float(predicted_seconds(found, w) / predicted_seconds(TRUTH, w)) for w in works]
    assert np.quantile(np.abs(np.array(ratios) - 1.0), 0.9) < 0.05
    assert found.calibration is not None
    assert found.calibration.fit_median < 0.02


def test_a_profile_that_is_too_far_off_is_unstable(compiler: Compiler) -> None:
    rng = np.random.default_rng(0)
    found = calibrate_c(
        compiler, scope=SCOPE, timer=timer(lambda: float(np.exp(rng.uniform(0.0, 2.0))))
    )
    assert found.unstable is not None
    assert "off by" in found.unstable


@cache
def profile(folder: Path) -> Device:
    return calibrate_c(made_up_compiler(folder, "#define __AVX__ 1"), scope=SCOPE, timer=timer())


def test_networks_are_the_same_each_time_and_have_blocks_of_all_sizes() -> None:
    networks = c_networks(56, 0, 8)
    assert [n.skeleton for n in networks] == [n.skeleton for n in c_networks(56, 0, 8)]
    counts = {
        name
        for network in networks
        for product in network.work(1).products
        for name, size in {"eights": 64, "vector": 8, "four": 4, "single": 1}.items()
        if product.columns >= size
    }
    assert counts == {"eights", "vector", "four", "single"}
    stored = {product.stored for network in networks for product in network.work(1).products}
    assert stored == {"float32", "float16", "bfloat16", "int8"}


@pytest.mark.parametrize(
    ("macros", "lanes"),
    [("#define __AVX512F__ 1", 16), ("#define __AVX__ 1", 8), ("#define __aarch64__ 1", 4),
     ("#define __ARM_ARCH 7", 1)],
)  # fmt: skip
def test_vectors_are_as_wide_as_the_compiler_says(tmp_path: Path, macros: str, lanes: int) -> None:
    assert made_up_compiler(tmp_path, macros).lanes == lanes


def test_flags_of_strangers_run_no_programs() -> None:
    assert flags_in("-std=c99 -O2 -march=armv8-a+simd -ffast-math -mno-avx") == (
        "-std=c99", "-O2", "-march=armv8-a+simd", "-ffast-math", "-mno-avx"
    )  # fmt: skip
    for text in (
        "-fplugin=evil.so", "-wrapper sh", "@file", "-o /etc/passwd", "-B/tmp", "-specs=x", "-I/",
        "-include x", "model.c", "-Xassembler x", "-O2;id", "'",
    ):  # fmt: skip
        with pytest.raises(InputError, match="flags: "):
            flags_in(text)


def runtime_of(compiler: str) -> CRuntime:
    runtime = TRUTH.runtime
    assert isinstance(runtime, CRuntime)
    return runtime.model_copy(update={"compiler": compiler})


def test_a_profile_is_of_this_machine_where_its_compiler_is_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    device = profile(tmp_path)
    monkeypatch.setenv("CC", str(tmp_path / "acc"))
    assert calibrated_here(device)
    assert backend_for(device).version == "acc 1.0 -O2"
    assert backend_for(device).name == "c"
    assert backend_for(device, "onnxruntime").name == "onnxruntime"
    assert compiler_of(runtime_of("acc 2.0 -O2")) is None
    assert compiler_of(runtime_of("acc 1.0 -fplugin=evil.so")) is None
    made_up_compiler(tmp_path, "", "acc 1.1")
    assert not calibrated_here(device)
    assert backend_for(device).version == " ".join(["acc 1.1", *FLAGS])


def test_candidates_are_timed_in_c_where_its_profile_is_of_this_machine(
    heat_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[Any] = []

    def slower(dense: object, candidate: object, batch: int, start: object = None) -> float:
        started.append(start)
        return 2.0

    monkeypatch.setattr("hedge.api.compressing.time_ratio", slower)
    monkeypatch.setenv("CC", str(tmp_path / "acc"))
    asked = {"device": profile(tmp_path), "tolerance": 1e-2, "batch": 64, "recover": None}
    found = hedge.compress(heat_path, **asked)
    assert [start.keywords["compiler"].label for start in started] == ["acc 1.0 -O2"]
    assert not found.plan.gains
    made_up_compiler(tmp_path, "", "acc 1.1")
    assert hedge.compress(heat_path, **asked).plan.gains
    assert len(started) == 1


def test_what_c_can_not_do_is_refused_for_a_device_that_runs_c(tmp_path: Path) -> None:
    model = random_mlp([2, 8, 1])
    model.graph.node[1].op_type = "Mean"
    onnx.save(model, tmp_path / "m.onnx")
    with pytest.raises(ModelError, match="can't be written in C"):
        hedge.compress(tmp_path / "m.onnx", device=TRUTH, domain="0:1,0:1", recover=None)


def test_onnx_is_exported_for_a_device_that_runs_c(heat_path: Path, tmp_path: Path) -> None:
    found = hedge.compress(heat_path, device=TRUTH, tolerance=1e-2, batch=64, recover=None)
    assert found.plan.gains
    model = assemble(found.skeleton, found.matrices, forms=usual_forms(found.matrices, TRUTH))
    assert found.plan.predicted_s == predicted_seconds(TRUTH, graph_work(model, 64))
    assert reads_of(TRUTH) is None
    hedge.export(found, tmp_path / "small.onnx")
    plan = open_model(tmp_path / "small.onnx").plan
    assert plan is not None
    assert plan.device == TRUTH.name


def test_a_compiler_that_is_not_there_is_one_line() -> None:
    with pytest.raises(InputError, match="compiler: 'no-such-compiler' is not there"):
        compiler_here("no-such-compiler")


@needs_gcc
def test_the_compiler_is_called_the_same_by_any_name() -> None:
    assert compiler_here("cc").label == compiler_here("gcc").label
    assert compiler_here().lanes in (1, 4, 8, 16)
    assert find_backend("c").version == compiler_here().label
    with pytest.raises(InputError, match=r"compiler: .*march.*correct --flags"):
        Compiler(compiler_here("gcc").command, ("-march=none",)).lanes  # noqa: B018


@needs_gcc
def test_a_row_and_a_batch_are_timed() -> None:
    network = c_networks(1, 3, 4)[0]
    start = clocked_c(compiler_here(flags=("-std=c99", "-O1")), 1e-4)
    row, rows = (start(network, batch)().seconds for batch in (1, 1024))
    assert row > 0.0
    assert rows > 0.0
