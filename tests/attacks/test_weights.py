"""Weights at the ends of float32: compressed, or refused in one line; the file is what the plan says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import ModelProto, numpy_helper

import hedge
from hedge import api
from hedge.compression.fitting import LARGEST_WEIGHT, _refitted
from hedge.errors import InputError, ModelError
from hedge.graph import load_model, run_float32
from hedge.hmatrix import weighted_spectrum
from tests.conftest import random_mlp

POINTS = np.random.default_rng(1).uniform(-1, 1, (500, 2))
HOW: dict[str, Any] = {"device": "laptop-x86", "domain": "-1:1,-1:1", "tolerance": 1e-2}


def scaled(*scales: float, activation: str = "Tanh") -> ModelProto:
    """A network of three layers, the weights and biases of each times a number."""
    model = random_mlp([2, 6, 6, 1])
    for tensor in model.graph.initializer:
        layer = int(tensor.name[1:])
        values = numpy_helper.to_array(tensor) * np.float64(scales[layer])
        single = np.clip(values, -3.4e38, 3.4e38).astype(np.float32)
        tensor.CopyFrom(numpy_helper.from_array(single, tensor.name))
    for node in model.graph.node:
        if node.op_type == "Tanh":
            node.op_type = activation
    return model


def saved(model: ModelProto, folder: Path) -> Path:
    path = folder / "m.onnx"
    path.write_bytes(model.SerializeToString())
    return path


WORKS: dict[str, ModelProto] = {
    "all subnormal": scaled(1e-42, 1e-42, 1e-42),
    "all at the least normal": scaled(1e-38, 1e-38, 1e-38),
    "one layer subnormal": scaled(1, 1e-42, 1),
    "one layer the least of all": scaled(1, 1.5e-45, 1),
    "first layer of zeros": scaled(0, 1, 1),
    "hidden layer of zeros": scaled(1, 0, 1),
    "first layer subnormal": scaled(1e-42, 1, 1),
    "large": scaled(1e30, 1e30, 1e30),
    "at the largest": scaled(1, 3e38, 1),
    "outputs near the largest": scaled(1, 1, 1e38),
    "mixed": scaled(1e30, 1e-30, 1, activation="Relu"),
    "mixed, the other way": scaled(1e-30, 1e30, 1, activation="Relu"),
}


SOME = ("all subnormal", "one layer subnormal", "hidden layer of zeros")


@pytest.mark.parametrize(
    ("kind", "objective"),
    [*((kind, "size") for kind in WORKS), *((kind, "latency") for kind in SOME)],
)
def test_weights_of_any_size_are_compressed(kind: str, objective: Any, tmp_path: Path) -> None:
    path = saved(WORKS[kind], tmp_path)
    found = hedge.compress(path, objective=objective, batch=64, **HOW, recover=None)
    exported = load_model(_exported(found, tmp_path))
    before, after = run_float32(load_model(path), POINTS), run_float32(exported, POINTS)
    largest = np.abs(before).max()
    assert np.linalg.norm((after - before) / largest) <= 2e-2 * np.linalg.norm(before / largest)


def _exported(found: Any, folder: Path) -> Path:
    hedge.export(found, folder / "e.onnx")
    return folder / "e.onnx"


@pytest.mark.parametrize("method", ["svd", "paper"])
@pytest.mark.parametrize("kind", SOME)
def test_weights_of_any_size_by_the_other_methods(kind: str, method: Any, tmp_path: Path) -> None:
    hedge.compress(saved(WORKS[kind], tmp_path), method=method, **HOW, recover=None)


REFUSED: dict[str, tuple[ModelProto, str]] = {
    "all zero": (scaled(0, 0, 0), "zero on the whole domain"),
    "last layer of zeros": (scaled(1, 1, 0), "zero on the whole domain"),
    "products beyond float32": (
        scaled(1e20, 1e20, 1e20, activation="Relu"),
        "not finite on the domain in float32",
    ),
    "sums beyond float32": (scaled(3e38, 3e38, 3e38), "not finite on the domain in float32"),
}


@pytest.mark.parametrize("method", ["hierarchical", "svd", "paper"])
@pytest.mark.parametrize("kind", REFUSED)
def test_outputs_that_no_error_is_relative_to(kind: str, method: Any, tmp_path: Path) -> None:
    model, named = REFUSED[kind]
    path = saved(model, tmp_path)
    with pytest.raises(ModelError, match=rf"m\.onnx: its output is {named}"):
        hedge.compress(path, method=method, **HOW, recover=None)


def test_other_commands_say_that_outputs_are_not_finite(tmp_path: Path) -> None:
    path = saved(REFUSED["products beyond float32"][0], tmp_path)
    with pytest.raises(
        ModelError, match=r"m\.onnx: its output is not finite on the domain in float32"
    ):
        api.evaluate(path, "burgers")
    with pytest.raises(
        ModelError, match=r"m\.onnx: its output is not finite on the domain in float32"
    ):
        api.compare_methods(path, batches=[1], steps=10, **HOW)
    with pytest.raises(InputError, match="tangent kernel: its entries reach"):
        api.tangent_kernels(path, domain="-1:1,-1:1", points=16)


@pytest.mark.parametrize("kind", SOME)
def test_tangent_kernels_of_small_weights(kind: str, tmp_path: Path) -> None:
    found = api.tangent_kernels(saved(WORKS[kind], tmp_path), domain="-1:1,-1:1", points=16)
    assert np.isfinite(found.before.values).all()


# --- The parts --------------------------------------------------------------------------------------


def refitted(prior: np.ndarray, x: np.ndarray, z: np.ndarray) -> np.ndarray:
    mean = x.mean(axis=0)
    centred = x - mean
    covariance = centred.T @ centred / len(x)
    return _refitted(prior, mean, centred, z - z.mean(axis=0), covariance, 1e-3)


def test_a_fit_scales_with_what_it_reads_by_powers_of_two_alone() -> None:
    rng = np.random.default_rng(0)
    x, z = rng.standard_normal((200, 4)), rng.standard_normal((200, 3))
    prior = rng.standard_normal((3, 4))
    plain = refitted(prior, x, z)
    for size in (2.0**-126, 2.0**100):
        found = refitted(prior / size, size * x, z)
        np.testing.assert_array_equal(found * size, plain)


def test_a_fit_to_nothing_or_beyond_float32_is_the_prior() -> None:
    prior, z = np.ones((1, 2)), np.arange(100.0)[:, None]
    nothing = np.zeros((100, 2))
    assert refitted(prior, nothing, z) is prior
    x = 1e-45 * np.stack((np.arange(100.0), np.arange(100.0) ** 2), axis=1)
    assert refitted(prior, x, z) is prior
    assert LARGEST_WEIGHT < 1e40


def test_factors_in_a_metric_far_from_one_fit_into_float32() -> None:
    rng = np.random.default_rng(0)
    weight = rng.standard_normal((6, 5))
    for far in (1e-84, 1e80):
        left, right = weighted_spectrum(far**0.5 * weight, far * np.eye(6), np.eye(5)).truncate(3)
        plain = weighted_spectrum(weight, np.eye(6), np.eye(5)).truncate(3)
        assert max(np.abs(left).max(), np.abs(right).max()) < 1e30
        product = (left / far**0.25) @ (right / far**0.25)
        np.testing.assert_allclose(product, plain[0] @ plain[1], rtol=1e-9, atol=1e-12)
