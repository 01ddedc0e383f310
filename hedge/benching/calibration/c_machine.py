"""Measuring this machine's C: figures solved for from times of whole networks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import scipy

from hedge.arrays import Array
from hedge.benching.calibration.c_networks import CNetwork, c_networks
from hedge.benching.calibration.c_timing import ROWS, clocked_c
from hedge.benching.calibration.machine import (
    CACHE_MARGIN,
    PEAK_MARGIN,
    POWER_OF,
    bytes_per_second,
    flops_per_second,
    paper_of,
    seconds_figure,
)
from hedge.benching.calibration.timing import WindowedTimer
from hedge.benching.machine import processor_name
from hedge.devices import Device, Work, find_profile, predicted_seconds
from hedge.devices.c_cost import Counts, counted
from hedge.devices.profile import (
    C_FIGURES,
    Calibration,
    CLoops,
    CRow,
    CRuntime,
    CTile,
    Limits,
    why_unstable,
)
from hedge.exporting.compiling import Compiler
from hedge.progress import Progress, silent
from hedge.version import __version__

AUTO_NAME = "c"
# What is further off than this counts less, in proportion: a network that was disturbed each time.
CLOSE, TURNS = 0.1, 20


@dataclass(frozen=True)
class CScope:
    """How many networks are fitted to and checked on, and how long each is timed."""

    networks: int
    held_out: int
    windows: int
    window_s: float


FULL_C = CScope(networks=96, held_out=40, windows=6, window_s=0.004)
QUICK_C = CScope(networks=56, held_out=16, windows=3, window_s=0.002)
Timer = WindowedTimer[CNetwork]


@dataclass(frozen=True)
class _Times:
    """Networks, and seconds of a row and of ROWS rows of each."""

    networks: Sequence[CNetwork]
    row: Array
    rows: Array

    def works(self, batch: int) -> list[Work]:
        """Of each network for so many rows."""
        return [network.work(batch) for network in self.networks]

    def deviations(self, device: Device) -> Array:
        """The longer of predicted and measured time over the shorter, less 1, of rows, then of batches."""
        predicted = [
            float(predicted_seconds(device, work)) for n in (1, ROWS) for work in self.works(n)
        ]
        ratios = np.array(predicted) / np.concatenate([self.row, self.rows])
        return np.asarray(np.maximum(ratios, 1.0 / ratios) - 1.0)


def calibrate_c(
    compiler: Compiler,
    on_progress: Progress = silent,
    *,
    scope: CScope = FULL_C,
    timer: Timer | None = None,
) -> Device:
    """A profile of this machine for C by this compiler, on one thread.

    Random networks are timed, and their times, which are linear in a profile's figures, solved for these by
    non-negative least squares of relative errors. Predictions are checked on networks that nothing was
    fitted to; a profile that is too far off is marked unstable. Power is taken from the laptop-x86 profile.

    Raises InputError if the compiler can't be asked for its vectors.
    """
    timer = timer or WindowedTimer(clocked_c(compiler, scope.window_s), scope.windows)
    lanes = compiler.lanes
    on_progress(f"compiling and timing {scope.networks} networks")
    fitted = _timed(c_networks(scope.networks, 0, lanes), timer)
    on_progress(f"checking predictions on {scope.held_out} networks")
    held_out = _timed(c_networks(scope.held_out, 1, lanes), timer)
    seen = "measured here, 1 thread"
    runtime = _runtime(fitted, compiler.label, lanes, seen)
    device = _profile(runtime, fitted, seen)
    off = held_out.deviations(device)
    found = Calibration(
        processor=processor_name(),
        hedge=__version__,
        threads=1,
        graphs=len(fitted.networks),
        fit_median=float(np.median(fitted.deviations(device))),
        held_out=len(off),
        held_out_median=float(np.median(off)),
        held_out_p90=float(np.quantile(off, 0.9)),
        held_out_worst=float(off.max()),
        unstable=why_unstable(float(np.median(off)), float(off.max()), len(off)) or timer.doubt,
    )
    return device.model_copy(update={"calibration": found})


def _timed(networks: Sequence[CNetwork], timer: Timer) -> _Times:
    return _Times(networks, timer(networks, 1), timer(networks, ROWS))


def _runtime(fitted: _Times, compiler: str, lanes: int, seen: str) -> CRuntime:
    rows = [counted(work, lanes).row for work in fitted.works(1)]
    tiles = [counted(work, lanes).tile for work in fitted.works(ROWS)]
    source = f"{seen}: least squares on {len(rows)} networks"
    row, tile = (
        _loops(solved(counts, seconds), source)
        for counts, seconds in ((rows, fitted.row), (tiles, fitted.rows))
    )
    if lanes == 1:
        row.pop("vector")
    return CRuntime(
        name="c",
        compiler=compiler,
        lanes=lanes,
        row=CRow.model_validate(_of(CRow, row)),
        tile=CTile.model_validate(_of(CTile, tile)),
    )


def _of(section: type[CLoops], figures: Mapping[str, object]) -> dict[str, object]:
    """Those that the section has."""
    return {name: value for name, value in figures.items() if name in section.model_fields}


def _loops(found: Mapping[str, float], source: str) -> dict[str, object]:
    """The keys of a section; of functions that were not timed, the slowest one counts."""
    figures = {name: seconds_figure(found.get(name, 0.0), source) for name in C_FIGURES}
    functions = {
        name: seconds_figure(value, source)
        for name, value in sorted(found.items())
        if name not in C_FIGURES
    }
    slowest = max((one.value for one in functions.values()), default=0.0)
    figures["function"] = seconds_figure(slowest, f"{source}: the slowest of them")
    return {**figures, "functions": functions}


def solved(counts: Sequence[Counts], seconds: Array) -> dict[str, float]:
    """The figures, none negative, whose sums of counts come nearest to the times, relatively.

    Errors beyond CLOSE weigh as their size, not its square: a time that was disturbed moves little.
    """
    names = sorted({name for each in counts for name in each})
    features = np.array([[float(each.get(name, 0.0)) for name in names] for each in counts])
    features /= seconds[:, None]
    sizes = np.maximum(features.max(axis=0), np.finfo(np.float64).tiny)
    weights, found = np.ones(len(seconds)), np.zeros(len(names))
    for _ in range(TURNS):
        found = scipy.optimize.nnls(features / sizes * weights[:, None], weights)[0]
        off = np.abs(features / sizes @ found - 1.0)
        weights = np.sqrt(CLOSE / np.maximum(off, CLOSE))
    return {name: float(f"{v:.4g}") for name, v in zip(names, found / sizes, strict=True)}


def _profile(runtime: CRuntime, fitted: _Times, seen: str) -> Device:
    """The runtime, with limits and the paper's constants that hold for all that was timed."""
    base = find_profile(POWER_OF)
    works = [work for batch in (1, ROWS) for work in fitted.works(batch)]
    seconds = np.concatenate([fitted.row, fitted.rows])
    flops = float((np.array([work.flops for work in works]) / seconds).max())
    moved = float((np.array([work.bytes for work in works]) / seconds).max())
    blocks = [(n.blocks, batch) for batch in (1, ROWS) for n in fitted.networks]
    return base.model_copy(
        update={
            "name": AUTO_NAME,
            "description": f"C on this machine ({processor_name()})",
            "runtime": runtime,
            "paper": paper_of(base.paper, blocks, seconds, flops, seen),
            "limits": Limits(
                compute=flops_per_second(
                    PEAK_MARGIN * flops, f"{seen}: the fastest network, times {PEAK_MARGIN:g}"
                ),
                bandwidth=bytes_per_second(
                    CACHE_MARGIN * moved, f"{seen}: the fastest network, times {CACHE_MARGIN:g}"
                ),
            ),
        }
    )
