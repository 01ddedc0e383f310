"""bench: models measured side by side, with what the device's figures predict for each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from onnx import ModelProto

from hedge.benching.accuracy import blocks_and_parameters
from hedge.benching.backends import ONNXRUNTIME, Backend, C, backend_for
from hedge.benching.cold_start import ColdStart, cold_start
from hedge.benching.energy import Metering, energy_per_call, idle_watts
from hedge.benching.machine import (
    calibrated_here,
    loop_seconds,
    machine_facts,
    throttled_meanwhile,
    throttling,
)
from hedge.benching.protocol import (
    DEFAULT_EFFORT,
    Call,
    Effort,
    Timing,
    check_batches,
    check_threads,
    interleaved,
)
from hedge.benching.result import BenchResult, Failure, MeasuredEnergy, Measurement
from hedge.benching.statistics import (
    UNSTABLE,
    median_ratio,
    percentile,
    ratio_interval,
    spread,
    throughput,
    too_few_rounds,
    too_wide,
)
from hedge.devices import Device, energy_joules, predicted_seconds, roofline_seconds
from hedge.errors import HedgeError, InputError, naming
from hedge.exporting import open_model
from hedge.graph import as_grid, check_room, graph_work
from hedge.hmatrix import Block
from hedge.paper import paper_bound_seconds
from hedge.progress import Progress, silent


@dataclass(frozen=True)
class _Loaded:
    """``in_c`` is the model's C, as the .c file of its name, timed in turn with what a runtime runs."""

    path: Path
    model: ModelProto
    blocks: tuple[Block, ...]
    parameters: int
    in_c: bool = False


@dataclass(frozen=True)
class _Setting:
    """What all models of a run have in common; ``idle_w`` is the power of the idle machine."""

    device: Device
    backend: Backend
    threads: int
    effort: Effort
    metering: Metering | None
    idle_w: float
    seed: int


class _Failures:
    """What went wrong with single models, kept so that the others can go on."""

    def __init__(self) -> None:
        self.errors: list[HedgeError] = []
        self.lines: list[Failure] = []

    @contextmanager
    def of(self, path: Path, batch: int | None) -> Iterator[None]:
        """Keep a HedgeError raised inside instead of passing it on."""
        try:
            yield
        except HedgeError as error:
            text = str(error) if str(path) in str(error) else f"{path}: {error}"
            self.errors.append(error)
            self.lines.append(Failure(path=path.name, batch=batch, reason=text))


def bench(
    paths: Sequence[Path],
    device: Device,
    *,
    batches: Sequence[int] = (1, 1024),
    threads: int = 1,
    effort: Effort = DEFAULT_EFFORT,
    backend: Backend | None = None,
    compiled: Sequence[Path] = (),
    metering: Metering | None = None,
    seed: int = 0,
    on_progress: Progress = silent,
) -> BenchResult:
    """Time ``.onnx`` models on this machine and set the device's predictions beside the times.

    The first model that runs is the one that others are compared with. A model that can't be read or
    run is listed under ``failures``, and the others are measured all the same. ``device`` is what
    predictions and bounds are computed for; times are always this machine's. ``backend`` is
    that of the device's runtime unless given; with ``metering`` energy is measured, too. Of the files
    ``compiled`` the C is timed as well, in turn with the others.

    Raises InputError for no model, or a batch or thread count below 1; MeterError if the idle machine's
    energy can't be measured; the first model's HedgeError if none can be measured.
    """
    if not paths:
        raise InputError("bench: no model given; name at least one .onnx file")
    check_batches(batches)
    check_threads(threads)
    machine, loop_s = machine_facts(), loop_seconds()
    failures = _Failures()
    loaded = []
    for path in paths:
        with failures.of(path, None):
            loaded.append(_load(path))
    for path in compiled:
        with failures.of(path, None):
            loaded.append(replace(_load(path), path=path.with_suffix(".c"), in_c=True))
    if not loaded:
        raise failures.errors[0]
    idle_w = 0.0
    if metering is not None:
        on_progress(f"measuring the idle machine's power for {metering.window_s:g} s")
        idle_w = idle_watts(metering)
    setting = _Setting(
        device, backend or backend_for(device), threads, effort, metering, idle_w, seed
    )
    measurements = [
        measurement
        for batch in batches
        for measurement in _measure(loaded, batch, setting, failures, on_progress)
    ]
    if not measurements:
        raise failures.errors[0]
    return BenchResult(
        device=device.name,
        figures_of=device.runtime.name,
        calibrated_here=calibrated_here(device),
        backend=setting.backend.name,
        runtime=f"{setting.backend.name} {setting.backend.version}",
        threads=threads,
        loop_s=loop_s,
        machine=machine,
        models=tuple(measurements),
        failures=tuple(failures.lines),
    )


