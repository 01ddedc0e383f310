"""How hedge times models: bound buffers, warm-up until steady, windows interleaved in random order."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray
from onnx import ModelProto

from hedge.arrays import Array
from hedge.errors import InputError, ModelError
from hedge.graph import ORT_ERRORS, as_grid, cannot_run, feeds, grid_of, input_dimension
from hedge.request import LARGEST_BATCH

Clock = Callable[[], float]
Call = Callable[[], None]
Start = Callable[[ModelProto, int, int], Call]
"""Model, batch, threads -> one call of it."""

# MLPerf's single-stream scenario asks for 64 queries for a p90; 662 make a p99 meaningful.
LEAST_RUNS, ENOUGH_RUNS, MOST_RUNS = 64, 662, 10_000
MOST_THREADS = 1024

# A window: queries back to back for about 2 ms. The first find the caches as another model left them and
# are kept apart. Refilling 32 MB takes about 3 ms, so calls of over 50 ms need none of that.
WINDOW_S, LEAST_PER_WINDOW, MOST_PER_WINDOW = 2e-3, 4, 16
COLD_PER_WINDOW = 2
LONG_RUN_S = 0.05
# Warm-up ends when the medians of two successive parts agree this well, after ten parts at the latest.
STEADY = 0.02
RUNS_PER_PART, MOST_PARTS = 3, 10


@dataclass(frozen=True)
class Effort:
    """Seconds of warm-up per model, and of timed runs per model once there are enough of them.

    A model that is not steady after ``warm_up_s`` gets up to five times as long. least_runs is how many
    a slow model gets, however long they take.
    """

    warm_up_s: float = 0.3
    timed_s: float = 1.0
    least_runs: int = LEAST_RUNS

    @classmethod
    def of(cls, timed_s: float) -> Effort:
        """For so many timed seconds; where they are few, the warm-up is twice as long at most."""
        return cls(min(cls.warm_up_s, 2.0 * timed_s), timed_s)


DEFAULT_EFFORT = Effort()
BRIEF = Effort(warm_up_s=0.05, timed_s=0.4, least_runs=9)
# Beyond the caches time is proportional to rows, and so many fit into any memory.
MOST_TIMED_ROWS = 16384
# Of a product grid, whose results are the square of that.
MOST_TIMED_ON_A_GRID = 1024


@dataclass(frozen=True)
class Timing:
    """One model's times in seconds: row r holds its window of round r.

    ``windows`` (rounds, queries) are the queries that count. ``first`` (rounds,) are the first queries
    of the windows, which find the caches as another model left them; the counted ones where calls are
    too long for that to matter. ``steady`` says whether warm-up came to rest.
    """

    windows: Array
    first: Array
    steady: bool

    @property
    def times(self) -> Array:
        """All times that count, in order, (rounds · queries,)."""
        return self.windows.ravel()


@dataclass(frozen=True)
class Repeated:
    """A run that makes so many calls, since one is too short to be timed alone."""

    run: Callable[[], None]
    calls: int

    def __call__(self) -> None:
        """All of them."""
        self.run()


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


def bound_run(model: ModelProto, batch: int, threads: int) -> Call:
    """One inference of ``model`` on ``batch`` rows through IOBinding, as a function to be timed.

    Of a product grid that is what is deployed: so many rows of one input at so many of the other.
    Inputs and outputs are bound to memory once, so a run copies nothing. Spinning is off: a spinning
    pool makes small models look faster in a loop than they are in use, and burns a core.

    Raises ModelError if onnxruntime can't run the model.
    """
    model = as_grid(model)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 4
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        session = onnxruntime.InferenceSession(
            model.SerializeToString(), options, providers=["CPUExecutionProvider"]
        )
        given = random_feeds(model, batch)
        names = [port.name for port in session.get_outputs()]
        taken = dict(zip(names, session.run(None, given), strict=True))
        sources, targets = _as_buffers(given), _as_buffers(taken)
        binding = session.io_binding()
        for name, source in sources.items():
            binding.bind_ortvalue_input(name, source)
        for name, target in targets.items():
            binding.bind_ortvalue_output(name, target)
        session.run_with_iobinding(binding)
    except ORT_ERRORS as error:
        raise cannot_run(model, error, f" at batch {batch}") from error
    except MemoryError as error:
        raise ModelError(f"batch {batch} does not fit into memory; try a smaller one") from error

    # Older onnxruntimes bind addresses alone: the function keeps the buffers behind them alive.
    def run(buffers: tuple[object, object] = (sources, targets)) -> None:
        session.run_with_iobinding(binding)

    return run


def random_feeds(model: ModelProto, batch: int) -> dict[str, NDArray[Any]]:
    """Uniform inputs in [0, 1) by name, float32, ``batch`` rows."""
    rows = np.random.default_rng(0).uniform(0.0, 1.0, (batch, input_dimension(model)))
    return feeds(model, rows.astype(np.float32))


def _as_buffers(arrays: Mapping[str, NDArray[Any]]) -> dict[str, onnxruntime.OrtValue]:
    """Arrays by name as memory that onnxruntime reads and writes in place."""
    return {name: onnxruntime.OrtValue.ortvalue_from_numpy(a) for name, a in arrays.items()}


def interleaved_times(
    runs: Sequence[Call], effort: Effort, seed: int = 0, clock: Clock = time.perf_counter
) -> list[Array]:
    """Times in seconds of every run of every model, one array (runs,) per model; see interleaved."""
    return [timing.times for timing in interleaved(runs, effort, seed, clock)]


def median_seconds(
    models: Sequence[ModelProto],
    batch: int,
    effort: Effort,
    seed: int = 0,
    start: Start | None = None,
) -> list[float]:
    """Median seconds per call of each model with ``batch`` rows, interleaved, on one thread.

    Raises ModelError if what ``start`` starts, onnxruntime if nothing is said, can't run one of them.
    """
    runs = [(start or bound_run)(model, batch, 1) for model in models]
    return [float(np.median(times)) for times in interleaved_times(runs, effort, seed)]


def time_ratio(
    dense: ModelProto,
    candidate: ModelProto,
    batch: int,
    effort: Effort = BRIEF,
    start: Start | None = None,
) -> float:
    """The candidate's median time over the dense model's, on one thread of this machine.

    Takes about a second, more where one call takes over 20 ms. Batches above 16,384 rows are timed at
    that, those of product grids above 1,024.

    Raises ModelError if what ``start`` starts, onnxruntime if nothing is said, can't run one of them.
    """
    rows = min(batch, MOST_TIMED_ROWS if grid_of(dense) is None else MOST_TIMED_ON_A_GRID)
    before, after = median_seconds([dense, candidate], rows, effort, start=start)
    return after / before


def interleaved(
    runs: Sequence[Call], effort: Effort, seed: int = 0, clock: Clock = time.perf_counter
) -> list[Timing]:
    """Time the models window by window, one :class:`Timing` per model.

    Each round gives every model one window, in a new random order, so that drift of clock and
    temperature meets all of them alike. Inside a window a model has the caches for itself, as it has
    where it is deployed alone.
    """
    warm = [_warm_up(run, effort.warm_up_s, clock) for run in runs]
    shapes = [_window(parts[-1]) for parts in warm]
    seconds = sum(
        parts[-1] * sum(shape) for parts, shape in zip(warm, shapes, strict=True)
    )  # of one round
    rounds = _rounds(seconds, [queries for _, queries in shapes], len(runs), effort)

    times = [np.empty((rounds, sum(shape))) for shape in shapes]
    rng = np.random.default_rng(seed)
    for row in range(rounds):
        for model in rng.permutation(len(runs)):
            _time_window(runs[model], times[model][row], clock)
    return [
        Timing(windows=raw[:, cold:], first=raw[:, 0], steady=_agree(parts))
        for raw, (cold, _), parts in zip(times, shapes, warm, strict=True)
    ]


def _time_window(run: Call, into: Array, clock: Clock) -> None:
    calls = run.calls if isinstance(run, Repeated) else 1
    for column in range(len(into)):
        started = clock()
        run()
        into[column] = (clock() - started) / calls


def _window(run_s: float) -> tuple[int, int]:
    """How many queries of a window are set apart, and how many count."""
    if run_s > LONG_RUN_S:
        return 0, 1
    queries = int(WINDOW_S / max(run_s, 1e-9))
    return COLD_PER_WINDOW, min(max(queries, LEAST_PER_WINDOW), MOST_PER_WINDOW)


def _rounds(round_s: float, queries: Sequence[int], models: int, effort: Effort) -> int:
    """Rounds that fill the time asked for and give every model runs enough, within reason."""
    budget_s = models * effort.timed_s
    least = effort.least_runs if effort.timed_s < 0.5 else max(ENOUGH_RUNS, effort.least_runs)
    wanted = max(int(budget_s / max(round_s, 1e-9)), -(-least // min(queries)))
    # A slow device is not kept for minutes to reach the count for p99.
    in_reason = max(
        -(-effort.least_runs // min(queries)), int(10.0 * budget_s / max(round_s, 1e-9))
    )
    return max(1, min(wanted, in_reason, MOST_RUNS // min(queries)))


def _warm_up(run: Call, seconds: float, clock: Clock) -> list[float]:
    """Run until two parts of half ``seconds`` each agree; the medians of all parts, in seconds."""
    medians: list[float] = []
    while len(medians) < MOST_PARTS and not _agree(medians):
        times: list[float] = []
        begun = clock()
        while len(times) < RUNS_PER_PART or clock() - begun < 0.5 * seconds:
            started = clock()
            run()
            times.append(clock() - started)
        medians.append(float(np.median(times)))
    return medians


def _agree(medians: Sequence[float]) -> bool:
    """Whether the last two medians are as good as equal."""
    return any(abs(b - a) <= STEADY * a for a, b in list(pairwise(medians))[-1:])
