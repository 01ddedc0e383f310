"""``hedge sweep``: many cells of stages from one file, and ``hedge sweep show``: what came of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from typer.core import TyperGroup

from hedge.cli.options import Json, file_argument, file_option
from hedge.errors import InputError

if TYPE_CHECKING:
    from hedge.sweeping import Tally

RUN = "run"
# A pipe gets a line of progress after so many seconds, a terminal after so few.
PIPED_EVERY_S, SHOWN_EVERY_S = 10.0, 0.2


class _RunByDefault(TyperGroup):
    """``hedge sweep FILE`` is ``hedge sweep run FILE``."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """With the name of the command that is meant."""
        if args and args[0] not in self.commands and args[0] not in ("-h", "--help"):
            args = [RUN, *args]
        return super().parse_args(ctx, args)


sweeps = typer.Typer(
    cls=_RunByDefault,
    no_args_is_help=True,
    help="Run many cells of stages from one file: hedge sweep FILE, with the options of run.",
)


@sweeps.command(RUN, epilog="[bold]Example:[/bold] hedge sweep sweep.toml --out runs")
def sweep(
    file: Annotated[Path, file_argument(help="The .toml file of stages and axes.")],
    out: Annotated[
        Path | None, file_option(help="The folder of its results, begun or new.")
    ] = None,
    workers: Annotated[
        int | None, typer.Option(help="Processes; one for each core if not given.")
    ] = None,
    scheduler: Annotated[
        str | None, typer.Option(help="Use the workers of this one, tcp://HOST:PORT.")
    ] = None,
    retry: Annotated[
        Literal["failed"] | None, typer.Option(help="Do those cells again that failed.")
    ] = None,
    dry_run: Annotated[
        bool,
        typer.Option(
            "--dry-run",
            help="Only list the cells, and which are there; print the script of SLURM's jobs.",
        ),
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="More than 10,000 cells are meant.")] = False,
    mlflow: Annotated[
        str | None, typer.Option(help="Log cells as runs there, too: a server's URI, or a folder.")
    ] = None,
    force: Annotated[
        bool,
        typer.Option("--force", help="Take the folder of another sweep; keep what both share."),
    ] = False,
    json: Json = False,
) -> None:
    """Do all cells that a file asks and that are not done yet; the same command goes on after any end.

    A cell that fails is a row with its reason, makes the exit code 1, and the others go on.
    """
    from hedge import api
    from hedge.cli.console import print_json, progress, say
    from hedge.cli.sweep_table import print_plan_of, print_rows
    from hedge.clusters import Slurm, job_script

    if dry_run:
        planned = api.planned(file, many=yes)
        print_plan_of(planned, out, json=json)
        if isinstance(planned.cluster, Slurm) and not json:
            say(f"each of {planned.cluster.jobs} job(s) of SLURM:\n{job_script(planned.cluster)}")
        return
    if out is None:
        raise InputError("out: not given; name the folder of the results")
    with progress() as on_progress, _told(on_progress) as on_tally:
        found = api.sweep(
            file, out, workers=workers, scheduler=scheduler, retry_failed=retry is not None, many=yes,
            force=force, mlflow=mlflow, on_progress=on_progress, on_tally=on_tally,
        )  # fmt: skip
    if json:
        rows = [row.as_document() for row in found.rows]
        print_json({"out": str(out), "done": found.done, "failed": found.failed, "cells": rows})
    else:
        print_rows(str(out), found.rows, len(found.plan.cells))
        say(
            f"{out}: {found.done} cells done, {found.failed} failed; {out / api.PARQUET} has all figures"
        )
    if found.failed:
        raise typer.Exit(1)


@contextmanager
def _told(on_progress: Callable[[str], None]) -> Iterator[Callable[[Tally], None]]:
    """What tells how far a sweep is, not too often."""
    import sys

    every_s = SHOWN_EVERY_S if sys.stderr.isatty() else PIPED_EVERY_S
    last, told = monotonic() - every_s, ""

    def tell(tally: Tally) -> None:
        nonlocal last, told
        if str(tally) != told and (monotonic() - last >= every_s or not tally.left):
            last, told = monotonic(), str(tally)
            on_progress(told)

    yield tell


@sweeps.command("show", epilog="[bold]Example:[/bold] hedge sweep show runs --by error")
def show(
    folder: Annotated[
        Path, file_argument(help="The folder of a sweep, or what hedge bench --out wrote.")
    ],
    by: Annotated[
        str | None, typer.Option(help="Best first by this column, an axis or a figure.")
    ] = None,
    pareto: Annotated[
        Literal["latency", "bytes", "energy"] | None,
        typer.Option(help="Only what nothing beats in both error and this, by model and device."),
    ] = None,
    json: Json = False,
) -> None:
    """Show what came of a sweep's cells, of one that runs, too."""
    from hedge import api
    from hedge.cli.console import print_json
    from hedge.cli.sweep_table import print_rows
    from hedge.sweeping import best_first, front

    rows, cells = api.sweep_rows(folder)
    chosen = rows if pareto is None else front(rows, pareto)
    if by is not None:
        chosen = best_first(chosen, by)
    if json:
        print_json(
            {"folder": str(folder), "of": cells, "cells": [row.as_document() for row in chosen]}
        )
    else:
        print_rows(str(folder), chosen, cells)
