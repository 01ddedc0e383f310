"""Compression as a whole: the tolerance on points of our own, the two-sided norm, never worse than dense."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import ModelProto, helper, numpy_helper
from threadpoolctl import threadpool_info, threadpool_limits

import hedge
from hedge.compression import (
    CompressedModel,
    Request,
    Source,
    points_of_domain,
    points_of_file,
    prepare,
)
from hedge.compression.fitting import dense_targets, fit_sites
from hedge.compression.measure import measure, output_error
from hedge.compression.target import SiteTarget
from hedge.devices import Device, find_profile
from hedge.errors import InputError, ModelError, ToleranceError
from hedge.graph import (
    Evaluator,
    SiteMatrix,
    SplitModel,
    assemble,
    load_model,
    run_float32,
    split,
)
from hedge.hmatrix import plain_spectrum
from hedge.methods import COMPRESSING
from hedge.problems import Domain, find_problem
from tests.conftest import make_model, random_mlp

SQUARE = Domain(((-1.0, 1.0), (-1.0, 1.0)))
BURGERS = find_problem("burgers")


def compress_model(
    model: ModelProto, device: Device, domain: Domain = SQUARE, **request: object
) -> CompressedModel:
    widest = max(max(s.matrix.shape) for s in split(model).sites)
    points = points_of_domain(domain, domain.dimension, widest, seed=0)
    case = prepare(model, device, points, Request(**request), Source("m", ""))  # type: ignore[arg-type]
    return COMPRESSING[case.request.method](case)


def dense_of(parts: SplitModel) -> ModelProto:
    return assemble(parts.skeleton, parts.matrices)


def error_on_our_points(parts: SplitModel, compressed: CompressedModel, domain: Domain) -> float:
    """As a device would run both: float32, in onnxruntime, on points of our own."""
    points = domain.sample(20_000, seed=987_654)
    dense = run_float32(assemble(parts.skeleton, parts.matrices), points)
    return output_error(run_float32(compressed.to_onnx(), points), dense).relative


@pytest.mark.parametrize("rank", [8, 16, 32])
def test_two_sided_truncation_is_ten_times_below_plain_svd_at_equal_rank(
    burgers: SplitModel, rank: int
) -> None:
    measured = measure(burgers, BURGERS.domain.sample(2048, 0), seed=0)

    points = BURGERS.domain.sample(4096, 1)
    dense = Evaluator(assemble(burgers.skeleton, burgers.matrices))(points)

    def error(matrices: dict) -> float:
        return output_error(Evaluator(assemble(burgers.skeleton, matrices))(points), dense).relative

    def choose(name: str, target: SiteTarget) -> SiteMatrix:
        return target.truncated(rank if min(target.weight.shape) > rank else None)

    targets = dense_targets(burgers, measured, noise=1e-4)
    two_sided = error(fit_sites(burgers, measured, {}, choose, 1e-4, targets))
    plain = error(
        {
            name: SiteMatrix(plain_spectrum(m.dense()).truncate(rank), m.bias)
            if min(m.shape) > rank
            else m
            for name, m in burgers.matrices.items()
        }
    )
    assert 10 * two_sided < plain


@pytest.mark.parametrize(("tolerance", "keep_widths"), [(1e-1, False), (1e-2, True), (1e-3, False)])
def test_tolerance_holds_on_fresh_points_and_cost_falls(
    burgers: SplitModel, laptop: Device, tolerance: float, keep_widths: bool
) -> None:
    compressed = compress_model(
        dense_of(burgers),
        laptop,
        BURGERS.domain,
        tolerance=tolerance,
        batch=1024,
        keep_widths=keep_widths,
    )
    plan = compressed.plan
    assert error_on_our_points(burgers, compressed, BURGERS.domain) < tolerance
    assert plan.relative_error < tolerance
    assert plan.gains
    assert plan.predicted_s < plan.dense_predicted_s
    assert plan.parameters < plan.dense_parameters / 2
    if keep_widths:
        assert all((s.outputs, s.inputs) == (s.dense_outputs, s.dense_inputs) for s in plan.sites)
        assert any(s.structure.label != "dense" for s in plan.sites)
    else:
        assert any(s.outputs < s.dense_outputs for s in plan.sites)


@settings(max_examples=12)
@given(
    widths=st.lists(st.integers(1, 24), min_size=1, max_size=3),
    outputs=st.integers(1, 3),
    activation=st.sampled_from(["Tanh", "Sin", "SiLU", "Relu"]),
    seed=st.integers(0, 10**6),
    tolerance=st.sampled_from([0.3, 1e-2, 1e-4]),
    batch=st.sampled_from([1, 256]),
    objective=st.sampled_from(["latency", "energy", "size"]),
    keep_widths=st.booleans(),
)
def test_random_networks_stay_within_tolerance_and_never_cost_more_than_dense(
    widths: list[int],
    outputs: int,
    activation: str,
    seed: int,
    tolerance: float,
    batch: int,
    objective: str,
    keep_widths: bool,
) -> None:
    model = random_mlp([2, *widths, outputs], seed=seed, activation=activation)
    parts = split(model)
    device = find_profile("raspberry-pi-4b")
    asked = {"tolerance": tolerance, "batch": batch, "objective": objective}
    compressed = compress_model(model, device, keep_widths=keep_widths, **asked)
    plan = compressed.plan
    assert error_on_our_points(parts, compressed, SQUARE) < tolerance
    cost, dense_cost = {
        "latency": (plan.predicted_s, plan.dense_predicted_s),
        "energy": (plan.energy_j, plan.dense_energy_j),
        "size": (plan.bytes, plan.dense_bytes),
    }[objective]
    assert cost <= dense_cost
    assert sum(site.error_share or 0.0 for site in plan.sites) == pytest.approx(
        1.0 if any(site.error_squared for site in plan.sites) else 0.0
    )
    if not compressed.plan.gains:
        for name, matrix in parts.matrices.items():
            assert (compressed.matrices[name].dense() == matrix.dense()).all()


def low_rank_mlp() -> ModelProto:
    """A 64-wide net whose middle matrix has rank 2 exactly, so that factors cost nothing in error."""
    model = random_mlp([2, 64, 64, 1])
    rng = np.random.default_rng(1)
    middle = next(t for t in model.graph.initializer if t.name == "w1")
    exact = rng.standard_normal((64, 2)) @ rng.standard_normal((2, 64)) / 8
    middle.CopyFrom(numpy_helper.from_array(exact.astype(np.float32), "w1"))
    return model


def test_an_exact_rank_is_found(laptop: Device) -> None:
    compressed = compress_model(low_rank_mlp(), laptop, tolerance=1e-4, batch=256, keep_widths=True)
    assert compressed.plan.sites[1].structure.label in ("rank 1", "rank 2")


def test_a_small_net_at_batch_one_stays_dense_and_says_why() -> None:
    """Two nodes for one cost more than they save here."""
    model = random_mlp([2, 8, 8, 1], activation="Relu", scale=2.0)
    device = find_profile("raspberry-pi-5")
    compressed = compress_model(model, device, tolerance=1e-5, keep_widths=True)
    assert not compressed.plan.gains
    assert "gains latency at batch 1" in compressed.plan.note
    assert all(site.reason == compressed.plan.note for site in compressed.plan.sites)
    assert compressed.plan.parameters == compressed.plan.dense_parameters


@pytest.mark.parametrize("objective", ["latency", "energy", "size"])
def test_each_objective_makes_its_own_figure_smaller(
    burgers: SplitModel, laptop: Device, objective: str
) -> None:
    plan = compress_model(
        dense_of(burgers), laptop, BURGERS.domain, tolerance=3e-2, objective=objective, batch=64
    ).plan
    small, dense = {
        "latency": (plan.predicted_s, plan.dense_predicted_s),
        "energy": (plan.energy_j, plan.dense_energy_j),
        "size": (plan.bytes, plan.dense_bytes),
    }[objective]
    assert small < 0.6 * dense


def test_hedge_is_cheaper_than_plain_svd_at_the_same_tolerance(
    burgers: SplitModel, laptop: Device
) -> None:
    ours, svd = (
        compress_model(
            dense_of(burgers), laptop, BURGERS.domain, tolerance=1e-2, batch=1024, method=method
        )
        for method in ("hierarchical", "svd")
    )
    assert error_on_our_points(burgers, svd, BURGERS.domain) < 1e-2
    assert 2 * ours.plan.predicted_s < svd.plan.predicted_s


def test_the_same_seed_gives_the_same_model(heat_path: Path, laptop: Device) -> None:
    first, again = (
        hedge.compress(heat_path, device=laptop, tolerance=1e-2, recover=None) for _ in range(2)
    )
    assert first.plan == again.plan
    for name, matrix in first.matrices.items():
        for ours, theirs in zip(matrix.factors, again.matrices[name].factors, strict=True):
            np.testing.assert_array_equal(ours, theirs)


def test_error_can_be_measured_against_the_reference(heat_path: Path, laptop: Device) -> None:
    small = hedge.compress(
        heat_path, device=laptop, tolerance=1e-2, against="reference", batch=512, recover=None
    )
    points = find_problem("heat").domain.sample(20_000, 4)
    outputs = Evaluator(small.to_onnx())(points)
    assert output_error(outputs, find_problem("heat").reference(points)).relative < 1e-2
    assert small.plan.gains
    with pytest.raises(ToleranceError, match="the best is the dense model itself"):
        hedge.compress(heat_path, device=laptop, tolerance=1e-6, against="reference", recover=None)


def test_samples_of_the_user_stand_in_for_a_domain(
    heat_path: Path, laptop: Device, tmp_path: Path
) -> None:
    samples = tmp_path / "inputs.npy"
    np.save(samples, find_problem("heat").domain.sample(4000, 0))
    small = hedge.compress(
        heat_path, device=laptop, tolerance=1e-2, batch=512, samples=samples, recover=None
    )
    points = find_problem("heat").domain.sample(20_000, 4)
    dense = run_float32(load_model(heat_path), points)
    assert output_error(run_float32(small.to_onnx(), points), dense).relative < 1e-2
    assert small.plan.gains
    assert small.plan.fresh_points == 250
    assert small.plan.attempts <= 3


def rows_of(array: np.ndarray) -> set[tuple[float, ...]]:
    return set(map(tuple, array))


def test_points_that_fit_choose_and_certify_never_meet(tmp_path: Path) -> None:
    path = tmp_path / "x.npy"
    np.save(path, np.vstack([np.arange(800.0).reshape(400, 2)] * 2))  # every row twice
    for sets in (points_of_file(path, 2, seed=0), points_of_domain(SQUARE, 2, 8, seed=0)):
        used = [sets.fit, sets.validation, sets.judge()]
        used += [sets.fresh(i) for i in range(min(sets.attempts, 8))]
        assert len(sets.fresh(1, 4)) == len(sets.fresh(1)) * (4 if sets.domain else 1)
        assert all(len(part) for part in used)
        assert len(set().union(*map(rows_of, used))) == sum(map(len, used))


def localised(sharpness: float) -> ModelProto:
    """A net times a narrow Gaussian: nearly all of the output's energy lies in few points."""
    model = random_mlp([2, 16, 16, 1])
    model.graph.node[-1].output[0] = "n"
    model.graph.node.extend(
        [
            helper.make_node("Mul", ["x", "x"], ["squares"]),
            helper.make_node("MatMul", ["squares", "narrow"], ["distance"]),
            helper.make_node("Exp", ["distance"], ["hill"]),
            helper.make_node("Mul", ["n", "hill"], ["u"]),
        ]
    )
    narrow = np.full((2, 1), -sharpness, dtype=np.float32)
    model.graph.initializer.append(numpy_helper.from_array(narrow, "narrow"))
    return model


