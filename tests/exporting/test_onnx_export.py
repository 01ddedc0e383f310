"""Exported files: standard ops, equal to the compressed model in the runtime, provenance inside."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import helper, numpy_helper
from onnx.reference import ReferenceEvaluator

import hedge
from hedge.benching import evaluate
from hedge.cli.commands import app
from hedge.compression import CompressedModel, Plan, save_compressed
from hedge.devices import (
    Table,
    energy_joules,
    find_profile,
    predicted_seconds,
    write_profile,
)
from hedge.errors import InputError, ModelError
from hedge.exporting import to_onnx
from hedge.graph import Evaluator, Matrix, SiteMatrix, best_forms, graph_work, metadata, split
from hedge.problems import find_operator, find_problem
from tests.architectures import ARCHITECTURES
from tests.conftest import make_model, random_mlp
from tests.exporting.conftest import Make

POINTS = find_problem("heat").domain.sample(3000, 5).astype(np.float32)


@pytest.fixture(scope="module", params=[True, False], ids=["factorized", "reduced"])
def compressed(request: pytest.FixtureRequest) -> CompressedModel:
    return hedge.compress(
        hedge.reference_models()["heat"],
        device=find_profile("laptop-x86"),
        tolerance=1e-2,
        batch=512,
        keep_widths=request.param,
        recover=None,
    )


def run(model: onnx.ModelProto, points: np.ndarray) -> np.ndarray:
    session = onnxruntime.InferenceSession(model.SerializeToString())
    return np.asarray(session.run(None, {"x": points})[0])


def test_the_runtime_gives_what_the_factors_give(compressed: CompressedModel) -> None:
    """Against a float64 evaluation of the stored factors, and the ONNX reference evaluator."""
    exported = to_onnx(compressed)
    exact = Evaluator(compressed.to_onnx())(POINTS.astype(np.float64))
    size = np.linalg.norm(exact)
    (reference,) = ReferenceEvaluator(exported).run(None, {"x": POINTS})
    # float32 costs about 1.6e-6 in any runtime here: the heat tail subtracts two fields of like size,
    # and factors of a network trained by a quasi-Newton method cancel more than those of others.
    # More than twice the reference evaluator's own rounding is not allowed.
    rounding = np.linalg.norm(reference - exact) / size
    assert rounding < 3e-6
    assert np.linalg.norm(run(exported, POINTS) - exact) < max(1e-6, 2.0 * rounding) * size


def test_with_a_plain_tail_the_runtime_agrees_to_float32s_rounding() -> None:
    small = hedge.compress(
        hedge.reference_models()["poisson"],
        device="laptop-x86",
        tolerance=1e-3,
        batch=512,
        recover=None,
    )
    points = find_problem("poisson").domain.sample(3000, 5).astype(np.float32)
    exact = Evaluator(small.to_onnx())(points.astype(np.float64))
    assert np.linalg.norm(run(to_onnx(small), points) - exact) < 4e-6 * np.linalg.norm(exact)


@pytest.mark.parametrize("batch", [1, 2, 1024])
def test_the_batch_is_dynamic(compressed: CompressedModel, batch: int) -> None:
    exported = to_onnx(compressed)
    assert run(exported, POINTS[:batch]).shape == (batch, 1)


def test_only_standard_ops_of_a_known_opset(compressed: CompressedModel) -> None:
    exported = to_onnx(compressed)
    onnx.checker.check_model(exported, full_check=True)
    assert {node.domain for node in exported.graph.node} == {""}
    assert [entry.domain for entry in exported.opset_import] == [""]
    assert exported.opset_import[0].version >= 17
    assert exported.ir_version <= 10


def test_the_file_tells_its_origin_and_error(compressed: CompressedModel) -> None:
    found = metadata(to_onnx(compressed))
    plan = json.loads(found["hedge.plan"])
    assert plan["relative_error"] == compressed.plan.relative_error
    assert plan["source"] == "heat-64x3.onnx"
    assert len(plan["source_sha256"]) == 64
    assert found["hedge.problem"] == "heat"
    said = f"by its plan with a relative L2 error of {compressed.plan.relative_error:.2e}"
    assert said in to_onnx(compressed).doc_string


def test_the_plans_predicted_time_is_that_of_the_exported_graph() -> None:
    """Factors at batch 1: where one Gemm is faster the export holds that, and the plan says so."""
    device = find_profile("laptop-x86")
    for batch in (1, 512):
        small = hedge.compress(
            hedge.reference_models()["heat"],
            device=device, tolerance=1e-2, batch=batch, keep_widths=True, objective="energy", recover=None,
        )  # fmt: skip
        work = graph_work(to_onnx(small), batch)
        assert small.plan.predicted_s == float(predicted_seconds(device, work))
        assert small.plan.energy_j == float(energy_joules(device, work, small.plan.predicted_s))


def test_a_file_holds_a_hash_of_the_device_and_not_its_tables(compressed: CompressedModel) -> None:
    plan = compressed.plan
    profile = plan.device_profile
    assert profile is not None
    numbers = tuple(float(i) for i in range(1, 4097))
    table = Table(axes=((*range(1, 4097),),), value=numbers, unit="s", source="made up")
    runtime = profile.runtime.model_copy(update={"passes": {"Tanh": table}})
    measured = profile.model_copy(update={"runtime": runtime})
    update = {"device_profile": measured}
    calibrated = replace(compressed, plan=plan.model_copy(update=update))
    exported = to_onnx(calibrated)
    inside = Plan.model_validate_json(metadata(exported)["hedge.plan"])
    assert inside.device_profile is None
    assert inside.device_sha256 == hashlib.sha256(write_profile(measured)).hexdigest()
    assert inside.figures is None
    weights = sum(len(tensor.raw_data) for tensor in exported.graph.initializer)
    assert exported.ByteSize() - weights < 8192 - 4 * 431
    # The figures that come with hedge are found again, and those in files of before are still there.
    shipped = Plan.model_validate_json(metadata(to_onnx(compressed))["hedge.plan"])
    assert shipped.figures == profile
    assert Plan.model_validate_json(calibrated.plan.model_dump_json()).figures == measured


def test_a_file_of_blocks_alone_is_evaluated_though_it_has_no_linear_site(
    made: Make, plan: Plan
) -> None:
    gemm = [helper.make_node("Gemm", ["x", "w"], ["u"], transB=1)]
    dense = make_model(gemm, {"w": np.eye(40)}, inputs=40, outputs=40)
    exported = to_onnx(made(dense, "blocks", "float16"))
    found = evaluate(exported, find_operator("poisson-operator", 40))
    assert found.parameters == plan.parameters
    assert found.relative_l2 > 0.1


def test_equal_models_give_equal_bytes(compressed: CompressedModel, tmp_path: Path) -> None:
    paths = [tmp_path / "a.onnx", tmp_path / "b.onnx"]
    for path in paths:
        hedge.export(compressed, path)
    assert paths[0].read_bytes() == paths[1].read_bytes()


def test_equal_models_give_equal_bytes_in_every_process(
    compressed: CompressedModel, tmp_path: Path
) -> None:
    """Strings hash differently in each of them."""
    source, out = tmp_path / "m.hedge.safetensors", tmp_path / "m.onnx"
    save_compressed(compressed, source)
    subprocess.run(
        [sys.executable, "-m", "hedge", "export", source, "--out", out, "--opset", "19"],
        env={**os.environ, "PYTHONHASHSEED": "1"},
        check=True,
        capture_output=True,
    )
    here = hedge.export(source, tmp_path / "here.onnx", opset=19)
    assert out.read_bytes() == here.SerializeToString()
    assert to_onnx(compressed, 19) == to_onnx(compressed, 19)


@pytest.mark.parametrize(("opset", "ir_version"), [(17, 8), (18, 8), (19, 9), (20, 9), (21, 10)])
def test_the_opset_can_be_chosen_and_the_format_is_no_newer(
    opset: int, ir_version: int, compressed: CompressedModel, tmp_path: Path
) -> None:
    exported = hedge.export(compressed, tmp_path / "m.onnx", opset=opset)
    assert [(entry.domain, entry.version) for entry in exported.opset_import] == [("", opset)]
    assert exported.ir_version == ir_version
    assert json.loads(metadata(exported)["hedge.plan"])["source"] == "heat-64x3.onnx"
    before = to_onnx(compressed)
    assert [node.name for node in exported.graph.node] == [node.name for node in before.graph.node]
    np.testing.assert_array_equal(run(exported, POINTS), run(before, POINTS))


@pytest.mark.parametrize("opset", [-1, 0, 16, 22])
def test_other_opsets_are_refused(opset: int, compressed: CompressedModel) -> None:
    with pytest.raises(InputError, match=rf"^opset: {opset} is not supported; give 17 to 21$"):
        to_onnx(compressed, opset)


def test_c_has_no_opset() -> None:
    words = ["export", "models/m.onnx", "--format", "c", "--out", "m.c", "--opset", "17"]
    with pytest.raises(
        InputError, match=r"^opset: is no option of c; leave it out, or give --format onnx"
    ):
        app(words, standalone_mode=False)


def test_an_op_that_the_opset_lacks_is_named(made: Make) -> None:
    small = made(ARCHITECTURES["Gelu of opset 20"](), "dense", "float32")
    with pytest.raises(ModelError, match=r"from opset 20 to 19 \(No Previous Version of Gelu"):
        to_onnx(small, 19)


def test_equal_constants_are_stored_once_and_none_in_vain(plan: Plan) -> None:
    """Two equal layers, two names for one number, and a constant that nothing reads."""
    rng = np.random.default_rng(0)
    weight, bias = rng.standard_normal((6, 6)), rng.standard_normal(6)
    nodes = [
        helper.make_node("Gemm", ["x", "w0", "b0"], ["z0"], transB=1),
        helper.make_node("Max", ["z0", "half"], ["a0"]),
        helper.make_node("Gemm", ["a0", "w1", "b1"], ["z1"], transB=1),
        helper.make_node("Max", ["z1", "also half"], ["u"]),
    ]
    weights = {
        "w0": weight, "b0": bias, "w1": weight, "b1": bias,
        "half": np.array([[0.5]]), "also half": np.array([[0.5]]), "unread": np.ones(1000),
    }  # fmt: skip
    dense = make_model(nodes, weights, inputs=6, outputs=6)
    parts = split(dense)
    exported = to_onnx(CompressedModel(parts.skeleton, parts.matrices, plan))
    stored = {t.name: numpy_helper.to_array(t) for t in exported.graph.initializer}
    assert set(stored) == {"half", "site0.weight", "site0.bias"}
    assert [list(n.input) for n in exported.graph.node if n.op_type == "Gemm"] == [
        ["x", "site0.weight", "site0.bias"], ["a0", "site0.weight", "site0.bias"],
    ]  # fmt: skip
    points = rng.standard_normal((5, 6)).astype(np.float32)
    np.testing.assert_array_equal(run(exported, points), run(dense, points))


def test_constants_of_equal_bits_and_other_types_stay_apart(plan: Plan) -> None:
    """Zero is the same bits as float32 and as int32; an output keeps its name."""
    nodes = [
        helper.make_node("Gemm", ["x", "w"], ["z"], transB=1),
        helper.make_node("Add", ["z", "zero"], ["v"]),
        helper.make_node("Gather", ["v", "first"], ["u"], axis=1),
    ]
    weights = {
        "w": np.ones((3, 2)), "zero": np.zeros(1), "first": np.zeros(1, np.int32),
        "c": np.ones((3, 2)),
    }  # fmt: skip
    dense = make_model(nodes, weights, inputs=2, outputs={"u": 1})
    dense.graph.output.append(helper.make_tensor_value_info("c", onnx.TensorProto.FLOAT, [3, 2]))
    parts = split(dense)
    exported = to_onnx(CompressedModel(parts.skeleton, parts.matrices, plan))
    u, c = onnxruntime.InferenceSession(exported.SerializeToString()).run(
        None, {"x": np.ones((4, 2), np.float32)}
    )
    np.testing.assert_array_equal(u, np.full((4, 1), 2.0))
    np.testing.assert_array_equal(c, np.ones((3, 2)))


def test_a_model_of_an_old_opset_is_brought_to_17(tmp_path: Path) -> None:
    dense = random_mlp([2, 24, 24, 1])
    dense.opset_import[0].version = 13
    old = tmp_path / "old.onnx"
    old.write_bytes(dense.SerializeToString())
    small = hedge.compress(
        old, device=find_profile("laptop-x86"), tolerance=1e-2, domain="0:1,0:1", recover=None
    )
    exported = to_onnx(small)
    assert exported.opset_import[0].version == 17
    assert np.linalg.norm(run(exported, POINTS) - run(dense, POINTS)) < 1e-2 * np.linalg.norm(
        run(dense, POINTS)
    )


@pytest.mark.parametrize(("device", "batch"), [(None, None), (None, 1), ("raspberry-pi-5", 4096)])
def test_sites_take_the_form_predicted_for_device_and_batch(
    device: str | None, batch: int | None, plan: Plan, tmp_path: Path
) -> None:
    """By default those it was compressed for; whatever the form, it computes the same."""
    rng = np.random.default_rng(0)
    parts = split(random_mlp([64, 256, 64]))
    matrices: dict[str, Matrix] = {
        name: SiteMatrix((rng.standard_normal((m, k)) / m, rng.standard_normal((k, n))), np.ones(m))
        for name, m, k, n in (("site0", 256, 40, 64), ("site1", 64, 2, 256))
    }
    compressed = CompressedModel(parts.skeleton, matrices, plan)
    path = tmp_path / "m.onnx"
    exported = hedge.export(compressed, path, device=device, batch=batch)
    profile = plan.device_profile if device is None else find_profile(device)
    assert profile is not None
    forms = best_forms(parts.skeleton, matrices, profile, batch or plan.batch)
    written = Plan.model_validate_json(metadata(exported)["hedge.plan"])
    assert [site.form for site in written.sites] == [forms.get(site.name) for site in plan.sites]
    x = rng.uniform(size=(9, 64)).astype(np.float32)
    np.testing.assert_allclose(run(exported, x), run(compressed.to_onnx(), x), rtol=1e-4, atol=1e-5)


def test_where_size_was_the_objective_a_device_or_batch_asks_for_speed(plan: Plan) -> None:
    small = plan.model_copy(update={"objective": "size"})
    parts = split(random_mlp([64, 64]))
    factors = np.eye(64), np.eye(64)
    compressed = CompressedModel(parts.skeleton, {"site0": SiteMatrix(factors, np.ones(64))}, small)
    assert [node.op_type for node in to_onnx(compressed).graph.node] == ["Gemm", "Gemm"]
    assert [node.op_type for node in to_onnx(compressed, batch=1).graph.node] == ["Gemm"]


def test_a_batch_below_one_is_refused_before_anything_is_written(
    compressed: CompressedModel, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match="batch: 0"):
        hedge.export(compressed, tmp_path / "zero.onnx", batch=0)
    assert not any(tmp_path.iterdir())


def test_what_is_onnx_already_is_not_exported_to_onnx(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"heat-64x3\.onnx: is ONNX already; compress it first"):
        hedge.export(hedge.reference_models()["heat"], tmp_path / "again.onnx")
