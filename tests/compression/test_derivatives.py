"""``--derivatives``: the errors of derivatives by each input are told, and kept where that is asked."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from onnx import ModelProto, helper

import hedge
from hedge.cli.plan_table import print_plan
from hedge.compression import Allowance, Case, Request, Source, compress, points_of_domain, prepare
from hedge.compression.derivatives import Slopes, pairs_around, slopes
from hedge.compression.measure import fields_of
from hedge.devices import find_profile
from hedge.errors import InputError
from hedge.graph import Evaluator, jumping_ops
from hedge.problems import Domain
from hedge.recovery import Recovery, recover
from tests.compression.promises import head
from tests.conftest import make_model, random_mlp

BOX = Domain(((-1.0, 1.0), (0.0, 4.0)))
LAPTOP = find_profile("laptop-x86")
DENSE = random_mlp([2, 24, 24, 2], seed=1)
# One unit, so that it has to be kept on purpose: without a word it is broken.
DERIVATIVES = 1e-2
TOLERANCE = 1e-2


def case_of(
    model: ModelProto = DENSE, derivatives: float | None = DERIVATIVES, tolerance: float = TOLERANCE
) -> Case:
    points = points_of_domain(BOX, 2, 24, seed=0)
    request = Request(tolerance, "size", derivatives=derivatives)
    return prepare(model, LAPTOP, points, request, Source("m", ""))


def slope_errors(small: ModelProto, dense: ModelProto = DENSE) -> np.ndarray:
    """(inputs, columns), by differences of our own, over points of our own."""
    x = BOX.sample(20_000, seed=987)

    def slope(model: ModelProto, k: int) -> np.ndarray:
        step, run = 1e-4 * np.eye(2)[k], Evaluator(model)
        return (run(x + step) - run(x - step)) / 2e-4

    pairs = [(slope(small, k), slope(dense, k)) for k in range(2)]
    return np.array([np.linalg.norm(s - d, axis=0) / np.linalg.norm(d, axis=0) for s, d in pairs])


def test_slopes_are_derivatives_across_the_box() -> None:
    x = BOX.sample(100, seed=0)
    found = slopes(lambda p: np.stack([np.sin(p[:, 0]), p[:, 0] * p[:, 1]], axis=1), x, BOX)
    exact = np.stack([2 * np.cos(x[:, 0]), 2 * x[:, 1], 0 * x[:, 0], 4 * x[:, 0]], axis=1)
    # Points at the very edge are moved into the box by 1e-5 of it.
    np.testing.assert_allclose(found, exact, atol=1e-4)


def test_pairs_weigh_each_input_by_its_own() -> None:
    """Of a linear function the difference along x + v is Σ ± weights_k slope_k exactly."""
    x, weights, slope = BOX.sample(20_000, seed=0), np.array([3.0, 0.5]), np.array([[2.0], [-1.0]])
    above, below, reach = pairs_around(x, BOX, weights, seed=0)
    for ends in (above, below):
        assert ((ends >= BOX.lower) & (ends <= BOX.upper)).all()
    change = (above @ slope - below @ slope) / (2.0 * reach)
    across = slopes(lambda p: p @ slope, x, BOX)
    expected = (weights**2 * (across**2).mean(axis=0)).sum()
    assert (change**2).mean() == pytest.approx(expected, rel=0.02)


def test_what_is_promised_is_kept() -> None:
    small, other = compress(case_of()), compress(case_of(derivatives=None))
    assert small.plan.gains
    found, without = slope_errors(small.to_onnx()), slope_errors(other.to_onnx())
    assert found.max() <= DERIVATIVES < without.max()
    assert small.plan.bytes < small.plan.dense_bytes
    told = np.reshape([one.relative_error for one in small.plan.slope_errors], (2, 2))
    np.testing.assert_allclose(told, found, rtol=0.05)
    assert [(one.by, one.column) for one in small.plan.slope_errors] == [
        ("x[0]", 0), ("x[0]", 1), ("x[1]", 0), ("x[1]", 1)
    ]  # fmt: skip


def test_without_a_promise_they_are_told(capsys: pytest.CaptureFixture[str]) -> None:
    plan = compress(case_of(derivatives=None)).plan
    told = np.reshape([one.relative_error for one in plan.slope_errors], (2, 2))
    np.testing.assert_allclose(
        told, slope_errors(compress(case_of(derivatives=None)).to_onnx()), rtol=0.1
    )
    print_plan("m", plan)
    assert f"{told.max():.2e}" in capsys.readouterr().out


def test_recovery_keeps_them() -> None:
    case = case_of()
    found = compress(case)
    small = recover(case, found, Recovery(Allowance(300), "outputs"))
    assert small.plan.rungs
    assert small.plan.parameters < found.plan.parameters
    assert slope_errors(small.to_onnx()).max() <= DERIVATIVES


def test_scales_and_offsets_of_columns_make_no_difference() -> None:
    counts = []
    for scales, offset in [((1.0, 1.0, 1.0), 0.0), ((1.0, 0.1, 1e5), 30.0)]:
        dense = head(*scales, offset=offset)
        small = compress(case_of(dense, tolerance=1e-1))
        assert slope_errors(small.to_onnx(), dense).max() <= DERIVATIVES
        counts.append(small.plan.parameters)
    assert counts[1] <= 1.5 * counts[0]


def test_an_input_that_does_nothing_is_no_hindrance() -> None:
    first = np.random.default_rng(0).standard_normal((24, 2)) * [1.0, 0.0]
    plan = compress(case_of(one_layer("Tanh", first))).plan
    assert plan.gains
    assert [one.by for one in plan.slope_errors] == ["x[0]", "x[1]"]
    assert plan.slope_errors[1].relative_error <= DERIVATIVES


def test_second_moments_are_those_of_values_and_derivatives() -> None:
    """Of one linear layer: E[a aᵀ] about the mean, and Σ_k σ_k² of the squared weights."""
    weight = np.array([[1.0, 2.0], [0.5, -1.0]])
    nodes = [helper.make_node("Gemm", ["x", "w", "b"], ["u"], transB=1)]
    model = make_model(nodes, {"w": weight, "b": np.ones(2)}, inputs=2)
    case = case_of(model, derivatives=1e-2, tolerance=1e-3)
    measured = case.measured
    found = measured.deviations(measured.inputs["site0"])
    x = case.points.fit
    sigma = Slopes(model, BOX, fields_of([2])).weights(x) * 0.1
    expected = np.cov(x.T, bias=True) + np.diag((sigma * (BOX.upper - BOX.lower)) ** 2)
    np.testing.assert_allclose(found.T @ found / len(found), expected, atol=0.05 * expected.max())


def one_layer(op: str, first: np.ndarray) -> ModelProto:
    """A hidden layer of these weights (n, 2)."""
    weights = {
        "w0": first,
        "b0": np.ones(len(first)),
        "w1": np.ones((1, len(first))),
        "b1": np.ones(1),
    }
    nodes = [
        helper.make_node("Gemm", ["x", "w0", "b0"], ["z"], transB=1),
        helper.make_node(op, ["z"], ["a"]),
        helper.make_node("Gemm", ["a", "w1", "b1"], ["u"], transB=1),
    ]
    return make_model(nodes, weights, inputs=2)


@pytest.mark.parametrize("op", ["Floor", "Sign", "Ceil", "Round"])
def test_of_graphs_that_jump_there_are_none(op: str, capsys: pytest.CaptureFixture[str]) -> None:
    model = one_layer(op, np.random.default_rng(0).standard_normal((12, 2)))
    assert jumping_ops(model) == (op,)
    with pytest.raises(InputError, match=f"derivatives: .*{op}.*leave"):
        case_of(model)
    plan = compress(case_of(model, derivatives=None, tolerance=0.2)).plan
    assert plan.slope_errors == ()
    assert op in plan.no_slopes
    print_plan("m", plan)
    assert (
        f"derivatives are not compared: there are none, where {op} jumps" in capsys.readouterr().out
    )


def test_what_jumps_beside_the_inputs_does_no_harm() -> None:
    nodes = [
        helper.make_node("Floor", ["c"], ["k"]),
        helper.make_node("Gemm", ["x", "w", "k"], ["u"], transB=1),
    ]
    model = make_model(nodes, {"w": np.eye(2), "c": np.array([0.5, 1.5])}, inputs=2)
    assert jumping_ops(model) == ()


def test_a_constant_has_no_derivatives_to_keep() -> None:
    nodes = [helper.make_node("Gemm", ["x", "w", "b"], ["u"], transB=1)]
    model = make_model(nodes, {"w": np.zeros((1, 2)), "b": np.ones(1)}, inputs=2)
    with pytest.raises(InputError, match="derivatives: are zero on the whole domain"):
        case_of(model)
    case = case_of(model, derivatives=None)
    assert compress(case).plan.slope_errors == ()
    above, below, reach = case.pairs_around(case.points.fit)  # as --recover gradients takes them
    box = case.slopes.box
    wide = np.broadcast_to(2 * reach * (box.upper - box.lower), above.shape)
    np.testing.assert_allclose(np.abs(above - below), wide)


def test_without_a_box_or_against_a_reference_there_are_none() -> None:
    case = case_of(derivatives=None)
    elsewhere = replace(case, points=replace(case.points, domain=None))
    assert "give --domain" in elsewhere.no_slopes
    with pytest.raises(InputError, match="derivatives: no box is known"):
        elsewhere.slopes  # noqa: B018
    assert "--against dense" in replace(case, against="reference").no_slopes


@pytest.mark.parametrize(
    ("given", "said"), [(0.0, "between 0 and 1"), (1e-9, "float32"), (2.0, "1e-2")]
)
def test_a_tolerance_that_is_none(given: float, said: str) -> None:
    with pytest.raises(InputError, match=f"derivatives: .*{said}"):
        Request(1e-3, derivatives=given)


def test_files_keep_what_was_promised(tmp_path: Path) -> None:
    model, out = tmp_path / "m.onnx", tmp_path / "m.hedge.safetensors"
    model.write_bytes(DENSE.SerializeToString())
    plan = hedge.compress(
        model, device="laptop-x86", objective="size", domain=str(BOX), tolerance=TOLERANCE,
        derivatives=DERIVATIVES, out=out, recover=None,
    ).plan  # fmt: skip
    assert hedge.load(out).plan == plan
    assert plan.derivatives == DERIVATIVES
    assert "--derivatives 0.01" in plan.command
    assert max(one.relative_error for one in plan.slope_errors) <= DERIVATIVES


def test_samples_have_no_box(tmp_path: Path) -> None:
    model, samples = tmp_path / "m.onnx", tmp_path / "x.npy"
    model.write_bytes(DENSE.SerializeToString())
    np.save(samples, BOX.sample(4000, seed=1))
    with pytest.raises(InputError, match=r"derivatives: .* give --domain \(and no --samples\)"):
        hedge.compress(model, device="laptop-x86", samples=samples, derivatives=1e-2, recover=None)
