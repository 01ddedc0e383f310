"""Operators from the command line: trained, measured, compressed, exported, and what is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
from onnx import ModelProto

import hedge
from hedge.errors import InputError
from hedge.graph import load_model, metadata
from hedge.problems import GALLERY, OPERATORS, find_operator
from hedge.problems.operators import SQUARE
from hedge.problems.tridiagonal import Tridiagonal
from hedge.training import DivergenceError, Record, operator_training
from tests.cli.conftest import Run
from tests.conftest import random_mlp

SENSORS = 32
POISSON = ["train", "poisson-operator"]
ON_GRID = [*POISSON, "--sensors", str(SENSORS), "--out", "p.onnx"]
COMPRESS = ["--device", "raspberry-pi-4b", "--tolerance", "5e-2", "--batch", "64"]


def relative(found: np.ndarray, expected: np.ndarray) -> float:
    return float(np.linalg.norm(found - expected) / np.linalg.norm(expected))


def run_model(path: Path, sources: np.ndarray) -> np.ndarray:
    session = onnxruntime.InferenceSession(str(path))
    return np.asarray(session.run(None, {"x": sources.astype(np.float32)})[0])


def test_from_training_to_a_small_model(run: Run, tmp_path: Path) -> None:
    trained = run(*ON_GRID, "--log", "log.jsonl", "--json")
    document = trained.document()
    assert document["converged"]
    assert (document["stopped"], document["sensors"]) == ("converged", SENSORS)
    assert document["parameters"] == SENSORS**2
    assert "step 4  loss" in trained.err
    lines = (tmp_path / "log.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in lines] == document["history"]

    evaluated = run("evaluate", "p.onnx", "--problem", "poisson-operator", "--json").document()
    assert evaluated["relative_l2"] < 1e-6
    assert 0 < evaluated["residual_rms"] < 1e-3

    small = "p.hedge.safetensors"
    plan = run("compress", "p.onnx", *COMPRESS, "--out", small, "--json").document()
    assert plan["points"] == f"random sources of poisson-operator on {SENSORS} sensors"
    assert plan["problem"] == "poisson-operator"
    assert plan["relative_error"] < 5e-2
    assert plan["parameters"] < plan["dense_parameters"]
    assert run("export", small, "--out", "small.onnx").code == 0
    problem = find_operator("poisson-operator", SENSORS)
    sources = problem.sample(500, seed=77)
    assert relative(run_model(tmp_path / "small.onnx", sources), problem.reference(sources)) < 6e-2
    again = run("evaluate", "small.onnx", "--problem", "poisson-operator", "--json").document()
    assert 1e-3 < again["relative_l2"] < 6e-2


@pytest.mark.parametrize("name", OPERATORS)
def test_every_operator_is_trained_and_evaluated(run: Run, name: str) -> None:
    grid, sensors = ("7x7", 49) if name in SQUARE else ("48", 48)
    assert "relative L2 error" in run("train", name, "--sensors", grid, "--out", "m.onnx").out
    evaluated = run("evaluate", "m.onnx", "--problem", name)
    figures = evaluated.out.splitlines()[-1].split()
    assert float(figures[0]) < 1e-4
    assert (figures[2] == "-") == (name in ("heat-operator", "heat2d-operator"))
    assert json.loads(metadata(load_model(Path("m.onnx")))["hedge.training"])["sensors"] == sensors


def test_compression_against_the_reference(run: Run) -> None:
    run("train", "cubic-operator", "--sensors", "32", "--out", "c.onnx")
    arguments = ["compress", "c.onnx", *COMPRESS, "--against", "reference", "--json"]
    plan = run(*arguments, "--out", "c.safetensors").document()
    assert plan["against"] == "reference"
    assert 1e-6 < plan["relative_error"] < 5e-2
    other = run(*arguments, "--out", "h.safetensors", "--problem", "heat-operator")
    assert other.code == 1
    assert "can't be met" in other.err


@pytest.mark.filterwarnings("default::hedge.errors.OtherProblemWarning")
def test_a_model_of_another_operator_is_measured_with_a_word(run: Run) -> None:
    run("train", "poisson2d-operator", "--sensors", "4x4", "--out", "s.onnx")
    wrong = run("evaluate", "s.onnx", "--problem", "poisson-operator")
    assert wrong.code == 0
    assert (
        "warning: s.onnx says that it solves 'poisson2d-operator'; measured was how far it is from "
        "'poisson-operator'" in wrong.err
    )
    assert not run("evaluate", "s.onnx", "--problem", "poisson2d-operator").err


def test_samples_of_ones_own_take_the_place_of_sources(run: Run) -> None:
    run(*ON_GRID)
    np.save("s.npy", np.random.default_rng(0).standard_normal((3000, SENSORS)))
    arguments = ["--samples", "s.npy", "--out", "p.safetensors", "--json"]
    plan = run("compress", "p.onnx", *COMPRESS, *arguments).document()
    assert plan["points"] == "3000 rows of s.npy"


def test_problems_lists_operators_beside_the_gallery(run: Run) -> None:
    text = run("problems").out
    assert "burgers-half" in text
    document = run("problems", "--json").document()
    assert [operator["name"] for operator in document["operators"]] == list(OPERATORS)
    for operator in document["operators"]:
        assert operator["name"] in text
        assert operator["inputs"] == "n sensors"
    problems = {problem["name"]: problem for problem in document["problems"]}
    keys = {
        "name", "title", "inputs", "fields", "domain", "unknowns", "measured_values", "layers",
        "windows",
    }  # fmt: skip
    assert keys == problems["burgers"].keys()
    assert problems["burgers"]["unknowns"] == {}
    assert problems["burgers"]["measured_values"] == 0
    assert problems["heat-inverse"]["unknowns"] == {"kappa": [0.01, 1.0]}
    readings = sum(len(measured.values) for measured in GALLERY["heat-inverse"].data)
    assert problems["heat-inverse"]["measured_values"] == readings > 0


def test_steps_and_seed_fix_the_file(run: Run, tmp_path: Path) -> None:
    files = []
    for name in ("a.onnx", "b.onnx"):
        trained = run(*POISSON, "--sensors", "32", "--steps", "8", "--seed", "3", "--out", name)
        assert "not converged" in trained.err
        files.append((tmp_path / name).read_bytes())
    assert files[0] == files[1]


# --- Refusals: one line that names the thing, and no file ----------------------------------------

BAD: dict[str, tuple[list[str], tuple[str, ...]]] = {
    "no sensors": ([*POISSON, "--out", "o.onnx"], ("sensors: not given", "--sensors 1024")),
    "width": ([*ON_GRID, "--width", "64"], ("poisson-operator", "--width")),
    "method and grow": ([*ON_GRID, "--method", "auto", "--grow"], ("--method, --grow",)),
    "nothing to resume": ([*ON_GRID, "--resume"], ("p.onnx.checkpoint: there is no checkpoint",)),
    "sensors zero": (
        [*POISSON, "--out", "o.onnx", "--sensors", "0"],
        ("sensors: 0 ", "2 to 16384"),
    ),
    "one sensor": ([*POISSON, "--out", "o.onnx", "--sensors", "1"], ("sensors: 1 ", "2 to 16384")),
    "too many to train": (
        [*POISSON, "--out", "o.onnx", "--sensors", "4097"],
        ("sensors: 4097 ", "4096"),
    ),
    "too many": ([*POISSON, "--out", "o.onnx", "--sensors", "5000"], ("sensors: 5000 ",)),
    "budget": ([*ON_GRID, "--budget", "0"], ("budget: 0 ",)),
    "steps": ([*ON_GRID, "--steps", "0"], ("steps: 0 ",)),
    "seed": ([*ON_GRID, "--seed", "-1"], ("seed: -1 ",)),
    "out exists": ([*POISSON, "--sensors", "9", "--out", "mlp.onnx"], ("mlp.onnx: exists",)),
    "sensors of a problem": (
        ["train", "heat", "--sensors", "64", "--out", "o.onnx"],
        ("heat is no operator", "--sensors"),
    ),
    "unknown": (
        ["train", "wave-operator", "--sensors", "64", "--out", "o.onnx"],
        ("'wave-operator'", "heat-operator", "`hedge problems` lists"),
    ),
    "evaluate, unknown": (
        ["evaluate", "mlp.onnx", "--problem", "wave-operator"],
        ("'wave-operator'", "heat-operator"),
    ),
    "evaluate, one input": (
        ["evaluate", "one.onnx", "--problem", "heat-operator"],
        ("'heat-operator'", "1 input"),
    ),
    "evaluate, another output": (
        ["evaluate", "mlp.onnx", "--problem", "heat-operator"],
        ("'heat-operator'", "the model 1"),
    ),
    "evaluate, a problem of points": (
        ["evaluate", "operator.onnx", "--problem", "heat"],
        ("'heat' has 2 inputs", "1024"),
    ),
    "compress, another output": (
        ["compress", "mlp.onnx", "--problem", "heat-operator", "--out", "o.safetensors"],
        ("'heat-operator'", "1 output"),
    ),
    "compress, a grid of others": (
        ["compress", "operator.onnx", "--grid", "48x48", "--out", "o.safetensors"],
        ("grid: 48x48 has 2304 points", "1024 rows or columns"),
    ),
    "compress, no grid": (
        ["compress", "operator.onnx", "--grid", "48", "--out", "o.safetensors"],
        ("grid: '48' is no grid", "48x48"),
    ),
    "compress, seed": (
        ["compress", "operator.onnx", "--seed", "-1", "--out", "o.safetensors"],
        ("seed: -1",),
    ),
    "ntk": (["ntk", "operator.onnx"], ("ntk: 'poisson-operator' is an operator",)),
    "ntk, named": (["ntk", "mlp.onnx", "--problem", "heat-operator"], ("'heat-operator' is an",)),
    "demo": (["demo", "poisson-operator"], ("'poisson-operator'", "burgers, burgers-nu, heat")),
}


@pytest.fixture
def bad_models(saved: Callable[[ModelProto, str], Path], tmp_path: Path) -> set[Path]:
    """Models that no operator's grid fits, and an operator."""
    saved(random_mlp([2, 4, 1]), "mlp.onnx")
    saved(random_mlp([1, 4, 1]), "one.onnx")
    (tmp_path / "operator.onnx").symlink_to(hedge.reference_models()["poisson-operator"])
    return set(tmp_path.iterdir())


