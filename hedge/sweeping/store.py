"""The folder of a sweep's results: what every task gave, and a JSON of every cell that is done or failed.

A task's result is a folder of its own, which takes its name when all lies in it; a cell's file is written
after those of its tasks. Whoever is killed leaves whole results, and temporaries that the next run removes.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from pydantic import TypeAdapter

from hedge.documents import finite, parse_json, read_json, read_text
from hedge.errors import InputError
from hedge.files import open_file, refused
from hedge.sweeping.outcome import Outcome, Scalar
from hedge.sweeping.plan import Cell, Plan, Task
from hedge.temporaries import remove_leftovers, temporary_file, temporary_folder, unused_name
from hedge.version import __version__

SWEEP, TASKS, CELLS, RESULT = "sweep.json", "tasks", "cells", "result.json"
ENDING = ".json"


@dataclass(frozen=True)
class Record:
    """What a cell's file says: axes, whether it failed and why, figures and times of its stages, and files.

    files are paths from the sweep's folder, by role.
    """

    key: str
    axes: dict[str, Any]
    failed: str | None
    figures: dict[str, Scalar]
    timed: dict[str, Scalar]
    files: dict[str, list[str]]

    def as_document(self) -> dict[str, Any]:
        """As it is written."""
        return {"hedge_sweep_cell": 1, **finite(vars(self))}


RECORDS = TypeAdapter(Record)


@dataclass(frozen=True)
class Begun:
    """What the folder's own file says of its plan."""

    hedge_sweep: Literal[1]
    version: str
    stages: list[str]
    axes: dict[str, list[Any]]
    files: dict[str, str]
    keys: list[str]
    digest: str


BEGUN = TypeAdapter(Begun)


