"""A profile of this machine: networks beside predictions, and tables put together until they agree."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import onnxruntime
import scipy

from hedge.arrays import Array
from hedge.benching.calibration.filling import Spending
from hedge.benching.calibration.graphs import (
    TimedNetwork,
    held_out_networks,
    random_networks,
    small_networks,
)
from hedge.benching.calibration.tables import BATCHED, FULL_GRID, GEMM, QUICK_GRID, Grid, Measuring
from hedge.benching.calibration.timing import Timer, WindowedTimer, clocked
from hedge.benching.machine import processor_name
from hedge.benching.protocol import check_threads
from hedge.devices import (
    AUTO,
    BYTES_PER_FLOAT,
    Device,
    OnnxRuntime,
    Table,
    find_profile,
    marginal_seconds,
    predicted_seconds,
    seconds_by_table,
)
from hedge.devices.figures import ByteRate, FlopRate, Seconds
from hedge.devices.profile import Calibration, Limits, Paper, why_unstable
from hedge.graph import graph_work, reads_here
from hedge.hmatrix import Block
from hedge.paper import paper_terms, tightest_constants
from hedge.progress import Progress, silent
from hedge.version import __version__

POWER_OF = "laptop-x86"
# How far above the best rate seen the roofline's limits are set, since no run shows the true peak.
PEAK_MARGIN, CACHE_MARGIN = 1.25, 2.0
# The calls of Theorem 11's fit are not all that come: a little above the slowest.
PAPER_MARGIN = 1.1


def _profile_of(measuring: Measuring, small: _Timed, seen: str) -> Device:
    """A profile of what was measured so far, but for its check."""
    nodes = f"{seen}: nodes beside others"
    gemm = measuring.table(GEMM, nodes)
    passes = {name: measuring.table(name, nodes) for name in measuring.passes}
    device = _with_call(_with_tables(find_profile(POWER_OF), gemm, passes, seen), small, seen)
    batched = measuring.batched(_runtime(device).node.value, nodes)
    runtime = _runtime(device).model_copy(update={"batched": batched})
    return device.model_copy(
        update={"name": AUTO, "runtime": runtime, "limits": _limits(gemm, passes, seen)}
    )


def _runtime(device: Device) -> OnnxRuntime:
    assert isinstance(device.runtime, OnnxRuntime)
    return device.runtime


def _with_tables(device: Device, gemm: Table, passes: dict[str, Table], seen: str) -> Device:
    """Its runtime as tables, and the rates that describe what has no table."""
    numbers = passes["Neg"].axes[0][-2]  # many, but within the caches
    moving, tanh = (max(passes[op].value[-2], 1e-9) for op in ("Neg", "Tanh"))
    runtime = OnnxRuntime(
        call=Seconds(value=0.0, unit="s", source=seen),
        node=Seconds(value=gemm.value[0], unit="s", source=seen),
        compute=flops_per_second(float(_flop_rates(gemm).max()), f"{seen}: fastest Gemm"),
        bandwidth=bytes_per_second(
            2.0 * BYTES_PER_FLOAT * numbers / moving, f"{seen}: an elementwise node in the caches"
        ),
        activation=seconds_figure(tanh / numbers, f"{seen}: tanh"),
        gemm=gemm,
        passes=passes,
    )
    return device.model_copy(update={"runtime": runtime})


def _with_call(device: Device, timed: _Timed, seen: str) -> Device:
    """Its call, and what a Gemm waits for the one before it: nodes of probes wait for none.

    Least squares on relative errors, neither below 0.
    """
    seconds, works = timed.seconds, timed.works
    rest = seconds - np.array([float(marginal_seconds(device, work)) for work in works])
    features = np.array([[1.0, len(work.products)] for work in works])
    (call, wait) = scipy.optimize.nnls(
        features / seconds[:, None], np.maximum(rest / seconds, 0.0)
    )[0].tolist()
    gemm = _runtime(device).gemm
    assert gemm is not None
    gemm = gemm.model_copy(update={"value": tuple(float(value + wait) for value in gemm.value)})
    source = f"{seen}: least squares on {len(works)} small networks"
    figures = {
        "call": seconds_figure(call, source),
        "node": seconds_figure(gemm.value[0], source),
        "gemm": gemm,
    }
    return device.model_copy(update={"runtime": device.runtime.model_copy(update=figures)})


def paper_of(
    paper: Paper,
    timed: Sequence[tuple[Sequence[Block], int]],
    seconds: Array,
    fastest: float,
    seen: str,
) -> Paper:
    """The tightest constants with which Theorem 11 holds for networks of these blocks and rows, so timed."""
    squares, moved = np.array([paper_terms(blocks, batch) for blocks, batch in timed]).T
    C, B = tightest_constants(squares, moved, PAPER_MARGIN * seconds, fastest)
    how = (
        f"{seen}: the tightest with which Theorem 11 holds for {len(timed)} networks, "
        f"with {PAPER_MARGIN - 1:.0%} to spare"
    )
    compute, bandwidth = flops_per_second(C, how), bytes_per_second(B, how)
    return paper.model_copy(update={"compute": compute, "bandwidth": bandwidth})


def _limits(gemm: Table, passes: dict[str, Table], seen: str) -> Limits:
    rows, outputs, inputs = np.meshgrid(*gemm.axes, indexing="ij")
    moved = BYTES_PER_FLOAT * (rows * (inputs + outputs) + outputs * inputs + outputs)
    copied = 2.0 * BYTES_PER_FLOAT * np.array(passes["Neg"].axes[0]) / _seconds_of(passes["Neg"])
    rate = max(float((moved / _seconds_of(gemm)).max()), float(copied.max()))
    return Limits(
        compute=flops_per_second(
            PEAK_MARGIN * float(_flop_rates(gemm).max()),
            f"{seen}: fastest Gemm, times {PEAK_MARGIN:g}",
        ),
        bandwidth=bytes_per_second(
            CACHE_MARGIN * rate, f"{seen}: fastest in cache, times {CACHE_MARGIN:g}"
        ),
    )


def seconds_figure(value: float, source: str) -> Seconds:
    """A measured figure."""
    return Seconds(value=value, unit="s", source=source, kind="measured")


def flops_per_second(value: float, source: str) -> FlopRate:
    """A measured rate."""
    return FlopRate(value=value, unit="flop/s", source=source, kind="measured")


def bytes_per_second(value: float, source: str) -> ByteRate:
    """A measured rate."""
    return ByteRate(value=value, unit="byte/s", source=source, kind="measured")


def _flop_rates(gemm: Table) -> Array:
    rows, outputs, inputs = np.meshgrid(*gemm.axes, indexing="ij")
    return np.asarray(2.0 * rows * outputs * inputs / _seconds_of(gemm))


def _seconds_of(table: Table) -> Array:
    """Its times by size, none below a nanosecond, which no node takes."""
    return np.asarray(np.maximum(np.reshape(table.value, [len(a) for a in table.axes]), 1e-9))


# Tables with at least this part of the most blame are measured again.
AS_MUCH = 0.5


class _Timed:
    """Networks, their work, and of each the shortest time in so many sweeps over all."""

    def __init__(self, networks: Sequence[TimedNetwork], timer: Timer, sweeps: int) -> None:
        self.networks = networks
        self.works = [graph_work(one.model, one.batch) for one in networks]
        self.seconds: Array = np.full(len(networks), np.inf)
        self._timer, self._sweeps = timer, sweeps
        self.again()

    def again(self) -> None:
        for _ in range(self._sweeps):
            times = [self._timer([one.model], one.batch)[0] for one in self.networks]
            self.seconds = np.minimum(self.seconds, times)

    def deviations(self, device: Device) -> Array:
        """The longer of predicted and measured time over the shorter, less 1, of each."""
        ratios = self._ratios(device)
        return np.maximum(ratios, 1.0 / ratios) - 1.0

    def too_far_off(self, device: Device) -> bool:
        """Whether its predictions are further off than a profile's may be."""
        off = self.deviations(device)
        return why_unstable(float(np.median(off)), float(off.max()), len(off)) is not None

    def blame(self, device: Device) -> dict[str, float]:
        """By table its part in the predictions, times how far these are off, over all networks."""
        found: dict[str, float] = defaultdict(float)
        for work, ratio in zip(self.works, self._ratios(device), strict=True):
            parts = seconds_by_table(_runtime(device), work)
            whole = sum(parts.values())
            for name, seconds in parts.items():
                found[name] += abs(np.log(ratio)) * seconds / max(whole, 1e-30)
        return found

    def _ratios(self, device: Device) -> Array:
        predicted = [float(predicted_seconds(device, work)) for work in self.works]
        return np.maximum(predicted, 1e-12) / self.seconds