@pytest.mark.parametrize("kind", BAD)
def test_bad_input_is_refused_in_one_line(
    run: Run, bad_models: set[Path], tmp_path: Path, kind: str
) -> None:
    argv, named = BAD[kind]
    refused = run(*argv)
    assert (refused.code, refused.out) == (1, "")
    (line,) = refused.err.splitlines()
    assert line.startswith("hedge: ")
    for text in named:
        assert text in line
    assert set(tmp_path.iterdir()) == bad_models


def test_python_says_which_function_trains_what() -> None:
    with pytest.raises(InputError, match="'heat-operator' is an operator"):
        hedge.train("heat-operator")
    with pytest.raises(InputError, match="operator 'heat' is not known"):
        hedge.train_operator("heat", sensors=16)


# --- Runs that end early ----------------------------------------------------------------------------


@pytest.fixture
def interrupted_after(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Makes training receive Ctrl-C in the step after so many."""
    step = operator_training.advance

    def interrupt(count: int) -> None:
        steps = iter(range(10**6))

        def advance(*now: Any) -> Any:
            if next(steps) == count:
                raise KeyboardInterrupt
            return step(*now)

        monkeypatch.setattr(operator_training, "advance", advance)

    return interrupt


def test_an_interrupted_run_leaves_the_best_network(
    run: Run, interrupted_after: Callable[[int], None], tmp_path: Path
) -> None:
    interrupted_after(14)
    stopped = run(*ON_GRID)
    assert stopped.code == 1
    last = stopped.err.splitlines()[-1]
    assert last.startswith("hedge: train: interrupted; p.onnx is the best network so far")
    assert {path.name for path in tmp_path.iterdir()} == {"p.onnx", "p.onnx.checkpoint"}
    evaluated = run("evaluate", "p.onnx", "--problem", "poisson-operator", "--json").document()
    assert 1e-6 < evaluated["relative_l2"] < 0.1


def test_an_interrupted_run_goes_on_as_if_nothing_had_happened(
    run: Run, interrupted_after: Callable[[int], None], tmp_path: Path
) -> None:
    straight = [*POISSON, "--sensors", str(SENSORS), "--steps", "22", "--out", "s.onnx"]
    assert run(*straight).code == 0
    interrupted_after(14)
    stopped = run(*ON_GRID, "--steps", "22")
    assert "the same command with --resume goes on" in stopped.err
    other = run(*ON_GRID, "--resume", "--seed", "1")
    assert "p.onnx.checkpoint: is of another run, with seed 0; use that again" in other.err
    (tmp_path / "p.onnx").unlink()
    assert "is the checkpoint of an earlier run; pass --resume" in run(*ON_GRID).err
    assert run(*ON_GRID, "--steps", "22", "--resume").code == 0
    assert (tmp_path / "p.onnx").read_bytes() == (tmp_path / "s.onnx").read_bytes()
    assert not (tmp_path / "p.onnx.checkpoint").exists()


def test_an_interruption_before_the_first_cycle_leaves_nothing(
    run: Run, interrupted_after: Callable[[int], None], tmp_path: Path
) -> None:
    interrupted_after(2)
    stopped = run(*ON_GRID)
    assert stopped.code == 1
    assert "nothing was written" in stopped.err
    assert not list(tmp_path.iterdir())


def test_divergence_leaves_the_last_good_network(
    run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    right, calls = Tridiagonal.times, iter(range(10**6))

    def times(self: Tridiagonal, rows: np.ndarray) -> np.ndarray:
        return right(self, rows) * (np.nan if next(calls) >= 12 else 1.0)

    with monkeypatch.context() as patched:
        patched.setattr(Tridiagonal, "times", times)
        diverged = run(*ON_GRID)
    assert diverged.code == 1
    last = diverged.err.splitlines()[-1]
    assert "training diverged between steps 8 and 12" in last
    assert last.endswith("and p.onnx is that one")
    evaluated = run("evaluate", "p.onnx", "--problem", "poisson-operator", "--json").document()
    assert evaluated["relative_l2"] < 0.5


def test_divergence_from_the_start_writes_nothing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(Tridiagonal, "times", lambda self, rows: rows * np.nan)
    with pytest.raises(DivergenceError, match="nothing was learnt before"):
        hedge.train_operator("heat-operator", tmp_path / "h.onnx", sensors=16)
    assert not list(tmp_path.iterdir())


def test_records_are_json_even_when_not_finite() -> None:
    record = Record(4, 0.5, float("nan"), 1e-3)
    expected = {"step": 4, "seconds": 0.5, "train_loss": None, "held_out_loss": 1e-3}
    assert record.as_dict() == expected


# --- Models that come with hedge ------------------------------------------------------------------


def test_shipped_models_are_named_by_problem_and_the_demo_takes_no_operator(
    run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    folder = tmp_path / "models"
    folder.mkdir()
    for stem in ("burgers-128x4", "burgers-nu-24x3", "burgers-nu-64x4", "poisson-operator-1024"):
        (folder / f"{stem}.onnx").touch()
    monkeypatch.setattr(
        "hedge.api.training.__file__", str(tmp_path / "hedge" / "api" / "training.py")
    )
    found = {name: path.name for name, path in hedge.reference_models().items()}
    assert found == {
        "burgers": "burgers-128x4.onnx",
        "burgers-nu": "burgers-nu-64x4.onnx",
        "poisson-operator": "poisson-operator-1024.onnx",
    }
    assert run("demo", "poisson-operator").err.endswith("those with one: burgers, burgers-nu\n")
