"""Sensitivities of the output to each site, against differences of the whole model."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import ModelProto, helper

from hedge.errors import ModelError
from hedge.graph import Evaluator, SiteMatrix, SplitModel, assemble, site_gradients, split, trace
from tests.conftest import make_model, random_mlp

POINTS = np.random.default_rng(0).uniform(-1, 1, (40, 2))
# Weights are stored in float32: a bias moved by this stays exact enough for a quotient.
STEP = 2.0**-7


def by_differences(parts: SplitModel, site: str, neuron: int, seed: np.ndarray) -> np.ndarray:
    matrix = parts.matrices[site]

    def moved(step: float) -> np.ndarray:
        bias = matrix.bias.copy()
        bias[neuron] += step
        changed = {**parts.matrices, site: SiteMatrix(matrix.factors, bias)}
        outputs = Evaluator(assemble(parts.skeleton, changed))(POINTS)
        return np.sum(outputs * seed.reshape(len(POINTS), -1), axis=1)

    near, far = moved(STEP) - moved(-STEP), moved(2 * STEP) - moved(-2 * STEP)
    return (8 * near - far) / (12 * STEP)


def check(model: ModelProto, tolerance: float = 2e-5) -> None:
    parts = split(model)
    traced = trace(parts, POINTS)
    seed = np.random.default_rng(1).standard_normal(traced.output.shape)
    gradients = site_gradients(traced, seed)
    for site in parts.sites:
        for neuron in {0, site.matrix.shape[0] - 1}:
            expected = by_differences(parts, site.name, neuron, seed)
            error = np.abs(gradients[site.name][:, neuron] - expected).max()
            assert error < tolerance * max(1.0, np.abs(expected).max())


SMOOTH = ["Tanh", "Sigmoid", "Sin", "Cos", "Softplus", "Erf", "SiLU", "GELU", "Exp", "Atan"]
# The quotient that judges is itself off where it straddles a kink.
KINKED = ["Softsign", "Elu", "Selu", "LeakyRelu"]


@pytest.mark.parametrize("activation", SMOOTH)
def test_smooth_activations(activation: str) -> None:
    check(random_mlp([2, 6, 6, 2], activation=activation, scale=0.7))


@pytest.mark.parametrize("activation", KINKED)
def test_kinked_activations_away_from_the_kink(activation: str) -> None:
    parts = split(random_mlp([2, 6, 6, 2], activation=activation, scale=0.7))
    traced = trace(parts, POINTS)
    seed = np.ones_like(traced.output)
    found = site_gradients(traced, seed)["site1"][:, 0]
    error = np.abs(found - by_differences(parts, "site1", 0, seed))
    assert np.median(error) < 2e-5


@settings(deadline=None, max_examples=15)
@given(
    widths=st.lists(st.integers(1, 9), min_size=1, max_size=4),
    outputs=st.integers(1, 3),
    seed=st.integers(0, 10**6),
)
def test_random_networks(widths: list[int], outputs: int, seed: int) -> None:
    check(random_mlp([2, *widths, outputs], seed=seed))


def tail(
    nodes: list[tuple[str, list[str], str, dict[str, object]]], **extra: np.ndarray
) -> ModelProto:
    rng = np.random.default_rng(2)
    weights = {"w0": rng.standard_normal((5, 2)), "w1": rng.standard_normal((4, 5)), **extra}
    head = [
        helper.make_node("Gemm", ["x", "w0"], ["z0"], transB=1),
        helper.make_node("Tanh", ["z0"], ["a0"]),
        helper.make_node("Gemm", ["a0", "w1"], ["z1"], transB=1),
    ]
    rest = [helper.make_node(op, inputs, [output], **kw) for op, inputs, output, kw in nodes]
    return make_model([*head, *rest], weights, inputs=2, outputs=None)


TAILS = {
    "skip connection": tail(
        [("Concat", ["z1", "x", "z0"], "c", {"axis": 1}), ("Tanh", ["c"], "u", {})]
    ),
    "product with an input column": tail(
        [("Slice", ["x", "zero", "one", "one"], "t", {}), ("Mul", ["t", "z1"], "u", {})],
        zero=np.array([0]),
        one=np.array([1]),
    ),
    "quotient": tail(
        [
            ("Mul", ["z1", "z1"], "s", {}),
            ("Add", ["s", "two"], "d", {}),
            ("Div", ["z1", "d"], "u", {}),
        ],
        two=np.array(2.0),
    ),
    "gather and reshape": tail(
        [("Gather", ["z1", "columns"], "g", {"axis": 1}), ("Reshape", ["g", "shape"], "u", {})],
        columns=np.array([3, 1, 1]),
        shape=np.array([-1, 3]),
    ),
    "softmax, an op that is probed": tail([("Softmax", ["z1"], "u", {"axis": 1})]),
    "sum over an axis, probed": tail(
        [("ReduceSum", ["z1", "axis"], "u", {"keepdims": 1})], axis=np.array([1])
    ),
    "power": tail([("Mul", ["z1", "z1"], "s", {}), ("Pow", ["s", "p"], "u", {})], p=np.array(1.5)),
    "product of two branches": tail([("Tanh", ["z1"], "b", {}), ("Mul", ["z1", "b"], "u", {})]),
}


@pytest.mark.parametrize("model", TAILS.values(), ids=TAILS)
def test_tails_of_all_kinds(model: ModelProto) -> None:
    check(model)


def test_a_model_that_mixes_rows_is_refused() -> None:
    model = tail(
        [("ReduceMean", ["z1"], "m", {"axes": [0], "keepdims": 1}), ("Sub", ["z1", "m"], "u", {})]
    )
    with pytest.raises(ModelError, match="it mixes the rows"):
        trace(split(model), POINTS)
