"""Bench results as tables."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hedge.benching import ONNXRUNTIME, BenchResult, Change, Measurement
from hedge.cli.console import joules, print_table, seconds, size, warn


def print_bench(result: BenchResult, host: str | None = None) -> None:
    """What was measured, and what the device's figures say, one row per model and batch each."""
    place = result.machine.processor if host is None else f"{host}, {result.machine.processor}"
    print_table(
        f"Measured on {place}, {result.runtime}, {result.threads} thread(s)",
        ["model", "batch", "median", "p90", "p99", "rows/s", "speedup", "95 % interval"],
        [
            [
                m.path,
                str(m.batch),
                seconds(m.median_s),
                seconds(m.p90_s),
                seconds(m.p99_s),
                f"{m.rows_per_s:.3g}",
                f"{m.speedup:.2f}x",
                _interval(m.speedup_interval),
            ]
            for m in result.models
        ],
    )
    if any(m.start_s is not None for m in result.models):
        _print_cold_starts(result.models)
    if any(m.measured_energy for m in result.models):
        _print_energy(result.models)
    print_table(
        f"By the figures of {result.device}, one core",
        ["model", "batch", "predicted", "roofline", "Theorem 11", "holds?", "energy, modelled"],
        [
            [
                m.path,
                str(m.batch),
                seconds(m.predicted_s),
                seconds(m.roofline_s),
                seconds(m.paper_bound_s),
                "yes" if m.bound_holds else "no",
                joules(m.energy_j),
            ]
            for m in result.models
        ],
    )
    if result.calibrated_here is False:
        warn(
            f"times are of this machine, figures of {result.device}, calibrated elsewhere: whether "
            "Theorem 11 holds there is measured there"
        )
    if result.backend != ONNXRUNTIME:
        warn(f"figures describe {ONNXRUNTIME}, times are of {result.backend}")
    if result.machine.throttling_unknown is not None:
        warn(f"whether it throttled meanwhile is unknown: {result.machine.throttling_unknown}")
    for m in result.models:
        if m.unstable:
            warn(f"unstable: {m.path} at batch {m.batch}: {m.unstable}")


def print_changes(changes: Sequence[Change], name: str) -> None:
    """Each model now beside the earlier result."""
    print_table(
        f"Against {name}",
        ["model", "batch", "before", "now", "speedup", "95 % interval", "verdict"],
        [
            [
                c.path,
                str(c.batch),
                seconds(c.before_s),
                seconds(c.now_s),
                f"{c.speedup:.2f}x",
                _interval(c.interval),
                c.verdict,
            ]
            for c in changes
        ],
    )
    for c in changes:
        if c.unstable:
            warn(f"unstable: {c.path} at batch {c.batch}: {c.unstable}")


def change_document(change: Change) -> dict[str, Any]:
    """A change as plain JSON values."""
    return {**vars(change), "verdict": change.verdict}


def _print_cold_starts(models: Sequence[Measurement]) -> None:
    print_table(
        "In a fresh process",
        ["model", "batch", "session", "first run", "memory"],
        [
            [
                m.path,
                str(m.batch),
                seconds(m.start_s),
                seconds(m.first_run_s),
                "-" if m.memory_bytes is None else size(m.memory_bytes),
            ]
            for m in models
        ],
    )


def _print_energy(models: Sequence[Measurement]) -> None:
    measured = [(m, m.measured_energy) for m in models if m.measured_energy is not None]
    print_table(
        f"Energy per call by {measured[0][1].source}",
        ["model", "batch", "gross", "without idle", "idle power", "calls"],
        [
            [
                m.path,
                str(m.batch),
                joules(energy.gross_j),
                joules(energy.net_j),
                f"{energy.idle_w:.3g} W",
                str(energy.calls),
            ]
            for m, energy in measured
        ],
    )


def _interval(interval: tuple[float, float] | None) -> str:
    return "-" if interval is None else f"{interval[0]:.2f} to {interval[1]:.2f}"
