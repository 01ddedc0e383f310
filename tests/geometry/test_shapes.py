"""Which points shapes hold, their boundaries, and the boxes that surely lie outside or inside."""

from __future__ import annotations

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st

from hedge.errors import InputError
from hedge.geometry import Ball, Disc, Polygon, Rectangle, Shape, parse_shape
from tests.geometry.shapes import PLATE, SHAPES, SOLIDS, by_shapely, shapes

ALL = (*SHAPES, *SOLIDS)
FEW = settings(max_examples=30)


@FEW
@given(shapes(), st.integers(0, 99))
def test_plane_shapes_are_those_of_shapely(shape: Shape, seed: int) -> None:
    other = by_shapely(shape)
    points = np.random.default_rng(seed).uniform(-4, 4, (300, 2))
    clear = shapely.distance(shapely.boundary(other), shapely.points(points)) > 1e-3
    assert (shape.contains(points) == shapely.contains_xy(other, *points.T))[clear].all()
    assert shape.volume == pytest.approx(other.area, abs=1e-3)
    # Where circles touch, those of 1,024 edges part or cross somewhat beside.
    assert shape.measure() == pytest.approx(other.length, abs=0.05)
    lower, upper = shape.bounds
    assert [*lower, *upper] == pytest.approx(other.bounds, abs=1e-3)


@FEW
@given(shapes(), st.integers(0, 99))
def test_points_of_a_boundary_are_on_it_and_normals_lead_out(shape: Shape, seed: int) -> None:
    points, normals = shape.sample_piece("boundary", 50, seed)
    # Not at corners, nor in the narrow gap where two parts touch: along a normal is another part.
    corners = np.concatenate([side.at(np.array([[0.0], [1.0]]))[0] for side in shape.sides])
    away = np.abs(points[:, None] - corners).max(axis=2).min(axis=1) > 1e-3
    away &= ~shape.contains(points + 1e-3 * normals)
    assert np.linalg.norm(normals, axis=1) == pytest.approx(1.0)
    assert shape.contains(points - 1e-6 * normals)[away].all()
    assert not shape.contains(points + 1e-6 * normals)[away].any()


@pytest.mark.parametrize("shape", ALL, ids=str)
def test_pieces_are_sampled_evenly_and_normals_lead_out(shape: Shape) -> None:
    for piece in shape.pieces:
        points, normals = shape.sample_piece(piece, 256, seed=3)
        assert points.shape == normals.shape == (256, shape.dimension)
        assert shape.contains(points - 1e-5 * normals).all()
        assert not shape.contains(points + 1e-5 * normals).any()
        again, _ = shape.sample_piece(piece, 256, seed=3)
        assert (points == again).all()
    whole = sum(shape.measure(piece) for piece in shape.pieces)
    assert shape.measure() == pytest.approx(whole, rel=1e-12)


@pytest.mark.parametrize("shape", SOLIDS, ids=str)
def test_volumes_and_fluxes_in_space_agree(shape: Shape) -> None:
    points, normals = shape.sample_piece("boundary", 4096, seed=0)
    flux = shape.measure() * (points * normals).sum(axis=1).mean()  # Gauss: k times the volume
    assert shape.volume == pytest.approx(flux / shape.dimension, rel=0.02)


def test_discs_that_touch_keep_their_circles() -> None:
    shape = (Disc((0, 0), 1) | Disc((2, 0), 1, "twin")) | Disc((0, 0), 1)
    assert shape.measure() == pytest.approx(4.0 * np.pi)
    assert shape.measure("twin") == pytest.approx(2.0 * np.pi)
    assert shape.volume == pytest.approx(2.0 * np.pi)
    points = np.array([[-0.5, 0.0], [2.5, 0.0]])
    assert shape.distance(list(points.T), np) == pytest.approx([0.375 / 1.1, 0.375 / 1.1], rel=0.1)


def test_pieces_keep_their_names_where_they_are_left() -> None:
    shape = Rectangle((0, 0), (3, 1)) - Rectangle((2, -1), (4, 2), "cut") | Disc((0, 0.5), 0.5)
    assert shape.pieces == ("bottom", "top", "cut", "disc")
    assert shape.measure("top") == pytest.approx(2.0)
    assert shape.measure("disc") == pytest.approx(np.pi / 2.0)
    points, normals = PLATE.sample_piece("hole", 100, seed=0)
    assert points + 0.2 * normals == pytest.approx(np.full((100, 2), 0.5))  # into the hole
    with pytest.raises(InputError, match="'slot' is no piece of its boundary; there are bottom"):
        PLATE.sample_piece("slot", 1, seed=0)


@FEW
@given(shapes(), st.integers(0, 99), st.sampled_from([0.01, 0.1, 0.5]))
def test_boxes_are_left_out_and_filled_only_where_they_are(
    shape: Shape, seed: int, size: float
) -> None:
    rng = np.random.default_rng(seed)
    lower = rng.uniform(-3, 3, (40, 2))
    upper = lower + size * rng.uniform(0.1, 1.0, (40, 2))
    unit = np.concatenate([rng.uniform(0, 1, (60, 2)), [[0, 0], [0, 1], [1, 0], [1, 1]]])
    inside = np.array(
        [shape.contains(a + unit * (b - a)) for a, b in zip(lower, upper, strict=True)]
    )
    assert not inside[shape.excludes(lower, upper)].any()
    assert inside[shape.fills(lower, upper)].all()
    other = by_shapely(shape)
    boxes = shapely.box(*lower.T, *upper.T)
    apart = shapely.distance(other, boxes) > 0.01
    if not isinstance(shape, type(PLATE)):  # of one part, what is clear is seen
        assert (shape.excludes(lower, upper) >= apart).all()


