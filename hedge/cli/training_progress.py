"""Progress of a training run: a bar on a terminal, a line now and then in a pipe."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from hedge.cli.console import err

if TYPE_CHECKING:
    from hedge.training import Record, State

LINE_INTERVAL_S = 10.0


@contextmanager
def training_progress(budget_s: float) -> Iterator[Callable[[State, Record], None]]:
    """A function to call after every cycle."""
    console = err()
    if not console.is_terminal:
        last = -LINE_INTERVAL_S

        def print_line(state: State, record: Record) -> None:
            nonlocal last
            if record.seconds - last >= LINE_INTERVAL_S:
                last = record.seconds
                console.print(f"{record.seconds:6.1f} s  {_losses(record)}", markup=False)

        yield print_line
        return
    columns = [BarColumn(), TimeElapsedColumn(), TextColumn("{task.description}")]
    with Progress(*columns, console=console) as bar:
        task = bar.add_task("starting", total=budget_s)

        def update(state: State, record: Record) -> None:
            bar.update(task, completed=record.seconds, description=_losses(record))

        yield update


def _losses(record: Record) -> str:
    return (
        f"step {record.step}  loss {record.train_loss:.2e} on training points, "
        f"{record.held_out_loss:.2e} on held-out points"
    )
