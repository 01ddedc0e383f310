"""A guarded graph gives NaN outside its box in every runtime, and inside what it gave before."""

from __future__ import annotations

import warnings

import numpy as np
import openvino
import pytest
from onnx import ModelProto, TensorProto, checker, helper
from onnx.reference import ReferenceEvaluator

from hedge.graph import Evaluator, guarded, run_float32
from tests.architectures import ARCHITECTURES
from tests.conftest import make_model, random_mlp

LOWER, UPPER = np.array([-1.0, 0.1]), np.array([1.0, 0.3])
BEYOND = [np.float32(UPPER[1]), np.nextafter(np.float32(UPPER[1]), np.float32(1))]


def rows() -> np.ndarray:
    """Inside, on the corners, one number outside by an ulp or by far, NaN and infinite."""
    inside = np.random.default_rng(0).uniform(LOWER, UPPER, (20, 2)).astype(np.float32)
    low, high = LOWER.astype(np.float32), UPPER.astype(np.float32)
    corners = np.array([[low[0], low[1]], [high[0], high[1]], [low[0], high[1]]])
    odd = [[0.0, BEYOND[1]], [np.nextafter(low[0], -2), 0.2], [5.0, 0.2], [np.nan, 0.2]]
    odd += [[0.0, np.inf], [-np.inf, 0.2], [0.0, 0.0], [-7.0, 9.0]]
    return np.vstack([inside, corners, np.array(odd)]).astype(np.float32)


def is_inside(x: np.ndarray) -> np.ndarray:
    return ((x >= LOWER.astype(np.float32)) & (x <= UPPER.astype(np.float32))).all(axis=1)


def check(model: ModelProto) -> None:
    x = rows()
    made = guarded(model, LOWER, UPPER)
    checker.check_model(made, full_check=True)
    found, expected = run_float32(made, x), run_float32(model, x)
    inside = is_inside(x)
    assert inside.sum() == 23
    assert np.isnan(found[~inside]).all()
    np.testing.assert_allclose(found[inside], expected[inside], rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_every_architecture(name: str) -> None:
    check(ARCHITECTURES[name]())


def test_three_nodes() -> None:
    model = random_mlp([2, 8, 3])
    made = guarded(model, LOWER, UPPER)
    assert len(made.graph.node) == len(model.graph.node) + 3
    assert [value.name for value in made.graph.output] == ["u"]


@pytest.mark.parametrize("shape", [["n"], ["n", 2, 2]], ids=["flat", "of three axes"])
def test_outputs_of_other_shapes(shape: list[str | int]) -> None:
    size = 1 if len(shape) == 1 else 4
    target = np.array([-1] if size == 1 else [-1, 2, 2])
    nodes = [
        helper.make_node("Gemm", ["x", "w"], ["z"]),
        helper.make_node("Reshape", ["z", "s"], ["u"]),
        helper.make_node("Tanh", ["u"], ["v"]),  # an output that another node reads
    ]
    weights = {"w": np.random.default_rng(0).standard_normal((2, size)), "s": target}
    model = make_model(nodes, weights, inputs=2)
    del model.graph.output[:]
    for name in ("u", "v"):
        value = helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
        model.graph.output.append(value)
    check(model)


def test_other_runtimes() -> None:
    model = guarded(random_mlp([2, 8, 3]), LOWER, UPPER)
    x = rows()
    expected = run_float32(model, x)
    read = openvino.Core().read_model(model.SerializeToString(), b"")
    compiled = openvino.Core().compile_model(read, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # numpy's, of the root
        reference = ReferenceEvaluator(model).run(None, {"x": x})[0]
        np.testing.assert_allclose(Evaluator(model)(x.astype(float)), expected, atol=1e-5)
    np.testing.assert_allclose(compiled({"x": x})["u"], expected, atol=1e-5)
    np.testing.assert_allclose(reference, expected, atol=1e-5)


def test_many_columns() -> None:
    model = random_mlp([40, 8, 1])
    made = guarded(model, np.full(40, -1.0), np.full(40, 1.0))
    x = np.random.default_rng(0).uniform(-1, 1, (50, 40)).astype(np.float32)
    outside = np.arange(40)
    x[outside, outside] *= np.float32(1.5) / np.abs(x[outside, outside])
    found = run_float32(made, x)
    np.testing.assert_array_equal(np.isnan(found[:, 0]), np.arange(50) < 40)
    np.testing.assert_allclose(found[40:], run_float32(model, x)[40:], rtol=1e-5, atol=1e-6)
