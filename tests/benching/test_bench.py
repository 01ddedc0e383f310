"""The protocol with a fake clock, the figures beside the times, and calibration."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import numpy as np
import onnx
import pytest

import hedge
from hedge.benching import Effort, bench, confirmation, evaluate, time_ratio
from hedge.benching.protocol import LEAST_RUNS, MOST_RUNS, bound_run, interleaved_times
from hedge.devices import (
    Block,
    Device,
    find_profile,
    paper_bound_seconds,
    predicted_seconds,
)
from hedge.errors import InputError, ModelError
from hedge.graph import graph_work, load_model
from hedge.problems import find_problem
from tests.conftest import make_model, random_mlp

QUICK = Effort(warm_up_s=0.01, timed_s=0.02)


class FakeMachine:
    """A clock that only runs when a model does."""

    def __init__(self) -> None:
        self.now = 0.0
        self.order: list[str] = []

    def clock(self) -> float:
        return self.now

    def model(self, name: str, seconds: float):
        def run() -> None:
            self.now += seconds
            self.order.append(name)

        return run


def test_a_slow_model_gets_the_least_number_of_runs() -> None:
    machine = FakeMachine()
    effort = Effort(warm_up_s=0.1, timed_s=0.4, least_runs=9)
    times = interleaved_times([machine.model("slow", 2.0)], effort, clock=machine.clock)
    assert len(times[0]) == 9


@pytest.mark.parametrize(("batch", "rows"), [(64, 64), (10**9, confirmation.MOST_ROWS)])
def test_a_time_ratio_is_that_of_the_medians_candidate_over_dense(
    batch: int, rows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    dense, candidate = random_mlp([2, 8, 1]), random_mlp([2, 4, 1])
    bound: list[tuple[onnx.ModelProto, int]] = []

    def timed(runs: list, effort: Effort) -> list[np.ndarray]:
        assert runs == [0, 1]
        return [np.array([4.0, 4.0, 100.0]), np.array([1.0, 1.0, 0.5])]

    def bind(model: onnx.ModelProto, batch: int, threads: int) -> int:
        bound.append((model, batch))
        return len(bound) - 1

    monkeypatch.setattr(confirmation, "bound_run", bind)
    monkeypatch.setattr(confirmation, "interleaved_times", timed)
    assert time_ratio(dense, candidate, batch) == 0.25
    assert bound == [(dense, rows), (candidate, rows)]


def test_times_are_those_of_the_clock_and_rounds_visit_every_model() -> None:
    machine = FakeMachine()
    runs = [machine.model("a", 1e-3), machine.model("b", 3e-3)]
    times = interleaved_times(runs, Effort(0.01, 0.1), seed=0, clock=machine.clock)
    np.testing.assert_allclose(times[0], 1e-3, rtol=1e-9)
    np.testing.assert_allclose(times[1], 3e-3, rtol=1e-9)
    rounds = len(times[0])
    assert LEAST_RUNS <= rounds <= MOST_RUNS
    timed = machine.order[-2 * rounds :]
    pairs = [tuple(timed[i : i + 2]) for i in range(0, len(timed), 2)]
    assert all(set(pair) == {"a", "b"} for pair in pairs)
    assert min(Counter(pairs).values()) > rounds / 4  # in either order, at random


def test_a_slow_model_is_not_run_for_minutes() -> None:
    machine = FakeMachine()
    times = interleaved_times([machine.model("slow", 2.0)], Effort(0.3, 1.0), clock=machine.clock)
    assert len(times[0]) == LEAST_RUNS


def test_enough_runs_for_a_p99_where_they_are_cheap() -> None:
    machine = FakeMachine()
    times = interleaved_times([machine.model("fast", 1e-5)], Effort(0.1, 1.0), clock=machine.clock)
    assert len(times[0]) >= 662


def test_a_bench_reports_times_and_figures(heat_path: Path, laptop: Device) -> None:
    result = bench([heat_path], laptop, batches=[1, 32], effort=QUICK)
    assert [m.batch for m in result.models] == [1, 32]
    for m in result.models:
        assert m.median_s <= m.p90_s <= m.p99_s
        assert m.median_s == pytest.approx(np.median(m.times_s))
        assert m.speedup == 1.0
        assert m.predicted_s == predicted_seconds(
            laptop, graph_work(load_model(heat_path), m.batch)
        )
        blocks = [Block(64, 2, 2, False), *[Block(64, 64, 64, False)] * 2, Block(1, 64, 1, False)]
        assert m.paper_bound_s == pytest.approx(paper_bound_seconds(laptop, blocks, m.batch))
        assert m.bound_holds == (m.median_s <= m.paper_bound_s)
    document = json.loads(json.dumps(result.to_json()))
    assert document["hedge_bench"] == 1
    assert len(document["models"][0]["times_s"]) == len(result.models[0].times_s)


def test_an_exported_model_is_bounded_by_its_blocks(
    heat_path: Path, laptop: Device, tmp_path: Path
) -> None:
    small = hedge.compress(heat_path, device=laptop, tolerance=1e-2, batch=512, keep_widths=True)
    hedge.export(small, tmp_path / "small.onnx")
    result = bench([heat_path, tmp_path / "small.onnx"], laptop, batches=[8], effort=QUICK)
    dense, factorized = result.models
    blocks = [
        Block(s.outputs, s.inputs, s.rank or min(s.outputs, s.inputs), s.rank is not None)
        for s in small.plan.sites
    ]
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
