"""``hedge reproduce``: what it writes, what it refuses, and what an interruption leaves."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from hedge.errors import InputError
from hedge.reproducing import ITEMS, Item, Materials, registry
from tests.cli.conftest import Refuses, Run, contents


def test_results_and_figures(run: Run, tmp_path: Path) -> None:
    document = run("reproduce", "ex4", "ex1", "--out", "paper", "--quick", "--json").document()
    assert document["hedge_reproduce"] == 1
    assert document["quick"]
    assert document["complete"]
    assert [item["id"] for item in document["items"]] == ["ex1", "ex4"]
    written = json.loads((tmp_path / "paper" / "results.json").read_text())
    assert written["items"] == document["items"]
    figures = {f["file"] for item in document["items"] for f in item["figures"]}
    assert {path.name for path in (tmp_path / "paper").iterdir()} == {*figures, "results.json"}
    assert {path.name for path in tmp_path.iterdir()} == {"paper"}


def test_the_table_names_both_figures(run: Run) -> None:
    outcome = run("reproduce", "ex1", "--out", "paper")
    assert outcome.code == 0
    (line,) = [line for line in outcome.out.splitlines() if "n₂ for an error" in line]
    assert line.split()[0] == "ex1"
    assert line.count("36") == 2
    assert "yes" in line


def test_force_leaves_foreign_files_alone(run: Run, tmp_path: Path) -> None:
    folder = tmp_path / "paper"
    folder.mkdir()
    (folder / "notes.txt").write_text("mine")
    (folder / "results.json").write_text("old")
    assert run("reproduce", "ex1", "--out", "paper", "--force", "--json").code == 0
    assert (folder / "notes.txt").read_text() == "mine"
    assert json.loads((folder / "results.json").read_text())["complete"]


def test_unknown_ids_are_refused_with_the_known(refuses: Refuses) -> None:
    refuses("reproduce", "ex1", "ex9", "--out", "paper", named=("'ex9'", "def1", "fig8"))


def test_a_negative_seed_is_refused(refuses: Refuses) -> None:
    refuses("reproduce", "ex1", "--out", "paper", "--seed", "-1", named=("seed: -1",))


def test_folders_that_exist_are_refused(refuses: Refuses, tmp_path: Path) -> None:
    (tmp_path / "paper").mkdir()
    refuses("reproduce", "ex1", "--out", "paper", named=("paper: exists", "--force"))
    (tmp_path / "file").write_text("mine")
    refuses("reproduce", "ex1", "--out", "file", "--force", named=("file: is a file",))
    refuses("reproduce", "ex1", "--out", "nowhere/paper", named=("no folder nowhere",))


@pytest.mark.parametrize(("id", "extra"), [("ex4", "report"), ("lem1", "train")])
def test_missing_extras_are_one_line(
    id: str, extra: str, refuses: Refuses, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registry, "find_spec", lambda name: None)
    named = (f"pip install 'hedge-pinn[{extra}]'", id)
    refuses("reproduce", id, "--out", "paper", named=named)


def _interrupted(materials: Materials) -> Item:
    raise KeyboardInterrupt


def _failed(materials: Materials) -> Item:
    raise InputError("ex2: can't be done")


def test_ctrl_c_keeps_what_is_finished(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(ITEMS, "ex2", _interrupted)
    outcome = run("reproduce", "ex1", "ex2", "ex3", "--out", "paper")
    assert outcome.code == 130
    assert "1 of 3" in outcome.err
    document = json.loads((tmp_path / "paper" / "results.json").read_text())
    assert [item["id"] for item in document["items"]] == ["ex1"]
    assert not document["complete"]


def test_an_error_keeps_what_is_finished(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(ITEMS, "ex2", _failed)
    outcome = run("reproduce", "ex1", "ex2", "--out", "paper")
    assert outcome.code == 1
    assert outcome.err.splitlines()[-1] == "hedge: ex2: can't be done"
    assert [path.name for path in contents(tmp_path)] == ["paper", "results.json"]


def test_force_writes_all_or_nothing(run: Run, tmp_path: Path) -> None:
    folder = tmp_path / "paper"
    (folder / "ex4.png").mkdir(parents=True)
    (folder / "results.json").write_text("old")
    outcome = run("reproduce", "ex4", "--out", "paper", "--quick", "--force")
    assert outcome.code == 1
    assert "ex4.png: is a folder" in outcome.err
    assert (folder / "results.json").read_text() == "old"


def test_a_link_to_nowhere_is_refused_before_the_work(refuses: Refuses, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("nowhere")
    refuses("reproduce", "ex1", "--out", "link", "--force", named=("link: is a file",))
