"""In which order tasks are handed to workers, and which of them together."""

from __future__ import annotations

import pytest

from hedge.sweeping.plan import Task, task
from hedge.sweeping.waiting import Waiting


def chains(count: int) -> list[Task]:
    """So many tasks, and after each another one that goes on from it."""
    found: list[Task] = []
    for seed in range(count):
        first = task("train", {"seed": seed}, {}, None)
        found += [first, task("compress", {}, {}, first)]
    return found


@pytest.fixture
def tasks() -> list[Task]:
    return chains(4)


def waiting_of(tasks: list[Task], there: set[str]) -> Waiting:
    return Waiting(tasks, lambda one: one.key in there)


def test_as_long_as_nobody_knows_how_long_each_comes_alone(tasks: list[Task]) -> None:
    waiting = waiting_of(tasks, set())
    assert [waiting.take(9) for _ in range(4)] == [[one] for one in tasks[::2]]
    assert not waiting.can_begin
    assert len(waiting) == 4
    waiting.done(tasks[2])
    assert waiting.take(9) == [tasks[3]]


def test_short_ones_come_together_with_those_that_go_on_from_them(tasks: list[Task]) -> None:
    there: set[str] = set()
    waiting = waiting_of(tasks, there)
    for one in tasks[:2]:
        assert waiting.take(9) == [one]
        there.add(one.key)
        waiting.done(one, 0.3)
    assert waiting.take(9) == tasks[2:5]  # 0.9 s
    assert waiting.take(9) == [tasks[6], tasks[7]]
    assert not waiting.can_begin  # the one left goes on from one that is at work
    waiting.done(tasks[4], 0.3)
    assert waiting.take(9) == [tasks[5]]
    assert len(waiting) == 0


def test_long_ones_stay_alone_and_few_are_shared_out(tasks: list[Task]) -> None:
    waiting = waiting_of(tasks, set())
    waiting.done(waiting.take(9)[0], 5.0)
    waiting.done(waiting.take(9)[0], 0.01)
    assert waiting.take(9) == [tasks[2]]
    again = waiting_of(tasks, set())
    for one in again.take(9):
        again.done(one, 0.01)
    for one in again.take(9):
        again.done(one, 0.01)
    assert len(again.take(2)) == 2


def test_what_comes_back_is_tried_alone_and_before_what_goes_on_from_it(
    tasks: list[Task],
) -> None:
    waiting = waiting_of(tasks, set())
    for one in tasks[:2]:
        assert waiting.take(9) == [one]
        waiting.done(one, 0.01)
    together = waiting.take(9)
    assert together == tasks[2:]
    waiting.back(together, are_suspects=True)
    assert waiting.take(9) == [tasks[2]]
    assert waiting.take(9) == [tasks[4]]
    waiting.done(tasks[2], 0.01)
    assert waiting.take(9) == [tasks[3]]


def test_what_was_left_undone_comes_again_with_others(tasks: list[Task]) -> None:
    there: set[str] = set()
    waiting = waiting_of(tasks, there)
    for one in tasks[:2]:
        assert waiting.take(9) == [one]
        waiting.done(one, 0.01)
    assert waiting.take(9) == tasks[2:]
    there.add(tasks[2].key)
    waiting.done(tasks[2], 0.01)
    waiting.back(tasks[3:])
    assert waiting.take(9) == tasks[3:]
