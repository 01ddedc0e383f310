"""Shapes told from a file are those that a run has."""

from __future__ import annotations

import numpy as np
import pytest
from onnx import ModelProto, helper

from hedge.graph import (
    Evaluator,
    Form,
    LeafMatrix,
    SiteMatrix,
    assemble,
    forms_of,
    input_dimension,
    input_names,
    split,
)
from hedge.graph.shapes import shapes_at
from hedge.hmatrix import build, in_given_order, weak
from tests.architectures import ARCHITECTURES
from tests.conftest import make_model, random_mlp

ROWS = 13


def run_shapes(model: ModelProto) -> dict[str, tuple[int, ...]]:
    names = [name for node in model.graph.node for name in node.output if name]
    tensors = [*input_names(model), *names]
    values = Evaluator(model, tensors).intermediates(np.zeros((ROWS, input_dimension(model))))
    return {name: value.shape for name, value in values.items()}


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_of_every_architecture(name: str) -> None:
    model = ARCHITECTURES[name]()
    true, told = run_shapes(model), shapes_at(model, ROWS)
    assert {key: told[key] for key in true} == true


@pytest.mark.parametrize("form", ["factors", "dense", "panels", "levels"])
def test_of_every_form(form: Form) -> None:
    parts = split(random_mlp([2, 64, 64, 1]))
    site = parts.sites[1].name
    x = np.linspace(0.0, 1.0, 64)
    tree = in_given_order(64, 16)
    h = build(
        np.exp(-abs(x[:, None] - x)), tolerance=1e-4, rows=tree, columns=tree, admissible=weak
    )
    matrix = LeafMatrix(h.leaves, np.ones(64), 64)
    if form == "factors":
        matrix = SiteMatrix((np.ones((64, 2)), np.ones((2, 64))), np.ones(64))
    assert form in forms_of(matrix)
    model = assemble(parts.skeleton, {**parts.matrices, site: matrix}, {site: form})
    true, told = run_shapes(model), shapes_at(model, ROWS)
    assert {key: told[key] for key in true} == true


def test_nothing_is_told_where_the_rows_are_fixed() -> None:
    weights = {"w": np.ones((3, 2)), "b": np.ones(3)}
    nodes = [helper.make_node("Gemm", ["x", "w", "b"], ["u"], transB=1)]
    model = make_model(nodes, weights, inputs=2)
    assert shapes_at(model, ROWS)["u"] == (ROWS, 3)
    model.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 1
    assert shapes_at(model, ROWS) == {}
