"""Bench results as a table."""

from __future__ import annotations

from hedge.benching import UNSTABLE, BenchResult
from hedge.cli.console import joules, print_table, seconds, warn


def print_bench(result: BenchResult) -> None:
    """One row per model and batch."""
    rows = [
        [
            m.path,
            str(m.batch),
            seconds(m.median_s),
            seconds(m.p90_s),
            seconds(m.p99_s),
            f"{m.speedup:.2f}x",
            seconds(m.predicted_s),
            seconds(m.roofline_s),
            seconds(m.paper_bound_s),
            "yes" if m.bound_holds else "no",
            joules(m.energy_j),
        ]
        for m in result.models
    ]
    columns = [
        "model", "batch", "median", "p90", "p99", "speedup", "predicted", "roofline", "Theorem 11",
        "holds?", "energy, modelled",
    ]  # fmt: skip
    title = f"Measured on {result.machine['processor']}; predictions for {result.device}"
    print_table(title, columns, rows)
    shaky = sorted({f"{m.path} at batch {m.batch}" for m in result.models if m.spread > UNSTABLE})
    if shaky:
        warn(f"unstable (quartiles over {UNSTABLE:.0%} of the median apart): {', '.join(shaky)}")
