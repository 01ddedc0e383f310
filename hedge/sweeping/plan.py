"""What a sweep is to do: its cells, each a chain of tasks, and every task's key of all it hangs on."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hedge.errors import InputError
from hedge.files import open_file
from hedge.version import __version__

KEY_LENGTH = 16


@dataclass(frozen=True)
class InputFile:
    """A file of the user's that a task reads: what it is called, where it lies, and its content's SHA-256.

    is_sent says that workers get its bytes; a problem's file may need others beside it and is run where it
    lies.
    """

    name: str
    path: Path
    sha256: str
    is_sent: bool = True

    def read(self) -> bytes:
        """Its bytes; raises InputError if they are no longer those that the plan is made of."""
        with open_file(self.path) as file:
            data = file.read()
        if hashlib.sha256(data).hexdigest() != self.sha256:
            raise InputError(f"{self.path}: has changed while the sweep ran; start it again")
        return data


@dataclass(frozen=True)
class Task:
    """One stage of a cell, or of several cells that share it.

    options are those that were given, files those of their values that are files, by option; the dense model
    that a chain begins with is the file "model" of each stage. before is the task whose result it takes.
    """

    stage: str
    options: Mapping[str, Any]
    files: Mapping[str, InputFile]
    before: Task | None
    key: str

    @property
    def name(self) -> str:
        """What its result is kept as."""
        return f"{self.stage}-{self.key}"

    @property
    def chain(self) -> tuple[Task, ...]:
        """All tasks whose results it takes, the first one first."""
        return () if self.before is None else (*self.before.chain, self.before)


def task(
    stage: str,
    options: Mapping[str, Any],
    files: Mapping[str, InputFile],
    before: Task | None,
) -> Task:
    """The task with its key: a hash of stage, options, contents of files, the task before, and the version.

    >>> one, other = (task("train", {"problem": "heat", "seed": seed}, {}, None) for seed in (0, 1))
    >>> one.key == other.key
    False
    """
    hangs_on = {
        "stage": stage,
        "options": options,
        "files": {option: [file.name, file.sha256] for option, file in files.items()},
        "before": None if before is None else before.key,
        "version": __version__,
    }
    text = json.dumps(hangs_on, sort_keys=True, allow_nan=False)
    key = hashlib.sha256(text.encode()).hexdigest()[:KEY_LENGTH]
    return Task(stage, options, files, before, key)


@dataclass(frozen=True)
class Cell:
    """A point of the sweep: the value of every axis, and its tasks in order."""

    axes: Mapping[str, Any]
    tasks: tuple[Task, ...]

    @property
    def key(self) -> str:
        """That of its last task, which hangs on all before."""
        return self.tasks[-1].key


@dataclass(frozen=True)
class Plan:
    """All cells of a sweep, the first axis slowest; files are all that are read, by path."""

    stages: tuple[str, ...]
    axes: Mapping[str, tuple[Any, ...]]
    cells: tuple[Cell, ...]
    files: tuple[InputFile, ...]

    def as_document(self) -> dict[str, Any]:
        """What the folder of its results keeps of it, to know it again."""
        return {
            "hedge_sweep": 1,
            "version": __version__,
            "stages": list(self.stages),
            "axes": {name: list(values) for name, values in self.axes.items()},
            "files": {str(file.path): file.sha256 for file in self.files},
            "keys": [cell.key for cell in self.cells],
            "digest": self.digest,
        }

    @property
    def digest(self) -> str:
        """A hash of all cells' keys."""
        joined = "".join(cell.key for cell in self.cells)
        return hashlib.sha256(joined.encode()).hexdigest()
