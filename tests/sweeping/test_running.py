"""What a runner makes of workers that die; the workers themselves are those of test_sweeping."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import distributed
import pytest
from distributed.scheduler import KilledWorker

from hedge.sweeping import Cell, Ledger, Outcome, Plan, Runner, Store, running
from hedge.sweeping.plan import Task, task


@dataclass
class Future:
    """What is handed over, and whether its worker dies."""

    key: str
    value: Any

    def result(self) -> Any:
        if isinstance(self.value, Exception):
            raise self.value
        return self.value


@dataclass
class Client:
    """Workers that do at once what they are given, and die of some of it."""

    deadly: set[int]
    given: list[list[int]] = field(default_factory=list)

    def nthreads(self) -> dict[str, int]:
        return {"one": 1, "two": 1}

    def submit(self, function: Any, *args: Any, key: str) -> Future:
        if not isinstance(args[1] if len(args) > 1 else None, list):
            return Future(key, args[0])
        run, tasks, files, results = args
        seeds = [one.options["seed"] for one in tasks]
        self.given.append(seeds)
        if self.deadly & set(seeds):
            return Future(key, KilledWorker(key, None, 3))
        known = {name: found.result() for name, found in results.items()}
        return Future(key, function(run, tasks, files, known))


class FirstComeFirstServed(list[Future]):
    add = list.append

    def __next__(self) -> Future:
        return self.pop(0)

    def __iter__(self) -> Iterator[Future]:
        return self


def brief(one: Task, files: dict[str, bytes], before: Sequence[Outcome]) -> Outcome:
    return Outcome({"seed": one.options["seed"]}, took_s=0.01)


def records_of(folder: Path, deadly: set[int], monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr(distributed, "as_completed", FirstComeFirstServed)
    tasks = [task("train", {"seed": seed}, {}, None) for seed in range(40)]
    cells = [Cell({"seed": seed}, (one,)) for seed, one in enumerate(tasks)]
    store, client = Store(folder / "runs"), Client(deadly)
    store.begin(Plan(("train",), {}, tuple(cells), ()), force=False)
    Runner(Ledger(store, cells), store, client, brief, lambda tally: None).run()
    return client.given, list(store.records())


@pytest.mark.parametrize("deadly", [{0}, {19}, {5, 39}])
def test_a_task_that_kills_its_workers_fails_alone(
    deadly: set[int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After it was tried once more by itself; those that were handed over with it are done."""
    given, records = records_of(tmp_path, deadly, monkeypatch)
    failed = {record.axes["seed"]: record.failed for record in records if record.failed}
    assert set(failed) == deadly
    assert all(why.startswith("train: its worker died every time") for why in failed.values())
    assert len(records) == 40
    assert all(given.count([seed]) in (1, 2) for seed in deadly)


def test_short_tasks_are_handed_over_together_and_each_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given, _ = records_of(tmp_path, set(), monkeypatch)
    assert sorted(seed for seeds in given for seed in seeds) == list(range(40))
    assert given[0] == [0]
    assert len(given) < 25


def test_what_takes_longer_than_others_did_is_handed_back_one_by_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So that a kill loses no more than one of them."""
    clock = iter(range(10**6))
    monkeypatch.setattr(running, "monotonic", lambda: next(clock) * 10.0)
    given, records = records_of(tmp_path, set(), monkeypatch)
    assert max(map(len, given)) > 1
    assert len(given) == len(records) == 40
