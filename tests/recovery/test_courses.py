"""What a cut network learns from: the points drawn, and that the loss falls."""

from __future__ import annotations

import numpy as np
import pytest

from hedge.compression import Allowance, measure
from hedge.graph import SplitModel, run_float32, split
from hedge.recovery.courses import Course, Pool, outputs_course, points_needed
from hedge.recovery.improvement import DENSE_INVERSE, cycles
from hedge.recovery.student import Lesson, Student, parameters_of
from hedge.recovery.work import Work
from tests.conftest import random_mlp

SQUARE = np.random.default_rng(1).uniform(0, 1, (points_needed(1), 2))


@pytest.fixture
def parts() -> SplitModel:
    return split(random_mlp([2, 8, 8, 1], seed=4))


def course_of(parts: SplitModel, pool: Pool) -> Course:
    return outputs_course(parts, parts.matrices, pool, measure(parts, SQUARE[:500], 0), seed=0)


def seen(monkeypatch: pytest.MonkeyPatch) -> list[Lesson]:
    """The lessons that students get."""
    lessons: list[Lesson] = []
    monkeypatch.setattr(Student, "loss_on", lambda self, lesson: lessons.append(lesson))
    return lessons


def test_half_of_the_points_follow_what_is_missed_and_half_cover_the_domain(
    parts: SplitModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    at = parameters_of(parts.matrices)
    corner = (SQUARE < 0.3).all(axis=1)
    outputs = Student(parts, parts.matrices).outputs(at, SQUARE) + corner[:, None]
    course, lessons = course_of(parts, Pool(SQUARE, outputs)), seen(monkeypatch)
    for cycle in (0, 1):
        course(at, cycle)
    first, second = (lesson.points for lesson in lessons)
    assert len(first) == len(second) == 4000
    assert not np.array_equal(first, second)
    in_corner = (first < 0.3).all(axis=1)
    assert 0.4 < in_corner.mean() < 0.6
    cells, _, _ = np.histogram2d(*first[~in_corner].T, bins=5, range=[[0, 1], [0, 1]])
    full = (~in_corner).sum() / 0.91 / 25
    elsewhere = cells[2:, 2:]
    assert elsewhere.min() > 0.6 * full
    assert elsewhere.max() < 1.6 * full


def test_pairs_stay_together(parts: SplitModel, monkeypatch: pytest.MonkeyPatch) -> None:
    half = np.full((3000, 2), 1e-3) * np.sign(np.random.default_rng(2).normal(size=(3000, 2)))
    middle = SQUARE[:3000]
    ends = np.concatenate([middle + half, middle - half])
    steps = np.linspace(1.0, 2.0, 3000)
    course = course_of(parts, Pool(ends, np.zeros((6000, 1)), steps))
    lessons = seen(monkeypatch)
    at = parameters_of(parts.matrices)
    course(at, 0)
    points, step = lessons[0].points, lessons[0].step
    assert step is not None
    first, second = np.split(points, 2)
    np.testing.assert_allclose(np.abs(first - second), 2e-3)
    rows = np.round((step - 1.0) * 2999).astype(int)
    np.testing.assert_allclose((first + second) / 2, middle[rows])


@pytest.mark.parametrize("width", [8, 70], ids=["dense inverse", "limited memory"])
def test_fitting_lowers_the_loss_on_points_of_its_own(width: int) -> None:
    """A network learns the outputs of another of its size."""
    teacher = random_mlp([2, width, width, 1], seed=4)
    parts = split(random_mlp([2, width, width, 1], seed=5))
    start = parameters_of(parts.matrices)
    assert (len(start) > DENSE_INVERSE) == (width == 70)
    course = course_of(parts, Pool(SQUARE, run_float32(teacher, SQUARE)))
    unseen = np.random.default_rng(9).uniform(0, 1, (2000, 2))
    student = Student(parts, parts.matrices)

    def error(parameters: np.ndarray) -> float:
        missed = student.outputs(parameters, unseen) - run_float32(teacher, unseen)
        return float(np.linalg.norm(missed))

    steps = cycles(course, start, Work(Allowance(200)))
    fitted = next(steps)
    assert error(fitted) < 0.05 * error(start)
    if width == 8:
        assert error(next(steps)) < 0.5 * error(fitted)


@pytest.mark.parametrize("width", [8, 70], ids=["dense inverse", "limited memory"])
def test_a_cycle_ends_with_the_last_step_allowed(width: int) -> None:
    parts = split(random_mlp([2, width, width, 1], seed=4))
    teacher = run_float32(random_mlp([2, width, width, 1], seed=5), SQUARE)
    start = parameters_of(parts.matrices)
    course = course_of(parts, Pool(SQUARE, teacher))
    found = [list(cycles(course, start, Work(Allowance(steps)))) for steps in (1, 5)]
    assert [len(fitted) for fitted in found] == [1, 1]
    loss = course(start, 0)
    assert loss(found[1][0])[0] < loss(found[0][0])[0] < loss(start)[0]
