"""Sweeping: many cells of stages, on one machine or many."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hedge.api.sweep_stages import run_task
from hedge.api.training import reference_models
from hedge.clusters import open_cluster
from hedge.errors import InputError
from hedge.progress import Progress, silent
from hedge.sweeping import Ledger, Plan, Record, Runner, Store, Sweep, Tally, read_sweep

# More cells than these are meant only by who says so.
MANY_CELLS = 10_000


@dataclass(frozen=True)
class Swept:
    """What a sweep found: its folder, how many cells there are, done and failed, and a record of each."""

    folder: Path
    cells: int
    done: int
    failed: int
    records: tuple[Record, ...]


def sweep(
    file: Path | str | Mapping[str, Any],
    out: Path | str,
    *,
    workers: int | None = None,
    retry_failed: bool = False,
    many: bool = False,
    force: bool = False,
    on_progress: Progress = silent,
    on_tally: Callable[[Tally], None] = lambda tally: None,
) -> Swept:
    """Do what a sweep's file asks, or a table of the same keys, and keep all results in the folder ``out``.

    Every cell is a chain of stages for one value of every axis; see docs/sweeping.md for the file. Cells are
    spread over so many ``workers``, by default one for each core. What lies in ``out`` of the same sweep is
    done already; ``retry_failed`` does those again that failed. More than 10,000 cells need ``many``.
    With ``force`` the folder of another sweep is taken, and what both share is kept.

    Raises InputError for what is no sweep, for a folder of another one and for files that have changed since
    it began; RemoteError when the workers' scheduler is lost. What is done then stays.
    """
    found = planned(file, many=many)
    store = Store(Path(out))
    store.begin(found.plan, force=force)
    ledger = Ledger(store, found.plan.cells, retry_failed=retry_failed)
    on_tally(ledger.tally)
    if ledger.tally.left:
        on_progress("starting workers")
        with open_cluster(found.cluster, workers) as client:
            Runner(ledger, store, client, run_task, on_tally).run()
    records = tuple(records_of(store, found.plan))
    return Swept(
        store.folder, len(found.plan.cells), ledger.tally.done, ledger.tally.failed, records
    )


def planned(file: Path | str | Mapping[str, Any], *, many: bool = False) -> Sweep:
    """The sweep in a file or table; raises InputError if it is none, or has very many cells unasked."""
    found = read_sweep(file, lambda: [str(path) for path in reference_models().values()])
    if found.count > MANY_CELLS and not many:
        raise InputError(
            f"{found.source}: has {found.count} cells; pass --yes if you mean that, or give axes fewer values"
        )
    return found


def records_of(store: Store, plan: Plan) -> list[Record]:
    """Those of a plan's cells that are there, in its order."""
    found = (store.record(cell.key) for cell in plan.cells)
    return [one for one in found if one is not None]
