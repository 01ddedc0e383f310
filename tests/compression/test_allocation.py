"""The allocation's optimum against brute force."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hedge.compression.allocation import best_rank, best_widths, costs_on
from hedge.compression.neurons import NeuronOrder
from hedge.devices import find_profile
from hedge.graph import NeuronGroup, neuron_groups, split
from tests.conftest import random_mlp

DEVICE = find_profile("raspberry-pi-4b")


def random_orders(groups: Sequence[NeuronGroup], rng: np.random.Generator) -> list[NeuronOrder]:
    return [
        NeuronOrder(
            np.arange(group.width),
            np.append(np.sort(rng.exponential(size=group.width) ** 3)[::-1], 0.0),
        )
        for group in groups
    ]


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
    groups = neuron_groups(parts).groups
    orders = random_orders(groups, rng)
    costs = costs_on(DEVICE, batch, objective)  # type: ignore[arg-type]
    price = 10.0**exponent

    def total(widths: tuple[int, ...]) -> float:
        sizes = [2, *widths, 1]
        cost = sum(float(costs.gemm(np.array(sizes[i + 1]), np.array(sizes[i]))) for i in range(4))
        for group, order, width in zip(groups, orders, widths, strict=True):
            cost += float(costs.neurons(group, np.array(width)))
            cost += price * order.error_squared[width]
        return cost

    chosen = tuple(best_widths(parts, groups, orders, costs, price))
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
