from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from hedge.graph import load_model, run_float32
from hedge.methods import Absent, Candidate, Method, dynamic_int8, static_int8
from hedge.problems import find_problem
from tests.conftest import make_model, random_mlp
from tests.methods.cases import case_of, unseen_error


@pytest.mark.parametrize("method", [dynamic_int8, static_int8])
def test_eight_bits_run_and_are_counted(
    method: Method, heat_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    case = case_of(load_model(heat_path), 1e-3, problem=find_problem("heat"))
    before = case.dense.SerializeToString()
    found = method(case)
    assert isinstance(found, Candidate)
    assert 1e-4 < unseen_error(case, found) < 0.1
    bytes_of = {TensorProto.INT8: 0, TensorProto.FLOAT: 0}
    for tensor in found.model.graph.initializer:
        size = numpy_helper.to_array(tensor).nbytes
        bytes_of[tensor.data_type] = bytes_of.get(tensor.data_type, 0) + size
    assert found.bytes == sum(bytes_of.values())
    weights = sum(int(np.prod(m.shape)) for m in case.split.matrices.values())
    assert bytes_of[TensorProto.INT8] >= weights
    assert found.bytes < 0.5 * 4 * found.parameters
    assert case.dense.SerializeToString() == before
    assert capfd.readouterr() == ("", "")


def test_each_channel_has_a_scale_of_its_own() -> None:
    """Rows a thousand times smaller than others survive."""
    model = random_mlp([3, 16, 2], seed=0)
    for tensor in model.graph.initializer:
        if tensor.name in ("w1", "b1"):
            values = numpy_helper.to_array(tensor).copy()
            values[1] *= 1e-3
            tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))
    case = case_of(model, 1e-3)
    found = dynamic_int8(case)
    assert isinstance(found, Candidate)
    x = case.points.domain.sample(500, seed=5).astype(np.float32)
    ours, dense = run_float32(found.model, x)[:, 1], run_float32(model, x)[:, 1]
    assert np.linalg.norm(ours - dense) < 0.05 * np.linalg.norm(dense)


def test_a_model_the_tools_refuse_has_no_result(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*what: object, **options: object) -> None:
        raise KeyError("no such tensor")

    monkeypatch.setattr("onnxruntime.quantization.quantize_dynamic", refuse)
    found = dynamic_int8(case_of(random_mlp([2, 8, 1]), 1e-2))
    assert found == Absent("onnxruntime can't quantize this model ('no such tensor')")


@pytest.mark.parametrize("method", [dynamic_int8, static_int8])
def test_layers_left_in_float32_log_nothing(
    method: Method, caplog: pytest.LogCaptureFixture
) -> None:
    """Two products that are added become a Gemm whose bias is no constant."""
    rng = np.random.default_rng(0)
    nodes = [
        helper.make_node("MatMul", ["x", "v"], ["p"]),
        helper.make_node("MatMul", ["x", "w"], ["q"]),
        helper.make_node("Add", ["p", "q"], ["u"]),
    ]
    weights = {name: rng.standard_normal((3, 8)) for name in "vw"}
    model = make_model(nodes, weights, inputs=3, outputs=8)
    assert isinstance(method(case_of(model, 1e-2)), Candidate)
    assert caplog.records == []
