"""What of a sweep is there, and what is still to be done; every result is written as soon as it comes."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from hedge.sweeping.outcome import Outcome
from hedge.sweeping.plan import Cell, Task
from hedge.sweeping.stages import STAGES
from hedge.sweeping.store import Store
from hedge.sweeping.tally import Tally


class Ledger:
    """The cells of a sweep and what is known of their tasks."""

    def __init__(self, store: Store, cells: Sequence[Cell], *, retry_failed: bool = False) -> None:
        self._store = store
        self.tally = Tally(len(cells))
        there = store.cells_there()
        self._open = {cell.key: cell for cell in cells if cell.key not in there}
        for cell in cells:
            if cell.key in there:
                self._count_there(cell, retry_failed=retry_failed)
        self.tally.before = self.tally.done + self.tally.failed
        self._cells_of: dict[str, list[Cell]] = defaultdict(list)
        self._outcomes: dict[str, Outcome] = {}
        tasks_there = store.tasks_there() if self._open else set()
        for cell in self._open.values():
            for task in cell.tasks:
                self._cells_of[task.key].append(cell)
                if task.name in tasks_there and task.key not in self._outcomes:
                    self._outcomes[task.key] = store.outcome(task, with_files=False)
        for cell in list(self._open.values()):
            self._finish_if_done(cell)

    def _count_there(self, cell: Cell, *, retry_failed: bool) -> None:
        record = self._store.record(cell.key)
        if record is not None and record.failed is None:
            self.tally.done += 1
        elif record is not None and not retry_failed:
            self.tally.failed += 1
        else:
            self._store.forget(cell)
            self._open[cell.key] = cell

    def missing(self, *, is_timed: bool) -> list[Task]:
        """The tasks without a result, in the cells' order, each once; those that are timed, or the others."""
        found: dict[str, Task] = {}
        for cell in self._open.values():
            for task in cell.tasks:
                if task.key not in self._outcomes and STAGES[task.stage].is_timed == is_timed:
                    found.setdefault(task.key, task)
        return list(found.values())

    def is_there(self, task: Task) -> bool:
        """Whether it has a result that others can go on from."""
        return task.key in self._outcomes

    def is_lost(self, task: Task) -> bool:
        """Whether one before it failed, so that it can't be done."""
        found = (self._outcomes.get(one.key) for one in task.chain)
        return any(one is not None and one.failed is not None for one in found)

    def take(self, task: Task, outcome: Outcome) -> None:
        """Write what a task gave, and the cells that this ends."""
        self._store.keep(task, outcome)
        names = {role: dict.fromkeys(files, b"") for role, files in outcome.files.items()}
        self.tally.tasks_done += 1
        self._outcomes[task.key] = Outcome(**{**vars(outcome), "files": names})
        for cell in self._cells_of[task.key]:
            self._finish_if_done(cell)

    def _finish_if_done(self, cell: Cell) -> None:
        outcomes = {
            task.key: self._outcomes[task.key] for task in cell.tasks if self.is_there(task)
        }
        has_failed = any(outcome.failed is not None for outcome in outcomes.values())
        if cell.key not in self._open or not (has_failed or len(outcomes) == len(cell.tasks)):
            return
        del self._open[cell.key]
        if has_failed:
            self.tally.failed += 1
        else:
            self.tally.done += 1
        self._store.finish(cell, outcomes)
