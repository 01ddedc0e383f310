"""Work that is counted in steps, and ended early by seconds."""

from __future__ import annotations

import pytest

from hedge.compression import Allowance
from hedge.recovery import Work
from hedge.recovery.work import LEAST_STEPS, SpentError


def taken(work: Work) -> int:
    """How many steps it allows."""
    steps = 0
    while not work.is_over():
        work.step()
        steps += 1
    return steps


def test_all_steps_are_taken_once() -> None:
    work = Work(Allowance(17))
    work.check()
    assert taken(work) == 17
    with pytest.raises(SpentError):
        work.check()


def test_steps_of_parts_count_in_the_whole() -> None:
    work = Work(Allowance(30))
    part = work.part(20)
    assert taken(part.part(5)) == 5
    assert (part.left, work.left) == (15, 25)
    assert taken(work.part(100)) == 25


def test_parts_beside_each_other_take_no_more_than_the_whole_together() -> None:
    work = Work(Allowance(30))
    one, other = work.part(20), work.part(20)
    assert (taken(one), taken(other), work.left) == (20, 10, 0)


@pytest.mark.parametrize(("left", "half"), [(10_000, 5_000), (700, LEAST_STEPS), (300, 300)])
def test_a_fit_gets_half_of_what_is_left_and_enough_to_be_of_use(left: int, half: int) -> None:
    assert Work(Allowance(left)).for_fit(parameters=100).left == half


def test_a_step_of_a_large_network_counts_by_its_size() -> None:
    work = Work(Allowance(1000))
    assert taken(work.for_fit(parameters=4_500).part(100)) == 9  # of 12 each
    assert work.left == 1000 - 9 * 12
    assert taken(work.for_fit(parameters=399).part(100)) == 100


def test_steps_may_count_more() -> None:
    work = Work(Allowance(1000)).for_fit(parameters=450)
    assert taken(work.dearer(5)) == 500 // 10
    assert work.left == 0


def test_seconds_end_it_early(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr("time.perf_counter", lambda: now)
    work = Work(Allowance(10, budget_s=5.0))
    part = work.for_fit(parameters=1)
    now = 104.0
    assert part.seconds_left == 1.0
    assert not part.is_over()
    now = 105.0
    assert part.is_over()
    assert work.is_over()
    assert work.left == 10
