"""Running what a sweep lacks on Dask's workers: every task once, and last what is timed."""

from __future__ import annotations

import warnings
from collections import deque
from collections.abc import Callable, Sequence
from math import inf
from time import monotonic
from typing import Any, TypeVar

from hedge.clusters.installed import installed
from hedge.errors import RemoteError, first_line
from hedge.sweeping.ledger import Ledger
from hedge.sweeping.outcome import Outcome
from hedge.sweeping.plan import InputFile, Task
from hedge.sweeping.store import Store
from hedge.sweeping.tally import Tally

T = TypeVar("T")

# What a worker does with a task and the results before it: gives its own, or None where one of those failed.
Run = Callable[..., Outcome | None]

# So many tasks for each worker are handed over in advance; all of a large sweep would fill the scheduler.
IN_ADVANCE = 32
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
        self._at_work: dict[str, tuple[Task, Any]] = {}
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
        waiting = deque(tasks)
        finished = installed("distributed").as_completed()
        most = IN_ADVANCE * self._workers()
        while True:
            while waiting and len(self._at_work) < most:
                self._hand_over(waiting.popleft(), finished)
            self._tell()
            if not self._at_work:
                return
            future = next(finished)
            task, _ = self._at_work[future.key]
            outcome = self._outcome_of(future)
            del self._at_work[future.key]
            if outcome is not None and not self._ledger.is_lost(task):
                self._ledger.take(task, outcome)

    def _workers(self) -> int:
        """How many there are; asked now and then, for they come and go."""
        if monotonic() - self._asked > ASK_AFTER_S:
            self._count, self._asked = max(1, len(self._client.nthreads())), monotonic()
        return self._count

    def _hand_over(self, task: Task, finished: Any) -> None:
        if self._ledger.is_lost(task):
            return
        files = {option: self._file(file) for option, file in task.files.items() if file.is_sent}
        before = [self._result(one) for one in task.chain]
        future = self._client.submit(self._run, task, files, before, key=task.name)
        self._at_work[task.name] = (task, future)
        finished.add(future)

    def _result(self, task: Task) -> Any:
        """That of a task before: at work, or there already."""
        if task.name in self._at_work:
            return self._at_work[task.name][1]
        return self._given(task.name, lambda: self._store.outcome(task, with_files=True))

    def _file(self, file: InputFile) -> Any:
        return self._given(file.sha256, lambda: file.read())

    def _given(self, name: str, read: Callable[[], Any]) -> Any:
        """What is read here, for workers; by a task, not scattered: what dies with a worker is made again."""
        if name not in self._at_hand:
            while len(self._at_hand) >= AT_HAND:
                del self._at_hand[next(iter(self._at_hand))]
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # Dask's, that it is large: it is sent once
                self._at_hand[name] = self._client.submit(as_it_is, read(), key=f"given-{name}")
        return self._at_hand[name]

    def _outcome_of(self, future: Any) -> Outcome | None:
        """What a task gave; a failure where its worker died again and again."""
        try:
            found: Outcome | None = future.result()
        except installed("distributed").KilledWorker:
            return Outcome(failed=DIED)
        except Exception as error:
            if future.cancelled() or self._client.status != "running":
                raise RemoteError(
                    "the scheduler is lost; what is done is kept, and the same command goes on from there"
                ) from error
            return Outcome(failed=f"{type(error).__name__}: {first_line(error)}")
        return found

    def _tell(self) -> None:
        self._ledger.tally.running = min(len(self._at_work), self._workers())
        self._on_tally(self._ledger.tally)


def as_it_is(value: T) -> T:
    """What a worker is given, as a task of it."""
    return value