class Store:
    """A sweep's folder, which is made if it is not there."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def begin(self, plan: Plan, *, force: bool) -> None:
        """Take the folder for a plan: a new one, or one of the same plan.

        Raises InputError for one of another plan unless ``force`` is given, for one whose files have changed
        since, and for a folder that holds something else; OutputError if it can't be written.
        """
        if not self.folder.parent.is_dir():
            raise InputError(
                f"{self.folder}: there is no folder {self.folder.parent}; create it first"
            )
        if self.folder.exists() and not self.folder.is_dir():
            raise InputError(f"{self.folder}: is no folder; name one, or one that is not there yet")
        is_there = (self.folder / SWEEP).exists()
        if is_there:
            self._check_kinds()
        if is_there and not force:
            self._check_same(plan)
        elif not is_there and self.folder.exists() and any(self.folder.iterdir()):
            raise InputError(
                f"{self.folder}: holds other files than a sweep's; choose another name"
            )
        with refused(self.folder):
            for name in (TASKS, CELLS):
                (self.folder / name).mkdir(parents=True, exist_ok=True)
        for name in (TASKS, CELLS):
            remove_leftovers(self.folder / name)
        if not is_there or force:
            self._write(self.folder / SWEEP, plan.as_document())

    @contextmanager
    def held(self) -> Iterator[None]:
        """Inside, no other process may write here; raises InputError if one does.

        The system gives the folder free when a process dies.
        """
        descriptor = os.open(self.folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            raise InputError(
                f"{self.folder}: another hedge sweep is at work there; wait for it, or end it first"
            ) from None
        except OSError:  # a file system without locks
            pass
        try:
            yield
        finally:
            os.close(descriptor)

    def _check_kinds(self) -> None:
        """Raise InputError for a file in a folder's place, or a folder in a file's."""
        if (self.folder / SWEEP).is_dir():
            raise InputError(f"{self.folder / SWEEP}: is a folder; remove it, and pass --force")
        for name in (TASKS, CELLS):
            path = self.folder / name
            if path.exists() and not path.is_dir():
                raise InputError(
                    f"{path}: is no folder; remove it, and its results are computed anew"
                )

    def _check_same(self, plan: Plan) -> None:
        known = self.document()
        others = (
            "give the folder of another sweep a new name, or pass --force to keep what both share"
        )
        for file in plan.files:
            before = known["files"].get(str(file.path))
            if before is not None and before != file.sha256:
                raise InputError(
                    f"{file.path}: has changed since the sweep in {self.folder} began; put the old file "
                    "back, take another folder, or pass --force to compute its cells anew"
                )
        if known["digest"] == plan.digest:
            return
        if known["version"] != __version__:
            raise InputError(
                f"{self.folder}: was begun by hedge {known['version']}, this is {__version__}; go on with "
                "that one, take another folder, or pass --force to compute all anew"
            )
        own, other = plan.as_document(), known
        differ = [name for name in ("stages", "axes") if own[name] != other[name]]
        what = f"its {' and '.join(differ)} differ" if differ else "its options differ"
        raise InputError(f"{self.folder}: holds another sweep ({what}); {others}")

    def document(self) -> dict[str, Any]:
        """What :meth:`begin` wrote of the plan. Raises InputError if the folder is none of a sweep."""
        path = self.folder / SWEEP
        if not path.exists():
            raise InputError(
                f"{self.folder}: is no folder of a sweep; name that of hedge sweep --out"
            )
        self._check_kinds()
        try:
            return vars(BEGUN.validate_python(parse_json(read_text(path))))
        except ValueError as error:  # pydantic's is one, too
            raise InputError(
                f"{path}: is damaged or of another version; take another folder, or pass --force to write it "
                "anew and keep what is there of this sweep"
            ) from error

    def tasks_there(self) -> set[str]:
        """The names of all tasks that have a result."""
        return {entry.name for entry in self._kept(TASKS, are_folders=True)}

    def cells_there(self) -> set[str]:
        """The keys of all cells that have a file."""
        return {entry.name.removesuffix(ENDING) for entry in self._kept(CELLS, are_folders=False)}

    def _kept(self, part: str, *, are_folders: bool) -> Iterator[os.DirEntry[str]]:
        """What lies in a part of the folder, but for temporaries; raises InputError for what can't be one."""
        try:
            found = sorted(os.scandir(self.folder / part), key=lambda entry: entry.name)
        except OSError as error:
            raise InputError(
                f"{self.folder / part}: can't be read ({error.strerror}); start the sweep again"
            ) from error
        for entry in found:
            if entry.name[0] == ".":
                continue
            if entry.is_dir() != are_folders:
                kind = "no folder" if are_folders else "a folder"
                raise InputError(f"{entry.path}: is {kind}; remove it to have it made anew")
            yield entry

    def keep(self, task: Task, outcome: Outcome) -> None:
        """Write what a task gave, whole or not at all; one that is there already stays."""
        place = self.folder / TASKS / task.name
        document = json.dumps(finite(outcome.as_document()), allow_nan=False)
        contents = {
            f"{role}/{name}": data
            for role, files in outcome.files.items()
            for name, data in files.items()
        } | {RESULT: document.encode()}
        with refused(place), temporary_folder(place.parent) as made:
            for name, data in contents.items():
                path = made.path / name
                path.parent.mkdir(parents=True, exist_ok=True)
                with path.open("wb") as stream:
                    _write_through(stream.fileno(), data)
            if not place.exists():
                made.path.rename(place)

    def outcome(self, task: Task, *, with_files: bool) -> Outcome:
        """What a task gave; its files' bytes only if they are asked for.

        Raises InputError if it is damaged.
        """
        place = self.folder / TASKS / task.name
        anew = "remove its folder to compute it anew"
        if (place / RESULT).is_dir():
            raise InputError(f"{place / RESULT}: is a folder; {anew}")
        found = read_json(place / RESULT, f"a task's result; {anew}")
        try:
            outcome = Outcome(**{**found, "files": {}})
            files = {
                role: {name: _read(place / role / name) if with_files else b"" for name in names}
                for role, names in found["files"].items()
            }
        except (TypeError, KeyError, AttributeError, InputError) as error:
            raise InputError(f"{place}: is damaged; remove it to compute it anew") from error
        return replace(outcome, files=files)

    def finish(self, cell: Cell, outcomes: Mapping[str, Outcome]) -> Record:
        """Write a cell's file; outcomes are those of its tasks up to the first that failed, by key."""
        figures: dict[str, Any] = {}
        timed: dict[str, Any] = {}
        files: dict[str, list[str]] = {}
        failed = None
        for task in cell.tasks:
            if (outcome := outcomes.get(task.key)) is None:
                break
            figures |= outcome.figures
            timed |= {**outcome.timed, f"{task.stage}_s": outcome.took_s, "host": outcome.host}
            for role, names in outcome.files.items():
                files[role] = [f"{TASKS}/{task.name}/{role}/{name}" for name in names]
            if outcome.failed is not None:
                failed = f"{task.stage}: {outcome.failed}"
        record = Record(cell.key, dict(cell.axes), failed, figures, timed, files)
        self._write(self.folder / CELLS / f"{cell.key}{ENDING}", record.as_document())
        return record

    def record(self, key: str) -> Record | None:
        """What a cell's file says; None where there is none yet. Raises InputError for a damaged one."""
        path = self.folder / CELLS / f"{key}{ENDING}"
        if not path.exists():
            return None
        try:
            found = RECORDS.validate_python(parse_json(read_text(path)))
            if found.key != key:
                raise ValueError("is that of another cell")
        except ValueError as error:  # pydantic's is one, too
            raise InputError(f"{path}: is damaged; remove it to write it anew") from error
        return found

    def records(self) -> Iterator[Record]:
        """Those of all cells that have a file, by key."""
        for key in sorted(self.cells_there()):
            if (found := self.record(key)) is not None:
                yield found

    def forget(self, cell: Cell) -> None:
        """Take away a failed cell's file, and of its tasks' results those that failed."""
        (self.folder / CELLS / f"{cell.key}{ENDING}").unlink(missing_ok=True)
        for task in cell.tasks:
            place = self.folder / TASKS / task.name
            if place.exists() and self.outcome(task, with_files=False).failed is not None:
                gone = place.with_name(unused_name())  # a kill in between leaves what is no result
                with suppress(FileNotFoundError):
                    place.rename(gone)
                    shutil.rmtree(gone)

    def _write(self, path: Path, document: Mapping[str, Any]) -> None:
        data = json.dumps(document, allow_nan=False, indent=1).encode()
        with refused(path), temporary_file(path.parent) as part:
            _write_through(part.descriptor, data)
            part.path.replace(path)


def _write_through(descriptor: int, data: bytes) -> None:
    """Down to the disk, so that what a full one refuses comes up now."""
    with os.fdopen(descriptor, "wb", closefd=False) as stream:
        stream.write(data)
    os.fsync(descriptor)


def _read(path: Path) -> bytes:
    with open_file(path) as file:
        return file.read()
