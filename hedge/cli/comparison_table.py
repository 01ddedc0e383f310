"""A comparison as a table for people."""

from __future__ import annotations

from collections.abc import Sequence

from hedge.cli.console import joules, print_table, say, seconds, size, warn
from hedge.cli.plan_table import column_cells
from hedge.comparing import ComparisonTable, Latency, Row, Win
from hedge.devices import AUTO

UNKNOWN = "–"


def print_comparison(model: str, table: ComparisonTable) -> None:
    """One row per method; below it what each chose, and where a rival is the better choice."""
    batches = [latency.batch for latency in table.rows[0].latencies]
    print_table(
        f"{model}, output to move by at most {table.tolerance:g}; predictions for {table.device}, "
        f"measured on {table.machine.processor}, {table.threads} thread(s)",
        [
            "method", "parameters", "bytes", "to dense", "to reference", "within",
            *(name for b in batches for name in (f"predicted, {b}", f"measured, {b}", f"energy, {b}")),
            "took",
        ],
        [_cells(row) for row in table.rows],
    )  # fmt: skip
    if any(row.errors for row in table.rows):
        _print_errors(table.rows)
    for row in table.rows:
        if row.note:
            say(f"{row.method}: {row.note}")
    for method, reason in table.absent.items():
        say(f"{method}: no result: {reason}")
    for line in verdicts(table.rows, table.wins()):
        say(line)
    if table.device != AUTO:
        warn(f"measured times are of this machine, predictions and energies of {table.device}")


def _print_errors(rows: Sequence[Row]) -> None:
    print_table(
        "To dense, by column",
        ["method", "output", "column", "relative L2 error", "largest error"],
        [[row.method, *column_cells(one)] for row in rows for one in row.errors],
    )


def _cells(row: Row) -> list[str]:
    return [
        row.method,
        str(row.parameters),
        size(row.bytes),
        f"{row.error:.2e}",
        UNKNOWN if row.reference_error is None else f"{row.reference_error:.2e}",
        "yes" if row.within else "no",
        *(cell for latency in row.latencies for cell in _latency_cells(latency)),
        seconds(row.seconds),
    ]


def _latency_cells(latency: Latency) -> list[str]:
    predicted, energy = latency.predicted_s, latency.energy_j
    return [
        UNKNOWN if predicted is None else seconds(predicted),
        seconds(latency.median_s),
        UNKNOWN if energy is None else joules(energy),
    ]


def verdicts(rows: Sequence[Row], wins: Sequence[Win]) -> list[str]:
    """One sentence per rival that is faster than hedge, and as accurate as asked."""
    lines = []
    for row in rows:
        faster: dict[int, list[str]] = {}
        for win in wins:
            if win.method == row.method:
                times = f"{seconds(win.seconds)} against {seconds(win.hedge_seconds)} {win.by}"
                faster.setdefault(win.batch, []).append(times)
        if faster:
            where = "; ".join(
                f"at batch {batch}: {', '.join(times)}" for batch, times in faster.items()
            )
            lines.append(
                f"{row.method} of {row.parameters} parameters is within the tolerance and faster than "
                f"hedge {where}"
            )
    return lines
