"""Exported files in the runtimes that people have: all compute the matrices that hedge stored."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import openvino
import pytest
from onnx import ModelProto, TensorProto
from onnx.reference import ReferenceEvaluator

from hedge.compression import CompressedModel
from hedge.exporting import to_onnx
from hedge.graph import PRECISIONS, Evaluator, Precision, SiteMatrix, assemble, forms_of
from hedge.graph import opset as opset_of
from tests.architectures import ARCHITECTURES
from tests.exporting.conftest import MATRICES, Make

Feed = dict[str, np.ndarray]
Outputs = list[np.ndarray]
Run = Callable[[ModelProto, Feed], Outputs]

ROWS = 33
kinds = pytest.mark.parametrize("kind", MATRICES)
precisions = pytest.mark.parametrize("precision", PRECISIONS)


def feed_of(model: ModelProto) -> Feed:
    rng = np.random.default_rng(1)
    return {
        value.name: rng.uniform(
            -1, 1, (ROWS, value.type.tensor_type.shape.dim[1].dim_value)
        ).astype(np.float32)
        for value in model.graph.input
    }


def reference_evaluator(model: ModelProto, feed: Feed) -> Outputs:
    return ReferenceEvaluator(model).run(None, feed)


def onnx_runtime(model: ModelProto, feed: Feed) -> Outputs:
    return onnxruntime.InferenceSession(model.SerializeToString()).run(None, feed)


CORE = openvino.Core()


def open_vino(model: ModelProto, feed: Feed) -> Outputs:
    read = CORE.read_model(model.SerializeToString(), b"")
    # On CPUs with bfloat16 units it would compute in bfloat16.
    compiled = CORE.compile_model(read, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    found = compiled(feed)
    return [found[value.name] for value in model.graph.output]


def check_outputs(compressed: CompressedModel, run: Run, opset: int | None = None) -> None:
    """Within 1e-5 of all entries of the stored matrices in float64, relative L2."""
    check_model(to_onnx(compressed, opset), compressed, run)


def check_model(exported: ModelProto, compressed: CompressedModel, run: Run) -> None:
    feed = feed_of(exported)
    points = np.concatenate(list(feed.values()), axis=1).astype(np.float64)
    entries = {name: SiteMatrix((m.dense(),), m.bias) for name, m in compressed.matrices.items()}
    expected = Evaluator(assemble(compressed.skeleton, entries))(points)
    found = np.concatenate(run(exported, feed), axis=1)
    assert found.dtype == np.float32
    assert np.linalg.norm(found - expected) < 1e-5 * np.linalg.norm(expected)


@precisions
@kinds
@pytest.mark.parametrize("run", [reference_evaluator, onnx_runtime])
def test_all_architectures_in_all_forms(
    kind: str, precision: Precision, run: Run, made: Make
) -> None:
    for build in ARCHITECTURES.values():
        check_outputs(made(build(), kind, precision), run)


@precisions
@kinds
def test_openvino_computes_every_kind_of_matrix(
    kind: str, precision: Precision, made: Make
) -> None:
    check_outputs(made(ARCHITECTURES["tanh"](), kind, precision), open_vino)


@kinds
@pytest.mark.parametrize("run", [reference_evaluator, onnx_runtime, open_vino])
def test_every_form_computes_the_same(kind: str, run: Run, made: Make) -> None:
    compressed = made(ARCHITECTURES["tanh"](), kind, "float32")
    forms = {form for matrix in compressed.matrices.values() for form in forms_of(matrix)}
    for form in sorted(forms):
        wanted = {name: form for name, m in compressed.matrices.items() if form in forms_of(m)}
        model = assemble(compressed.skeleton, compressed.matrices, forms=wanted)
        check_model(model, compressed, run)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_openvino_computes_every_architecture(architecture: str, made: Make) -> None:
    check_outputs(made(ARCHITECTURES[architecture](), "low rank", "float32"), open_vino)


@pytest.mark.parametrize("opset", [17, 18, 19, 20, 21])
def test_every_opset_computes_the_same(opset: int, made: Make) -> None:
    models = [build() for build in ARCHITECTURES.values()]
    for kind in MATRICES:
        for model in models:
            if opset_of(model) <= opset:
                check_outputs(made(model, kind, "float32"), onnx_runtime, opset)
        for precision in PRECISIONS:
            check_outputs(made(models[0], kind, precision), onnx_runtime, opset)


@precisions
@kinds
def test_narrow_weights_are_widened_when_loaded(
    kind: str, precision: Precision, made: Make, tmp_path: Path
) -> None:
    """No Cast, and none of the Muls by scales, is left in what onnxruntime runs."""
    exported = to_onnx(made(ARCHITECTURES["tanh"](), kind, precision))
    stored = {t.data_type for t in exported.graph.initializer}
    narrow = {
        "float16": TensorProto.FLOAT16,
        "bfloat16": TensorProto.BFLOAT16,
        "int8": TensorProto.INT8,
    }
    assert precision == "float32" or narrow[precision] in stored
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4  # it warns that optimised graphs are for this machine only
    options.optimized_model_filepath = str(tmp_path / "optimised.onnx")
    onnxruntime.InferenceSession(exported.SerializeToString(), options)
    runs = {node.op_type for node in onnx.load(options.optimized_model_filepath).graph.node}
    assert not runs & {"Cast", "Mul", "DequantizeLinear"}
