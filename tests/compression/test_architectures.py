"""Compression of many architectures from file to file: the error in the runtime, neurons that go."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import ModelProto, helper, numpy_helper

import hedge
from hedge.compression import CompressedModel, Request, Source, compress, points_of_domain, prepare
from hedge.compression.measure import measure, output_error
from hedge.devices import find_profile
from hedge.errors import ModelError
from hedge.graph import SiteMatrix, assemble, load_model, neuron_groups, split
from hedge.problems import Domain
from tests.architectures import (
    ARCHITECTURES,
    NARROW,
    WIDE,
    Net,
    outputs_of,
    permuted,
    worst_error,
)
from tests.conftest import make_model

Save = Callable[[ModelProto], Path]
SQUARE = Domain(((-1.0, 1.0), (-1.0, 1.0)))
TOLERANCE = 1e-2


def compress_file(path: Path, **options: object) -> CompressedModel:
    options = {"tolerance": TOLERANCE, "objective": "size", "domain": "-1:1,-1:1", **options}
    return hedge.compress(path, device="laptop-x86", **options, recover=None)  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", ARCHITECTURES)
def test_every_architecture_loses_its_repeated_neurons_and_keeps_the_tolerance(
    kind: str, saved: Save, tmp_path: Path
) -> None:
    path = saved(ARCHITECTURES[kind]())
    compressed, exported = tmp_path / "m.hedge.safetensors", tmp_path / "small.onnx"
    plan = compress_file(path, out=compressed).plan
    small = hedge.export(compressed, exported)
    dense = load_model(path)
    assert worst_error(small, dense) < TOLERANCE
    assert [v.name for v in small.graph.input] == [v.name for v in dense.graph.input]
    found = neuron_groups(split(dense))
    sites = {site.name: site for site in plan.sites}
    for group in found.groups:
        kept = {sites[name].outputs for name in group.producers}
        kept |= {sites[name].inputs for name in group.consumers}
        assert len(kept) == 1
        assert kept.pop() <= NARROW
    for name, reason in found.reasons.items():
        assert sites[name].outputs == sites[name].dense_outputs
        assert f"all neurons stay: {reason}" in sites[name].reason


@pytest.mark.parametrize("kind", ["residual", "two outputs"])
def test_widths_can_be_kept(kind: str, saved: Save) -> None:
    path = saved(ARCHITECTURES[kind]())
    small = compress_file(path, keep_widths=True)
    assert worst_error(small.to_onnx(), load_model(path)) < TOLERANCE
    assert all((s.outputs, s.inputs) == (s.dense_outputs, s.dense_inputs) for s in small.plan.sites)
    assert any(site.structure.label != "dense" for site in small.plan.sites)
    assert not any("neurons stay" in site.reason for site in small.plan.sites)


def widened_tail(scale: float) -> ModelProto:
    """Outputs u and p of random layers of their own, p ``scale`` times as large."""
    rng = np.random.default_rng(3)
    nodes, weights = [], {"scale": np.array(scale)}
    for name, target in (("u", "u"), ("p", "q")):
        weights |= {
            f"w.{name}": rng.standard_normal((24, 2)),
            f"v.{name}": rng.standard_normal((1, 24)),
        }
        nodes += [
            helper.make_node("Gemm", ["x", f"w.{name}"], [f"z.{name}"], transB=1),
            helper.make_node("Tanh", [f"z.{name}"], [f"a.{name}"]),
            helper.make_node("Gemm", [f"a.{name}", f"v.{name}"], [target], transB=1),
        ]
    nodes.append(helper.make_node("Mul", ["q", "scale"], ["p"]))
    return make_model(nodes, weights, inputs=2, outputs={"u": 1, "p": 1})


def test_a_small_output_does_not_hide_behind_a_large_one(saved: Save) -> None:
    path = saved(widened_tail(1e-6))
    small = compress_file(path)
    assert small.plan.gains
    assert worst_error(small.to_onnx(), load_model(path)) < TOLERANCE
    widths = {site.name: site.outputs for site in small.plan.sites}
    assert widths["site0"] < 24
    assert widths["site2"] < 24


def test_sensitivities_are_relative_to_each_output() -> None:
    points = SQUARE.sample(500, 0)
    small, large = (measure(split(widened_tail(s)), points, 0).sensitivities for s in (1e-6, 1e6))
    for name in ("site0", "site1", "site2"):  # the last one has the scale
        np.testing.assert_allclose(small[name], large[name], rtol=1e-5)


def test_an_output_of_zeros_is_measured_by_the_others(saved: Save) -> None:
    path = saved(widened_tail(0.0))
    small = compress_file(path)
    found, expected = outputs_of(small.to_onnx()), outputs_of(load_model(path))
    assert small.plan.gains
    assert np.linalg.norm(found["u"] - expected["u"]) < TOLERANCE * np.linalg.norm(expected["u"])
    assert not found["p"].any()


def test_the_error_of_several_outputs_is_that_of_the_worst() -> None:
    targets = np.array([[3.0, 4.0, 0.1], [0.0, 5.0, 0.1]])
    outputs = targets + np.array([[0.0, 0.0, 0.01], [0.05, 0.0, 0.01]])
    assert output_error(outputs, targets, (2, 1)).relative == pytest.approx(0.1)
    assert output_error(outputs, targets).relative < 0.01
    assert not output_error(outputs, targets, (2, 1)).surely_within(0.05)
    zeros = np.hstack([targets, np.zeros((2, 1))])
    moved = zeros + np.array([0.0, 0.0, 0.0, 0.02])
    expected = 0.02 * np.sqrt(2) / np.linalg.norm(zeros)
    assert output_error(moved, zeros, (2, 1, 1)).relative == pytest.approx(expected)


def test_an_input_without_a_second_axis_is_one_column(saved: Save) -> None:
    net = Net()
    net.weights["columns"] = np.array([-1, 1])
    both = [net.op("Reshape", [name, "columns"], f"{name}.column") for name in ("x", "t")]
    net.op("Concat", both, "points", axis=1)
    net.dense(net.layer("points", "0", 2), "u", WIDE, 1)
    model = net.model(inputs={"x": 1, "t": 1})
    for value in model.graph.input:
        del value.type.tensor_type.shape.dim[1]
    path = saved(model)
    small = compress_file(path)
    assert worst_error(small.to_onnx(), load_model(path)) < TOLERANCE
    assert small.plan.sites[0].outputs <= NARROW


def test_the_plan_says_how_sensitivities_were_taken(saved: Save) -> None:
    assert compress_file(saved(ARCHITECTURES["GELU by Erf"]())).plan.sensitivities == "exact"
    probed = compress_file(saved(ARCHITECTURES["Gelu of opset 20"]())).plan.sensitivities
    assert probed == "probed: Gelu"


def test_a_product_on_three_axes_is_left_alone_and_the_plan_says_why(saved: Save) -> None:
    net = Net()
    net.weights |= {"mix": net.rng.standard_normal((WIDE, WIDE)) / 4, "one": np.array([1])}
    deep = net.op("Unsqueeze", [net.layer("x", "0", 2), "one"], "deep")
    flat = net.op("Squeeze", [net.op("MatMul", [deep, "mix"], "attention"), "one"], "flat")
    net.dense(net.layer(flat, "1"), "u", WIDE, 1)
    path = saved(net.model())
    small = compress_file(path)
    assert small.plan.left_alone == ("MatMul 'attention' reads 'deep' of 3 axes, not [n, d]",)
    assert small.plan.sensitivities == "exact"
    assert small.plan.gains
    assert worst_error(small.to_onnx(), load_model(path)) < TOLERANCE


def compressed(model: ModelProto) -> CompressedModel:
    request = Request(TOLERANCE, objective="size")
    points = points_of_domain(SQUARE, 2, WIDE, seed=0)
    return compress(prepare(model, find_profile("laptop-x86"), points, request, Source("m", "")))


@settings(max_examples=4)
@given(seed=st.integers(0, 10**6), kind=st.sampled_from(["tanh", "residual"]))
def test_the_order_of_neurons_matters_little_to_the_cost(seed: int, kind: str) -> None:
    """A random net, nothing repeated, and the same with the neurons of each group in another order."""
    rng = np.random.default_rng(seed)
    parts = split(ARCHITECTURES[kind]())
    matrices = {
        name: SiteMatrix(
            (rng.standard_normal(matrix.shape) / np.sqrt(matrix.shape[1]),),
            0.3 * rng.standard_normal(matrix.shape[0]),
        )
        for name, matrix in parts.matrices.items()
    }
    given = shuffled = parts.replaced(matrices)
    for group in neuron_groups(parts).groups:
        shuffled = permuted(shuffled, group, rng)
    model, other = (assemble(each.skeleton, each.matrices) for each in (given, shuffled))
    assert worst_error(other, model) < 1e-5
    first, second = compressed(model), compressed(other)
    assert worst_error(second.to_onnx(), model) < TOLERANCE
    assert 0.7 < first.plan.bytes / second.plan.bytes < 1.4


DEGENERATE = {
    "a constant input": np.column_stack([np.linspace(-1, 1, 1000), np.full(1000, 0.3)]),
    "duplicated inputs": np.repeat(np.linspace(-1, 1, 1000)[:, None], 2, axis=1),
    "inputs of very different size": np.column_stack(
        [np.linspace(-1, 1, 1000), 1e-9 * np.cos(np.arange(1000.0))]
    ),
}


@pytest.mark.parametrize("keep_widths", [False, True], ids=["reduced", "factorized"])
@pytest.mark.parametrize("kind", DEGENERATE)
def test_inputs_with_singular_covariance(
    kind: str, keep_widths: bool, saved: Save, tmp_path: Path
) -> None:
    samples = tmp_path / "x.npy"
    np.save(samples, DEGENERATE[kind])
    path = saved(ARCHITECTURES["residual"]())
    small = compress_file(path, domain=None, samples=samples, keep_widths=keep_widths)
    points = DEGENERATE[kind].astype(np.float32)
    found, expected = outputs_of(small.to_onnx(), points), outputs_of(load_model(path), points)
    assert np.linalg.norm(found["u"] - expected["u"]) < TOLERANCE * np.linalg.norm(expected["u"])
    assert small.plan.gains


def spoiled(weight: str, change: Callable[[np.ndarray], np.ndarray]) -> ModelProto:
    model = ARCHITECTURES["residual"]()
    tensor = next(t for t in model.graph.initializer if t.name == weight)
    values = change(numpy_helper.to_array(tensor).copy())
    tensor.CopyFrom(numpy_helper.from_array(values.astype(np.float32), weight))
    return model


def test_a_dead_layer_costs_next_to_nothing(saved: Save) -> None:
    """All neurons of one layer are constant: tanh(b)."""
    model = spoiled("w.z.1", np.zeros_like)
    path = saved(model)
    small = compress_file(path)
    assert worst_error(small.to_onnx(), load_model(path)) < TOLERANCE
    assert all(site.outputs <= NARROW for site in small.plan.sites)


def test_a_network_that_is_constant_is_one_neuron_wide(saved: Save) -> None:
    path = saved(spoiled("w.u", np.zeros_like))
    small = compress_file(path)
    assert worst_error(small.to_onnx(), load_model(path)) < TOLERANCE
    assert [site.outputs for site in small.plan.sites] == [1, 1, 1, 1]


def test_outputs_that_are_all_zero_are_refused(saved: Save) -> None:
    model = widened_tail(0.0)
    for tensor in model.graph.initializer:
        if tensor.name == "v.u":
            tensor.CopyFrom(numpy_helper.from_array(np.zeros((1, 24), np.float32), "v.u"))
    with pytest.raises(ModelError, match=r"model\.onnx.*zero on the whole domain"):
        compress_file(saved(model))


def test_control_flow_in_a_branch_is_refused_by_name(saved: Save) -> None:
    branch = helper.make_graph(
        [helper.make_node("Identity", ["u0"], ["t"])],
        "branch",
        [],
        [helper.make_tensor_value_info("t", onnx.TensorProto.FLOAT, None)],
    )
    nodes = [
        helper.make_node("Gemm", ["x", "w"], ["u0"], transB=1),
        helper.make_node("If", ["yes"], ["u"], then_branch=branch, else_branch=branch),
    ]
    model = make_model(nodes, {"w": np.ones((1, 2)), "yes": np.array(True)}, inputs=2)
    with pytest.raises(ModelError, match=r"control flow \(If\)"):
        compress_file(saved(model))
