"""Bench results as a table."""

from __future__ import annotations

from hedge.benching import AUTO, UNSTABLE, BenchResult
from hedge.cli.console import joules, print_table, seconds, warn


def print_bench(result: BenchResult) -> None:
    """What was measured, and what the device's figures say, one row per model and batch each."""
    print_table(
        f"Measured on {result.machine['processor']}, {result.threads} thread(s)",
        ["model", "batch", "median", "p90", "p99", "speedup"],
        [
            [
                m.path,
                str(m.batch),
                seconds(m.median_s),
                seconds(m.p90_s),
                seconds(m.p99_s),
                f"{m.speedup:.2f}x",
            ]
            for m in result.models
        ],
    )
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
    if result.device != AUTO:
        warn(
            f"times are of this machine, figures of {result.device}: whether Theorem 11 holds there "
            "is measured there"
        )
    shaky = sorted({f"{m.path} at batch {m.batch}" for m in result.models if m.spread > UNSTABLE})
    if shaky:
        warn(f"unstable (quartiles over {UNSTABLE:.0%} of the median apart): {', '.join(shaky)}")
