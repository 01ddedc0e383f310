"""The network that suits a problem: what it says, and what is trained where no other is asked for."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

import hedge
from hedge.cli.problem_table import networks
from hedge.errors import InputError
from hedge.problems import GALLERY, Layers, find_problem
from hedge.training import TrainingRun, initial_state
from tests.cli.conftest import Run, run

__all__ = ["run"]

PAGE = Path(__file__).parents[2] / "docs" / "training.md"


def test_the_page_on_training_has_the_network_of_every_problem() -> None:
    gallery = PAGE.read_text(encoding="utf-8").split("## The gallery")[1].split("\n### ")[0]
    told = dict(re.findall(r"^\| `([\w-]+)` \|.*\| ([\dof ]*\d+x\d+) \|", gallery, re.MULTILINE))
    assert told == {name: networks(problem) for name, problem in GALLERY.items()}


@pytest.mark.parametrize(
    ("asked", "widths"),
    [
        ({}, (10, 10)),
        ({"width": 5}, (5, 5)),
        ({"depth": 3}, (10, 10, 10)),
        ({"width": 4, "depth": 1}, (4,)),
    ],
)
def test_what_is_not_asked_for_suits_the_problem(
    asked: dict[str, int], widths: tuple[int, ...]
) -> None:
    wanted = TrainingRun(find_problem("heat-inverse"), **asked)
    assert wanted.hidden == initial_state(wanted).best.widths == widths


def test_a_problem_that_says_nothing_has_three_layers_of_24() -> None:
    assert Layers() == Layers(24, 3)
    assert find_problem("helmholtz").layers == Layers(24, 3)


def test_the_command_and_the_function_train_it_and_go_on_with_it(run: Run, tmp_path: Path) -> None:
    out = tmp_path / "h.onnx"
    run("train", "heat-inverse", "--steps", "2", "--out", out)
    again = hedge.train("heat-inverse", out, max_steps=2, resume=True)
    assert again.network.widths == (10, 10)
    with pytest.raises(InputError, match=r"has hidden layers of 10, 10 neurons, not those of"):
        hedge.train("heat-inverse", out, width=11, max_steps=2, resume=True)


@pytest.mark.parametrize("bad", [{"width": 0}, {"depth": 0}, {"width": 2.5}, {"depth": True}])
def test_sizes_of_no_layers_are_refused(bad: dict[str, int]) -> None:
    with pytest.raises(InputError, match=f"layers: {next(iter(bad))} .* is no whole number of at"):
        Layers(**bad)


def test_layers_of_another_kind_are_refused_with_the_problem() -> None:
    with pytest.raises(InputError, match=r"'heat': layers \(20, 3\) must be Layers; write Layers"):
        replace(find_problem("heat"), layers=(20, 3))  # type: ignore[arg-type]
