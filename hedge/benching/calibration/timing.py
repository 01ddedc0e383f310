"""Times that noise moves little: medians of short windows, interleaved over what is compared."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto

from hedge.benching.protocol import Clock, Run, bound_run

Array = NDArray[np.float64]
Timer = Callable[[Sequence[ModelProto], int], Array]
"""models, batch -> seconds of one call of each, (models,)."""

# A window counts if the process had the core for so much of it.
OWN_SHARE = 0.97
# Windows that did not count are repeated, until there were so many times as many as asked for.
PATIENCE = 5


@dataclass(frozen=True)
class WindowedTimer:
    """Runs models in turn for ``window_s`` each, ``windows`` times over, at least one run a window.

    Of every model the median of its windows' medians counts: a single interruption moves no window's.
    Windows in which another process took the core (the process's own time falls behind the clock)
    are run again; where all are like that, the shortest counts.
    """

    threads: int
    windows: int
    window_s: float
    clock: Clock = time.perf_counter
    own_clock: Clock = time.process_time

    def __call__(self, models: Sequence[ModelProto], batch: int) -> Array:
        """Seconds of one call of each model."""
        runs = [bound_run(model, batch, self.threads) for model in models]
        for run in runs:
            self._window(run)  # warm-up
        kept: list[list[float]] = [[] for _ in runs]
        every: list[list[float]] = [[] for _ in runs]
        for _ in range(PATIENCE * self.windows):
            for run, good, seen in zip(runs, kept, every, strict=True):
                if len(good) < self.windows:
                    seconds, undisturbed = self._window(run)
                    seen.append(seconds)
                    good += [seconds] if undisturbed else []
        return np.array(
            [np.median(good) if good else min(seen) for good, seen in zip(kept, every, strict=True)]
        )

    def _window(self, run: Run) -> tuple[float, bool]:
        """The median time of a run, and whether the core was the process's own."""
        times: list[float] = []
        own_started, started = self.own_clock(), self.clock()
        while self.clock() - started < self.window_s or not times:
            before = self.clock()
            run()
            times.append(self.clock() - before)
        spent, own = self.clock() - started, self.own_clock() - own_started
        return float(np.median(times)), own >= OWN_SHARE * spent