def _to_blame(device: Device, held_out: _Timed) -> list[str]:
    """The tables that contribute most to predictions that are off."""
    blame = held_out.blame(device)
    most = max(blame.values())
    return [name for name, much in blame.items() if much >= AS_MUCH * most]


# How often tables to blame are measured again.
AGAIN = 3


@dataclass(frozen=True)
class Scope:
    """The sizes and networks that are measured, and how long each.

    After ``limit_s`` seconds of runs nothing is measured that can be foretold, and nothing again.
    """

    grid: Grid
    networks: int
    held_out: int
    most_flops: float
    sweeps: int
    windows: int
    window_s: float
    limit_s: float


FULL = Scope(
    FULL_GRID,
    networks=40,
    held_out=24,
    most_flops=2e9,
    sweeps=3,
    windows=2,
    window_s=0.002,
    limit_s=1200.0,
)
QUICK = Scope(
    QUICK_GRID,
    networks=16,
    held_out=12,
    most_flops=2e8,
    sweeps=2,
    windows=2,
    window_s=0.001,
    limit_s=300.0,
)


def calibrate(
    threads: int = 1,
    on_progress: Progress = silent,
    *,
    scope: Scope = FULL,
    timer: Timer | None = None,
) -> Device:
    """A profile of this machine: tables of measured nodes, and a call fitted to small networks.

    FULL takes up to three minutes, QUICK half a minute on coarser grids; slow boards take longer. C and
    B of the paper are the tightest with which Theorem 11 holds for all networks measured here. Power
    is not measured: it is taken from the laptop-x86 profile and marked so.

    Predictions are checked on networks that nothing was fitted to. Where they are further off than a
    profile may be, the tables to blame are measured again; where that does not help, the profile is
    marked unstable.

    Raises InputError for a thread count out of range.
    """
    check_threads(threads)
    timer = timer or WindowedTimer(clocked(threads, scope.window_s), scope.windows)
    spending = Spending(scope.limit_s)
    measuring = Measuring(scope.grid, timer, scope.sweeps, spending)
    seen = f"measured here, onnxruntime {onnxruntime.__version__}, {threads} thread(s)"
    on_progress("measuring Gemms")
    measuring.fill(GEMM)
    on_progress("measuring activations and other passes")
    measuring.fill(*measuring.passes)
    on_progress("measuring networks")
    small = _Timed(small_networks(), timer, scope.sweeps)
    on_progress("measuring batched products")
    measuring.fill(BATCHED)
    on_progress("checking predictions")
    fitted = _Timed(random_networks(scope.networks, 0, scope.most_flops), timer, scope.sweeps)
    held_out = _Timed(held_out_networks(scope.held_out, 1, scope.most_flops), timer, scope.sweeps)
    measuring.mend()
    device = _profile_of(measuring, small, seen)
    for _ in range(AGAIN):
        if spending.over or not held_out.too_far_off(device):
            break
        blamed = _to_blame(device, held_out)
        on_progress(f"measuring again: {', '.join(blamed)}")
        measuring.fill(*blamed)
        small.again()
        held_out.again()
        device = _profile_of(measuring, small, seen)
    return device.model_copy(
        update={
            "description": f"this machine ({processor_name()}), {threads} thread(s)",
            "paper": _paper(device, (small, fitted), seen),
            "calibration": _calibration(
                device, threads, (small, fitted), held_out, measuring.doubt
            ),
        }
    )


def _paper(device: Device, fitted: Sequence[_Timed], seen: str) -> Paper:
    timed = [(network.blocks, network.batch) for each in fitted for network in each.networks]
    seconds = np.concatenate([each.seconds for each in fitted])
    return paper_of(device.paper, timed, seconds, _runtime(device).compute.value, seen)


def _calibration(
    device: Device, threads: int, fitted: Sequence[_Timed], held_out: _Timed, doubted: str | None
) -> Calibration:
    fit_off = np.concatenate([networks.deviations(device) for networks in fitted])
    off = held_out.deviations(device)
    return Calibration(
        processor=processor_name(),
        onnxruntime=onnxruntime.__version__,
        hedge=__version__,
        threads=threads,
        graphs=len(fit_off),
        fit_median=float(np.median(fit_off)),
        held_out=len(off),
        held_out_median=float(np.median(off)),
        held_out_p90=float(np.quantile(off, 0.9)),
        held_out_worst=float(off.max()),
        ir_version=reads_here().ir_version,
        opset=reads_here().opset,
        unstable=why_unstable(float(np.median(off)), float(off.max()), len(off)) or doubted,
    )
