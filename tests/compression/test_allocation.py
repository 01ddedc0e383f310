"""The allocation's optimum against brute force."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from onnx import ModelProto, helper

from hedge.compression.allocation import best_rank, best_widths, costs_on
from hedge.compression.families import best_factors
from hedge.compression.neurons import NeuronOrder
from hedge.compression.seen import Seen
from hedge.compression.target import SiteTarget
from hedge.devices import find_profile
from hedge.graph import NeuronGroup, SiteMatrix, neuron_groups, split
from hedge.request import Objective
from tests.architectures import ARCHITECTURES
from tests.conftest import make_model, random_mlp

DEVICE = find_profile("raspberry-pi-4b")


def random_orders(groups: Sequence[NeuronGroup], rng: np.random.Generator) -> list[NeuronOrder]:
    return [
        NeuronOrder(
            np.arange(group.width),
            np.append(np.sort(rng.exponential(size=group.width) ** 3)[::-1], 0.0),
        )
        for group in groups
    ]


NETWORKS = {
    "chain": lambda: random_mlp([2, 4, 5, 3, 1]),
    "skip connections": ARCHITECTURES["residual"],
    "gates": ARCHITECTURES["modified MLP"],
    "two readers": lambda: branches(6),
}


def branches(width: int) -> ModelProto:
    """A layer that two branches read, each with a layer of its own, and that Add joins at the end."""
    rng = np.random.default_rng(0)
    shapes = {"w": (width, 2), "l": (width, width), "r": (width, width), "u": (1, width)}
    weights = {name: rng.standard_normal(shape) for name, shape in shapes.items()}
    nodes = [
        helper.make_node("Gemm", ["x", "w"], ["z"], transB=1),
        helper.make_node("Tanh", ["z"], ["a"]),
        helper.make_node("Gemm", ["a", "l"], ["z.l"], transB=1),
        helper.make_node("Tanh", ["z.l"], ["a.l"]),
        helper.make_node("Gemm", ["a", "r"], ["z.r"], transB=1),
        helper.make_node("Sin", ["z.r"], ["a.r"]),
        helper.make_node("Gemm", ["a.l", "u"], ["u.l"], transB=1),
        helper.make_node("Gemm", ["a.r", "u"], ["u.r"], transB=1),
        helper.make_node("Add", ["u.l", "u.r"], ["u"]),
    ]
    return make_model(nodes, weights, inputs=2)


@pytest.mark.parametrize("network", NETWORKS)
@settings(max_examples=12)
@given(
    objective=st.sampled_from(["latency", "energy", "size"]),
    seed=st.integers(0, 10**6),
    exponent=st.floats(-9, 3),
    batch=st.sampled_from([1, 64, 4096]),
)
def test_widths_equal_brute_force(
    network: str, objective: Objective, seed: int, exponent: float, batch: int
) -> None:
    parts = split(NETWORKS[network]())
    groups = neuron_groups(parts).groups
    orders = random_orders(groups, np.random.default_rng(seed))
    costs = costs_on(DEVICE, batch, objective)
    price = 10.0**exponent

    def total(widths: tuple[int, ...]) -> float:
        cost = 0.0
        for site in parts.sites:
            n_out, n_in = site.matrix.shape
            for group, width in zip(groups, widths, strict=True):
                n_out = width if site.name in group.producers else n_out
                n_in = width if site.name in group.consumers else n_in
            cost += float(costs.gemm(np.array(n_out), np.array(n_in)))
        for group, order, width in zip(groups, orders, widths, strict=True):
            cost += float(costs.neurons(group, np.array(width)))
            cost += price * order.error_squared[width]
        return cost

    chosen = tuple(best_widths(parts, groups, orders, costs, price))
    best = min(map(total, product(*(range(1, group.width + 1) for group in groups))))
    assert total(chosen) <= best * (1 + 1e-12)


@settings(max_examples=50)
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


@settings(max_examples=40)
@example(outputs=3, inputs=7, decay=0.712890625, seed=117, exponent=0.0, objective="size")
@given(
    outputs=st.integers(2, 12),
    inputs=st.integers(2, 12),
    decay=st.floats(0.1, 1.0),
    seed=st.integers(0, 10**6),
    exponent=st.floats(-4, 6),
    objective=st.sampled_from(["latency", "size"]),
)
def test_a_layer_equals_brute_force_over_its_matrices(
    outputs: int, inputs: int, decay: float, seed: int, exponent: float, objective: Objective
) -> None:
    """With errors of the matrices themselves, on inputs, not of the spectrum they were cut from."""
    rng = np.random.default_rng(seed)
    n = min(outputs, inputs)
    left, right = rng.standard_normal((outputs, n)), rng.standard_normal((n, inputs))
    weight = left * decay ** np.arange(n) @ right
    x = rng.standard_normal((200, inputs)) @ rng.standard_normal((inputs, inputs))
    felt = rng.standard_normal((outputs, outputs))
    target = SiteTarget(Seen(weight, x), felt @ felt.T, enough=0.0)
    costs, price = costs_on(DEVICE, 64, objective), 10.0**exponent

    def total(matrix: SiteMatrix) -> float:
        return costs.of(matrix.structure) + price * target.error_squared(matrix)

    every = [target.truncated(rank) for rank in (None, *range(1, n))]
    chosen = best_factors(target, costs, price)
    assert total(chosen) <= min(map(total, every)) * (1 + 1e-6)