def test_an_output_that_lives_on_few_points_stays_dense_or_within_tolerance(laptop: Device) -> None:
    model = localised(3000.0)
    parts = split(model)
    compressed = compress_model(model, laptop, tolerance=1e-2, batch=512)
    if compressed.plan.gains:
        assert error_on_our_points(parts, compressed, SQUARE) < 1e-2
    else:
        assert compressed.plan.note
        assert compressed.plan.relative_error == 0.0


def test_too_few_samples_to_certify_are_said_so(laptop: Device, tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(localised(3000.0).SerializeToString())
    samples = tmp_path / "x.npy"
    np.save(samples, SQUARE.sample(300, 0) / 30)
    plan = hedge.compress(
        path, device=laptop, tolerance=1e-4, batch=512, samples=samples, recover=None
    ).plan
    assert plan.gains or "more samples" in plan.note or "gains latency" in plan.note
    assert plan.relative_error <= 1e-4


@pytest.mark.parametrize("columns", [1, 2])
def test_a_reference_with_other_outputs_or_domain_is_refused(
    columns: int, laptop: Device, tmp_path: Path
) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(random_mlp([2, 8, columns]).SerializeToString())
    request = {"device": laptop, "tolerance": 0.9, "against": "reference", "problem": "heat"}
    domain = "0:2,0:1" if columns == 1 else None
    named = "against reference" if columns == 1 else r"has 1 output\(s\), the model has .* 2 output"
    with pytest.raises(InputError, match=named):
        hedge.compress(path, domain=domain, **request, recover=None)  # type: ignore[arg-type]


def test_dead_twin_and_constant_neurons_are_no_trouble(laptop: Device) -> None:
    model = random_mlp([2, 12, 12, 1])
    for tensor in model.graph.initializer:
        if tensor.name == "w0":
            values = numpy_helper.to_array(tensor).copy()
            values[3] = 0.0  # constant
            values[5] = values[4]
            tensor.CopyFrom(numpy_helper.from_array(values, "w0"))
        if tensor.name == "b0":
            values = numpy_helper.to_array(tensor).copy()
            values[5] = values[4]  # twins
            tensor.CopyFrom(numpy_helper.from_array(values, "b0"))
    parts = split(model)
    compressed = compress_model(model, laptop, tolerance=1e-5, objective="size")
    assert error_on_our_points(parts, compressed, SQUARE) < 1e-5
    assert compressed.plan.sites[0].outputs <= 10


@pytest.mark.parametrize("tolerance", [0.0, 1.0, 2.0, -1e-3, float("nan"), float("inf")])
def test_tolerances_out_of_range_are_refused(tolerance: float) -> None:
    with pytest.raises(InputError, match="tolerance"):
        Request(tolerance)


def test_a_model_that_is_zero_everywhere_is_refused(laptop: Device) -> None:
    weights = {"w": np.zeros((1, 2))}
    model = make_model([helper.make_node("Gemm", ["x", "w"], ["u"], transB=1)], weights, inputs=2)
    with pytest.raises(ModelError, match="zero on the whole domain"):
        compress_model(model, laptop, tolerance=1e-2)


def test_progress_is_told(heat_path: Path, laptop: Device) -> None:
    told: list[str] = []
    hear: Callable[[str], None] = told.append
    hedge.compress(heat_path, device=laptop, tolerance=1e-1, on_progress=hear, recover=None)
    assert any("measuring" in message for message in told)


class StoppedError(Exception):
    """In the midst of a search, with the threads that BLAS had there."""


@pytest.mark.parametrize("task", [hedge.compress, hedge.compare_methods], ids=lambda f: f.__name__)
def test_one_blas_thread_makes_results_those_of_any_machine(
    task: Callable[..., object], heat_path: Path
) -> None:
    """Sums are rounded by how threads cut them, and threads wait for each other beside other work."""

    def look(text: str) -> None:
        if text.startswith("searching"):
            raise StoppedError(
                {one["num_threads"] for one in threadpool_info() if one["user_api"] == "blas"}
            )

    with threadpool_limits(2, user_api="blas"), pytest.raises(StoppedError) as stopped:
        task(heat_path, device="laptop-x86", tolerance=1e-2, on_progress=look)
    assert stopped.value.args == ({1},)
