"""The same function of many things: here one after the other, in processes, or on a cluster.

What comes of it hangs on the things alone, not on how many workers there are: whoever cuts work into
things cuts it the same way for any number. Where several of them are refused, one refusal comes.
"""

from __future__ import annotations

import os
import pickle
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from dataclasses import dataclass
from functools import lru_cache, partial
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from signal import SIG_IGN, SIGINT, signal
from threading import Thread
from typing import Any, Protocol, TypeVar

from hedge.clusters.installed import installed
from hedge.clusters.local import ONE_THREAD
from hedge.clusters.opening import open_cluster
from hedge.clusters.settings import cluster_settings
from hedge.errors import HedgeError, InputError, RemoteError, first_line
from hedge.hmatrix.threads import one_blas_thread
from hedge.memory import keep_freed_memory
from hedge.progress import Progress, silent

A = TypeVar("A")
B = TypeVar("B")
Each = Callable[[Iterable[A]], Iterator[B]]
LOST = "a worker ended, perhaps for want of memory; take fewer workers"
LONGEST_TURN_S = 60.0  # takes microseconds


class Spread(Protocol):
    """Something that has many things done."""

    def __call__(
        self, function: Callable[[A], B], /
    ) -> AbstractContextManager[Callable[[Iterable[A]], Iterator[B]]]:
        """What stands in for ``partial(map, function)`` inside: results in the order of the things.

        The function is sent once, and can be pickled, as things and results are. Things of one iterable
        come back before another is begun.
        """


@contextmanager
def alone(function: Callable[[A], B], /) -> Iterator[Each[A, B]]:
    """One after the other, here.

    >>> with alone(abs) as each:
    ...     list(each([1, -2]))
    [1, 2]
    """
    yield partial(map, function)


@contextmanager
def spread_over(
    workers: int = 1, scheduler: str | None = None, on_progress: Progress = silent
) -> Iterator[Spread]:
    """Over this process and others, so many in all, or the workers of the Dask scheduler at an address.

    Raises InputError for less than one worker, or both; RemoteError if the scheduler can't be reached.
    """
    if workers < 1:
        raise InputError(f"workers: {workers} is too small; at least 1")
    if scheduler is None:
        with nullcontext(alone) if workers == 1 else _in_processes(workers) as spread:
            yield spread
        return
    if workers != 1:
        raise InputError(
            f"workers: {workers} processes here, or those of the scheduler? Leave out one of the two"
        )
    settings = cluster_settings({"kind": "scheduler", "address": scheduler}, "scheduler")
    with open_cluster(settings, on_progress=on_progress) as client:
        yield on_cluster(client)


def on_cluster(client: Any) -> Spread:
    """Over the workers of a ``distributed.Client``."""

    @contextmanager
    def spread(function: Callable[[A], B], /) -> Iterator[Each[A, B]]:
        with _losses():
            held = client.scatter(_pickled(function), broadcast=True, hash=False)
            importing = [  # while the first things are done here
                client.submit(_prepare, held, workers=[address], pure=False)
                for address in client.nthreads()
            ]

        def each(things: Iterable[A]) -> Iterator[B]:
            listed = list(things)
            if len(listed) == 1:  # nobody would work meanwhile
                return map(function, listed)
            futures = client.map(
                _of_pickled, [_pickled(thing) for thing in listed], function=held, pure=False
            )
            return _in_order(client, futures)

        yield each
        del importing

    return spread


def _in_order(client: Any, futures: list[Any]) -> Iterator[Any]:
    """Their results; what one of them raises comes where its result would."""
    with _losses():
        installed("distributed").wait(futures)
        if all(future.status == "finished" for future in futures):
            yield from client.gather(futures)  # at once: to ask for each takes longer
            return
        for future in futures:
            yield future.result()


@contextmanager
def _losses() -> Iterator[None]:
    """What Dask raises of workers that die, and where the connection to its scheduler ends, in one line."""
    from distributed import CancelledError, KilledWorker

    try:
        yield
    except KilledWorker as error:
        raise HedgeError(f"cluster: {LOST}, or more memory for each") from error
    except (CancelledError, OSError) as error:
        raise RemoteError(
            "cluster: the scheduler is lost, or all workers are; start it again"
        ) from error


@contextmanager
def _in_processes(workers: int) -> Iterator[Spread]:
    """This process and others, which end with it, however that ends: it alone holds the pipe open."""
    context = get_context("spawn")
    ended, alive = context.Pipe(duplex=False)
    turns = _Turns(context.Array("q", 2))
    pool = ProcessPoolExecutor(workers - 1, context, _begin, (ended, turns))
    for _ in range(workers - 1):
        pool.submit(_loaded)  # they start at once, while this one reads what is to be sent
    try:
        yield partial(_over, pool, turns, workers - 1)
    except BrokenProcessPool as error:
        raise HedgeError(f"workers: {LOST}") from error
    finally:
        alive.close()
        pool.shutdown(cancel_futures=True)


