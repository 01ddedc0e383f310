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

LEAST_RUNS = 3


@dataclass(frozen=True)
class WindowedTimer:
    """Runs models in turn for ``window_s`` each, ``windows`` times over.

    Of every model the median of its windows' medians counts: another process that takes the core for
    a while moves one window, a single interruption not even that.
    """

    threads: int
    windows: int
    window_s: float
    clock: Clock = time.perf_counter

    def __call__(self, models: Sequence[ModelProto], batch: int) -> Array:
        """Seconds of one call of each model."""
        runs = [bound_run(model, batch, self.threads) for model in models]
        medians = [[self._median(run) for run in runs] for _ in range(1 + self.windows)]
        return np.median(medians[1:], axis=0)  # the first is warm-up

    def _median(self, run: Run) -> float:
        times: list[float] = []
        while len(times) < LEAST_RUNS or sum(times) < self.window_s:
            started = self.clock()
            run()
            times.append(self.clock() - started)
        return float(np.median(times))
