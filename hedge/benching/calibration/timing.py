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

# Of so many runs the median forgets the few in which another process took the core.
MANY_RUNS = 5


@dataclass(frozen=True)
class WindowedTimer:
    """Runs models in turn for ``window_s`` each, ``windows`` times over, at least one run a window.

    Of every model the shortest of its windows' medians counts: other processes only slow it. Where a
    window holds few runs, they are so long that on a busy machine each is interrupted: there the
    process's own time counts, if that is less than the clock's.
    """

    threads: int
    windows: int
    window_s: float
    clock: Clock = time.perf_counter
    own_clock: Clock = time.process_time

    def __call__(self, models: Sequence[ModelProto], batch: int) -> Array:
        """Seconds of one call of each model."""
        runs = [bound_run(model, batch, self.threads) for model in models]
        windows = [[self._window(run) for run in runs] for _ in range(1 + self.windows)]
        return np.asarray(np.min(windows[1:], axis=0))  # the first is warm-up

    def _window(self, run: Run) -> float:
        times: list[float] = []
        own_started, started = self.own_clock(), self.clock()
        while self.clock() - started < self.window_s or not times:
            before = self.clock()
            run()
            times.append(self.clock() - before)
        spent, own = self.clock() - started, self.own_clock() - own_started
        if len(times) < MANY_RUNS:
            return min(spent, own) / len(times)
        return float(np.median(times))
