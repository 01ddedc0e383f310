"""Neuron reduction: the greedy order, its error, and what it does with dead and twin neurons."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hedge.compression import neurons
from hedge.compression.neurons import NeuronOrder, Reading, order_neurons


def reading(activations: np.ndarray, metric: np.ndarray) -> Reading:
    return Reading(np.cov(activations.T, bias=True), metric)


def order_of_one(activations: np.ndarray, metric: np.ndarray) -> NeuronOrder:
    return order_neurons([reading(activations, metric)])


def interpolation_error(activations: np.ndarray, metric: np.ndarray, kept: np.ndarray) -> float:
    """trace(M R) after the best linear interpolation from the kept neurons, by least squares."""
    centred = activations - activations.mean(axis=0)
    fit, *_ = np.linalg.lstsq(centred[:, kept], centred, rcond=None)
    rest = centred - centred[:, kept] @ fit
    return float(np.sum(metric * (rest.T @ rest)) / len(rest))


def random_layer(seed: int, n: int, spanned: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    activations = np.tanh(rng.standard_normal((200, spanned)) @ rng.standard_normal((spanned, n)))
    felt = rng.standard_normal((3, n))
    return activations, felt.T @ felt


@settings(max_examples=30)
@given(seed=st.integers(0, 10**6), n=st.integers(2, 12), spanned=st.integers(1, 6))
def test_the_error_stated_for_every_width_is_that_of_least_squares(
    seed: int, n: int, spanned: int
) -> None:
    activations, metric = random_layer(seed, n, spanned)
    found = order_of_one(activations, metric)
    assert sorted(found.order) == list(range(n))
    assert (np.diff(found.error_squared) <= 0).all()
    scale = found.error_squared[0]
    for width in range(1, n + 1):
        expected = interpolation_error(activations, metric, found.order[:width])
        assert abs(found.error_squared[width] - expected) < 1e-8 * scale


def test_each_choice_is_the_best_single_one() -> None:
    activations, metric = random_layer(3, 8, 5)
    found = order_of_one(activations, metric)
    for width in range(1, 8):
        chosen = found.order[:width]
        others = set(range(8)) - set(chosen[:-1])
        best = min(
            interpolation_error(activations, metric, np.append(chosen[:-1], j)) for j in others
        )
        assert found.error_squared[width] <= best * (1 + 1e-9) + 1e-12


def test_constant_and_duplicated_neurons_come_last_and_cost_nothing() -> None:
    activations, metric = random_layer(4, 5, 4)
    twins = np.column_stack([activations, activations[:, :2], np.ones(200)])
    full = np.eye(8)
    full[:5, :5] = metric
    found = order_of_one(twins, full)
    assert 7 in found.order[5:]
    assert found.error_squared[5] < 1e-9 * found.error_squared[0]


def test_wide_layers_are_ordered_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whose metrics, of the few outputs that feel them, are factorized at another cost."""
    activations, metric = random_layer(7, 30, 12)
    by_eigenvalues = order_of_one(activations, metric)
    monkeypatch.setattr(neurons, "MOST_EIGENVALUES", 29)
    found = order_of_one(activations, metric)
    np.testing.assert_array_equal(found.order[:10], by_eigenvalues.order[:10])
    np.testing.assert_allclose(
        found.error_squared, by_eigenvalues.error_squared, atol=1e-9 * found.error_squared[0]
    )


def test_a_layer_of_constants_is_left_with_its_first_neurons() -> None:
    found = order_of_one(np.ones((50, 3)), np.eye(3))
    assert sorted(found.order) == [0, 1, 2]
    assert found.error_squared[3] == 0.0


def test_readers_of_one_tensor_are_as_one_with_the_sum_of_their_metrics() -> None:
    activations, first = random_layer(5, 9, 6)
    _, second = random_layer(6, 9, 6)
    apart = order_neurons([reading(activations, first), reading(activations, second)])
    together = order_of_one(activations, first + second)
    np.testing.assert_array_equal(apart.order, together.order)
    np.testing.assert_allclose(apart.error_squared, together.error_squared, rtol=1e-6, atol=1e-12)


@settings(max_examples=20)
@given(seed=st.integers(0, 10**6), n=st.integers(2, 10))
def test_the_error_of_a_group_is_the_sum_over_what_its_sites_read(seed: int, n: int) -> None:
    layers = [random_layer(seed + shift, n, 5) for shift in range(3)]
    found = order_neurons([reading(*layer) for layer in layers])
    scale = found.error_squared[0]
    for width in range(1, n + 1):
        kept = found.order[:width]
        expected = sum(interpolation_error(*layer, kept) for layer in layers)
        assert abs(found.error_squared[width] - expected) < 1e-8 * scale
        if width < n:
            others = [np.append(kept[:-1], j) for j in set(range(n)) - set(kept[:-1])]
            best = min(sum(interpolation_error(*layer, k) for layer in layers) for k in others)
            assert expected <= best + 1e-8 * scale
