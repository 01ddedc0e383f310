"""Sweeping: many cells of stages, on one machine or many, and what came of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from hedge.api.sweep_stages import run_task
from hedge.api.training import reference_models
from hedge.benching import BenchRow, read_bench_rows
from hedge.clusters import cluster_settings, open_cluster
from hedge.clusters.installed import installed
from hedge.errors import InputError
from hedge.files import refused, write_atomically
from hedge.progress import Progress, silent
from hedge.sweeping import (
    Ledger,
    Plan,
    Row,
    Runner,
    Store,
    Sweep,
    Tally,
    read_sweep,
    row_of,
    rows_of,
)
from hedge.sweeping.mlflow_log import check_mlflow, log_cells

# More cells than these are meant only by who says so; a plan of the second number takes some 10 GB.
MANY_CELLS, MOST_CELLS = 10_000, 1_000_000
PARQUET = "results.parquet"


@dataclass(frozen=True)
class Swept:
    """What a sweep found: its folder, and how many of its cells are done, failed, or neither."""

    folder: Path
    plan: Plan
    done: int
    failed: int

    @property
    def left(self) -> int:
        """Cells that are neither done nor failed."""
        return len(self.plan.cells) - self.done - self.failed

    @cached_property
    def rows(self) -> list[Row]:
        """A row for each cell that is done or failed, in the plan's order."""
        store = Store(self.folder)
        found = (store.record(cell.key) for cell in self.plan.cells)
        return [row_of(record) for record in found if record is not None]


def sweep(
    file: Path | str | Mapping[str, Any],
    out: Path | str,
    *,
    workers: int | None = None,
    scheduler: str | None = None,
    retry_failed: bool = False,
    many: bool = False,
    force: bool = False,
    mlflow: str | None = None,
    on_progress: Progress = silent,
    on_tally: Callable[[Tally], None] = lambda tally: None,
) -> Swept:
    """Do what a sweep's file asks, or a table of the same keys, and keep all results in the folder ``out``.

    Every cell is a chain of stages for one value of every axis; docs/sweeping.md says how the file is
    written. Cells are spread over so many ``workers``, by default one for each core, or those of the
    ``scheduler`` of Dask at an address. What lies in ``out`` of the same sweep is done already;
    ``retry_failed`` does those again that failed. More than 10,000 cells need ``many``. With ``force`` the
    folder of another sweep is taken, and what both share is kept. ``mlflow`` is where cells are logged as
    runs, too.

    Raises InputError for what is no sweep, for a folder of another one, for files that have changed since
    it began and where Dask or pyarrow are not installed (``pip install 'hedge-pinn[sweep]'``); RemoteError
    when the scheduler is lost. What is done stays in any case.

    >>> import hedge, tempfile, pathlib
    >>> table = {"stages": ["compress"], "axes": {"model": "shipped", "tolerance": [0.1, 0.01],
    ...     "device": "raspberry-pi-4b"}}
    >>> hedge.api.planned(table).count
    12
    """
    found = planned(file, many=many)
    settings = found.cluster
    if scheduler is not None:
        settings = cluster_settings({"kind": "scheduler", "address": scheduler}, "scheduler")
    if mlflow is not None:
        check_mlflow(mlflow)
    store = Store(Path(out))
    store.begin(found.plan, force=force)
    with store.held():
        ledger = Ledger(store, found.plan.cells, retry_failed=retry_failed)
        tally = ledger.tally
        on_tally(tally)
        try:
            if tally.left:
                installed("pyarrow")
                on_progress("starting workers")
                with open_cluster(settings, workers, on_progress=on_progress) as client:
                    on_progress(_dashboard(client))
                    Runner(ledger, store, client, run_task, on_tally).run()
        finally:
            swept = Swept(store.folder, found.plan, tally.done, tally.failed)
            _write_parquet(swept, is_new=tally.done + tally.failed > tally.before)
    if mlflow is not None:
        count = log_cells(mlflow, store.folder.resolve().name, swept.rows)
        on_progress(f"{count} cells logged to {mlflow}")
    return swept


def planned(file: Path | str | Mapping[str, Any], *, many: bool = True) -> Sweep:
    """The sweep in a file or table; raises InputError if it is none, or has very many cells unasked."""
    found = read_sweep(file, lambda: [str(path) for path in reference_models().values()])
    if found.count > MOST_CELLS:
        raise InputError(
            f"{found.source}: has {found.count} cells; at most {MOST_CELLS}, so give axes fewer values"
        )
    if found.count > MANY_CELLS and not many:
        raise InputError(
            f"{found.source}: has {found.count} cells; pass --yes if you mean that, or give axes fewer values"
        )
    return found


def sweep_rows(folder: Path | str) -> tuple[list[Row], int]:
    """The rows of all cells in a sweep's folder that are done or failed, and how many cells there are in all.

    Of a file that ``hedge bench --out`` wrote a row for each measurement on each machine. Raises InputError
    if it is neither, or damaged.
    """
    if Path(folder).is_file():
        measured = [_measured(each) for each in read_bench_rows(Path(folder))]
        return measured, len(measured)
    return rows_of(Store(Path(folder)))


def _measured(row: BenchRow) -> Row:
    axes = {"host": row.host, "device": row.device, "model": row.model, "batch": row.batch}
    return Row(axes, row.figures, row.failed)


def _dashboard(client: Any) -> str:
    """Where Dask tells how its workers are doing, if there is something to tell it with."""
    if find_spec("bokeh") is None:
        return "workers are there; with bokeh installed Dask has a dashboard of them"
    return f"workers are there; Dask's dashboard: {client.dashboard_link}"


def _write_parquet(swept: Swept, *, is_new: bool) -> None:
    """All rows as one file, if there are others than before."""
    from hedge.sweeping.parquet import as_parquet

    path = swept.folder / PARQUET
    with refused(path):
        needed = is_new or not path.is_file()
    if needed and swept.rows:
        write_atomically(path, as_parquet(swept.rows), force=True)
