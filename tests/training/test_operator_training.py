"""Training operators as a user sees it: errors reached on unseen sources, the files, what is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from torch import Tensor

import hedge
from hedge.benching import evaluate
from hedge.compression import Request, Source, compress, points_of_sources, prepare
from hedge.devices import find_profile
from hedge.errors import InputError, ModelError
from hedge.graph import load_model, metadata, run_float32
from hedge.hmatrix import build, plain_spectrum
from hedge.problems import OPERATORS, OperatorProblem, find_operator, poisson_operator
from hedge.problems.operators import SQUARE
from hedge.problems.tridiagonal import Tridiagonal
from hedge.training import (
    DivergenceError,
    OperatorNetwork,
    OperatorResult,
    OperatorState,
    Record,
    load_operator_checkpoint,
    operator_checkpoint_bytes,
    operator_network_to_onnx,
    operator_to_onnx,
    train_operator,
)
from hedge.training.multilevel import multilevel
from tests.fuzz.checkpoints import rewritten

SENSORS = 96
UNSEEN = 987_654


@cache
def trained(name: str, sensors: int | None = None) -> OperatorResult:
    return train_operator(find_operator(name, sensors or sensors_for(name)))


def sensors_for(name: str) -> int:
    return 10 * 10 if name in SQUARE else SENSORS


def relative(found: np.ndarray, expected: np.ndarray) -> float:
    return float(np.linalg.norm(found - expected) / np.linalg.norm(expected))


@pytest.mark.parametrize(
    ("name", "target"),
    [
        ("poisson", 1e-6),
        ("heat", 2e-6),
        ("cubic", 5e-5),
        ("poisson2d", 1e-6),
        ("heat2d", 5e-6),
        ("darcy", 5e-5),
    ],
)
def test_trained_operators_solve_unseen_sources(name: str, target: float) -> None:
    result = trained(f"{name}-operator")
    problem = result.network.problem
    sources = problem.sample(1000, UNSEEN)
    assert relative(result.network(sources), problem.reference(sources)) < target
    assert result.relative_l2 < target
    assert result.converged
    assert result.stopped == "converged"
    assert result.parameters == sensors_for(f"{name}-operator") ** 2


@pytest.mark.parametrize("name", ["poisson-operator", "heat-operator"])
def test_the_trained_matrix_is_the_green_function(name: str) -> None:
    """Every column: the response to a load at each node, not just what is seen in the mean."""
    network = trained(name).network
    exact = network.problem.reference(np.eye(SENSORS)).T
    worst = np.abs(network.matrix() - exact).max(axis=0) / np.abs(exact).max(axis=0)
    assert worst.max() < 1e-5
    assert relative(network.matrix(), network.matrix().T) < 1e-5  # symmetric, though never told


@pytest.mark.parametrize("side", [2, 3, 5, 33])
@pytest.mark.parametrize("name", OPERATORS)
def test_odd_and_tiny_grids_are_trained_too(name: str, side: int) -> None:
    sensors = min(side, 9) ** 2 if name in SQUARE else side
    assert train_operator(find_operator(name, sensors)).relative_l2 < 1e-4


@pytest.mark.parametrize("side", [8, 13, 16])
def test_the_preconditioner_bounds_the_condition_on_a_square(side: int) -> None:
    layer = OPERATORS["poisson2d-operator"](side**2).layer
    hierarchy = multilevel(layer)
    eye = np.eye(side**2)
    np.testing.assert_allclose(hierarchy.times(eye), hierarchy.times(eye).T, atol=1e-14)
    eigenvalues = np.linalg.eigvals(hierarchy.times(layer.times(eye))).real
    assert 0 < eigenvalues.max() < 14 * eigenvalues.min()


@pytest.mark.parametrize("sensors", [32, 100, 255, 256])
def test_the_preconditioner_bounds_the_condition_on_every_grid(sensors: int) -> None:
    for factory in (OPERATORS["poisson-operator"], OPERATORS["heat-operator"]):
        layer = factory(sensors).layer
        hierarchy = multilevel(layer)
        eye = np.eye(sensors)
        np.testing.assert_allclose(hierarchy.times(eye), hierarchy.times(eye).T, atol=1e-14)
        eigenvalues = np.linalg.eigvals(hierarchy.times(layer.times(eye))).real
        assert eigenvalues.min() > 0
        assert eigenvalues.max() / eigenvalues.min() < 12


def test_losses_fall_by_orders_and_are_those_of_the_start() -> None:
    seen: list[Record] = []
    result = train_operator(poisson_operator(64), on_cycle=lambda _, record: seen.append(record))
    assert tuple(seen) == result.history
    assert [record.step for record in seen] == [4 * (i + 1) for i in range(len(seen))]
    losses = [record.held_out_loss for record in seen]
    assert losses[0] < 1
    assert all(after < before for before, after in pairwise(losses))
    assert result.held_out_loss == min(losses)


def test_the_held_out_loss_tells_the_error_without_a_solution() -> None:
    for steps in (8, 24, 48):
        result = train_operator(poisson_operator(64), max_steps=steps)
        assert 0.2 < np.sqrt(result.held_out_loss) / result.relative_l2 < 5


def test_a_seed_fixes_the_result() -> None:
    problem = poisson_operator(40)
    first, again, other = (train_operator(problem, seed=s, max_steps=8) for s in (1, 1, 2))
    np.testing.assert_array_equal(first.network.layer, again.network.layer)
    assert not np.array_equal(first.network.layer, other.network.layer)


def test_a_resumed_run_is_the_run_it_resumes(tmp_path: Path) -> None:
    problem = find_operator("heat-operator", 24)
    states: list[OperatorState] = []
    straight = train_operator(problem, seed=3, max_steps=30, on_cycle=lambda s, _: states.append(s))
    path = tmp_path / "o.onnx.checkpoint"
    for state in states[:3]:
        path.write_bytes(operator_checkpoint_bytes(problem, 3, state))
        again = load_operator_checkpoint(path, problem, 3)
        resumed = train_operator(problem, seed=3, max_steps=30, resume_from=again)
        np.testing.assert_array_equal(resumed.network.layer, straight.network.layer)
        assert (resumed.steps, resumed.stopped) == (straight.steps, straight.stopped)
        assert resumed.held_out_loss == straight.held_out_loss
        assert resumed.relative_l2 == straight.relative_l2
    with pytest.raises(InputError, match="steps: 4 is too small; at least 13"):
        train_operator(problem, seed=3, max_steps=4, resume_from=states[2])


def test_a_checkpoint_keeps_a_best_network_that_is_not_the_last(tmp_path: Path) -> None:
    problem = poisson_operator(8)
    states: list[OperatorState] = []
    train_operator(problem, max_steps=8, on_cycle=lambda s, _: states.append(s))
    worse = replace(states[1], best=states[0].best)
    path = tmp_path / "c"
    path.write_bytes(operator_checkpoint_bytes(problem, 0, worse))
    again = load_operator_checkpoint(path, problem, 0)
    np.testing.assert_array_equal(again.best.layer, states[0].best.layer)
    np.testing.assert_array_equal(again.descent.layer, states[1].descent.layer)


@pytest.mark.parametrize(
    "other",
    [(poisson_operator(9), 0), (find_operator("heat-operator", 8), 0), (poisson_operator(8), 1)],
)
def test_another_run_is_not_resumed(other: tuple[OperatorProblem, int], tmp_path: Path) -> None:
    states: list[OperatorState] = []
    train_operator(poisson_operator(8), max_steps=4, on_cycle=lambda s, _: states.append(s))
    (tmp_path / "c").write_bytes(operator_checkpoint_bytes(poisson_operator(8), 0, states[0]))
    with pytest.raises(ModelError, match="is of another run, with "):
        load_operator_checkpoint(tmp_path / "c", *other)


DAMAGE: dict[str, Callable[[dict[str, Any], dict[str, Tensor]], object]] = {
    "another grid": lambda h, t: t.update(layer=torch.eye(4, dtype=torch.float64)),
    "a flat matrix": lambda h, t: t.update(layer=torch.ones(64, dtype=torch.float64)),
    "whole numbers": lambda h, t: t.update(best=torch.eye(8, dtype=torch.int64)),
    "NaN": lambda h, t: t["direction"].fill_(float("nan")),
    "no direction": lambda h, t: t.pop("direction"),
    "a square below zero": lambda h, t: h["descent"].update(square=-1.0),
    "no loss": lambda h, t: h["state"].update(best_loss=float("nan")),
    "steps of 400 digits": lambda h, t: h["state"].update(steps=10**400),
    "no state": lambda h, t: h.pop("state"),
}


@pytest.mark.parametrize("kind", DAMAGE)
def test_a_damaged_checkpoint_is_one_line(kind: str, tmp_path: Path) -> None:
    problem, path = poisson_operator(8), tmp_path / "c"
    states: list[OperatorState] = []
    train_operator(problem, max_steps=4, on_cycle=lambda s, _: states.append(s))
    path.write_bytes(operator_checkpoint_bytes(problem, 0, states[0]))
    rewritten(path, DAMAGE[kind])
    with pytest.raises(ModelError, match="is no checkpoint of hedge; delete it") as refused:
        load_operator_checkpoint(path, problem, 0)
    assert "\n" not in str(refused.value)


def test_training_ends_at_its_limits_and_says_which() -> None:
    problem = poisson_operator(64)
    result = train_operator(problem, max_steps=6)
    assert (result.stopped, result.steps) == ("steps", 6)
    assert not result.converged
    assert train_operator(problem, budget_s=1e-9).stopped == "budget"


def test_a_stalled_run_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hedge.training.operator_training.CONVERGED_LOSS", 0.0)
    result = train_operator(poisson_operator(16))
    assert result.stopped == "stalled"
    assert result.relative_l2 < 1e-9


def test_no_solution_is_used() -> None:
    """With a reference that is wrong, the network is the same; only its reported error is not."""
    problem = poisson_operator(32)
    right = train_operator(problem)
    wrong = train_operator(replace(problem, solver=lambda sources: sources))
    np.testing.assert_array_equal(right.network.layer, wrong.network.layer)
    assert not wrong.converged


@pytest.mark.parametrize("name", OPERATORS)
def test_the_onnx_file_agrees_with_the_network(name: str) -> None:
    result = trained(name)
    model = operator_to_onnx(result)
    sources = result.network.problem.sample(200, UNSEEN).astype(np.float32)
    session = onnxruntime.InferenceSession(model.SerializeToString())
    for batch in (1, 200):
        (found,) = session.run(["u"], {"x": sources[:batch]})
        assert found.dtype == np.float32
        assert relative(found, result.network(sources[:batch].astype(np.float64))) < 2e-6
    assert metadata(model)["hedge.problem"] == name
    training = json.loads(metadata(model)["hedge.training"])
    assert training["sensors"] == sensors_for(name)
    assert training["relative_l2"] == result.relative_l2


def test_linear_files_are_one_gemm_and_unrolled_ones_share_the_weight() -> None:
    for name, gemms in (("poisson-operator", 1), ("heat-operator", 1), ("cubic-operator", 8)):
        model = operator_to_onnx(trained(name))
        assert [node.op_type for node in model.graph.node].count("Gemm") == gemms
        assert [list(t.dims) for t in model.graph.initializer] == [[SENSORS, SENSORS]]
        assert model.ByteSize() < 4 * SENSORS**2 + 4000


def test_darcy_files_have_nine_products_that_share_the_weight() -> None:
    model = operator_to_onnx(trained("darcy-operator"))
    products = [node for node in model.graph.node if node.op_type == "Gemm"]
    assert len(products) == 9  # the first step is the same for all coefficients
    assert {node.input[1] for node in products} == {"green.weight"}


@pytest.mark.parametrize("name", OPERATORS)
def test_evaluation_compares_the_file_with_the_reference(name: str) -> None:
    result = trained(name)
    accuracy = evaluate(operator_to_onnx(result), result.network.problem)
    assert accuracy.relative_l2 < 1e-4
    assert 0 < accuracy.max_abs < 1e-3
    assert accuracy.parameters >= SENSORS**2
    if name in ("heat-operator", "heat2d-operator"):
        assert accuracy.residual_rms is None
    else:
        assert accuracy.residual_rms is not None
        assert 0 < accuracy.residual_rms < 1e-3


def test_the_shipped_operator_has_the_error_promised() -> None:
    path = hedge.reference_models()["poisson-operator"]
    accuracy = evaluate(load_model(path), poisson_operator(1024))
    assert accuracy.relative_l2 < 1e-6
    assert path.stat().st_size < 6 * 2**20


def test_evaluation_refuses_models_of_other_grids() -> None:
    model = operator_to_onnx(trained("poisson-operator"))
    with pytest.raises(InputError, match="has 64 inputs, the model 96"):
        evaluate(model, poisson_operator(64))


def test_the_green_matrix_is_hierarchical_but_not_of_low_rank() -> None:
    """At 1e-4 a global low rank costs more than dense; an H-matrix a few numbers per row."""
    matrix = trained("poisson-operator", 256).network.matrix()
    tail = plain_spectrum(matrix).tail_squared()
    rank = int(np.argmax(tail <= 1e-8 * tail[0]))
    assert 2 * rank * 256 > 1.5 * matrix.size
    h = build(matrix, tolerance=1e-4)
    assert relative(h.to_dense(), matrix) < 1e-4
    assert 3 * h.numbers < matrix.size


def test_compression_certifies_on_random_sources() -> None:
    problem = poisson_operator(128)
    model = operator_to_onnx(trained("poisson-operator", 128))
    points = points_of_sources(problem, 128, seed=0)
    request = Request(tolerance=2e-2, batch=64)
    compressed = compress(
        prepare(model, find_profile("raspberry-pi-4b"), points, request, Source("m", ""))
    )
    assert compressed.plan.gains
    sources = problem.sample(500, UNSEEN)
    assert relative(run_float32(compressed.to_onnx(), sources), problem.reference(sources)) < 2e-2
    assert compressed.plan.points == "random sources of poisson-operator on 128 sensors"


def test_sets_of_sources_never_meet_and_fit_the_model() -> None:
    problem = poisson_operator(16)
    points = points_of_sources(problem, 16, seed=3)
    sets = [points.fit, points.validation, points.fresh(0), points.fresh(1)]
    rows = np.concatenate(sets)
    assert len(np.unique(rows, axis=0)) == len(rows)
    np.testing.assert_array_equal(points.fit, points_of_sources(problem, 16, seed=3).fit)
    with pytest.raises(InputError, match="16, but the model has 17"):
        points_of_sources(problem, 17, seed=0)
    with pytest.raises(InputError, match="seed"):
        points_of_sources(problem, 16, seed=-1)


def failing_after(steps: int) -> Callable[[Tridiagonal, np.ndarray], np.ndarray]:
    """A product that turns to NaN: each step takes one, each held-out loss another."""
    right, calls = Tridiagonal.times, iter(range(10**6))

    def times(self: Tridiagonal, rows: np.ndarray) -> np.ndarray:
        return right(self, rows) * (np.nan if next(calls) >= steps else 1.0)

    return times


def test_divergence_is_an_error_that_holds_the_best_network(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    problem = poisson_operator(32)
    monkeypatch.setattr(Tridiagonal, "times", failing_after(12))
    with pytest.raises(DivergenceError, match="poisson-operator: training diverged") as caught:
        train_operator(problem)
    best = caught.value.best
    assert best is not None
    assert np.isfinite(best.layer).all()
    assert relative(best(np.eye(32)), problem.reference(np.eye(32))) < 0.5


def test_an_energy_without_a_least_value_is_divergence() -> None:
    problem = replace(poisson_operator(16), layer=Tridiagonal(16, 100.0, -289.0))
    with pytest.raises(DivergenceError, match="nan"):
        train_operator(problem)


class Spoilt(OperatorProblem):
    """A problem whose sources are all NaN."""

    def sources(self, count: int, seed: int) -> np.ndarray:
        return np.full((count, self.sensors), np.nan)


def test_sources_that_are_not_finite_are_refused() -> None:
    plain = poisson_operator(8)
    spoilt = Spoilt("spoilt", "", plain.layer, plain.solver, plain.residual)
    with pytest.raises(InputError, match="spoilt: its sources"):
        train_operator(spoilt)
    for amplitude in (0.0, 1e200):
        with pytest.raises(InputError, match="zero or not finite"):
            train_operator(replace(plain, amplitude=amplitude))


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ({"budget_s": 0.0}, "budget"),
        ({"budget_s": -1.0}, "budget"),
        ({"budget_s": float("nan")}, "budget"),
        ({"max_steps": 0}, "steps"),
        ({"seed": -1}, "seed"),
    ],
)
def test_bad_arguments_are_refused(bad: dict[str, float], message: str) -> None:
    with pytest.raises(InputError, match=message):
        train_operator(poisson_operator(8), **bad)  # type: ignore[arg-type]


def test_a_matrix_out_of_float32_is_not_written() -> None:
    with pytest.raises(InputError, match="float32"):
        operator_network_to_onnx(OperatorNetwork(poisson_operator(4), np.full((4, 4), 1e60)))


def test_written_models_pass_the_checker_from_their_bytes() -> None:
    model = operator_to_onnx(trained("cubic-operator"))
    onnx.checker.check_model(onnx.load_model_from_string(model.SerializeToString()), True)
