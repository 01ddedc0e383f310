"""Running what a sweep lacks on Dask's workers: every task once, and last what is timed."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from math import inf
from time import monotonic
from typing import Any, TypeVar
from uuid import uuid4

from hedge.clusters.installed import installed
from hedge.errors import RemoteError, first_line
from hedge.sweeping.ledger import Ledger
from hedge.sweeping.outcome import Outcome
from hedge.sweeping.plan import Task
from hedge.sweeping.store import Store
from hedge.sweeping.tally import Tally
from hedge.sweeping.waiting import TOGETHER_S, Waiting

T = TypeVar("T")

# What a worker does with a task and the results before it: gives its own, or None where one of those failed.
Run = Callable[..., Outcome | None]

# So many times each worker is handed something in advance; all of a large sweep would fill the scheduler.
IN_ADVANCE = 3
ASK_AFTER_S = 2.0
# Results of earlier runs that workers keep at hand; the next tasks mostly go on from the same.
AT_HAND = 16
DIED = "its worker died every time, as where memory runs out; take fewer workers, so that each has more"


class Runner:
    """Hands a ledger's tasks to workers, and what comes of them back to it."""

    def __init__(
        self,
        ledger: Ledger,
        store: Store,
        client: Any,  # of Dask, which has no types
        run: Run,
        on_tally: Callable[[Tally], None],
    ) -> None:
        self._ledger, self._store, self._client = ledger, store, client
        self._run, self._on_tally = run, on_tally
        self._count, self._asked = 1, -inf
        self._at_work: dict[str, tuple[list[Task], Any]] = {}
        self._at_hand: dict[str, Any] = {}

    def run(self) -> None:
        """Do all that is missing: first what may run side by side, then what is timed.

        Raises RemoteError when the scheduler is lost, OutputError when results can't be written.
        """
        stages = [self._ledger.missing(is_timed=is_timed) for is_timed in (False, True)]
        self._ledger.tally.tasks = sum(map(len, stages))
        for tasks in stages:
            self._do(tasks)

    def _do(self, tasks: Sequence[Task]) -> None:
        waiting = Waiting(tasks, self._ledger.is_there)
        finished = installed("distributed").as_completed()
        while True:
            while waiting.can_begin and len(self._at_work) < self._most_at_work(waiting):
                # where few are left there is something for everybody
                together = waiting.take(max(1, len(waiting) // (2 * self._workers())))
                self._hand_over(self._not_lost(together, waiting), finished)
            self._tell()
            if not self._at_work:
                return
            self._take_from(next(finished), waiting)

    def _most_at_work(self, waiting: Waiting) -> int:
        # what lies at a worker that dies is held guilty, too
        return self._workers() * (1 if waiting.is_suspicious else IN_ADVANCE)

    def _not_lost(self, tasks: Sequence[Task], waiting: Waiting) -> list[Task]:
        for task in tasks:
            if self._ledger.is_lost(task):
                waiting.done(task)
        return [task for task in tasks if not self._ledger.is_lost(task)]

    def _take_from(self, future: Any, waiting: Waiting) -> None:
        """Keep what came of tasks; those of which nothing came are tried once more, each by itself."""
        tasks, _ = self._at_work[future.key]
        outcomes = self._outcomes_of(future)
        del self._at_work[future.key]
        if isinstance(outcomes, Outcome) and not waiting.is_suspect(tasks[0]):
            waiting.back(tasks, are_suspects=True)
            return
        if isinstance(outcomes, Outcome):
            outcomes = [outcomes]
        for task, outcome in zip(tasks, outcomes, strict=False):
            if outcome is not None and not self._ledger.is_lost(task):
                self._ledger.take(task, outcome)
            waiting.done(task, None if outcome is None or outcome.failed else outcome.took_s)
        waiting.back(tasks[len(outcomes) :])

    def _workers(self) -> int:
        """How many there are; asked now and then, for they come and go."""
        if monotonic() - self._asked > ASK_AFTER_S:
            self._count, self._asked = max(1, len(self._client.nthreads())), monotonic()
        return self._count

    def _hand_over(self, tasks: list[Task], finished: Any) -> None:
        if not tasks:
            return
        files = {
            file.sha256: self._given(file.sha256, file.read)
            for task in tasks
            for file in task.files.values()
            if file.is_sent
        }
        before = {one.name: one for task in tasks for one in task.chain if one not in tasks}
        results = {name: self._result(one) for name, one in before.items()}
        key = (
            f"{tasks[0].name}-{uuid4().hex}"  # an earlier client's of the name may have been others
        )
        future = self._client.submit(run_in_order, self._run, tasks, files, results, key=key)
        self._at_work[key] = (tasks, future)
        finished.add(future)

    def _result(self, task: Task) -> Any:
        return self._given(task.name, lambda: self._store.outcome(task, with_files=True))

    def _given(self, name: str, read: Callable[[], Any]) -> Any:
        """What is read here, for workers; by a task, not scattered: what dies with a worker is made again."""
        if name not in self._at_hand:
            while len(self._at_hand) >= AT_HAND:
                del self._at_hand[next(iter(self._at_hand))]
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # Dask's, that it is large: it is sent once
                self._at_hand[name] = self._client.submit(as_it_is, read(), key=f"given-{name}")
        return self._at_hand[name]

    def _outcomes_of(self, future: Any) -> list[Outcome | None] | Outcome:
        """What the first of the tasks gave; if nothing comes of them, one that says why."""
        try:
            found: list[Outcome | None] = future.result()
        except Exception as error:
            is_dead = isinstance(error, installed("distributed").KilledWorker)
            if not is_dead and (future.cancelled() or self._client.status != "running"):
                raise RemoteError(
                    "the scheduler is lost; what is done is kept, and the same command goes on from there"
                ) from error
            self._at_hand.clear()  # which may be lost, too
            reason = DIED if is_dead else f"{type(error).__name__}: {first_line(error)}"
            return Outcome(failed=reason)
        return found

    def _tell(self) -> None:
        self._ledger.tally.running = min(len(self._at_work), self._workers())
        self._on_tally(self._ledger.tally)


def as_it_is(value: T) -> T:
    """What a worker is given, as a task of it."""
    return value


def run_in_order(
    run: Run, tasks: Sequence[Task], files: Mapping[str, bytes], results: Mapping[str, Outcome]
) -> list[Outcome | None]:
    """What a worker does: tasks of which some go on from others before them, as far as it gets in a second.

    ``files`` are those of their options, by hash; ``results`` those of other tasks, by name. Where they take
    longer than was thought, what is done is handed back, and the rest is left to whoever is free.
    """
    known: dict[str, Outcome | None] = dict(results)
    found: list[Outcome | None] = []
    started = monotonic()
    for task in tasks:
        sent = {o: files[file.sha256] for o, file in task.files.items() if file.is_sent}
        known[task.name] = run(task, sent, [known[one.name] for one in task.chain])
        found.append(known[task.name])
        if monotonic() - started > TOGETHER_S:
            break
    return found
