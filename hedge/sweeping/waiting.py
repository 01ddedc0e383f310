"""Tasks that wait for a worker: those that can begin, and those that wait for the result of another."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from heapq import heappop, heappush
from math import inf

from hedge.sweeping.plan import Task

# Tasks that take so long in all are handed over together: handing over costs some hundredths of a second.
TOGETHER_S = 1.0


class Waiting:
    """The tasks of a sweep in their order, until a worker has them.

    ``is_there`` tells whether a task has a result that others can go on from.
    """

    def __init__(self, tasks: Sequence[Task], is_there: Callable[[Task], bool]) -> None:
        self._tasks, self._is_there = tasks, is_there
        self._places = {task.key: place for place, task in enumerate(tasks)}
        self._ready: list[int] = []
        self._blocked: dict[str, list[int]] = defaultdict(list)
        self._out: set[int] = set()
        self._suspects: set[int] = set()
        self._usual_s: dict[str, float] = {}
        for place in range(len(tasks)):
            self._put(place)

    def __len__(self) -> int:
        return len(self._tasks) - len(self._out)

    @property
    def can_begin(self) -> bool:
        """Whether one of them has all that it goes on from."""
        return bool(self._ready)

    @property
    def is_suspicious(self) -> bool:
        """Whether the next one may kill its worker."""
        return bool(self._ready) and self._ready[0] in self._suspects

    def is_suspect(self, task: Task) -> bool:
        """Whether it was with what killed a worker."""
        return self._places[task.key] in self._suspects

    def take(self, most: int) -> list[Task]:
        """The first that can begin, and after it others as long as that is short: so many at most.

        Each goes on from results that are there, or from those of others before it in the list.
        """
        first = heappop(self._ready)
        found, after = [first], sorted(self._blocked_by(first))
        left_s = -inf if first in self._suspects else TOGETHER_S - self._seconds(first)
        while len(found) < most and (after or self._ready):
            is_after = bool(after) and (not self._ready or after[0] < self._ready[0])
            source = after if is_after else self._ready
            left_s -= self._seconds(source[0])
            if not left_s >= 0.0 or source[0] in self._suspects:
                break
            found.append(heappop(source))
            for place in self._blocked_by(found[-1]):
                heappush(after, place)
        self._out.update(found)
        return [self._tasks[place] for place in found]

    def done(self, task: Task, took_s: float | None = None) -> None:
        """A task has a result, or will have none; by how long it took others of its stage are judged."""
        if took_s is not None:
            self._usual_s[task.stage] = (self._usual_s.get(task.stage, took_s) + took_s) / 2.0
        for place in self._blocked.pop(task.key, []):
            if place not in self._out:
                heappush(self._ready, place)

    def back(self, tasks: Sequence[Task], *, are_suspects: bool = False) -> None:
        """Tasks that were taken and are not done; of those that may kill a worker each is to be by itself."""
        places = [self._places[task.key] for task in tasks]
        if are_suspects:
            self._suspects.update(places)
        for place in places:
            self._out.remove(place)
            self._put(place)

    def _put(self, place: int) -> None:
        before = self._tasks[place].before
        if before is None or self._is_there(before):
            heappush(self._ready, place)
        elif place not in self._blocked[before.key]:
            self._blocked[before.key].append(place)

    def _blocked_by(self, place: int) -> list[int]:
        return self._blocked.get(self._tasks[place].key, [])

    def _seconds(self, place: int) -> float:
        return self._usual_s.get(self._tasks[place].stage, inf)