@contextmanager
def _over(
    pool: ProcessPoolExecutor, turns: _Turns, others: int, function: Callable[[A], B], /
) -> Iterator[Each[A, B]]:
    """Whoever is free takes the next thing: this process, which has begun, and so many others."""
    pickled = _pickled(function)
    preparing = [pool.submit(_prepare, pickled) for _ in range(others)]

    def each(things: Iterable[A]) -> Iterator[B]:
        listed = list(things)
        if len(listed) == 1:  # nobody would work meanwhile
            return map(function, listed)
        work, sent = turns.new(len(listed)), _pickled(listed)
        helping = [pool.submit(_take_part, work, sent, pickled) for _ in range(others)]
        for one in helping:
            one.add_done_callback(partial(_end_if_refused, turns, work))
        try:
            with one_blas_thread():
                found = dict(_done(turns.taken(work), listed, function))
        finally:  # where this is refused here, or interrupted, the others go no further
            turns.end(work)
        for one in as_completed(helping):  # whoever is still loading has taken none
            if len(found) == len(listed):
                break
            found.update(one.result())
        return (found[place] for place in range(len(listed)))

    yield each
    del preparing


def _end_if_refused(turns: _Turns, work: _Work, one: Future[Any]) -> None:
    if not one.cancelled() and one.exception() is not None:
        with suppress(BrokenProcessPool):  # which the work itself tells
            turns.end(work)


@dataclass(frozen=True)
class _Work:
    """So many things, of the work of this number."""

    number: int
    count: int


@dataclass(frozen=True)
class _Turns:
    """Which thing is the next one, as all processes see it: each is taken once, by whoever is free.

    Nobody is asked for it, since this process answers late while it computes.
    """

    shared: Any  # the number of the work, and the next place

    def new(self, count: int) -> _Work:
        """What is taken from now on; of what was before nothing is left."""
        with self._locked():
            self.shared[:] = [self.shared[0] + 1, 0]
            return _Work(self.shared[0], count)

    def end(self, work: _Work) -> None:
        """Nothing of it is left."""
        with self._locked():
            if self.shared[0] == work.number:
                self.shared[1] = work.count

    def taken(self, work: _Work) -> Iterator[int]:
        """Places of things that nobody else takes, until none is left."""
        while (place := self._next(work)) is not None:
            yield place

    def _next(self, work: _Work) -> int | None:
        with self._locked():
            number, place = self.shared
            if number != work.number or place == work.count:
                return None
            self.shared[1] = place + 1
            return int(place)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        lock = self.shared.get_lock()
        if not lock.acquire(timeout=LONGEST_TURN_S):  # who had it was killed in these microseconds
            raise BrokenProcessPool
        try:
            yield
        finally:
            lock.release()


def _done(
    places: Iterable[int], things: Sequence[A], function: Callable[[A], B]
) -> Iterator[tuple[int, B]]:
    return ((place, function(things[place])) for place in places)


_turns_here: list[_Turns] = []  # a worker's, which can be sent only when it starts


def _begin(parent: Connection, turns: _Turns) -> None:
    """A worker's first step."""
    os.environ.update(ONE_THREAD)  # also for what reads it late
    signal(SIGINT, SIG_IGN)  # Ctrl-C reaches all processes; the first one ends the others
    Thread(target=_ended, args=(parent,), daemon=True).start()
    _turns_here.append(turns)


def _ended(parent: Connection) -> None:
    wait([parent])
    os._exit(1)


def _loaded() -> None:
    """All that the first step needs."""


def _take_part(work: _Work, things: bytes, function: bytes) -> dict[int, Any]:
    """What this worker had time for, by place."""
    keep_freed_memory()
    do, listed = _unpickled(function), pickle.loads(things)
    with one_blas_thread():
        return dict(_done(_turns_here[0].taken(work), listed, do))


def _pickled(thing: Any) -> bytes:
    """Functions that a user wrote, and those inside others, are sent with their code, as Dask sends them."""
    try:
        return pickle.dumps(thing)
    except (pickle.PicklingError, AttributeError, TypeError):
        return _with_code(thing)


def _with_code(thing: Any) -> bytes:
    try:
        return bytes(installed("cloudpickle").dumps(thing))
    except (pickle.PicklingError, TypeError) as error:
        raise InputError(
            f"workers: this can't be sent to others ({first_line(error)}); take one worker"
        ) from error


def _of_pickled(thing: bytes, function: bytes) -> Any:
    keep_freed_memory()
    with one_blas_thread():
        return _unpickled(function)(pickle.loads(thing))


def _prepare(pickled: bytes) -> None:
    _unpickled(pickled)


@lru_cache(1)
def _unpickled(pickled: bytes) -> Callable[[Any], Any]:
    """The function that was sent the last time, with what it has found out since."""
    function: Callable[[Any], Any] = pickle.loads(pickled)
    return function