@pytest.mark.parametrize("shape", SOLIDS, ids=str)
def test_boxes_in_space_are_left_out_and_filled_only_where_they_are(shape: Shape) -> None:
    rng = np.random.default_rng(5)
    lower, upper = shape.bounds
    a = rng.uniform(lower, upper, (200, shape.dimension))
    b = a + rng.uniform(0.05, 0.3, (200, shape.dimension))
    inside = np.array(
        [
            shape.contains(rng.uniform(c, d, (60, shape.dimension)))
            for c, d in zip(a, b, strict=True)
        ]
    )
    assert not inside[shape.excludes(a, b)].any()
    assert inside[shape.fills(a, b)].all()
    assert shape.fills(a, b).any()


@FEW
@given(shapes())
def test_text_is_read_back(shape: Shape) -> None:
    assert parse_shape(str(shape)) == shape


@pytest.mark.parametrize(
    "text",
    [
        "disc(0.1 -0.002, 0.25, hole)",
        "rectangle(0 0 0, 1 2 3, block) - ball(0 0 0, 1)",
        "polygon(0 0 left, 1 0 right, 0 1 top)",
        "(disc(0 0, 1) | disc(1 0, 1)) & (rectangle(0 0, 1 1) - disc(0 0, 0.5))",
    ],
)
def test_what_is_written_is_what_was_read(text: str) -> None:
    assert str(parse_shape(text)) == text


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "nothing stands where a shape should be"),
        ("disc", "can't read 'disc'"),
        ("disc(0 0)", "can't read 'disc\\(0 0\\)'"),
        ("disc(0 x, 1)", "has '0 x' where numbers belong"),
        ("disc(0 0, -1)", "the radius of a disc is -1"),
        ("disc(0 0, nan)", "can't read"),
        ("disc(0 0 0, 1)", "the center of a disc"),
        ("disc(0 1e300, 1)", "coordinate 1e\\+300"),
        ("disc(0 0, 1) disc(0 0, 1)", "goes on after its end"),
        ("disc(0 0, 1) -", "nothing stands where"),
        ("(disc(0 0, 1)", "a parenthesis is not closed"),
        ("disc(0 0, 1) - ball(0 0 0, 1)", "is in 2 dimensions"),
        ("disc(0 0, 1) & disc(5 0, 1)", "is empty"),
        ("disc(0 0, 1) - disc(0 0, 2)", "is empty"),
        ("rectangle(0 0, 0 1)", "is empty"),
        ("polygon(0 0, 1 1, 1 0, 0 1)", "Self-intersection"),
        ("polygon(0 0, 1 1, 2 2)", "a polygon is none"),
        ("polygon(0 0, 1 0, 1 1, 0 0)", "the vertex 0 0 twice in a row"),
        ("polygon(0 0 a, 1 1, 2 0)", "a polygon has names at some vertices"),
        ("disc(0 0, 1, boundary)", "a piece is called boundary"),
        ("(" * 100_000, "41 parentheses deep"),
        ("(" * 200_000, "has 200,000 letters"),
        ("|".join(["disc(0 0, 1)"] * 5000), "more than 64 parts"),
        ("exec(import os)", "can't read"),
    ],
)
def test_what_is_no_shape_is_refused_in_a_line(text: str, told: str) -> None:
    with pytest.raises(InputError, match=told) as caught:
        parse_shape(text)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 600


@settings(max_examples=50)
@given(shapes(), st.integers(0, 10**6))
def test_text_that_was_altered_is_a_shape_or_is_refused_in_a_line(shape: Shape, seed: int) -> None:
    rng, text = np.random.default_rng(seed), list(str(shape))
    for _ in range(rng.integers(1, 6)):
        at = rng.integers(len(text))
        text[at : at + rng.integers(2)] = rng.choice(
            list("()|&-,. 0123456789einfx\n"), rng.integers(3)
        )
        text = text or ["x"]
    found = shape_or_refusal("".join(text))
    if isinstance(found, str):
        assert "\n" not in found
    else:
        assert parse_shape(str(found)) == found
        assert found.volume > 0.0


def shape_or_refusal(text: str) -> Shape | str:
    try:
        return parse_shape(text)
    except InputError as error:
        return str(error)


def test_made_of_what_is_none() -> None:
    with pytest.raises(InputError, match="3 is none"):
        Disc((0, 0), 1) | 3  # type: ignore[operator]
    with pytest.raises(InputError, match="3 to 1000"):
        Polygon(((0, 0), (1, 0)))
    with pytest.raises(InputError, match="2 names of edges"):
        Polygon(((0, 0), (1, 0), (0, 1)), edges=("a", "b"))
    with pytest.raises(InputError, match="no name"):
        Ball((0, 0, 0), 1, "a b")
