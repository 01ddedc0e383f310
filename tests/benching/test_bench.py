"""The figures beside the times, what is kept when a model fails, and calibration."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import ModelProto

import hedge
from hedge.benching import (
    Effort,
    bench,
    evaluate,
    processor_name,
    protocol,
    time_ratio,
)
from hedge.benching.protocol import bound_run
from hedge.devices import Device, find_profile, predicted_seconds
from hedge.devices.profile import Calibration
from hedge.errors import InputError, ModelError
from hedge.graph import graph_work, load_model
from hedge.hmatrix import Block
from hedge.paper import paper_bound_seconds
from hedge.problems import find_problem
from tests.conftest import make_model, random_mlp

QUICK = Effort(warm_up_s=0.01, timed_s=0.02)


def calibration(processor: str) -> Calibration:
    return Calibration(
        processor=processor, onnxruntime="1", hedge="1", threads=1, graphs=1, fit_median=0.0,
        held_out=1, held_out_median=0.0, held_out_p90=0.0, held_out_worst=0.0,
    )  # fmt: skip


@pytest.mark.parametrize(("batch", "rows"), [(64, 64), (10**7, protocol.MOST_TIMED_ROWS)])
def test_a_time_ratio_is_that_of_the_medians_candidate_over_dense(
    batch: int, rows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    dense, candidate = random_mlp([2, 8, 1]), random_mlp([2, 4, 1])
    bound: list[tuple[onnx.ModelProto, int]] = []

    def timed(runs: list, effort: Effort, seed: int) -> list[np.ndarray]:
        assert runs == [0, 1]
        return [np.array([4.0, 4.0, 100.0]), np.array([1.0, 1.0, 0.5])]

    def bind(model: onnx.ModelProto, batch: int, threads: int) -> int:
        bound.append((model, batch))
        return len(bound) - 1

    monkeypatch.setattr(protocol, "bound_run", bind)
    monkeypatch.setattr(protocol, "interleaved_times", timed)
    assert time_ratio(dense, candidate, batch) == 0.25
    assert bound == [(dense, rows), (candidate, rows)]


def test_a_bench_reports_times_and_figures(heat_path: Path, laptop: Device) -> None:
    result = bench([heat_path], laptop, batches=[1, 32], effort=QUICK)
    assert [m.batch for m in result.models] == [1, 32]
    for m in result.models:
        assert m.p90_s is not None
        assert m.median_s <= m.p90_s
        assert m.median_s == pytest.approx(np.median(m.times_s))
        assert m.speedup == 1.0
        assert m.speedup_interval == (1.0, 1.0)
        windows = np.array(m.times_s).mean(axis=1)
        assert m.rows_per_s == pytest.approx(m.batch / np.median(windows))
        assert m.predicted_s == predicted_seconds(
            laptop, graph_work(load_model(heat_path), m.batch)
        )
        blocks = [Block(64, 2, None), *[Block(64, 64, None)] * 2, Block(1, 64, None)]
        assert m.paper_bound_s == pytest.approx(paper_bound_seconds(laptop, blocks, m.batch))
        assert m.bound_holds == (m.median_s <= m.paper_bound_s)
    assert result.failures == ()
    assert result.calibrated_here is False


def stranger() -> ModelProto:
    """A model that loads, but onnxruntime's own op takes no three inputs."""
    model = random_mlp([2, 4, 1])
    fast = onnx.helper.make_node("FastGelu", ["z0"] * 3, ["a0"], domain="com.microsoft")
    model.graph.node[1].CopyFrom(fast)
    model.opset_import.append(onnx.helper.make_opsetid("com.microsoft", 1))
    return model


def test_a_failing_model_leaves_the_others_their_results(
    heat_path: Path, laptop: Device, saved: Callable[[ModelProto, str], Path], tmp_path: Path
) -> None:
    other = saved(random_mlp([3, 8, 1]), "other.onnx")
    paths = [tmp_path / "gone.onnx", saved(stranger(), "stranger.onnx"), heat_path, other]
    result = bench(paths, laptop, batches=[1, 2], effort=QUICK)
    assert [(m.path, m.batch) for m in result.models] == [
        (heat_path.name, 1), ("other.onnx", 1), (heat_path.name, 2), ("other.onnx", 2)
    ]  # fmt: skip
    assert [(f.path, f.batch) for f in result.failures] == [
        ("gone.onnx", None), ("stranger.onnx", 1), ("stranger.onnx", 2)
    ]  # fmt: skip
    for failure in result.failures:
        assert failure.reason.startswith(str(tmp_path / failure.path))
        assert "\n" not in failure.reason
    assert result.models[0].speedup == result.models[2].speedup == 1.0  # of the first that runs


def test_without_any_model_that_runs_the_first_error_is_raised(
    laptop: Device, tmp_path: Path, saved: Callable[[ModelProto, str], Path]
) -> None:
    with pytest.raises(InputError, match=r"gone\.onnx"):
        bench([tmp_path / "gone.onnx", tmp_path / "away.onnx"], laptop, effort=QUICK)
    with pytest.raises(ModelError, match=r"stranger\.onnx: onnxruntime can't run"):
        bench([saved(stranger(), "stranger.onnx")], laptop, batches=[1, 2], effort=QUICK)


