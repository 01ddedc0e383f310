"""The protocol with a fake clock: warm-up, windows, order, how many runs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import numpy as np
import pytest

from hedge.benching.protocol import (
    COLD_PER_WINDOW,
    ENOUGH_RUNS,
    LEAST_RUNS,
    MOST_PARTS,
    MOST_RUNS,
    RUNS_PER_PART,
    Effort,
    Repeated,
    interleaved,
    interleaved_times,
)


class FakeMachine:
    """A clock that only runs when a model does."""

    def __init__(self) -> None:
        self.now = 0.0
        self.order: list[str] = []

    def clock(self) -> float:
        return self.now

    def model(self, name: str, seconds: Callable[[], float]) -> Callable[[], None]:
        def run() -> None:
            self.order.append(name)
            self.now += seconds()

        return run


def constant(value: float) -> Callable[[], float]:
    return lambda: value


def test_a_slow_model_gets_the_least_number_of_runs() -> None:
    machine = FakeMachine()
    effort = Effort(warm_up_s=0.1, timed_s=0.4, least_runs=9)
    runs = [machine.model("slow", constant(2.0))]
    assert len(interleaved_times(runs, effort, clock=machine.clock)[0]) == 9


def test_a_slow_model_is_not_run_for_minutes() -> None:
    machine = FakeMachine()
    runs = [machine.model("slow", constant(2.0))]
    times = interleaved_times(runs, Effort(0.3, 1.0), clock=machine.clock)
    assert len(times[0]) == LEAST_RUNS


@pytest.mark.parametrize("seconds", [1e-6, 1e-5, 1e-4, 1e-3])
def test_enough_runs_for_a_p99_where_they_are_cheap(seconds: float) -> None:
    machine = FakeMachine()
    runs = [machine.model("fast", constant(seconds))]
    times = interleaved_times(runs, Effort(0.1, 1.0), clock=machine.clock)
    assert ENOUGH_RUNS <= len(times[0]) <= MOST_RUNS


def test_times_are_those_of_the_clock_and_rounds_give_every_model_a_window() -> None:
    machine = FakeMachine()
    runs = [machine.model("a", constant(1e-3)), machine.model("b", constant(2e-3))]
    timings = interleaved(runs, Effort(0.01, 0.4), seed=0, clock=machine.clock)
    for timing, seconds in zip(timings, (1e-3, 2e-3), strict=True):
        np.testing.assert_allclose(timing.times, seconds, rtol=1e-9)
        assert timing.steady
    rounds, queries = timings[0].windows.shape
    assert timings[1].windows.shape == (rounds, queries)
    window = COLD_PER_WINDOW + queries
    timed = machine.order[-2 * rounds * window :]
    windows = [timed[i : i + window] for i in range(0, len(timed), window)]
    assert all(len(set(names)) == 1 for names in windows)  # back to back
    pairs = [(a[0], b[0]) for a, b in zip(windows[::2], windows[1::2], strict=True)]
    assert all(set(pair) == {"a", "b"} for pair in pairs)
    assert min(Counter(pairs).values()) > rounds / 4  # in either order, at random


def test_queries_that_find_another_models_caches_are_kept_apart() -> None:
    machine = FakeMachine()

    def slower_after_the_other(name: str) -> Callable[[], float]:
        return lambda: 9e-4 if machine.order[-2:] in ([], [other[name], name]) else 1e-4

    other = {"a": "b", "b": "a"}
    runs = [machine.model(name, slower_after_the_other(name)) for name in other]
    for timing in interleaved(runs, Effort(0.01, 0.1), clock=machine.clock):
        np.testing.assert_allclose(timing.times, 1e-4, rtol=1e-6)
        assert np.mean(timing.first > 8e-4) > 0.4  # not where a round begins as the last one ended


def test_warm_up_goes_on_until_the_model_is_steady() -> None:
    machine = FakeMachine()
    runs = 0

    def slow_at_first() -> float:
        nonlocal runs
        runs += 1
        return 1e-3 if runs > 150 else 2e-3 - runs / 150 * 1e-3

    effort = Effort(warm_up_s=0.1, timed_s=0.01)
    (timing,) = interleaved([machine.model("m", slow_at_first)], effort, clock=machine.clock)
    assert timing.steady
    np.testing.assert_allclose(timing.times, 1e-3, rtol=1e-9)


@pytest.mark.parametrize(("timed_s", "warm_up_s"), [(1.0, 0.3), (0.2, 0.3), (0.01, 0.02)])
def test_where_little_is_timed_the_warm_up_is_short_too(timed_s: float, warm_up_s: float) -> None:
    effort = Effort.of(timed_s)
    assert (effort.timed_s, effort.warm_up_s) == (timed_s, warm_up_s)
    assert effort.least_runs == LEAST_RUNS


def test_warm_up_of_a_model_that_never_rests_is_bounded() -> None:
    machine = FakeMachine()
    runs = 0

    def ever_slower() -> float:
        nonlocal runs
        runs += 1
        return 0.06 * 1.1**runs

    effort = Effort(warm_up_s=0.01, timed_s=0.01, least_runs=3)
    (timing,) = interleaved([machine.model("m", ever_slower)], effort, clock=machine.clock)
    assert not timing.steady
    assert runs == MOST_PARTS * RUNS_PER_PART + len(timing.times)


def test_of_runs_that_make_many_calls_each_time_is_that_of_one() -> None:
    machine = FakeMachine()
    hundred = Repeated(machine.model("hundred", constant(1e-4)), 100)
    one = machine.model("one", constant(1e-5))
    found = interleaved_times([one, hundred], Effort(0.01, 0.05), clock=machine.clock)
    np.testing.assert_allclose(np.median(found[0]) / np.median(found[1]), 10.0)
