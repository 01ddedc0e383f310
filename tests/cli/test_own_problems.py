"""A problem in a file of the user's own, by every command that takes one."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import hedge
from hedge.api import evaluate
from hedge.graph import load_model, metadata
from hedge.problems.template import plate
from tests.cli.conftest import Refuses, Run

PLATE = "my_problem.py:plate"
BRIEF = ["--device", "laptop-x86", "--tolerance", "1e-2", "--batch", "64", "--steps", "100"]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the template's problem, and a model of it."""
    folder = tmp_path_factory.mktemp("own")
    text = Path(hedge.__file__).parent / "problems" / "template.py"
    (folder / "my_problem.py").write_bytes(text.read_bytes())
    hedge.train(f"{folder}/{PLATE}", folder / "plate.onnx", width=8, depth=2, max_steps=120)
    return folder


@pytest.fixture
def here(made: Path, run: Run, tmp_path: Path) -> Run:
    """Commands in a folder with copies of the same."""
    for file in made.glob("*.*"):
        (tmp_path / file.name).write_bytes(file.read_bytes())
    return run


def test_the_template_is_a_problem_that_trains(run: Run, tmp_path: Path) -> None:
    (tmp_path / "my_problem.py").write_text(run("problems", "--template").out)
    found = run(
        "train", PLATE, "--width", "8", "--depth", "2", "--steps", "150", "--out", "p.onnx", "--json"
    )  # fmt: skip
    assert found.document()["relative_l2"] < 1e-2
    evaluated = run("evaluate", "p.onnx", "--problem", PLATE, "--json").document()
    assert evaluated["relative_l2"] == pytest.approx(found.document()["relative_l2"], rel=0.05)


def test_a_template_is_no_json(refuses: Refuses) -> None:
    refuses("problems", "--template", "--json", named=("template", "--json"))


def test_a_model_of_ones_own_problem_goes_all_the_way(here: Run) -> None:
    small = here("compress", "plate.onnx", "--problem", PLATE, *BRIEF, "--out", "s.onnx", "--json")
    plan = small.document()
    assert (plan["problem"], plan["points"]) == ("plate", "uniform over 0:1,0:1")
    assert f"--problem {PLATE}" in plan["command"]
    proved = here("certify", "s.onnx", "--problem", PLATE, "--boxes", "40", "--out", "c.json")
    assert f"hedge certify --check c.json --problem {PLATE}" in proved.out
    assert here("certify", "--check", "c.json", "--problem", PLATE).code == 0
    assert here("ntk", "plate.onnx", "s.onnx", "--problem", PLATE, "--points", "40").code == 0
    told = here("evaluate", "s.onnx", "--problem", PLATE, "--json").document()
    assert told["residual_rms"] > 0.0


def test_exports_know_its_columns(here: Run, tmp_path: Path) -> None:
    how = ["--problem", PLATE, "--outputs", "u,u_xy"]
    assert here("export", "plate.onnx", *how, "--out", "p.onnx").code == 0
    sheet = json.loads(metadata(load_model(tmp_path / "p.onnx"))["hedge.datasheet"])
    assert [(c["name"], c["lower"], c["upper"]) for c in sheet["inputs"]] == [
        ("x", 0, 1),
        ("y", 0, 1),
    ]
    here("export", "plate.onnx", "--out", "p.c", "--problem", PLATE, "--guard")
    assert "x in [0, 1], y in [0, 1]" in (tmp_path / "p.h").read_text()
    here("compress", "plate.onnx", "--problem", PLATE, *BRIEF, "--out", "s.c", "--no-recover")
    assert "x in [0, 1], y in [0, 1]" in (tmp_path / "s.h").read_text()


def test_a_report_shows_its_errors(here: Run, tmp_path: Path) -> None:
    assert here("report", "plate.onnx", "--problem", PLATE, "--out", "p.html").code == 0
    page = (tmp_path / "p.html").read_text()
    assert "A plate on springs" in page
    assert "the reference solution" in page


@pytest.mark.parametrize("command", [["export", "--out", "p.c"], ["report", "--out", "p.html"]])
def test_what_does_not_fit_is_refused(here: Run, refuses: Refuses, command: list[str]) -> None:
    name, *out = command
    refuses(name, "plate.onnx", *out, "--problem", "heat", named=("solves 'plate'", "not 'heat'"))
    refuses(name, "plate.onnx", *out, "--problem", "gone.py:plate", named=("gone.py",))


def test_compress_may_be_against_its_reference(here: Run) -> None:
    how = ["--against", "reference", "--recover", "residual", "--problem", PLATE]
    plan = here("compress", "plate.onnx", *how, *BRIEF, "--out", "s.onnx", "--json").document()
    assert plan["relative_error"] <= 1e-2


def test_python_takes_the_value_as_well(here: Run) -> None:
    by_name = evaluate("plate.onnx", PLATE)
    assert evaluate("plate.onnx", plate) == by_name
    small = hedge.compress("plate.onnx", problem=plate, device="laptop-x86", recover=None)
    assert small.plan.problem == "plate"


@pytest.mark.parametrize(
    "command",
    [
        ["compress", "plate.onnx", "--device", "laptop-x86", "--out", "s.onnx"],
        ["compress", "plate.onnx", "--device", "laptop-x86", "--out", "s.onnx", "--domain", "0:1,0:1",
         "--against", "reference"],
        ["ntk", "plate.onnx"],
        ["ntk", "plate.onnx", "--domain", "0:1,0:1", "--residual"],
        ["compare", "plate.onnx", "--device", "laptop-x86"],
        ["certify", "plate.onnx", "plate.onnx"],
    ],
)  # fmt: skip
def test_without_the_file_a_command_says_what_to_type(
    here: Run, refuses: Refuses, command: list[str]
) -> None:
    refuses(*command, named=("--problem FILE.py:NAME", "'plate'"))


def test_a_check_needs_the_file_too(here: Run, refuses: Refuses) -> None:
    here("certify", "plate.onnx", "--problem", PLATE, "--boxes", "10", "--out", "c.json")
    refuses("certify", "--check", "c.json", named=("c.json", "'plate'", "--problem FILE.py:NAME"))


def test_a_name_in_a_model_runs_no_file(here: Run, refuses: Refuses, tmp_path: Path) -> None:
    """Metadata of strangers may name any file."""
    content = (tmp_path / "plate.onnx").read_bytes()
    hostile = content.replace(b"hedge.problem\x12\x05plate", b"hedge.problem\x12\x05t.py:")
    assert hostile != content
    (tmp_path / "t.py").write_text("raise AssertionError('run')")
    (tmp_path / "h.onnx").write_bytes(hostile)
    refuses("compress", "h.onnx", "--device", "laptop-x86", "--out", "s.onnx", named=("'t.py:'",))
    assert json.loads(here("inspect", "h.onnx", "--json").out)
    assert here("export", "h.onnx", "--out", "h.c").code == 0
    assert here("report", "h.onnx", "--out", "h.html").code == 0


def test_a_fault_in_the_file_is_one_line(here: Run, refuses: Refuses, tmp_path: Path) -> None:
    (tmp_path / "bad.py").write_text("x = 1\n1 / 0\n")
    refuses("train", "bad.py:plate", "--out", "b.onnx", named=("bad.py:2", "ZeroDivisionError"))
    refuses("evaluate", "plate.onnx", "--problem", "bad.py:plate", named=("bad.py:2",))
    refuses(
        "train", PLATE, "--sensors", "4", "--out", "b.onnx", named=("plate is no operator", "--sensors")
    )  # fmt: skip
