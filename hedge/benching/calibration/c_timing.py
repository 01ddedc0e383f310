"""Windows of exported C on this machine."""

from __future__ import annotations

import time
from collections.abc import Callable

from hedge.benching.backends import CompiledModel, compiled
from hedge.benching.calibration.c_networks import CNetwork
from hedge.benching.calibration.timing import Window, window_of
from hedge.benching.protocol import Call, Clock
from hedge.exporting.compiling import Compiler

# Rows for which networks are compiled: a row alone, or all of them in tiles.
ROWS = 1024
# So long is one run: a clock's resolution, and what ctypes takes, are a thousandth.
RUN_S = 3e-4
MOST_CALLS = 1 << 20


def clocked_c(
    compiler: Compiler, window_s: float, clock: Clock = time.perf_counter
) -> Callable[[CNetwork, int], Callable[[], Window]]:
    """Windows ``window_s`` long of a network's C, for one row or ROWS; each is compiled once."""
    known: dict[int, tuple[CNetwork, CompiledModel]] = {}  # which keeps the network, and so its id

    def start(network: CNetwork, batch: int) -> Callable[[], Window]:
        if id(network) not in known:
            made = compiled(network.skeleton, network.matrices, ROWS, compiler)
            known[id(network)] = network, made
        model = known[id(network)][1]
        calls = _calls(model, clock) if batch == 1 else 1
        run = model.row(calls) if batch == 1 else model.batch()
        return lambda: window_of(run, window_s, clock).each_of(calls)

    return start


def _calls(model: CompiledModel, clock: Clock) -> int:
    """How many calls of one row take about RUN_S."""
    calls = 1
    while calls < MOST_CALLS and _seconds(model.row(calls), clock) < RUN_S:
        calls *= 2
    return calls


def _seconds(run: Call, clock: Clock) -> float:
    run()
    started = clock()
    run()
    return clock() - started
