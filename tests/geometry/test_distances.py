"""Functions that are zero on boundaries: where, how steep, and that all readers can follow."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper
from onnx.reference import ReferenceEvaluator

from hedge.errors import InputError
from hedge.geometry import BOUNDARY, Rectangle, Shape
from hedge.graph.builder import GraphBuilder
from hedge.graph.expressions import Expression, Functions
from tests.geometry.shapes import PLATE, SHAPES, SOLIDS, shapes

STEP = 1e-6
CORNER = 0.05  # slopes tend to 1 off corners, where two pieces are zero


def inside(shape: Shape, count: int = 400) -> np.ndarray:
    lower, upper = shape.bounds
    points = np.random.default_rng(1).uniform(lower, upper, (8 * count, shape.dimension))
    return points[shape.contains(points)][:count]


def off_corners(shape: Shape, points: np.ndarray) -> np.ndarray:
    """Points of a piece around which there is no other one."""
    every, ways = shape.sample_piece(BOUNDARY, 512, seed=7)
    _, own = points
    near = np.linalg.norm(points[0][:, None] - every, axis=2) < CORNER
    turned = np.abs(own[:, None] - ways).max(axis=2) > 0.5
    return ~(near & turned).any(axis=1)


@pytest.mark.parametrize("shape", [*SHAPES, *SOLIDS], ids=str)
def test_it_is_zero_on_the_piece_only_and_as_steep_as_a_distance(shape: Shape) -> None:
    for piece in (BOUNDARY, *shape.pieces):
        on, normals = shape.sample_piece(piece, 32, seed=2)
        kept = off_corners(shape, (on, normals))
        slopes = shape.distance_to(piece, list((on - STEP * normals).T), np) / STEP
        assert slopes[kept] == pytest.approx(1.0, abs=2e-3), piece
        assert (shape.distance_to(piece, list(inside(shape).T), np) > 0.0).all()
        for other in set(shape.pieces) - {piece} if piece != BOUNDARY else ():
            points, ways = shape.sample_piece(other, 32, seed=2)
            far = off_corners(shape, (points, ways))
            assert (shape.distance_to(piece, list(points[far].T), np) > 1e-3).all(), (piece, other)


@pytest.mark.parametrize("shape", [*SHAPES, *SOLIDS], ids=str)
def test_second_derivatives_are_finite_inside(shape: Shape) -> None:
    for piece in (BOUNDARY, *shape.pieces):
        x = torch.from_numpy(inside(shape)).requires_grad_()
        value = shape.distance_to(piece, x.unbind(1), torch)
        (slope,) = torch.autograd.grad(value.sum(), x, create_graph=True)
        assert torch.isfinite(slope).all()
        for column in slope.unbind(1) if slope.requires_grad else ():
            (bend,) = torch.autograd.grad(column.sum(), x, retain_graph=True)
            assert torch.isfinite(bend).all()


@settings(max_examples=25)
@given(shapes(), st.integers(0, 99))
def test_it_is_positive_inside_whatever_the_shape(shape: Shape, seed: int) -> None:
    lower, upper = shape.bounds
    points = np.random.default_rng(seed).uniform(lower, upper, (200, 2))
    points = points[shape.contains(points)]
    found = shape.distance(list(points.T), np)
    assert (found > 0.0).all()
    assert np.isfinite(found).all()


def test_straight_sides_of_a_convex_part_take_no_root() -> None:
    x, y = np.array([0.3]), np.array([0.1])
    assert PLATE.distance_to("left", [x, y], None) == pytest.approx(0.3)
    hole = PLATE.distance_to("hole", [x, y], None)
    assert hole == pytest.approx((0.2**2 + 0.4**2 - 0.2**2) / 0.4)


@pytest.mark.parametrize("shape", [SHAPES[3], SHAPES[8], SOLIDS[3]], ids=str)
def test_graphs_compute_the_same(shape: Shape) -> None:
    graph = GraphBuilder()
    names = [f"x{k}" for k in range(shape.dimension)]
    columns = [Expression(name, Functions(graph)) for name in names]
    found = shape.distance(columns, Functions(graph)).name
    made = helper.make_graph(
        graph.nodes,
        "distance",
        [helper.make_tensor_value_info(n, TensorProto.FLOAT, [None, 1]) for n in names],
        [helper.make_tensor_value_info(found, TensorProto.FLOAT, [None, 1])],
        list(graph.constants.values()),
    )
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)])
    points = inside(shape, 20)
    feed = {name: points[:, [k]].astype(np.float32) for k, name in enumerate(names)}
    (value,) = ReferenceEvaluator(model).run(None, feed)
    assert value.ravel() == pytest.approx(shape.distance(list(points.T), np), rel=1e-4, abs=1e-5)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_it_is_zero_and_finite_at_corners(shape: Shape) -> None:
    ends = np.concatenate([side.at(np.array([[0.0], [1.0]]))[0] for side in shape.sides])
    for real in (np.float64, np.float32):
        found = shape.distance(list(ends.astype(real).T), np)
        assert np.abs(found).max() < 1e-7


def test_solids_that_touch_in_a_plane_are_told() -> None:
    touching = Rectangle((0, 0, 0), (1, 1, 1)) | Rectangle((1, 0, 0), (2, 1, 1))
    with pytest.raises(InputError, match="have a face in common"):
        touching.distance([np.array([1.0]), np.array([0.5]), np.array([0.5])], np)
