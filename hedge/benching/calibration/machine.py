"""A profile of this machine from what onnxruntime takes here."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import onnxruntime
from numpy.typing import NDArray
from scipy.optimize import nnls

from hedge.benching.calibration.graphs import Network, random_networks, small_networks
from hedge.benching.calibration.memory import copy_rate
from hedge.benching.calibration.tables import (
    FULL_GRID,
    QUICK_GRID,
    Grid,
    gemm_table,
    pass_tables,
    product_table,
)
from hedge.benching.calibration.timing import Timer, WindowedTimer
from hedge.benching.machine import processor_name
from hedge.benching.protocol import check_threads
from hedge.devices import (
    Device,
    Table,
    find_profile,
    marginal_seconds,
    paper_terms,
    predicted_seconds,
    tightest_constants,
)
from hedge.devices.figures import ByteRate, FlopRate, Seconds
from hedge.devices.profile import Calibration, Limits, Paper, Runtime
from hedge.graph import graph_work
from hedge.version import __version__

Array = NDArray[np.float64]
Progress = Callable[[str], None]

AUTO = "auto"
POWER_OF = "laptop-x86"
# How far above the best rate seen the roofline's limits are set, since no run shows the true peak.
PEAK_MARGIN, CACHE_MARGIN = 1.25, 2.0
# The calls of Theorem 11's fit are not all that come: a little above the slowest.
PAPER_MARGIN = 1.1


@dataclass(frozen=True)
class Scope:
    """The sizes and networks that are measured, and how long each."""

    grid: Grid
    networks: int
    held_out: int
    most_flops: float
    windows: int
    window_s: float


FULL = Scope(FULL_GRID, networks=40, held_out=20, most_flops=2e9, windows=4, window_s=0.002)
QUICK = Scope(QUICK_GRID, networks=16, held_out=8, most_flops=2e8, windows=3, window_s=0.001)


def calibrate(
    threads: int = 1,
    on_progress: Progress = lambda message: None,
    *,
    scope: Scope = FULL,
    timer: Timer | None = None,
) -> Device:
    """A profile of this machine: tables of measured nodes, and a call fitted to small networks.

    FULL takes up to three minutes, QUICK half a minute on coarser grids. C and B of the paper
    are the tightest with which Theorem 11 holds for all networks measured here. Power is not
    measured: it is taken from the laptop-x86 profile and marked so.

    Raises InputError for a thread count out of range.
    """
    check_threads(threads)
    timer = timer or WindowedTimer(threads, scope.windows, scope.window_s)
    seen = f"measured here, onnxruntime {onnxruntime.__version__}, {threads} thread(s)"
    on_progress("measuring Gemms")
    gemm = gemm_table(scope.grid, timer, f"{seen}: Gemm nodes beside others")
    on_progress("measuring activations and other passes")
    passes = pass_tables(scope.grid, timer, f"{seen}: nodes beside others")
    on_progress("measuring networks")
    device = _with_tables(find_profile(POWER_OF), gemm, passes, seen)
    device = _with_call(device, small_networks(), timer, seen)
    on_progress("measuring batched products")
    node = device.runtime.node.value
    batched = product_table(scope.grid, timer, node, f"{seen}: products of one MatMul")
    device = _updated(device, runtime=device.runtime.model_copy(update={"batched": batched}))
    on_progress("checking predictions")
    fitted = random_networks(scope.networks, seed=0, most_flops=scope.most_flops)
    held_out = random_networks(scope.held_out, seed=1, most_flops=scope.most_flops)
    fit_seconds, held_seconds = _seconds(fitted, timer), _seconds(held_out, timer)
    fit_off, held_off = (
        _deviations(device, fitted, fit_seconds),
        _deviations(device, held_out, held_seconds),
    )
    return _updated(
        device,
        name=AUTO,
        description=f"this machine ({processor_name()}), {threads} thread(s)",
        paper=_paper(device.paper, fitted, fit_seconds, seen),
        limits=_limits(gemm, seen),
        calibration=Calibration(
            processor=processor_name(),
            onnxruntime=onnxruntime.__version__,
            hedge=__version__,
            threads=threads,
            graphs=len(fitted),
            fit_median=float(np.median(fit_off)),
            held_out=len(held_out),
            held_out_median=float(np.median(held_off)),
            held_out_p90=float(np.quantile(held_off, 0.9)),
            held_out_worst=float(held_off.max()),
        ),
    )


def _updated(device: Device, **sections: object) -> Device:
    return device.model_copy(update=sections)


def _with_tables(device: Device, gemm: Table, passes: dict[str, Table], seen: str) -> Device:
    """Its runtime as tables, and the rates that describe what has no table."""
    rates, bytes_s = _flop_rates(gemm), 4.0 * 2.0 * passes["Neg"].axes[0][-2]
    activation = passes["Tanh"].value[-2] / passes["Tanh"].axes[0][-2]
    runtime = Runtime(
        call=Seconds(value=0.0, unit="s", source=seen),
        node=Seconds(value=gemm.value[0], unit="s", source=seen),
        compute=FlopRate(
            value=float(rates.max()), unit="flop/s", source=f"{seen}: fastest Gemm", kind="measured"
        ),
        bandwidth=ByteRate(
            value=bytes_s / passes["Neg"].value[-2],
            unit="byte/s",
            source=f"{seen}: an elementwise node in the caches",
            kind="measured",
        ),
        activation=Seconds(value=activation, unit="s", source=f"{seen}: tanh", kind="measured"),
        gemm=gemm,
        passes=passes,
    )
    return _updated(device, runtime=runtime)


def _with_call(device: Device, networks: Sequence[Network], timer: Timer, seen: str) -> Device:
    """Its call, and what a Gemm waits for the one before it: nodes of probes wait for none.

    Least squares on relative errors, neither below 0.
    """
    seconds = _seconds(networks, timer)
    works = [graph_work(network.model, network.batch) for network in networks]
    rest = seconds - np.array([float(marginal_seconds(device, work)) for work in works])
    features = np.array([[1.0, len(work.products)] for work in works])
    (call, wait) = nnls(features / seconds[:, None], np.maximum(rest / seconds, 0.0))[0].tolist()
    gemm = device.runtime.gemm
    assert gemm is not None
    gemm = gemm.model_copy(update={"value": tuple(float(value + wait) for value in gemm.value)})
    source = f"{seen}: least squares on {len(networks)} small networks"
    figures = {
        "call": Seconds(value=call, unit="s", source=source, kind="measured"),
        "node": Seconds(value=gemm.value[0], unit="s", source=source, kind="measured"),
        "gemm": gemm,
    }
    return _updated(device, runtime=device.runtime.model_copy(update=figures))


def _seconds(networks: Sequence[Network], timer: Timer) -> Array:
    return np.array([float(timer([one.model], one.batch)[0]) for one in networks])


def _deviations(device: Device, networks: Sequence[Network], seconds: Array) -> Array:
    """|predicted / measured − 1| of each."""
    predicted = [predicted_seconds(device, graph_work(one.model, one.batch)) for one in networks]
    return np.abs(np.array(predicted, dtype=np.float64) / seconds - 1.0)


def _paper(paper: Paper, networks: Sequence[Network], seconds: Array, seen: str) -> Paper:
    squares, moved = np.array([paper_terms(one.blocks, one.batch) for one in networks]).T
    C, B = tightest_constants(squares, moved, PAPER_MARGIN * seconds)
    how = (
        f"{seen}: the tightest with which Theorem 11 holds for {len(networks)} networks, "
        f"with {PAPER_MARGIN - 1:.0%} to spare"
    )
    return Paper(
        compute=FlopRate(value=C, unit="flop/s", source=how, kind="measured"),
        bandwidth=ByteRate(value=B, unit="byte/s", source=how, kind="measured"),
        alpha=paper.alpha,
        beta=paper.beta,
    )


def _limits(gemm: Table, seen: str) -> Limits:
    rows, outputs, inputs = np.meshgrid(*gemm.axes, indexing="ij")
    moved = 4.0 * (rows * (inputs + outputs) + outputs * inputs + outputs)
    rate = max(float((moved / _seconds_of(gemm)).max()), copy_rate())
    return Limits(
        compute=FlopRate(
            value=PEAK_MARGIN * float(_flop_rates(gemm).max()),
            unit="flop/s",
            source=f"{seen}: fastest Gemm, times {PEAK_MARGIN:g}",
            kind="measured",
        ),
        bandwidth=ByteRate(
            value=CACHE_MARGIN * rate,
            unit="byte/s",
            source=f"{seen}: fastest in cache, times {CACHE_MARGIN:g}",
            kind="measured",
        ),
    )


def _flop_rates(gemm: Table) -> Array:
    rows, outputs, inputs = np.meshgrid(*gemm.axes, indexing="ij")
    return np.asarray(2.0 * rows * outputs * inputs / _seconds_of(gemm))


def _seconds_of(table: Table) -> Array:
    """Its times by size, none below a nanosecond, which no node takes."""
    return np.asarray(np.maximum(np.reshape(table.value, [len(a) for a in table.axes]), 1e-9))
