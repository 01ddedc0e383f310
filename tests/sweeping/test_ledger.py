"""What is kept of a sweep: every result whole, cells that share tasks, and what is done again."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from hedge.errors import InputError, OutputError
from hedge.sweeping import Ledger, Outcome, Plan, Store, read_sweep
from tests.conftest import random_mlp

BOTH = {"tolerance": [0.1, 0.01]}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "a.onnx").write_bytes(random_mlp([2, 4, 1]).SerializeToString())
    monkeypatch.chdir(tmp_path)
    return tmp_path


def plan(**axes: Any) -> Plan:
    table = {
        "stages": ["train", "compress"],
        "axes": {"problem": "heat", "device": "rp2040", **axes},
    }
    return read_sweep(table, lambda: []).plan


def compressing(**axes: Any) -> Plan:
    table = {"stages": ["compress"], "axes": {"model": "a.onnx", "device": "rp2040", **axes}}
    return read_sweep(table, lambda: []).plan


def begun(folder: Path, plan: Plan) -> Store:
    store = Store(folder / "runs")
    store.begin(plan, force=False)
    return store


def test_a_shared_task_is_done_once_and_cells_end_with_their_last(folder: Path) -> None:
    found = plan(**BOTH)
    store = begun(folder, found)
    ledger = Ledger(store, found.cells)
    train, *compress = ledger.missing(is_timed=False)
    assert [train.stage, *(task.stage for task in compress)] == ["train", "compress", "compress"]
    ledger.take(train, Outcome({"train_error": 0.5}, files={"dense": {"heat.onnx": b"dense"}}))
    ledger.take(
        compress[0], Outcome({"error": 0.1}, {}, {"small": {"heat.x": b"small"}}, None, 2.0, "here")
    )
    assert (ledger.tally.done, ledger.tally.left) == (1, 1)
    again = Ledger(store, found.cells)
    assert again.missing(is_timed=False) == [compress[1]]
    record = store.record(found.cells[0].key)
    assert record is not None
    assert record.figures == {"train_error": 0.5, "error": 0.1}
    assert record.timed == {"train_s": 0.0, "compress_s": 2.0, "host": "here"}
    assert (store.folder / record.files["small"][0]).read_bytes() == b"small"
    assert store.outcome(train, with_files=True).files == {"dense": {"heat.onnx": b"dense"}}


def test_what_hangs_on_a_failed_task_fails_and_is_done_again_when_asked(folder: Path) -> None:
    found = plan(**BOTH)
    store = begun(folder, found)
    ledger = Ledger(store, found.cells)
    train, compress, _ = ledger.missing(is_timed=False)
    ledger.take(train, Outcome(failed="no"))
    assert ledger.is_lost(compress)
    assert (ledger.tally.failed, ledger.tally.left) == (2, 0)
    assert [record.failed for record in store.records()] == ["train: no", "train: no"]
    assert Ledger(store, found.cells).tally.left == 0
    again = Ledger(store, found.cells, retry_failed=True)
    assert [task.stage for task in again.missing(is_timed=False)] == [
        "train",
        "compress",
        "compress",
    ]


def test_cells_whose_tasks_are_there_are_written_without_any_work(folder: Path) -> None:
    found = plan(**BOTH)
    store = begun(folder, found)
    for task in Ledger(store, found.cells).missing(is_timed=False):
        store.keep(task, Outcome({"x": 1}))
    assert not store.cells_there()  # as if killed before it could write them
    ledger = Ledger(store, found.cells)
    assert (ledger.tally.done, ledger.missing(is_timed=False)) == (2, [])
    assert len(store.cells_there()) == 2


def test_the_folder_of_another_sweep_is_refused_unless_forced(folder: Path) -> None:
    first, second = plan(**BOTH), plan(tolerance=[0.1, 0.001])
    store = begun(folder, first)
    for task in Ledger(store, first.cells).missing(is_timed=False):
        store.keep(task, Outcome({"x": 1}))
    with pytest.raises(InputError, match="holds another sweep \\(its axes differ\\)"):
        store.begin(second, force=False)
    store.begin(second, force=True)
    ledger = Ledger(store, second.cells)
    assert [task.options["tolerance"] for task in ledger.missing(is_timed=False)] == [0.001]


def test_a_model_that_changed_since_is_named(folder: Path) -> None:
    store = begun(folder, compressing())
    (folder / "a.onnx").write_bytes(random_mlp([2, 4, 1], 5).SerializeToString())
    with pytest.raises(InputError, match=r"a\.onnx: has changed since"):
        store.begin(compressing(), force=False)


def test_another_version_is_named(folder: Path) -> None:
    found = plan()
    store = begun(folder, found)
    document = json.loads((store.folder / "sweep.json").read_text())
    (store.folder / "sweep.json").write_text(
        json.dumps({**document, "version": "0.0.9", "digest": ""})
    )
    with pytest.raises(InputError, match=r"was begun by hedge 0\.0\.9"):
        store.begin(found, force=False)


def test_a_folder_of_something_else_is_left_alone(folder: Path) -> None:
    (folder / "runs").mkdir()
    (folder / "runs" / "mine.txt").write_text("x")
    with pytest.raises(InputError, match="holds other files than a sweep's"):
        begun(folder, plan())
    with pytest.raises(InputError, match="is no folder of a sweep"):
        Store(folder / "runs").document()
    with pytest.raises(InputError, match="there is no folder"):
        Store(folder / "x" / "runs").begin(plan(), force=False)


def test_two_sweeps_never_write_into_one_folder(folder: Path) -> None:
    store = begun(folder, plan())
    with store.held(), pytest.raises(InputError, match="another hedge sweep is at work"):
        store.held().__enter__()
    with store.held():
        pass


def test_a_full_disk_leaves_no_part_of_a_result(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = plan()
    store = begun(folder, found)
    (train, _) = Ledger(store, found.cells).missing(is_timed=False)

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OutputError, match="can't be written: No space left on device"):
        store.keep(train, Outcome(files={"dense": {"heat.onnx": b"dense"}}))
    assert not list((store.folder / "tasks").iterdir())


def test_damaged_results_are_named(folder: Path) -> None:
    found = plan()
    store = begun(folder, found)
    (train, _) = Ledger(store, found.cells).missing(is_timed=False)
    store.keep(train, Outcome())
    (store.folder / "tasks" / train.name / "result.json").write_text("{}")
    with pytest.raises(InputError, match=f"{train.name}: is damaged"):
        store.outcome(train, with_files=True)
    os.mkfifo(store.folder / "cells" / "x.json")  # which would never end
    with pytest.raises(InputError, match=r"x\.json: is a device or a pipe"):
        list(store.records())
    (store.folder / "cells" / "x.json").unlink()
    (store.folder / "cells" / "x.json").write_text("{")
    with pytest.raises(InputError, match=r"x\.json: is damaged"):
        list(store.records())


@pytest.mark.parametrize("text", ["", "[1]", '{"hedge_sweep": 1, "keys": 4}', "\x00"])
def test_a_damaged_file_of_the_sweep_is_named_and_forced_anew(folder: Path, text: str) -> None:
    found = compressing(tolerance=0.1)
    store = begun(folder, found)
    (folder / "runs" / "sweep.json").write_text(text)
    with pytest.raises(InputError, match=r"sweep\.json: is damaged.*--force"):
        store.document()
    with pytest.raises(InputError, match=r"sweep\.json: is damaged.*--force"):
        begun(folder, found)
    store.begin(found, force=True)
    assert store.document()["keys"] == [found.cells[0].key]


def test_a_cell_under_the_name_of_another_is_damaged(folder: Path) -> None:
    found = compressing(**BOTH)
    store = begun(folder, found)
    one, other = found.cells
    store.finish(one, {})
    cells = folder / "runs" / "cells"
    (cells / f"{one.key}.json").rename(cells / f"{other.key}.json")
    with pytest.raises(InputError, match=f"{other.key}.json: is damaged"):
        store.record(other.key)


@pytest.mark.parametrize("name", ["sweep.json", "tasks", "cells", "cells/KEY.json", "tasks/NAME"])
def test_a_folder_in_a_files_place_or_the_other_way_is_named(folder: Path, name: str) -> None:
    found = compressing(tolerance=0.1)
    (cell,) = found.cells
    store = begun(folder, found)
    path = folder / "runs" / name.replace("KEY", cell.key).replace("NAME", cell.tasks[0].name)
    is_folder = name.endswith(".json")
    if path.is_dir():
        path.rmdir()
    path.unlink(missing_ok=True)
    if is_folder:
        path.mkdir()
    else:
        path.write_text("x")
    kind = "is a folder" if is_folder else "is no folder"

    def go_on() -> None:
        Ledger(begun(folder, found), found.cells)

    def show() -> None:
        store.document()
        store.cells_there()
        store.tasks_there()

    for command in (go_on, show):
        with pytest.raises(InputError, match=f"{path.name}: {kind}; remove it"):
            command()


@pytest.mark.parametrize("name", ["result.json", "small/a.x"])
def test_a_folder_in_place_of_a_tasks_file_is_named(folder: Path, name: str) -> None:
    found = compressing(tolerance=0.1)
    store, task = begun(folder, found), found.cells[0].tasks[0]
    store.keep(task, Outcome(files={"small": {"a.x": b"small"}}))
    path = store.folder / "tasks" / task.name / name
    path.unlink()
    path.mkdir()
    with pytest.raises(InputError, match=r"(is a folder|is damaged); remove"):
        store.outcome(task, with_files=True)
