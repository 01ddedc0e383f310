"""Exported files: standard ops, equal to the compressed model in the runtime, provenance inside."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx.reference import ReferenceEvaluator

import hedge
from hedge.compression import CompressedModel
from hedge.devices import find_profile
from hedge.exporting import to_onnx
from hedge.graph import Evaluator, metadata
from hedge.problems import find_problem
from tests.conftest import random_mlp

POINTS = find_problem("heat").domain.sample(3000, 5).astype(np.float32)


@pytest.fixture(scope="module", params=[True, False], ids=["factorized", "reduced"])
def compressed(request: pytest.FixtureRequest) -> CompressedModel:
    return hedge.compress(
        hedge.reference_models()["heat"],
        device=find_profile("laptop-x86"),
        tolerance=1e-2,
        batch=512,
        keep_widths=request.param,
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
        hedge.reference_models()["poisson"], device="laptop-x86", tolerance=1e-3, batch=512
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
    assert f"{compressed.plan.relative_error:.2e}" in to_onnx(compressed).doc_string


def test_equal_models_give_equal_bytes(compressed: CompressedModel, tmp_path: Path) -> None:
    paths = [tmp_path / "a.onnx", tmp_path / "b.onnx"]
    for path in paths:
        hedge.export(compressed, path)
    assert paths[0].read_bytes() == paths[1].read_bytes()


def test_a_model_of_an_old_opset_is_brought_to_17(tmp_path: Path) -> None:
    dense = random_mlp([2, 24, 24, 1])
    dense.opset_import[0].version = 13
    old = tmp_path / "old.onnx"
    old.write_bytes(dense.SerializeToString())
    small = hedge.compress(old, device=find_profile("laptop-x86"), tolerance=1e-2, domain="0:1,0:1")
    exported = to_onnx(small)
    assert exported.opset_import[0].version == 17
    assert np.linalg.norm(run(exported, POINTS) - run(dense, POINTS)) < 1e-2 * np.linalg.norm(
        run(dense, POINTS)
    )
