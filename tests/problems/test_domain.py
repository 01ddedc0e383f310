"""Domains: boxes, and shapes times intervals."""

from __future__ import annotations

import numpy as np
import pytest

from hedge.errors import InputError
from hedge.geometry import Ball, Disc, Polygon, Rectangle
from hedge.problems import Domain, parse_domain

PLATE = Rectangle((0, 0), (2, 1)) - Disc((0.5, 0.5), 0.2, "hole")
HEATED = Domain.over(PLATE, (0.0, 3.0))


def test_points_of_a_shape_times_an_interval() -> None:
    assert HEATED.intervals == ((0.0, 2.0), (0.0, 1.0), (0.0, 3.0))
    assert HEATED.volume == pytest.approx(3.0 * (2.0 - np.pi * 0.04))
    for points in (HEATED.sample(5000, seed=1), HEATED.spread(5000, seed=1)):
        assert points.shape == (5000, 3)
        assert HEATED.contains(points).all()
        left = (points[:, 0] < 1.0).mean()
        assert left == pytest.approx((1.0 - np.pi * 0.04) / (2.0 - np.pi * 0.04), abs=0.02)
        assert points[:, 2].mean() == pytest.approx(1.5, abs=0.05)
    assert (HEATED.sample(7, seed=2) == HEATED.sample(7, seed=2)).all()


def test_spread_points_are_those_of_the_sequence_that_lie_inside() -> None:
    every = HEATED.box.spread(4096, seed=4)
    assert (HEATED.spread(3000, seed=4) == every[HEATED.contains(every)][:3000]).all()


def test_points_of_pieces_run_over_the_other_intervals() -> None:
    points, normals = HEATED.sample_piece("hole", 512, seed=0)
    assert np.hypot(*(points[:, :2] - 0.5).T) == pytest.approx(0.2)
    assert points[:, :2] + 0.2 * normals[:, :2] == pytest.approx(np.full((512, 2), 0.5))
    assert (normals[:, 2] == 0.0).all()
    assert np.quantile(points[:, 2], [0.0, 0.5, 1.0]) == pytest.approx([0.0, 1.5, 3.0], abs=0.03)
    with pytest.raises(InputError, match="'slot' is no piece of its boundary"):
        HEATED.sample_piece("slot", 1, seed=0)
    with pytest.raises(InputError, match="is a box without named pieces, so without 'hole'"):
        HEATED.box.sample_piece("hole", 1, seed=0)


def test_boxes_outside_and_inside() -> None:
    lower = np.array([[0.45, 0.45, 0.0], [1.0, 0.0, 0.0], [0.2, 0.2, 1.0]])
    upper = np.array([[0.55, 0.55, 3.0], [2.0, 1.0, 3.0], [0.5, 0.5, 1.5]])
    assert HEATED.excludes(lower, upper).tolist() == [True, False, False]
    assert HEATED.fills(lower, upper).tolist() == [False, True, False]
    assert HEATED.box.fills(lower, upper).all()
    assert not HEATED.box.excludes(lower, upper).any()


@pytest.mark.parametrize(
    "domain",
    [
        HEATED,
        Domain.over(PLATE),
        Domain.over(Ball((0, 0, 0), 1), *[(0.0, 1.0)] * 7),
        Domain.over(Polygon(((0, 0), (1, 0.1), (0.3, 1)), edges=("a", "b", "c")), (-1.0, 1.0)),
        Domain(((-1.0, 1.0), (0.0, 1.0))),
    ],
    ids=str,
)
def test_text_is_read_back(domain: Domain) -> None:
    assert parse_domain(str(domain)) == domain


def test_spaces_and_one_interval() -> None:
    assert parse_domain("rectangle(0 0, 1 1) - disc(0.5 0.5, 0.2), 0:1").dimension == 3
    assert parse_domain("disc(0 0, 1)", 2).intervals == ((-1.0, 1.0), (-1.0, 1.0))


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("disc(0 0, 1),", "'' is not lower:upper"),
        ("disc(0 0, 1),0:1,disc(0 0, 1)", "can't read ','|can't read"),
        ("0:1,disc(0 0, 1)", "can't read '0:1"),
        ("disc(0 0, 1),1:0", "interval 1:0 is empty"),
        ("disc(0 0, 1", "can't read 'disc"),
        ("(", "nothing stands where a shape should be"),
        ("disc(0 0, 1) - disc(0 0, 2),0:1", "is empty"),
        ("polygon(0 0, 1 1, 1 1.00001),0:1", "fills next to nothing of the box around it"),
    ],
)
def test_what_is_no_domain_is_refused_in_a_line(text: str, told: str) -> None:
    with pytest.raises(InputError, match=told) as caught:
        parse_domain(text)
    assert "\n" not in str(caught.value)


def test_boxes_around_a_shape_may_differ_by_the_sines_of_another_machine() -> None:
    shape = Disc((0, 0), 1) & Polygon(((-0.3, 0.1), (2, 0.4), (2, -0.7)))
    own = Domain.over(shape, (0.0, 1.0))
    moved = tuple((float(np.nextafter(a, -2)), float(np.nextafter(b, 2))) for a, b in own.intervals)
    other = Domain((*moved[:2], (0.0, 1.0)), shape)
    assert other.is_within(own)
    assert not Domain(moved, shape).is_within(own)  # later than the end
    assert not own.box.is_within(own)
    assert Domain(((0.1, 0.2), (0.0, 0.1), (0.0, 1.0))).is_within(own)


def test_intervals_that_are_not_around_the_shape() -> None:
    with pytest.raises(InputError, match="are not the box around disc"):
        Domain(((0.0, 1.0), (0.0, 1.0)), Disc((0, 0), 1))
    with pytest.raises(InputError, match="3 is no shape"):
        Domain(((0.0, 1.0),), 3)  # type: ignore[arg-type]


def test_points_away_from_the_boundary() -> None:
    away = np.array([0.03, 0.03, 0.01])
    points = HEATED.sample_away(500, seed=1, away=away)
    assert points.shape == (500, 3)
    for corner in np.array(np.meshgrid([-1, 1], [-1, 1], [-1, 1])).reshape(3, -1).T:
        assert HEATED.contains(points + 0.999 * corner * away * [2.0, 1.0, 3.0]).all()
    thin = Domain.over(Polygon(((0, 0), (1, 0.96), (1, 1), (0.96, 1))))
    with pytest.raises(InputError, match="too thin for difference quotients"):
        thin.sample_away(500, seed=1, away=np.array([0.05, 0.05]))
