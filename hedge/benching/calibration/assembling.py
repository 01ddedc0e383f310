"""From tables and timed networks to a profile."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.optimize import nnls

from hedge.arrays import Array
from hedge.benching.calibration.checking import Timed
from hedge.benching.calibration.tables import GEMM, Measuring
from hedge.devices import (
    AUTO,
    BYTES_PER_FLOAT,
    Device,
    Table,
    find_profile,
    marginal_seconds,
)
from hedge.devices.figures import ByteRate, FlopRate, Seconds
from hedge.devices.profile import Limits, Paper, Runtime
from hedge.paper import paper_terms, tightest_constants

POWER_OF = "laptop-x86"
# How far above the best rate seen the roofline's limits are set, since no run shows the true peak.
PEAK_MARGIN, CACHE_MARGIN = 1.25, 2.0
# The calls of Theorem 11's fit are not all that come: a little above the slowest.
PAPER_MARGIN = 1.1


def profile_of(measuring: Measuring, small: Timed, seen: str) -> Device:
    """A profile of what was measured so far, but for its check."""
    nodes = f"{seen}: nodes beside others"
    gemm = measuring.table(GEMM, nodes)
    passes = {name: measuring.table(name, nodes) for name in measuring.passes}
    device = _with_call(_with_tables(find_profile(POWER_OF), gemm, passes, seen), small, seen)
    batched = measuring.batched(device.runtime.node.value, nodes)
    runtime = device.runtime.model_copy(update={"batched": batched})
    return device.model_copy(
        update={"name": AUTO, "runtime": runtime, "limits": _limits(gemm, passes, seen)}
    )


def _with_tables(device: Device, gemm: Table, passes: dict[str, Table], seen: str) -> Device:
    """Its runtime as tables, and the rates that describe what has no table."""
    numbers = passes["Neg"].axes[0][-2]  # many, but within the caches
    moving, tanh = (max(passes[op].value[-2], 1e-9) for op in ("Neg", "Tanh"))
    runtime = Runtime(
        call=Seconds(value=0.0, unit="s", source=seen),
        node=Seconds(value=gemm.value[0], unit="s", source=seen),
        compute=_flops(float(_flop_rates(gemm).max()), f"{seen}: fastest Gemm"),
        bandwidth=_bytes(
            2.0 * BYTES_PER_FLOAT * numbers / moving, f"{seen}: an elementwise node in the caches"
        ),
        activation=_seconds(tanh / numbers, f"{seen}: tanh"),
        gemm=gemm,
        passes=passes,
    )
    return device.model_copy(update={"runtime": runtime})


def _with_call(device: Device, timed: Timed, seen: str) -> Device:
    """Its call, and what a Gemm waits for the one before it: nodes of probes wait for none.

    Least squares on relative errors, neither below 0.
    """
    seconds, works = timed.seconds, timed.works
    rest = seconds - np.array([float(marginal_seconds(device, work)) for work in works])
    features = np.array([[1.0, len(work.products)] for work in works])
    (call, wait) = nnls(features / seconds[:, None], np.maximum(rest / seconds, 0.0))[0].tolist()
    gemm = device.runtime.gemm
    assert gemm is not None
    gemm = gemm.model_copy(update={"value": tuple(float(value + wait) for value in gemm.value)})
    source = f"{seen}: least squares on {len(works)} small networks"
    figures = {
        "call": _seconds(call, source),
        "node": _seconds(gemm.value[0], source),
        "gemm": gemm,
    }
    return device.model_copy(update={"runtime": device.runtime.model_copy(update=figures)})


def paper_of(device: Device, fitted: Sequence[Timed], seen: str) -> Paper:
    """The tightest constants with which Theorem 11 holds for networks whose matrices are known."""
    networks = [network for timed in fitted for network in timed.networks]
    seconds = np.concatenate([timed.seconds for timed in fitted])
    squares, moved = np.array([paper_terms(one.blocks, one.batch) for one in networks]).T
    fastest = device.runtime.compute.value
    C, B = tightest_constants(squares, moved, PAPER_MARGIN * seconds, fastest)
    how = (
        f"{seen}: the tightest with which Theorem 11 holds for {len(networks)} networks, "
        f"with {PAPER_MARGIN - 1:.0%} to spare"
    )
    return Paper(
        compute=_flops(C, how),
        bandwidth=_bytes(B, how),
        alpha=device.paper.alpha,
        beta=device.paper.beta,
    )


def _limits(gemm: Table, passes: dict[str, Table], seen: str) -> Limits:
    rows, outputs, inputs = np.meshgrid(*gemm.axes, indexing="ij")
    moved = BYTES_PER_FLOAT * (rows * (inputs + outputs) + outputs * inputs + outputs)
    copied = 2.0 * BYTES_PER_FLOAT * np.array(passes["Neg"].axes[0]) / _seconds_of(passes["Neg"])
    rate = max(float((moved / _seconds_of(gemm)).max()), float(copied.max()))
    return Limits(
        compute=_flops(
            PEAK_MARGIN * float(_flop_rates(gemm).max()),
            f"{seen}: fastest Gemm, times {PEAK_MARGIN:g}",
        ),
        bandwidth=_bytes(CACHE_MARGIN * rate, f"{seen}: fastest in cache, times {CACHE_MARGIN:g}"),
    )


def _seconds(value: float, source: str) -> Seconds:
    return Seconds(value=value, unit="s", source=source, kind="measured")


def _flops(value: float, source: str) -> FlopRate:
    return FlopRate(value=value, unit="flop/s", source=source, kind="measured")


def _bytes(value: float, source: str) -> ByteRate:
    return ByteRate(value=value, unit="byte/s", source=source, kind="measured")


def _flop_rates(gemm: Table) -> Array:
    rows, outputs, inputs = np.meshgrid(*gemm.axes, indexing="ij")
    return np.asarray(2.0 * rows * outputs * inputs / _seconds_of(gemm))


def _seconds_of(table: Table) -> Array:
    """Its times by size, none below a nanosecond, which no node takes."""
    return np.asarray(np.maximum(np.reshape(table.value, [len(a) for a in table.axes]), 1e-9))
