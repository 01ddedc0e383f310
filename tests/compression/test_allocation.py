"""The allocation's optimum against brute force."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hedge.compression.allocation import best_rank, best_widths, costs_on
from hedge.compression.neurons import NeuronOrder
from hedge.devices import find_profile
from hedge.graph import hidden_layers, split
from tests.conftest import random_mlp

DEVICE = find_profile("raspberry-pi-4b")


@pytest.mark.parametrize("objective", ["latency", "energy", "size"])
@settings(deadline=None, max_examples=15)
@given(
    seed=st.integers(0, 10**6),
    exponent=st.floats(-9, 3),
    batch=st.sampled_from([1, 64, 4096]),
)
def test_widths_equal_brute_force(objective: str, seed: int, exponent: float, batch: int) -> None:
    rng = np.random.default_rng(seed)
    parts = split(random_mlp([2, 4, 5, 3, 1]))
    layers = hidden_layers(parts)
    orders = {}
    for layer in layers:
        n = parts.matrices[layer.producer].shape[0]
        error = np.append(np.sort(rng.exponential(size=n) ** 3)[::-1], 0.0)
        orders[layer.producer] = NeuronOrder(np.arange(n), error)
    costs = costs_on(DEVICE, batch, objective)  # type: ignore[arg-type]
    price = 10.0**exponent

    def total(widths: tuple[int, ...]) -> float:
        sizes = [2, *widths, 1]
        cost = sum(float(costs.gemm(np.array(sizes[i + 1]), np.array(sizes[i]))) for i in range(4))
        for layer, width in zip(layers, widths, strict=True):
            cost += float(costs.neurons(layer, np.array(width)))
            cost += price * orders[layer.producer].error_squared[width]
        return cost

    found = best_widths(parts, layers, orders, costs, price)
    chosen = tuple(found[layer.producer] for layer in layers)
    best = min(product(range(1, 5), range(1, 6), range(1, 4)), key=total)
    assert total(chosen) <= total(best) * (1 + 1e-12)


@settings(deadline=None, max_examples=50)
@given(
    outputs=st.integers(1, 200),
    inputs=st.integers(1, 200),
    seed=st.integers(0, 1000),
    exponent=st.floats(-9, 3),
)
def test_rank_equals_brute_force_and_is_never_dearer_than_dense(
    outputs: int, inputs: int, seed: int, exponent: float
) -> None:
    rng = np.random.default_rng(seed)
    n = min(outputs, inputs)
    tail = np.append(np.sort(rng.exponential(size=n) ** 3)[::-1], 0.0)
    costs = costs_on(DEVICE, 64, "latency")
    price = 10.0**exponent
    found = best_rank(outputs, inputs, tail, costs, price)
    dense = float(costs.gemm(np.array(outputs), np.array(inputs)))
    options = [
        float(costs.low_rank(outputs, inputs, np.array(k))) + price * tail[k] for k in range(1, n)
    ]
    if found is None:
        assert all(option >= dense for option in options)
    else:
        assert options[found - 1] == min(options)
        assert options[found - 1] < dense
