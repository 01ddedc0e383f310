"""Several inputs as columns of one matrix of points, several outputs as columns of one matrix."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from onnx import ModelProto, TensorProto, helper

from hedge.errors import ModelError
from hedge.graph import (
    Evaluator,
    feeds,
    graph_work,
    input_dimension,
    input_names,
    joined,
    load_model,
    run_float32,
    split,
    trace,
)
from tests.conftest import make_model

Save = Callable[[ModelProto], Path]
POINTS = np.random.default_rng(0).uniform(-1, 1, (7, 4))


def several() -> ModelProto:
    """x [n, 2], t [n], p [n, 1] -> u = tanh(W x) t [n, 3], v = p + t as [n, 1, 1]."""
    nodes = [
        helper.make_node("Gemm", ["x", "w"], ["z"], transB=1),
        helper.make_node("Tanh", ["z"], ["a"]),
        helper.make_node("Unsqueeze", ["t", "one"], ["column"]),
        helper.make_node("Mul", ["a", "column"], ["u"]),
        helper.make_node("Add", ["p", "column"], ["sum"]),
        helper.make_node("Unsqueeze", ["sum", "one"], ["v"]),
    ]
    weights = {"w": np.arange(6.0).reshape(3, 2) / 6, "one": np.array([1])}
    model = make_model(nodes, weights, inputs={"x": 2, "t": 1, "p": 1}, outputs={"u": 3, "v": 1})
    del model.graph.input[1].type.tensor_type.shape.dim[1]
    model.graph.output[1].type.tensor_type.shape.dim.add().dim_value = 1
    return model


def expected(points: np.ndarray) -> np.ndarray:
    x, t, p = points[:, :2], points[:, 2:3], points[:, 3:]
    weight = (np.arange(6.0).reshape(3, 2) / 6).astype(np.float32)
    return np.hstack([np.tanh(x @ weight.T) * t, p + t])


def test_points_are_handed_out_column_by_column(saved: Save) -> None:
    model = load_model(saved(several()))
    assert (input_names(model), input_dimension(model)) == (("x", "t", "p"), 4)
    given = feeds(model, POINTS.astype(np.float32))
    assert {name: values.shape for name, values in given.items()} == {
        "x": (7, 2),
        "t": (7,),
        "p": (7, 1),
    }
    assert all(v.dtype == np.float32 and v.flags.c_contiguous for v in given.values())
    session = onnxruntime.InferenceSession(model.SerializeToString())
    u, v = session.run(["u", "v"], given)
    np.testing.assert_array_equal(run_float32(model, POINTS), np.hstack([u, v[:, :, 0]]))


def test_every_way_to_evaluate_agrees(saved: Save) -> None:
    model = load_model(saved(several()))
    np.testing.assert_allclose(Evaluator(model)(POINTS), expected(POINTS), atol=1e-14)
    np.testing.assert_allclose(run_float32(model, POINTS), expected(POINTS), atol=1e-6)
    traced = trace(split(model), POINTS)
    np.testing.assert_allclose(traced.output, expected(POINTS), atol=1e-14)
    assert [output.shape for output in traced.outputs] == [(7, 3), (7, 1)]
    tensors = Evaluator(model, ["t", "a", "v"]).intermediates(POINTS)
    assert {name: values.shape for name, values in tensors.items()} == {
        "t": (7,),
        "a": (7, 3),
        "v": (7, 1, 1),
    }


def test_the_work_counts_all_inputs_and_outputs() -> None:
    assert graph_work(several(), 10).nodes == 5
    assert graph_work(several(), 10).activations == 10 * 3


@pytest.mark.parametrize("columns", [3, 5])
def test_points_of_another_width_are_refused(columns: int) -> None:
    with pytest.raises(ModelError, match="takes points of 4 columns"):
        run_float32(several(), np.zeros((5, columns)))


def test_outputs_without_a_batch_are_refused() -> None:
    assert joined([np.ones((4, 2)), np.ones(4)], 4).shape == (4, 3)
    for bad in (np.ones((3, 2)), np.float32(1.0) * np.ones(()), np.ones((4, 0))):
        with pytest.raises(ModelError, match="first axis must be the batch"):
            joined([np.ones((4, 2)), bad], 4)


def spoiled(change: Callable[[ModelProto], object]) -> ModelProto:
    model = several()
    change(model)
    return model


def replaced(position: int, element: int, shape: list[str | int]) -> Callable[[ModelProto], object]:
    def change(model: ModelProto) -> None:
        name = model.graph.input[position].name
        value = helper.make_tensor_value_info(name, element, shape)
        model.graph.input[position].CopyFrom(value)

    return change


REFUSED = {
    "one of them of integers": (
        replaced(2, TensorProto.INT64, ["n", 1]),
        "input 'p' is not float32",
    ),
    "one of three axes": (replaced(0, TensorProto.FLOAT, ["n", 2, 1]), "input 'x' is not float32"),
    "one of one axis, fixed": (
        replaced(1, TensorProto.FLOAT, [1]),
        "inputs .*'t'.* of different sizes",
    ),
    "one scalar": (replaced(1, TensorProto.FLOAT, []), "input 't' is not float32"),
}


@pytest.mark.parametrize(("change", "message"), REFUSED.values(), ids=REFUSED)
def test_inputs_that_are_no_columns_are_refused(
    change: Callable[[ModelProto], object], message: str, saved: Save
) -> None:
    with pytest.raises(ModelError, match=rf"model\.onnx.*{message}"):
        load_model(saved(spoiled(change)))
