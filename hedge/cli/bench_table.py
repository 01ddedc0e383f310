"""Bench results as tables."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from hedge.benching import BenchResult, Change, Measurement
from hedge.cli.console import joules, print_records, print_table, seconds, size, warn

RUN: dict[str, Callable[[Measurement], str]] = {
    "model": lambda m: m.path,
    "batch": lambda m: str(m.batch),
}
MEASURED: dict[str, Callable[[Measurement], str]] = RUN | {
    "median": lambda m: seconds(m.median_s),
    "p90": lambda m: seconds(m.p90_s),
    "p99": lambda m: seconds(m.p99_s),
    "rows/s": lambda m: f"{m.rows_per_s:.3g}",
    "speedup": lambda m: f"{m.speedup:.2f}x",
    "95 % interval": lambda m: _interval(m.speedup_interval),
}
STARTED: dict[str, Callable[[Measurement], str]] = RUN | {
    "session": lambda m: seconds(m.start_s),
    "first run": lambda m: seconds(m.first_run_s),
    "memory": lambda m: "-" if m.memory_bytes is None else size(m.memory_bytes),
}
MODELLED: dict[str, Callable[[Measurement], str]] = RUN | {
    "predicted": lambda m: seconds(m.predicted_s),
    "roofline": lambda m: seconds(m.roofline_s),
    "Theorem 11": lambda m: seconds(m.paper_bound_s),
    "holds?": lambda m: "yes" if m.bound_holds else "no",
    "energy, modelled": lambda m: joules(m.energy_j),
}
CHANGED: dict[str, Callable[[Change], str]] = {
    "model": lambda c: c.path,
    "batch": lambda c: str(c.batch),
    "before": lambda c: seconds(c.before_s),
    "now": lambda c: seconds(c.now_s),
    "speedup": lambda c: f"{c.speedup:.2f}x",
    "95 % interval": lambda c: _interval(c.interval),
    "verdict": lambda c: c.verdict,
}


def print_bench(result: BenchResult, host: str | None = None) -> None:
    """What was measured, and what the device's figures say, one row per model and batch each."""
    place = result.machine.processor if host is None else f"{host}, {result.machine.processor}"
    title = f"Measured on {place}, {result.runtime}, {result.threads} thread(s)"
    print_records(title, result.models, MEASURED)
    if any(m.start_s is not None for m in result.models):
        print_records("In a fresh process", result.models, STARTED)
    if any(m.measured_energy for m in result.models):
        _print_energy(result.models)
    print_records(f"By the figures of {result.device}, one core", result.models, MODELLED)
    if result.calibrated_here is False:
        warn(
            f"times are of this machine, figures of {result.device}, calibrated elsewhere: whether "
            "Theorem 11 holds there is measured there"
        )
    if result.backend != result.figures_of:
        warn(f"figures describe {result.figures_of}, times are of {result.backend}")
    if result.machine.throttling_unknown is not None:
        warn(f"whether it throttled meanwhile is unknown: {result.machine.throttling_unknown}")
    for m in result.models:
        if m.unstable:
            warn(f"unstable: {m.path} at batch {m.batch}: {m.unstable}")


def print_changes(changes: Sequence[Change], name: str) -> None:
    """Each model now beside the earlier result."""
    print_records(f"Against {name}", changes, CHANGED)
    for c in changes:
        if c.unstable:
            warn(f"unstable: {c.path} at batch {c.batch}: {c.unstable}")


def change_document(change: Change) -> dict[str, Any]:
    """A change as plain JSON values."""
    return {**vars(change), "verdict": change.verdict}


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
