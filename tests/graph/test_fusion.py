"""What onnxruntime makes of nodes is what it writes into the graphs that it optimises."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import ModelProto

from hedge.devices import FUSED
from hedge.graph import graph_work
from tests.architectures import ARCHITECTURES
from tests.conftest import make_model, random_mlp

node = onnx.helper.make_node
SQUARE = {"w": np.ones((4, 4)), "b": np.ones(4)}
CASES: dict[str, tuple[list[onnx.NodeProto], dict[str, np.ndarray]]] = {
    "MatMul and Add": (
        [node("MatMul", ["x", "w"], ["z"]), node("Add", ["z", "b"], ["h"]),
         node("Tanh", ["h"], ["u"])],
        SQUARE,
    ),
    "an activation that others read, too": (
        [node("Gemm", ["x", "w", "b"], ["z"]), node("Tanh", ["z"], ["h"]),
         node("Add", ["z", "h"], ["u"])],
        SQUARE,
    ),
    "a transpose before a product": (
        [node("Transpose", ["x"], ["h"], perm=[1, 0]), node("MatMul", ["w", "h"], ["v"]),
         node("Transpose", ["v"], ["u"], perm=[1, 0])],
        SQUARE,
    ),
    "transposes that undo each other": (
        [node("Transpose", ["x"], ["h"], perm=[1, 0]), node("Sin", ["h"], ["v"]),
         node("Transpose", ["v"], ["u"], perm=[1, 0])],
        {},
    ),
}  # fmt: skip


def optimised(model: ModelProto, folder: Path) -> Counter[str]:
    """The ops that onnxruntime runs."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.optimized_model_filepath = str(folder / "optimised.onnx")
    onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    names = {"FusedGemm": "Gemm", "FusedMatMul": "MatMul"}
    ran = onnx.load(options.optimized_model_filepath).graph.node
    return Counter(names.get(one.op_type, one.op_type) for one in ran)


def counted(model: ModelProto) -> Counter[str]:
    work = graph_work(model, 3)
    names = ["Gemm" if product.packed else "MatMul" for product in work.products]
    names += [one.op for one in work.passes if not one.op.startswith(FUSED)]
    return Counter(names)


@pytest.mark.parametrize("case", CASES)
def test_nodes_are_counted_as_they_run(case: str, tmp_path: Path) -> None:
    nodes, weights = CASES[case]
    model = make_model(nodes, weights, inputs=4, outputs=4)
    assert counted(model) == optimised(model, tmp_path)


@pytest.mark.parametrize("kind", ["tanh", "SiLU as Sigmoid and Mul", "GELU by Erf", "sin"])
def test_layers_are_counted_as_they_run(kind: str, tmp_path: Path) -> None:
    model = ARCHITECTURES[kind]()
    assert counted(model) == optimised(model, tmp_path)


def test_sizes_are_those_of_the_batch_asked_for() -> None:
    work = graph_work(random_mlp([2, 16, 1]), batch=7)
    (first, second), (tanh,) = work.products, work.passes
    assert (first.rows, first.columns, first.depth) == (7, 16, 2)
    assert (second.rows, second.columns, second.depth) == (7, 1, 16)
    assert (tanh.op, tanh.written) == ("Gemm+Tanh", 7 * 16)
