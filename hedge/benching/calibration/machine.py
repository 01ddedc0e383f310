"""A profile of this machine from what onnxruntime takes here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import onnxruntime

from hedge.benching.calibration.assembling import paper_of, profile_of
from hedge.benching.calibration.checking import Timed, to_blame
from hedge.benching.calibration.filling import Spending
from hedge.benching.calibration.graphs import held_out_networks, random_networks, small_networks
from hedge.benching.calibration.tables import (
    BATCHED,
    FULL_GRID,
    GEMM,
    QUICK_GRID,
    Grid,
    Measuring,
)
from hedge.benching.calibration.timing import Timer, WindowedTimer, clocked
from hedge.benching.machine import processor_name
from hedge.benching.protocol import check_threads
from hedge.devices import Device
from hedge.devices.profile import Calibration, why_unstable
from hedge.graph import reads_here
from hedge.progress import Progress, silent
from hedge.version import __version__

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
    small = Timed(small_networks(), timer, scope.sweeps)
    on_progress("measuring batched products")
    measuring.fill(BATCHED)
    on_progress("checking predictions")
    fitted = Timed(random_networks(scope.networks, 0, scope.most_flops), timer, scope.sweeps)
    held_out = Timed(held_out_networks(scope.held_out, 1, scope.most_flops), timer, scope.sweeps)
    measuring.mend()
    device = profile_of(measuring, small, seen)
    for _ in range(AGAIN):
        if spending.over or not held_out.too_far_off(device):
            break
        blamed = to_blame(device, held_out)
        on_progress(f"measuring again: {', '.join(blamed)}")
        measuring.fill(*blamed)
        small.again()
        held_out.again()
        device = profile_of(measuring, small, seen)
    return device.model_copy(
        update={
            "description": f"this machine ({processor_name()}), {threads} thread(s)",
            "paper": paper_of(device, (small, fitted), seen),
            "calibration": _calibration(
                device, threads, (small, fitted), held_out, measuring.doubt
            ),
        }
    )


def _calibration(
    device: Device, threads: int, fitted: Sequence[Timed], held_out: Timed, doubted: str | None
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