def test_a_machine_that_slows_down_makes_its_times_unstable(
    heat_path: Path, laptop: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    loops = iter([1.0, 1.0, 1.3])  # at the start, before the batch, after it
    module = import_module("hedge.benching.bench")  # the package has a function of that name
    monkeypatch.setattr(module, "loop_seconds", lambda: next(loops))
    flags = iter([(), ("throttled", "throttled since boot")])
    monkeypatch.setattr(module, "throttling", lambda: (next(flags), None))
    (measured,) = bench([heat_path], laptop, batches=[4], effort=QUICK).models
    assert measured.unstable is not None
    assert "+30%" in measured.unstable
    assert "throttled" in measured.unstable


def test_a_profile_calibrated_elsewhere_is_told(heat_path: Path, laptop: Device) -> None:
    here, there = (
        laptop.model_copy(update={"calibration": calibration(processor)})
        for processor in (processor_name(), "Cortex-A72")
    )
    renamed = there.model_copy(update={"description": f"a board ({processor_name()})"})
    found = [
        bench([heat_path], device, batches=[1], effort=QUICK).calibrated_here
        for device in (here, there, renamed, laptop)
    ]
    assert found == [True, False, False, False]


def test_an_exported_model_is_bounded_by_its_blocks(
    heat_path: Path, laptop: Device, tmp_path: Path
) -> None:
    small = hedge.compress(
        heat_path, device=laptop, tolerance=1e-2, batch=512, keep_widths=True, recover=None
    )
    hedge.export(small, tmp_path / "small.onnx")
    result = bench([heat_path, tmp_path / "small.onnx"], laptop, batches=[8], effort=QUICK)
    dense, factorized = result.models
    blocks = [Block(s.outputs, s.inputs, s.structure.rank) for s in small.plan.sites]
    assert factorized.paper_bound_s == pytest.approx(paper_bound_seconds(laptop, blocks, 8))
    assert factorized.paper_bound_s < dense.paper_bound_s
    assert factorized.parameters == small.plan.parameters
    assert factorized.speedup == pytest.approx(dense.median_s / factorized.median_s)


def test_the_work_counted_is_that_of_the_graph() -> None:
    work = graph_work(random_mlp([2, 16, 16, 1]), batch=10)
    assert work.nodes == 3  # three Gemms, each Tanh fused into the one before it
    assert work.flops == 2 * 10 * (2 * 16 + 16 * 16 + 16)
    assert work.activations == 10 * 32


@pytest.mark.parametrize(
    ("paths", "batches", "named"), [([], [1], "no model"), (["x"], [0], "batch"), (["x"], [1], "x")]
)
def test_bad_requests_are_refused(
    paths: list[str], batches: list[int], named: str, laptop: Device
) -> None:
    with pytest.raises((InputError, ModelError), match=named):
        bench([Path(p) for p in paths], laptop, batches=batches, effort=QUICK)


def test_a_model_the_runtime_refuses_is_an_error_of_ours() -> None:
    model = random_mlp([2, 4, 1])
    model.graph.node[0].domain = "nobody"
    model.opset_import.append(onnx.helper.make_opsetid("nobody", 1))
    with pytest.raises(ModelError, match="onnxruntime can't run"):
        bound_run(model, 1, 1)


@pytest.mark.parametrize(
    ("file", "limit"),
    [
        ("burgers-128x4", 1e-4),
        ("burgers-nu-24x3", 4e-4),
        ("burgers-nu-64x4", 5e-4),
        ("heat-64x3", 3e-6),
        ("poisson-64x3", 1e-6),
        ("pendulum-64x4", 4e-6),
    ],
)
def test_the_shipped_models_have_the_errors_promised(file: str, limit: float) -> None:
    path = hedge.reference_models()["burgers"].with_name(f"{file}.onnx")
    accuracy = evaluate(load_model(path), find_problem(file.rpartition("-")[0]))
    assert accuracy.relative_l2 < limit
    assert accuracy.residual_rms < 1.0
    assert path.stat().st_size < 6 * 2**20


def test_the_residual_of_an_exact_solution_is_near_zero() -> None:
    """A graph that is the reference itself: sin πx sin πy, with one linear site in front."""
    weights = {
        "w": np.pi * np.eye(2),
        "one": np.array([1, 1]),
    }
    nodes = [
        onnx.helper.make_node("Gemm", ["x", "w"], ["z"], transB=1),
        onnx.helper.make_node("Sin", ["z"], ["s"]),
        onnx.helper.make_node("Split", ["s", "one"], ["a", "b"], axis=1),
        onnx.helper.make_node("Mul", ["a", "b"], ["u"]),
    ]
    model = make_model(nodes, weights, inputs=2)
    accuracy = evaluate(model, find_problem("poisson"))
    assert accuracy.relative_l2 < 1e-6
    assert accuracy.residual_rms < 1e-5
    assert accuracy.parameters == 6


def test_the_device_of_a_profile_is_named_in_the_result(heat_path: Path) -> None:
    result = bench([heat_path], find_profile("raspberry-pi-5"), batches=[1], effort=QUICK)
    assert result.device == "raspberry-pi-5"
    assert result.machine.onnxruntime