def _load(path: Path) -> _Loaded:
    model = open_model(path).onnx
    with naming(path):
        return _Loaded(path, model, *blocks_and_parameters(model))


def _measure(
    loaded: Sequence[_Loaded],
    batch: int,
    setting: _Setting,
    failures: _Failures,
    on_progress: Progress,
) -> list[Measurement]:
    """All models at one batch: times interleaved, then energy and a cold start of each."""
    started: list[tuple[_Loaded, Call]] = []
    for one in loaded:
        with failures.of(one.path, batch), naming(one.path):
            check_room(one.model, batch)
            backend = backend_for(setting.device, C) if one.in_c else setting.backend
            started.append((one, backend.start(one.model, batch, setting.threads)))
    if not started:
        return []
    on_progress(f"timing {len(started)} model(s) at batch {batch}, interleaved")
    timings, disturbance = _watched([run for _, run in started], setting.effort, setting.seed)
    measurements = []
    for (one, run), timing in zip(started, timings, strict=True):
        energy = None
        if setting.metering is not None:
            on_progress(f"measuring the energy of {one.path.name} at batch {batch}")
            with failures.of(one.path, batch):
                energy = energy_per_call(run, setting.metering, setting.idle_w)
        cold = None
        if setting.backend.name == ONNXRUNTIME and not one.in_c:
            with failures.of(one.path, batch), naming(one.path):
                deployed = as_grid(one.model).SerializeToString()
                cold = cold_start(deployed, batch, setting.threads)
        measurements.append(
            _summarise(one, batch, setting, timing, timings[0], disturbance, energy, cold)
        )
    return measurements


def _watched(
    runs: Sequence[Call], effort: Effort, seed: int
) -> tuple[list[Timing], tuple[str, ...]]:
    """Times of the runs, and what slowed the machine down while they were taken."""
    (flags, _), loop_s = throttling(), loop_seconds()
    timings = interleaved(runs, effort, seed)
    change = loop_seconds() / loop_s - 1.0
    reasons = throttled_meanwhile(flags, throttling()[0])
    if abs(change) > UNSTABLE:
        reasons += (f"a fixed loop took {change:+.0%} of time afterwards",)
    return timings, reasons


def _summarise(
    one: _Loaded,
    batch: int,
    setting: _Setting,
    timing: Timing,
    baseline: Timing,
    disturbance: Sequence[str],
    energy: MeasuredEnergy | None,
    cold: ColdStart | None,
) -> Measurement:
    work = graph_work(one.model, batch)
    if setting.device.runs_c:  # which of an .onnx has all weights as float32
        work = work.at(batch, "float32")
    times = timing.times
    median, scatter = float(np.median(times)), spread(times)
    restless = None if timing.steady else "warm-up did not come to rest"
    reasons = [*disturbance, *filter(None, (too_wide(scatter), restless))]
    predicted = float(predicted_seconds(setting.device, work))
    bound = paper_bound_seconds(setting.device, one.blocks, batch)
    return Measurement(
        path=one.path.name,
        batch=batch,
        parameters=one.parameters,
        median_s=median,
        p90_s=percentile(times, 90),
        p99_s=percentile(times, 99),
        rows_per_s=throughput(timing.windows, batch),
        spread=scatter,
        speedup=median_ratio(baseline.windows, timing.windows),
        speedup_interval=(
            None
            if too_few_rounds(timing.windows)
            else ratio_interval(baseline.windows, timing.windows, setting.seed, paired=True)
        ),
        unstable="; ".join(reasons) or None,
        first_s=float(np.median(timing.first)),
        start_s=cold.start_s if cold else None,
        first_run_s=cold.first_run_s if cold else None,
        memory_bytes=cold.memory_bytes if cold else None,
        paper_bound_s=bound,
        bound_holds=median <= bound,
        roofline_s=float(roofline_seconds(setting.device, work)),
        predicted_s=predicted,
        energy_j=float(energy_joules(setting.device, work, predicted)),
        measured_energy=energy,
        times_s=tuple(map(tuple, timing.windows.tolist())),
    )
