"""Times that noise moves little: short windows, spread in time, interleaved over what is compared."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np
from onnx import ModelProto

from hedge.arrays import Array
from hedge.benching.machine import loop_seconds
from hedge.benching.protocol import Call, Clock, bound_run

Timed = TypeVar("Timed")
"""What is run: a model, or one with the structures of its matrices."""
Timer = Callable[[Sequence[ModelProto], int], Array]
"""models, batch -> seconds of one call of each, (models,)."""

# Of so many runs the middle ones forget the few in which another process took the core.
MANY_RUNS = 5
LOOP_STEPS, LOOPS = 2000, 2
# A fixed loop that takes so many times as long as usual tells of another clock rate, or a neighbour.
DISTURBED = 1.25
# Usual is what the loop takes where the machine is not slowed down: in the fastest of so many windows on end
# the lower quartile, which the odd loop that runs faster than ever, as some do, does not move.
ON_END, QUARTILE = 50, 0.25
# Two windows that agree so well settle a model's time; while none do, there are so many more.
AGREE, MORE_WINDOWS = 0.05, 4
# Of the time of short runs others may take so much unnoticed by the process's own clock.
MOST_TAKEN = 0.1


@dataclass(frozen=True)
class Window:
    """Runs of one model, back to back.

    times are those of each run by the clock, own_s what the process itself ran for in all of them, and
    loop_s that of a fixed loop, the slower of one before and one after.
    """

    times: Array
    own_s: float
    loop_s: float

    @property
    def seconds(self) -> float:
        """Of one run: the mean of the middle half, which a clock's resolution does not move.

        Where there are few, they are so long that on a busy machine each is interrupted: there the
        process's own time counts, if that is less than the clock's.
        """
        if len(self.times) < MANY_RUNS:
            return min(float(self.times.sum()), self.own_s) / len(self.times)
        ordered, quarter = np.sort(self.times), len(self.times) // 4
        return float(ordered[quarter : len(ordered) - quarter].mean())

    def each_of(self, calls: int) -> Window:
        """The same, where each run made so many calls, of one call."""
        return Window(self.times / calls, self.own_s / calls, self.loop_s)


_Open = Callable[[Timed, int], Callable[[], Window]]
"""Start a model for calls with so many rows: a function that runs it for one window."""


class WindowedTimer(Generic[Timed]):
    """Runs models in turn for a window each, ``windows`` times over after one to warm up.

    Other processes only slow a run, so of every model the shortest window counts. More windows are
    made until the two shortest agree, and while a fixed loop between them takes longer than usual.
    """

    def __init__(self, open: _Open[Timed], windows: int) -> None:
        self._open, self._windows = open, windows
        self._loops: list[float] = []  # of the last windows
        self._fastest_s = float("inf")
        self._short_s = self._taken_s = 0.0
        self.loop_s = 0.0  # of the last call: what the loop took at least beside each of its models

    def __call__(self, models: Sequence[Timed], batch: int) -> Array:
        """Seconds of one call of each model."""
        started = [self._open(model, batch) for model in models]
        for window in started:
            self._watched(window())
        found: list[list[Window]] = [[] for _ in models]
        for turn in range(self._windows + MORE_WINDOWS):
            for windows, window in zip(found, started, strict=True):
                if turn < self._windows or not self._settled(windows):
                    windows.append(self._watched(window()))
        self.loop_s = max(min(one.loop_s for one in windows) for windows in found)
        return np.array([min(one.seconds for one in windows) for windows in found])

    @property
    def usual_s(self) -> float:
        """What the loop usually takes, as far as is known."""
        if self._loops and np.isinf(self._fastest_s):
            return float(np.quantile(self._loops, QUARTILE))
        return self._fastest_s

    @property
    def doubt(self) -> str | None:
        """Why its times are not to be trusted, whatever else they are compared with."""
        taken = self._taken_s / max(self._short_s, 1e-30)
        if taken <= MOST_TAKEN:
            return None
        return (
            f"others took {taken:.0%} of the time, unnoticed by the process's own clock, so that long "
            "runs can't be told"
        )

    def _watched(self, window: Window) -> Window:
        self._loops.append(window.loop_s)
        if len(self._loops) == ON_END:
            self._fastest_s = min(self._fastest_s, float(np.quantile(self._loops, QUARTILE)))
            self._loops.clear()
        if len(window.times) >= MANY_RUNS:
            spent = float(window.times.sum())
            self._short_s += spent
            self._taken_s += max(min(spent, window.own_s) - window.seconds * len(window.times), 0.0)
        return window

    def _settled(self, windows: Sequence[Window]) -> bool:
        shortest = sorted(one.seconds for one in windows)[:2]
        return shortest[-1] <= (1.0 + AGREE) * shortest[0] and not self._slowed(windows)

    def _slowed(self, windows: Sequence[Window]) -> bool:
        return min(one.loop_s for one in windows) > DISTURBED * self.usual_s


def clocked(
    threads: int,
    window_s: float,
    clock: Clock = time.perf_counter,
    own_clock: Clock = time.process_time,
) -> _Open[ModelProto]:
    """Windows of onnxruntime on this machine: ``window_s`` long each, at least one run."""

    def start(model: ModelProto, batch: int) -> Callable[[], Window]:
        run = bound_run(model, batch, threads)
        return lambda: window_of(run, window_s, clock, own_clock)

    return start


def window_of(
    run: Call,
    window_s: float,
    clock: Clock = time.perf_counter,
    own_clock: Clock = time.process_time,
) -> Window:
    """Runs back to back for so long, at least one."""
    loop_before = loop_seconds(clock, LOOP_STEPS, LOOPS)
    times: list[float] = []
    own_started, started = own_clock(), clock()
    while clock() - started < window_s or not times:
        before = clock()
        run()
        times.append(clock() - before)
    own_s = own_clock() - own_started
    loop_after = loop_seconds(clock, LOOP_STEPS, LOOPS)
    return Window(np.array(times), own_s, max(loop_before, loop_after))
