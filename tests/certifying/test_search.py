"""What is proved holds, and is close: against dense sampling, planted spikes, and brute force."""

from __future__ import annotations

from dataclasses import fields

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import ModelProto, helper, numpy_helper

from hedge.certifying import prove
from hedge.certifying.cover import Cover, whole
from hedge.certifying.proving import order_for
from hedge.clusters import spread_over
from hedge.errors import ModelError
from hedge.graph import Evaluator, run_float32
from hedge.problems import parse_domain
from tests.conftest import make_model, random_mlp

SQUARE = parse_domain("-1:1", 2)


def altered(model: ModelProto, scale: float, seed: int) -> ModelProto:
    """The same network with weights that are a little off."""
    rng, copy = np.random.default_rng(seed), ModelProto()
    copy.CopyFrom(model)
    for tensor in copy.graph.initializer:
        values = numpy_helper.to_array(tensor)
        off = values * (1 + scale * rng.standard_normal(values.shape))
        tensor.CopyFrom(numpy_helper.from_array(off.astype(np.float32), tensor.name))
    return copy


def difference(small: ModelProto, dense: ModelProto, points: np.ndarray) -> np.ndarray:
    given = points.astype(np.float32)
    return run_float32(small, given) - Evaluator(dense)(given.astype(np.float64))


@pytest.mark.parametrize("activation", ["Tanh", "SiLU", "Sin", "Relu"])
def test_bounds_hold_on_both_sides_and_are_close(activation: str) -> None:
    dense = random_mlp([2, 10, 10, 2], seed=1, activation=activation)
    small = altered(dense, 0.05, seed=2)
    _, proof = prove(small, dense, SQUARE, gap=0.05, most=8000)
    axis = np.linspace(-1, 1, 401)
    grid = np.stack(np.meshgrid(axis, axis), -1).reshape(-1, 2)
    error, u = difference(small, dense, grid), Evaluator(dense)(grid)
    seen, relative = (
        np.abs(error).max(axis=0),
        np.linalg.norm(error, axis=0) / np.linalg.norm(u, axis=0),
    )
    assert (seen <= proof.largest).all()
    assert (proof.largest <= 1.1 * seen + 2 * proof.rounding).all()
    assert (proof.largest_seen <= proof.largest).all()
    # the grid's means are those of the square to its step
    assert (0.98 * relative <= proof.relative_l2).all()
    assert (proof.relative_l2 <= 1.1 * relative).all()
    assert (proof.relative_l2_seen <= 1.02 * relative).all()


def spiked(seed: int) -> tuple[ModelProto, ModelProto, np.ndarray]:
    """A network with a spike, the same without, and where the spike is.

    It is h b(x) b(y) with b(x) = (tanh(w(x − c) + 1) − tanh(w(x − c) − 1))/(2 tanh 1) and w = 1000.
    """
    rng, dense, model = np.random.default_rng(seed), random_mlp([2, 6, 1], seed=seed), ModelProto()
    model.CopyFrom(dense)
    (last,) = [node for node in model.graph.node if "u" in node.output]
    last.output[0] = "smooth"
    centre, height = rng.uniform(-0.9, 0.9, 2), rng.uniform(0.5, 2.0)
    bump = np.sqrt(height) / (2.0 * np.tanh(1.0)) * np.array([[1.0, -1.0]])
    weights = {
        "steep": 1e3 * np.repeat(np.eye(2), 2, axis=0),
        "shift": np.repeat(-1e3 * centre, 2) + np.array([1.0, -1.0, 1.0, -1.0]),
        "bump": np.kron(np.eye(2), bump),
        "none": np.zeros(2),
    }
    model.graph.initializer.extend(
        numpy_helper.from_array(values.astype(np.float32), name) for name, values in weights.items()
    )
    model.graph.node.extend(
        [
            helper.make_node("Gemm", ["x", "steep", "shift"], ["spike.z"], transB=1),
            helper.make_node("Tanh", ["spike.z"], ["spike.a"]),
            helper.make_node("Gemm", ["spike.a", "bump", "none"], ["spike.b"], transB=1),
            helper.make_node("Split", ["spike.b"], ["spike.x", "spike.y"], axis=1),
            helper.make_node("Mul", ["spike.x", "spike.y"], ["spike"]),
            helper.make_node("Add", ["smooth", "spike"], ["u"]),
        ]
    )
    return model, dense, centre[None]


@pytest.mark.parametrize("seed", range(8))
def test_a_spike_that_samples_mostly_miss_is_in_the_bound(seed: int) -> None:
    model, dense, top = spiked(seed)
    _, proof = prove(model, dense, SQUARE, most=3000)
    height = np.abs(difference(model, dense, top)).max()
    assert proof.largest[0] >= height > 0.1


