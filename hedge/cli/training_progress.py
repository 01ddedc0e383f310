"""Progress of a training run: a bar on a terminal, a line now and then in a pipe, a log in a file."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from hedge.cli.console import err
from hedge.files import check_writable

if TYPE_CHECKING:
    from hedge.training import OperatorRecord, Record

LINE_INTERVAL_S = 10.0

OnRecord = Callable[["Record | OperatorRecord"], None]


@contextmanager
def training_log(path: Path | None, *, append: bool, force: bool) -> Iterator[OnRecord]:
    """A function that adds a line of JSON to ``path``, if there is one, for every cycle."""
    if path is None:
        yield lambda record: None
        return
    check_writable(path, force=force or append)
    with path.open("a" if append else "w", encoding="utf-8") as file:

        def write(record: Record | OperatorRecord) -> None:
            file.write(json.dumps(record.as_dict(), allow_nan=False) + "\n")
            file.flush()

        yield write


@contextmanager
def training_progress(budget_s: float, on_record: OnRecord) -> Iterator[OnRecord]:
    """A function to call after every cycle; it passes the record on to ``on_record``."""
    console = err()
    if not console.is_terminal:
        last = -LINE_INTERVAL_S

        def print_line(record: Record | OperatorRecord) -> None:
            nonlocal last
            on_record(record)
            if record.seconds - last >= LINE_INTERVAL_S:
                last = record.seconds
                console.print(f"{record.seconds:6.1f} s  {_figures(record)}", markup=False)

        yield print_line
        return
    columns = [
        BarColumn(),
        TimeElapsedColumn(),
        TextColumn("left at most"),
        TimeRemainingColumn(),
        TextColumn("{task.description}"),
    ]
    with Progress(*columns, console=console) as bar:
        task = bar.add_task("starting", total=budget_s)

        def update(record: Record | OperatorRecord) -> None:
            on_record(record)
            bar.update(task, completed=record.seconds, description=_figures(record))

        yield update


def _figures(record: Record | OperatorRecord) -> str:
    # Operators have one method, and no error is measured on the way.
    method, error = getattr(record, "method", None), getattr(record, "relative_l2", None)
    return (
        f"step {record.step}{f' ({method})' if method else ''}  loss {record.train_loss:.2e}, "
        f"held out {record.held_out_loss:.2e}{'' if error is None else f'  error {error:.2e}'}"
    )
