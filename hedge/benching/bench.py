"""bench: models measured side by side, with what the device's figures predict for each."""

from __future__ import annotations

import platform
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import psutil
from numpy.typing import NDArray
from onnx import ModelProto

from hedge.benching.contents import blocks_and_parameters
from hedge.benching.protocol import (
    DEFAULT_EFFORT,
    Effort,
    bound_run,
    check_batches,
    check_threads,
    interleaved_times,
)
from hedge.devices import (
    Block,
    Device,
    energy_joules,
    paper_bound_seconds,
    predicted_seconds,
    roofline_seconds,
)
from hedge.errors import InputError, naming
from hedge.graph import graph_work, load_model
from hedge.version import __version__

SCHEMA = 1
# pyperf's rule: a standard deviation above a tenth of the mean makes a run unreliable.
UNSTABLE = 0.1


@dataclass(frozen=True)
class Measurement:
    """One model at one batch. Times in seconds; ``times_s`` are the raw values, (runs,).

    speedup is the first model's median over this one's; spread the interquartile range over the
    median. bound_holds says whether the median is at most the paper's Theorem 11.
    """

    path: str
    batch: int
    parameters: int
    median_s: float
    p90_s: float
    p99_s: float
    spread: float
    speedup: float
    paper_bound_s: float
    bound_holds: bool
    roofline_s: float
    predicted_s: float
    energy_j: float
    times_s: NDArray[np.float64]


@dataclass(frozen=True)
class BenchResult:
    """All measurements of a run, and the machine they were made on."""

    device: str
    threads: int
    machine: dict[str, Any]
    models: tuple[Measurement, ...]

    def to_json(self) -> dict[str, Any]:
        """The result file: plain JSON values, raw times included."""
        return {
            "hedge_bench": SCHEMA,
            "device": self.device,
            "threads": self.threads,
            "machine": self.machine,
            "models": [{**vars(m), "times_s": m.times_s.tolist()} for m in self.models],
        }


@dataclass(frozen=True)
class _Loaded:
    path: Path
    model: ModelProto
    blocks: tuple[Block, ...]
    parameters: int


def bench(
    paths: Sequence[Path],
    device: Device,
    *,
    batches: Sequence[int] = (1, 1024),
    threads: int = 1,
    effort: Effort = DEFAULT_EFFORT,
    seed: int = 0,
    on_progress: Callable[[str], None] = lambda message: None,
) -> BenchResult:
    """Time ``.onnx`` models on this machine and set the device's predictions beside the times.

    The first model is the one that others are compared with. ``device`` is what predictions and
    bounds are computed for; times are always this machine's.

    Raises InputError for no model, or a batch or thread count below 1; ModelError for a bad file.
    """
    if not paths:
        raise InputError("bench: no model given; name at least one .onnx file")
    check_batches(batches)
    check_threads(threads)
    loaded = [_load(path) for path in paths]
    measurements = []
    for batch in batches:
        on_progress(f"timing {len(loaded)} model(s) at batch {batch}, interleaved")
        runs = [_bound(one, batch, threads) for one in loaded]
        times = interleaved_times(runs, effort, seed)
        baseline = float(np.median(times[0]))
        measurements += [
            _summarise(one, device, batch, t, baseline)
            for one, t in zip(loaded, times, strict=True)
        ]
    return BenchResult(device.name, threads, machine_facts(), tuple(measurements))


def _load(path: Path) -> _Loaded:
    model = load_model(path)
    with naming(path):
        return _Loaded(path, model, *blocks_and_parameters(model))


def _bound(one: _Loaded, batch: int, threads: int) -> Callable[[], None]:
    with naming(one.path):
        return bound_run(one.model, batch, threads)


def _summarise(
    one: _Loaded, device: Device, batch: int, times: NDArray[np.float64], baseline: float
) -> Measurement:
    work = graph_work(one.model, batch)
    q25, median, q75, p90, p99 = (float(q) for q in np.percentile(times, [25, 50, 75, 90, 99]))
    predicted = float(predicted_seconds(device, work))
    bound = paper_bound_seconds(device, one.blocks, batch)
    return Measurement(
        path=one.path.name,
        batch=batch,
        parameters=one.parameters,
        median_s=median,
        p90_s=p90,
        p99_s=p99,
        spread=(q75 - q25) / median,
        speedup=baseline / median,
        paper_bound_s=bound,
        bound_holds=median <= bound,
        roofline_s=float(roofline_seconds(device, work)),
        predicted_s=predicted,
        energy_j=float(energy_joules(device, work, predicted)),
        times_s=times,
    )


def machine_facts() -> dict[str, Any]:
    """What a reader needs to judge a measurement: processor, load, and versions."""
    return {
        "processor": processor_name(),
        "system": f"{platform.system()} {platform.machine()}",
        "cores": psutil.cpu_count(logical=True),
        "load_average": [round(load, 2) for load in psutil.getloadavg()],
        "python": platform.python_version(),
        "onnxruntime": onnxruntime.__version__,
        "hedge": __version__,
    }


def processor_name() -> str:
    """The processor as the system calls it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [
        line.partition(":")[2].strip() for line in lines if line.startswith(("model name", "Model"))
    ]
    return names[-1] if names else platform.machine()
