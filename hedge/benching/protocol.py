"""How hedge times models: bound buffers, warm-up, runs interleaved in random order, raw values kept."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray
from onnx import ModelProto

from hedge.errors import InputError, ModelError, first_line
from hedge.graph import ORT_ERRORS, feeds, input_dimension

Clock = Callable[[], float]
Run = Callable[[], None]

# MLPerf's single-stream scenario asks for 64 queries for a p90; 662 make a p99 meaningful.
LEAST_RUNS, ENOUGH_RUNS, MOST_RUNS = 64, 662, 5000
LEAST_WARM_UP_RUNS = 5
MOST_THREADS = 1024
LARGEST_BATCH = 10**7  # a layer of 128 then takes 5 GiB


@dataclass(frozen=True)
class Effort:
    """Seconds of warm-up per model, and of timed runs per model once there are enough of them.

    least_runs is how many a slow model gets, however long they take.
    """

    warm_up_s: float = 0.3
    timed_s: float = 1.0
    least_runs: int = LEAST_RUNS


DEFAULT_EFFORT = Effort()


def check_threads(threads: int) -> None:
    """Raise InputError for a thread count that no machine has."""
    if not 1 <= threads <= MOST_THREADS:
        raise InputError(f"threads: {threads} is not between 1 and {MOST_THREADS}")


def check_batches(batches: Sequence[int]) -> None:
    """Raise InputError for no batch, or one that is below 1 or fills the memory."""
    if not batches:
        raise InputError("batch: none given; name at least one, for example 1,1024")
    for batch in batches:
        if not 1 <= batch <= LARGEST_BATCH:
            raise InputError(f"batch: {batch} is not between 1 and {LARGEST_BATCH}")


def bound_run(model: ModelProto, batch: int, threads: int, seed: int = 0) -> Run:
    """One inference of ``model`` on ``batch`` rows through IOBinding, as a function to be timed.

    Inputs and outputs are bound to memory once, so a run copies nothing. Spinning is off: a spinning
    pool makes small models look faster in a loop than they are in use, and burns a core.

    Raises ModelError if onnxruntime can't run the model.
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 4
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        session = onnxruntime.InferenceSession(
            model.SerializeToString(), options, providers=["CPUExecutionProvider"]
        )
        rows = np.random.default_rng(seed).uniform(0.0, 1.0, (batch, input_dimension(model)))
        given = feeds(model, rows.astype(np.float32))
        taken = dict(zip(_output_names(session), session.run(None, given), strict=True))
        sources, targets = _as_buffers(given), _as_buffers(taken)
        binding = session.io_binding()
        for name, source in sources.items():
            binding.bind_ortvalue_input(name, source)
        for name, target in targets.items():
            binding.bind_ortvalue_output(name, target)
        session.run_with_iobinding(binding)
    except ORT_ERRORS as error:
        raise ModelError(
            f"onnxruntime can't run it at batch {batch} ({first_line(error)})"
        ) from error
    except MemoryError as error:
        raise ModelError(f"batch {batch} does not fit into memory; try a smaller one") from error

    # Older onnxruntimes bind addresses alone: the function keeps the buffers behind them alive.
    def run(buffers: tuple[object, object] = (sources, targets)) -> None:
        session.run_with_iobinding(binding)

    return run


def _output_names(session: onnxruntime.InferenceSession) -> list[str]:
    return [port.name for port in session.get_outputs()]


def _as_buffers(arrays: Mapping[str, NDArray[Any]]) -> dict[str, onnxruntime.OrtValue]:
    """Arrays by name as memory that onnxruntime reads and writes in place."""
    return {name: onnxruntime.OrtValue.ortvalue_from_numpy(a) for name, a in arrays.items()}


def interleaved_times(
    runs: Sequence[Run], effort: Effort, seed: int = 0, clock: Clock = time.perf_counter
) -> list[NDArray[np.float64]]:
    """Times in seconds of every run of every model, one array (rounds,) per model.

    Each round runs every model once, in a new random order, so that drift of clock and temperature
    meets all of them alike.
    """
    for run in runs:
        _warm_up(run, effort.warm_up_s, clock)
    once = sum(_median_time(run, clock) for run in runs)
    wanted = int(len(runs) * effort.timed_s / max(once, 1e-9))
    least = effort.least_runs if effort.timed_s < 0.5 else ENOUGH_RUNS
    # A slow device is not kept for minutes to reach the count for p99.
    ceiling = max(effort.least_runs, int(10.0 * len(runs) * effort.timed_s / max(once, 1e-9)))
    rounds = min(max(wanted, least), ceiling, MOST_RUNS)

    times = np.empty((len(runs), rounds))
    rng = np.random.default_rng(seed)
    for column in range(rounds):
        for row in rng.permutation(len(runs)):
            run = runs[row]
            started = clock()
            run()
            times[row, column] = clock() - started
    return list(times)


def _warm_up(run: Run, seconds: float, clock: Clock) -> None:
    started, count = clock(), 0
    while count < LEAST_WARM_UP_RUNS or clock() - started < seconds:
        run()
        count += 1


def _median_time(run: Run, clock: Clock) -> float:
    times = []
    for _ in range(5):
        started = clock()
        run()
        times.append(clock() - started)
    return float(np.median(times))
