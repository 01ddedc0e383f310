"""Certificates over shapes: they hold in them, and leave out nothing that is in them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import hedge
from hedge.certifying import Certificate
from hedge.certifying.certificate import digest_of
from hedge.certifying.checking.shapes import places_of
from hedge.certifying.cover import Cover
from hedge.errors import InputError
from hedge.geometry import Disc, Shape
from hedge.graph import load_model, run_float32
from hedge.problems import Domain, Problem, parse_domain
from tests.certifying.problems import untrained
from tests.conftest import random_mlp
from tests.geometry.shapes import SHAPES, SOLIDS, shapes

PLATE = "rectangle(0 0, 1 1) - disc(0.5 0.5, 0.2, hole)"
WHERE = parse_domain(PLATE)


@dataclass(frozen=True)
class Made:
    """A dense and a small model, what is proved of them over the plate, and the file of that."""

    dense: Path
    small: Path
    path: Path
    certificate: Certificate


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    folder = tmp_path_factory.mktemp("certified")
    dense, small, path = folder / "dense.onnx", folder / "small.onnx", folder / "c.json"
    dense.write_bytes(random_mlp([2, 8, 1], 1).SerializeToString())
    small.write_bytes(random_mlp([2, 6, 1], 2).SerializeToString())
    found = hedge.certify(small, dense, domain=PLATE, boxes=2000, out=path)
    return Made(dense, small, path, found)


def test_what_is_proved_holds_in_the_shape_and_is_close(made: Made) -> None:
    (claim,) = made.certificate.difference.claims
    assert made.certificate.difference.shape == PLATE
    points = WHERE.sample(100_000, seed=0).astype(np.float32).astype(np.float64)
    small, dense = (run_float32(load_model(each), points) for each in (made.small, made.dense))
    e = small - dense
    assert claim.largest_seen <= claim.largest
    assert np.abs(e).max() <= claim.largest <= 1.1 * np.abs(e).max()
    relative = np.linalg.norm(e) / np.linalg.norm(dense)
    assert claim.relative_l2 is not None
    assert claim.relative_l2_seen <= 1.01 * relative
    assert 0.99 * relative <= claim.relative_l2 <= 1.15 * relative


def test_boxes_in_the_hole_are_promised_nothing(made: Made) -> None:
    boxes = made.certificate.difference.boxes
    cover = Cover(np.array(boxes.levels), np.array(boxes.places))
    largest = np.array(boxes.largest)[:, 0]
    centres, halves, _ = cover.within(WHERE)
    corners = np.abs(centres - 0.5) + halves
    farthest = np.hypot(*corners.T)
    assert (largest == 0.0).any()
    assert (farthest[largest == 0.0] < 0.2).all()


def test_the_checker_agrees(made: Made) -> None:
    assert hedge.check_certificate(made.path, made.small, made.dense) == made.certificate


def altered(made: Made, tmp_path: Path, **changes: Any) -> Path:
    """The file with other figures or another shape of its difference, sealed again."""
    document = json.loads(made.path.read_text())
    for key, value in changes.items():
        part = document["difference"]
        *outer, last = key.split("__")
        for name in outer:
            part = part[name]
        part[last] = value
    document["digest"] = digest_of(document)
    path = tmp_path / "altered.json"
    path.write_text(json.dumps(document))
    return path


def test_no_box_that_reaches_into_the_shape_is_left_out(made: Made, tmp_path: Path) -> None:
    boxes = made.certificate.difference.boxes
    cover = Cover(np.array(boxes.levels), np.array(boxes.places))
    outside, inside = cover.in_shape(WHERE)
    partly = np.flatnonzero(~outside & ~inside)
    box = int(partly[np.argmax(cover.levels[partly].sum(axis=1))])  # mostly in the hole, maybe
    largest = np.array(boxes.largest)
    largest[box] = 0.0
    path = altered(made, tmp_path, boxes__largest=largest.tolist())
    with pytest.raises(InputError, match=f"box {box} .*largest .* is stated as 0"):
        hedge.check_certificate(path, made.small, made.dense)


def test_squares_of_boxes_that_are_partly_outside_do_not_count(made: Made, tmp_path: Path) -> None:
    """Of u² over the shape: a relative error that takes them all would be too small."""
    boxes = made.certificate.difference.boxes
    dense_square = np.array(boxes.dense_square)
    partly = (dense_square == 0.0)[:, 0] & (np.array(boxes.largest)[:, 0] > 0.0)
    dense_square[partly] = 1e6
    (claim,) = json.loads(made.path.read_text())["difference"]["claims"]
    path = altered(
        made, tmp_path, boxes__dense_square=dense_square.tolist(),
        claims=[claim | {"relative_l2": claim["relative_l2"] / 2, "relative_l2_seen": 0.0}],
    )  # fmt: skip
    with pytest.raises(InputError, match=r"relative_l2 is .*, its boxes give"):
        hedge.check_certificate(path, made.small, made.dense)


@pytest.mark.parametrize(
    ("shape", "told"),
    [
        ("rectangle(0 0, 1 1) - disc(0.5 0.5, 0.1, hole)", "is stated as 0"),
        (None, "is stated as 0"),
        ("disc(0.5 0.5, 0.5", "can't read"),
        ("disc(0.5 0.5, 0.4)", "are not the box around"),
        ("disc(0.5  0.5, 0.5)", "shape: is not as hedge writes it"),
    ],
)
def test_a_certificate_of_another_shape_is_refused(
    made: Made, tmp_path: Path, shape: str | None, told: str
) -> None:
    with pytest.raises(InputError, match=told) as caught:
        hedge.check_certificate(altered(made, tmp_path, shape=shape), made.small, made.dense)
    assert "\n" not in str(caught.value)


def check_places(shape: Shape, seed: int) -> None:
    """On random boxes: search's by the checker, and the checker's by points."""
    domain = Domain.over(shape)
    rng = np.random.default_rng(seed)
    levels = rng.integers(0, 7, (200, shape.dimension))
    places = rng.integers(0, 2**levels)
    outside, inside = Cover(levels, places).in_shape(domain)
    found = places_of(shape, np.array(domain.intervals), levels, places)
    assert (found.outside >= outside).all()
    assert (found.inside >= inside).all()
    width = domain.upper - domain.lower
    unit = rng.uniform(0, 1, (40, 1, shape.dimension))
    points = domain.lower + width * (places + unit) / 2.0**levels
    held = np.array([shape.contains(each) for each in points])
    assert not held[:, found.outside].any()
    assert held[:, found.inside].all()


@settings(max_examples=40)
@given(shapes(), st.integers(0, 99))
def test_the_checker_leaves_out_what_the_search_does_and_no_point_of_a_shape(
    shape: Shape, seed: int
) -> None:
    check_places(shape, seed)


@pytest.mark.parametrize("shape", [*SHAPES, *SOLIDS], ids=str)
def test_it_does_so_in_space_and_of_shapes_with_names(shape: Shape) -> None:
    check_places(shape, 0)


MEMBRANE = Domain.over(Disc((0.0, 0.0), 1.0, "rim"))
ROUND = Problem(
    name="membrane",
    title="a round membrane",
    inputs="xy",
    domain=MEMBRANE,
    derivatives=("u_xx", "u_yy"),
    residual=lambda x, d, math: d["u_xx"] + d["u_yy"] + 1.0,
    distance=lambda x, math: MEMBRANE.shape.distance(x, math),
)


@pytest.fixture(scope="module")
def membrane(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("membrane") / "membrane.onnx"
    path.write_bytes(untrained(ROUND, widths=(6,)).SerializeToString())
    return path


def test_residuals_are_bounded_over_a_shape(membrane: Path, tmp_path: Path) -> None:
    found = hedge.certify(membrane, problem=ROUND, boxes=1500, out=tmp_path / "c.json")
    (solution,) = found.solutions
    assert solution.shape == "disc(0 0, 1, rim)"
    assert (solution.distances, solution.faces, solution.mismatch) == ([], [], [])
    claim = solution.residual
    rms = ROUND.residual_rms(lambda x: run_float32(load_model(membrane), x), seed=0)
    assert claim.rms_seen <= claim.rms <= 1.5 * claim.rms_seen
    assert claim.rms_seen <= 1.1 * rms  # float32's quotients are rough
    assert claim.largest_seen <= claim.largest <= 1.3 * claim.largest_seen
    hedge.check_certificate(tmp_path / "c.json", membrane, problem=ROUND)
    part = hedge.certify(membrane, problem=ROUND, boxes=200, domain="0:0.5,0:0.5")
    assert part.solutions[0].shape is None
    with pytest.raises(InputError, match="reaches beyond that of problem 'membrane'"):
        hedge.certify(membrane, problem=ROUND, boxes=200, domain="0:1,0:1")


def test_points_where_a_proof_is_worst_lie_in_the_shape(membrane: Path, tmp_path: Path) -> None:
    from hedge.training.worst import worst_boxes

    hedge.certify(membrane, problem=ROUND, boxes=300, out=tmp_path / "c.json")
    points = worst_boxes(tmp_path / "c.json", ROUND).points(500, seed=0)
    assert points.shape == (500, 2)
    assert MEMBRANE.contains(points).all()


def test_a_checker_takes_no_other_domain_of_a_problem(membrane: Path, tmp_path: Path) -> None:
    path = tmp_path / "c.json"
    hedge.certify(membrane, problem=ROUND, boxes=200, domain="0:0.5,0:0.5", out=path)
    document = json.loads(path.read_text())
    document["solutions"][0]["domain"] = [[0.0, 1.0], [0.0, 1.0]]
    document["digest"] = digest_of(document)
    path.write_text(json.dumps(document))
    with pytest.raises(InputError, match="is not surely within disc"):
        hedge.check_certificate(path, membrane, problem=ROUND)


def test_what_roots_make_unbounded_at_corners_is_told(tmp_path: Path) -> None:
    shape = parse_domain("polygon(0 0, 2 0, 2 1, 1 1, 1 2, 0 2)").shape
    assert shape is not None
    problem = Problem(
        name="corner", title="an L", inputs="xy", domain=Domain.over(shape),
        derivatives=("u_xx", "u_yy"),
        residual=lambda x, d, math: d["u_xx"] + d["u_yy"] + 1.0,
        distance=lambda x, math: shape.distance(x, math),
    )  # fmt: skip
    (tmp_path / "l.onnx").write_bytes(untrained(problem, widths=(4,)).SerializeToString())
    with pytest.raises(InputError, match="nothing is proved of its residual around x = "):
        hedge.certify(tmp_path / "l.onnx", problem=problem, boxes=60)
