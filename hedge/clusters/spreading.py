"""The same function of many things: here one after the other, in processes, or on a cluster.

What comes of it hangs on the things alone, not on how many workers there are: whoever cuts work into
things cuts it the same way for any number.
"""

from __future__ import annotations

import os
import pickle
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import lru_cache, partial
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from signal import SIG_IGN, SIGINT, signal
from threading import Thread
from typing import Any, Generic, Protocol, TypeVar

from hedge.clusters.installed import installed
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


class Spread(Protocol):
    """Something that has many things done."""

    def __call__(
        self, function: Callable[[A], B], /
    ) -> AbstractContextManager[Callable[[Iterable[A]], Iterator[B]]]:
        """What stands in for ``partial(map, function)`` inside: results in the order of the things.

        The function is sent once, and can be pickled, as things and results are.
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
    pool = ProcessPoolExecutor(workers - 1, context, _end_with, (ended,))
    threads = ThreadPoolExecutor(workers - 1)
    try:
        yield partial(_over, pool, threads, workers - 1)
    except BrokenProcessPool as error:
        raise HedgeError(f"workers: {LOST}") from error
    finally:
        alive.close()
        for each in (pool, threads):
            each.shutdown(cancel_futures=True)


def _end_with(parent: Connection) -> None:
    signal(SIGINT, SIG_IGN)  # Ctrl-C reaches all processes; the first one ends the others
    Thread(target=_ended, args=(parent,), daemon=True).start()


def _ended(parent: Connection) -> None:
    wait([parent])
    os._exit(1)


@contextmanager
def _over(
    pool: ProcessPoolExecutor,
    threads: ThreadPoolExecutor,
    others: int,
    function: Callable[[A], B],
    /,
) -> Iterator[Each[A, B]]:
    """Whoever is free takes the next thing: this process, which has begun, and so many others."""
    pickled = _pickled(function)
    ready = [pool.submit(_prepare, pickled) for _ in range(others)]  # they start and import

    def here(thing: A) -> B:
        with one_blas_thread():
            return function(thing)

    def there(thing: A) -> B:
        found: B = pool.submit(_of_pickled, _pickled(thing), pickled).result()
        return found

    def each(things: Iterable[A]) -> Iterator[B]:
        listed = list(things)
        if len(listed) == 1:  # nobody would work meanwhile
            return map(function, listed)
        work: _Work[A, B] = _Work(listed)
        helping = [threads.submit(work.take_part, there, is_ready.result) for is_ready in ready]
        work.take_part(here)
        for one in helping:
            one.result()
        return work.results()

    yield each


class _Work(Generic[A, B]):
    """Things of which whoever is free does the next one."""

    def __init__(self, things: Sequence[A]) -> None:
        self._things, self._left = things, deque(range(len(things)))
        self._found: dict[int, B] = {}

    def take_part(self, do: Callable[[A], B], begin: Callable[[], None] = lambda: None) -> None:
        """Do things, after what must be done before, until none is left; all end with the first refusal."""
        try:
            begin()
            while (place := self._next()) is not None:
                self._found[place] = do(self._things[place])
        except BaseException:
            self._left.clear()
            raise

    def _next(self) -> int | None:
        try:
            return self._left.popleft()
        except IndexError:
            return None

    def results(self) -> Iterator[B]:
        """In the order of the things."""
        return (self._found[place] for place in range(len(self._things)))


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
