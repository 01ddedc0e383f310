"""Progress of a training run: a bar on a terminal, a line now and then in a pipe, a log in a file."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from io import FileIO
from pathlib import Path
from typing import TYPE_CHECKING

from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from hedge.cli.console import err
from hedge.errors import InputError, OutputError
from hedge.files import check_writable
from hedge.names import checkpoint_of

if TYPE_CHECKING:
    from hedge.training import Record

LINE_INTERVAL_S = 10.0

OnRecord = Callable[["Record"], None]


@contextmanager
def training_reports(
    budget_s: float | None,
    log: Path | None,
    out: Path,
    *,
    resume: bool,
    force: bool,
) -> Iterator[OnRecord]:
    """A function to call after every cycle, which shows it and adds it to the log, if there is one.

    Ctrl-C that leaves the run without a result becomes an InputError that says what there is.
    """
    cycles = 0
    try:
        with (
            training_log(log, out, append=resume, force=force) as on_record,
            training_progress(budget_s, on_record) as show,
        ):

            def on_cycle(record: Record) -> None:
                nonlocal cycles
                cycles += 1
                show(record)

            yield on_cycle
    except KeyboardInterrupt:
        raise _interrupted(cycles, checkpoint_of(out)) from None


@contextmanager
def training_log(path: Path | None, out: Path, *, append: bool, force: bool) -> Iterator[OnRecord]:
    """A function that adds a line of JSON to ``path``, if there is one, for every cycle.

    The file is made, or an older one emptied, by the first cycle, so a refused run leaves it as it is.
    Raises InputError if ``path`` is ``out`` or its checkpoint, OutputError if it can't be written.
    """
    if path is None:
        yield lambda record: None
        return
    for option, other in (("--out", out), ("the checkpoint", checkpoint_of(out))):
        if os.path.realpath(path) == os.path.realpath(other):
            raise InputError(f"log: {path} is the file of {option} as well; name another one")
    check_writable(path, force=force or append)
    file: FileIO | None = None

    def write(record: Record) -> None:
        nonlocal file
        try:
            if file is None:
                file = _opened_log(path, append=append, force=force)
            _add_line(file, json.dumps(record.as_dict(), allow_nan=False))
        except FileExistsError as error:
            raise OutputError(
                f"{path}: another process has just written it; choose another name or pass --force"
            ) from error
        except OSError as error:
            raise OutputError(f"{path}: can't be written: {error.strerror}") from error

    try:
        yield write
    finally:
        if file is not None:
            with suppress(OSError):  # what could not be written was reported
                if file.tell() == 0:
                    path.unlink()
                file.close()


def _opened_log(path: Path, *, append: bool, force: bool) -> FileIO:
    """The log, unbuffered, at its end, which is that of a line."""
    if not append:
        return path.open("wb" if force else "xb", buffering=0)
    file = path.open("a+b", buffering=0)
    if file.tell():
        file.seek(-1, os.SEEK_END)
        if file.read(1) != b"\n":  # a run was killed while it wrote
            file.write(b"\n")
    return file


def _add_line(file: FileIO, line: str) -> None:
    """Add the whole line, or nothing of it if the system refuses."""
    end, left = file.tell(), f"{line}\n".encode()
    try:
        while left:
            left = left[file.write(left) :]
    except OSError:
        with suppress(OSError):
            file.truncate(end)
            file.seek(end)
        raise


def _interrupted(cycles: int, checkpoint: Path) -> InputError:
    if checkpoint.exists():
        return InputError(
            f"train: interrupted; the same command with --resume goes on from {checkpoint}"
        )
    if cycles:
        return InputError(
            "train: interrupted before the network was written, and there is no checkpoint"
        )
    return InputError("train: interrupted before the first cycle; nothing was written")


@contextmanager
def training_progress(budget_s: float | None, on_record: OnRecord) -> Iterator[OnRecord]:
    """A function to call after every cycle; it passes the record on to ``on_record``."""
    console = err()
    if not console.is_terminal:
        last = -LINE_INTERVAL_S

        def print_line(record: Record) -> None:
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
        total = budget_s if budget_s is not None and math.isfinite(budget_s) else None
        task = bar.add_task("starting", total=total)

        def update(record: Record) -> None:
            on_record(record)
            bar.update(task, completed=record.seconds, description=_figures(record))

        yield update


def _figures(record: Record) -> str:
    # Operators have one method, and no error is measured on the way.
    method, error = getattr(record, "method", None), getattr(record, "relative_l2", None)
    if error is not None:
        error = f"  error {error:.2e}{by_field(record)}"
    unknowns = getattr(record, "unknowns", {})
    window = getattr(record, "window", None)
    where = "" if window is None else f"window {window}: "
    return (
        f"{where}step {record.step}{f' ({method})' if method else ''}  loss {record.train_loss:.2e}, "
        f"held out {record.held_out_loss:.2e}{error or ''}"
        + "".join(f"  {name} {value:.6g}" for name, value in unknowns.items())
    )


def by_field(told: object) -> str:
    """The errors of each field that a record or a result tells, behind that of all; nothing of one field."""
    errors = getattr(told, "by_field", {})  # operators have none
    return f" ({', '.join(f'{name} {of:.1e}' for name, of in errors.items())})" if errors else ""
