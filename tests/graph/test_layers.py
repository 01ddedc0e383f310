"""A hidden layer that goes as a whole: what is left of the graph is that of a network without it."""

from __future__ import annotations

import numpy as np
import pytest
from onnx import ModelProto, checker

from hedge.compression import measure
from hedge.compression.fitting import folded
from hedge.graph import (
    SiteMatrix,
    assemble,
    neuron_groups,
    removable_layers,
    run_float32,
    split,
    split_of,
    without_layer,
)
from tests.architectures import ARCHITECTURES
from tests.conftest import random_mlp

X = np.random.default_rng(0).uniform(-1.0, 1.0, (2000, 2))


@pytest.mark.parametrize("place", [0, 1, 2])
def test_what_is_left_computes_what_its_matrices_say(place: int) -> None:
    parts = split(random_mlp([2, 7, 6, 5, 1], seed=1))
    layer = removable_layers(parts)[place]
    (reader,) = layer.consumers
    matrices = list(parts.matrices.values())
    inputs = matrices[place].shape[1]
    rng = np.random.default_rng(place)
    outputs = matrices[place + 1].shape[0]
    new = SiteMatrix((rng.standard_normal((outputs, inputs)),), np.ones(outputs))
    left = without_layer(parts, layer, {reader: new})
    assert layer.producers[0] not in left.matrices
    model = assemble(left.skeleton, left.matrices)
    checker.check_model(model)
    assert len(model.graph.node) == len(assemble(parts.skeleton, parts.matrices).graph.node) - 2
    a = X
    kept = [new if i == place + 1 else m for i, m in enumerate(matrices) if i != place]
    for matrix in kept[:-1]:
        a = np.tanh(matrix.times(a) + matrix.bias)
    np.testing.assert_allclose(
        run_float32(model, X), kept[-1].times(a) + kept[-1].bias, rtol=1e-4, atol=1e-5
    )
    again = split_of(left.skeleton, left.matrices)
    assert [(s.name, s.input, s.output) for s in again.sites] == [
        (s.name, s.input, s.output) for s in left.sites
    ]


def test_the_last_hidden_layer_stays() -> None:
    assert removable_layers(split(random_mlp([2, 7, 1]))) == ()


@pytest.mark.parametrize("kind", ARCHITECTURES)
def test_of_any_architecture_what_is_called_removable_is(kind: str) -> None:
    model: ModelProto = ARCHITECTURES[kind]()
    parts = split(model)
    measured = measure(parts, X, 0)
    for layer in removable_layers(parts):
        left = folded(parts, measured, layer, 1e-3)
        small = assemble(left.skeleton, left.matrices)
        checker.check_model(small)
        found = run_float32(small, X)
        assert found.shape == run_float32(model, X).shape
        assert np.isfinite(found).all()


def test_layers_that_others_are_tied_to_stay() -> None:
    """A skip connection adds its neurons to those of another layer."""
    parts = next(
        split(make())
        for make in ARCHITECTURES.values()
        if any(len(group.producers) > 1 for group in neuron_groups(split(make())).groups)
    )
    tied = {
        name for group in neuron_groups(parts).groups if len(group.producers) > 1
        for name in group.producers
    }  # fmt: skip
    assert tied
    assert not tied & {name for group in removable_layers(parts) for name in group.producers}


def test_a_layer_that_does_nothing_is_folded_without_loss() -> None:
    """Its tanh is in its linear part, so that least squares finds the product of both matrices."""
    model = random_mlp([2, 8, 6, 1], seed=2)
    parts = split(model)
    names = list(parts.matrices)
    tiny = parts.matrices[names[1]]
    scaled = parts.replaced(
        {
            **parts.matrices,
            names[1]: SiteMatrix((1e-3 * tiny.dense(),), 1e-3 * tiny.bias),
            names[2]: SiteMatrix(
                (1e3 * parts.matrices[names[2]].dense(),), parts.matrices[names[2]].bias
            ),
        }
    )
    wanted = run_float32(assemble(scaled.skeleton, scaled.matrices), X)
    layer = removable_layers(scaled)[1]
    left = folded(scaled, measure(scaled, X, 0), layer, 1e-6)
    found = run_float32(assemble(left.skeleton, left.matrices), X)
    assert np.linalg.norm(found - wanted) <= 1e-4 * np.linalg.norm(wanted)