def test_the_budget_ends_it_with_a_bound_that_holds() -> None:
    dense = random_mlp([2, 12, 12, 1], seed=3)
    small = altered(dense, 0.1, seed=4)
    points = np.random.default_rng(0).uniform(-1, 1, (20_000, 2))
    seen = np.abs(difference(small, dense, points)).max()
    bounds = []
    for most in (1, 30, 300):
        _, proof = prove(small, dense, SQUARE, most=most)
        assert proof.evaluated <= most
        assert seen <= proof.largest[0]
        bounds.append(proof.largest[0])
    assert bounds == sorted(bounds, reverse=True)
    looks = iter([False, False, True])
    _, proof = prove(small, dense, SQUARE, is_over=lambda: next(looks))
    assert (proof.ended, proof.evaluated) == ("budget", 1 + 2 + 4)


def test_processes_prove_the_same() -> None:
    dense = random_mlp([2, 8, 8, 1], seed=5)
    small = altered(dense, 0.05, seed=6)
    _, alone = prove(small, dense, SQUARE, most=600)
    with spread_over(2) as spread:
        _, together = prove(small, dense, SQUARE, most=600, spread=spread)
    for field in fields(alone.bounds):
        assert np.array_equal(
            getattr(alone.bounds, field.name), getattr(together.bounds, field.name)
        )
    assert np.array_equal(alone.cover.places, together.cover.places)
    assert (alone.evaluated, alone.ended) == (together.evaluated, together.ended)


@pytest.mark.parametrize("dimension", [1, 3, 5])
def test_any_number_of_inputs(dimension: int) -> None:
    dense = random_mlp([dimension, 8, 1], seed=7)
    small = altered(dense, 0.05, seed=8)
    domain = parse_domain("-1:1", dimension)
    _, proof = prove(small, dense, domain, most=2000)
    points = domain.sample(20_000, 0)
    assert np.abs(difference(small, dense, points)).max() <= proof.largest[0]
    assert 1 <= order_for(dimension) <= 6


def test_weights_of_any_size_end_with_a_bound_or_none() -> None:
    dense = random_mlp([2, 6, 1], seed=9)
    huge = altered(dense, 0.0, seed=0)
    values = 1e18 * numpy_helper.to_array(huge.graph.initializer[0])
    huge.graph.initializer[0].CopyFrom(
        numpy_helper.from_array(values, huge.graph.initializer[0].name)
    )
    _, proof = prove(huge, dense, SQUARE, most=500)
    points = np.random.default_rng(0).uniform(-1, 1, (20_000, 2))
    assert np.abs(difference(huge, dense, points)).max() <= proof.largest[0]


def test_where_boxes_can_get_no_smaller_it_is_not_called_close() -> None:
    """The logarithm has no bound in any box that reaches 0."""
    log = make_model([helper.make_node("Log", ["x"], ["u"])], {}, inputs=1)
    _, proof = prove(log, log, parse_domain("0:1", 1), most=2000)
    assert (proof.ended, proof.largest[0]) == ("depth", np.inf)
    assert proof.cover.levels.max() == 40


def test_another_number_of_outputs_is_refused() -> None:
    with pytest.raises(ModelError, match=r"has 2 output\(s\), the dense one 1"):
        prove(random_mlp([2, 4, 2]), random_mlp([2, 4, 1]), SQUARE)


def test_functions_of_the_first_input_alone_are_halved_in_it_alone() -> None:
    weights = {"w": np.array([[6.0, 0.0]]), "b": np.zeros(1)}
    nodes = [
        helper.make_node("Gemm", ["x", "w", "b"], ["z"], transB=1),
        helper.make_node("Sin", ["z"], ["u"]),
    ]
    steep = make_model(nodes, weights, inputs=2)
    flat = make_model(nodes, {**weights, "w": np.array([[5.9, 0.0]])}, inputs=2)
    _, proof = prove(flat, steep, SQUARE, most=4000)
    assert proof.cover.levels[:, 1].max() <= 1 < proof.cover.levels[:, 0].max()


@settings(max_examples=30)
@given(st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 2)), max_size=20))
def test_halved_boxes_cover_the_domain_once(halvings: list[tuple[int, int]]) -> None:
    cover = whole(3)
    for which, variable in halvings:
        chosen = np.arange(len(cover)) == which % len(cover)
        cover = cover[~chosen].joined(cover[chosen].halved(np.array([variable])))
    assert cover.shares.sum() == 1.0
    domain = parse_domain("0:1,-2:5,1e3:1.1e3", 3)
    centres, halves, off = cover.within(domain)
    points = domain.sample(200, 0)
    inside = (np.abs(points[:, None] - centres) <= halves + off).all(axis=2).sum(axis=1)
    assert (inside >= 1).all()
    assert inside.mean() < 1.01
    assert isinstance(cover, Cover)
