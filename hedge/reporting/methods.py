"""hedge beside other ways to a small model, as ``hedge compare`` found them."""

from __future__ import annotations

from collections.abc import Sequence

from hedge.reporting.contents import Contents
from hedge.reporting.numbers import count, error, quantity, size
from hedge.reporting.parts import CellTable, Drawing, Gallery, Part, Section, Text
from hedge.reporting.runs import ComparisonFile
from hedge.reporting.scatter import CostAxis, Point, scatter

COLUMNS = ("method", "parameters", "bytes", "to dense", "to reference", "within")


def methods(contents: Contents) -> Section | None:
    """Of every comparison the table, the drawings, and where another method is the better choice."""
    parts: list[Part] = []
    for run in contents.comparisons:
        batches = [latency.batch for latency in run.table.rows[0].latencies]
        figures = [_figure(run, column, batch) for column, batch in enumerate(batches)]
        parts.append(_table(run, batches))
        parts += [Gallery(tuple(figures), width=24)] if figures else []
        parts += [Text(f"No result of {name}: {why}.") for name, why in run.table.absent.items()]
        parts += [
            Text(
                f"{win.method} is faster than hedge at batch {count(win.batch)}: "
                f"{quantity(win.seconds, 's')} against {quantity(win.hedge_seconds, 's')}, {win.by}."
            )
            for win in run.table.wins()
        ]
    return Section("methods", "Beside other methods", tuple(parts)) if parts else None


def _table(run: ComparisonFile, batches: Sequence[int]) -> Part:
    found = run.table
    timed = [name for b in batches for name in (f"batch {count(b)}", f"energy, {count(b)}")]
    return CellTable(
        f"{run.model} by each method, the smallest within {found.tolerance:g}; times measured on "
        f"{found.machine.processor}, energies modelled for {found.device}",
        (*COLUMNS, *timed, "took"),
        tuple(
            (
                row.method,
                count(row.parameters),
                size(row.bytes),
                error(row.error),
                error(row.reference_error),
                "yes" if row.within else "no",
                *(
                    cell
                    for one in row.latencies
                    for cell in (quantity(one.median_s, "s"), quantity(one.energy_j, "J"))
                ),
                quantity(row.seconds, "s"),
            )
            for row in found.rows
        ),
    )


def _figure(run: ComparisonFile, column: int, batch: int) -> Drawing:
    within: list[Point] = []
    beyond: list[Point] = []
    for i, row in enumerate(run.table.rows, start=1):
        seconds = row.latencies[column].median_s
        told = f"{row.method}: {quantity(seconds, 's')}, error {error(row.error)}"
        (within if row.within else beyond).append(Point(seconds, row.error, told, str(i)))
    names = ", ".join(f"{i} {row.method}" for i, row in enumerate(run.table.rows, start=1))
    return scatter(
        {"within": within, "too much": beyond},
        None,
        run.table.tolerance,
        CostAxis(f"measured latency at batch {count(batch)}", "s"),
        f"Batch {count(batch)}: {names}. Those without an error are not drawn.",
    )
