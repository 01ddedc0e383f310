"""Files in double precision: written on request, measured and trained on in it, else rounded with a word."""

from __future__ import annotations

import re
import subprocess
import warnings
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

import hedge
from hedge.api import evaluate
from hedge.errors import RoundingWarning
from hedge.graph import Evaluator, has_doubles, load_model
from hedge.problems import Domain, Problem
from hedge.training import TrainingResult, TrainingRun, network_to_onnx, resumed
from hedge.training.network import parameters_of
from hedge.training.trainer import initial_state, solution
from tests.cli.conftest import Run, run
from tests.exporting.c_compiler import needs_gcc

__all__ = ["run"]

GROWTH = Problem(
    name="growth",
    title="u' = u, u(0) = 1",
    inputs="x",
    domain=Domain(((0.0, 1.0),)),
    derivatives=("u", "u_x"),
    residual=lambda x, d, math: d["u_x"] - d["u"],
    offset=lambda x, math: 1.0,
    distance=lambda x, math: x[0],
    reference=lambda x: np.exp(x),
)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, TrainingResult]:
    path = tmp_path_factory.mktemp("double") / "growth.onnx"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = hedge.train(GROWTH, path, width=8, depth=1, max_steps=500, precision="float64")
    return path, found


def test_it_shows_an_error_that_float32_hides(
    trained: tuple[Path, TrainingResult], tmp_path: Path
) -> None:
    path, result = trained
    single = tmp_path / "single.onnx"
    onnx.save(network_to_onnx(GROWTH, result.network), single)
    assert result.relative_l2 is not None
    found = evaluate(path, GROWTH)
    assert found.relative_l2 == pytest.approx(result.relative_l2, rel=0.1)
    assert found.relative_l2 < 1e-8 < evaluate(single, GROWTH).relative_l2
    assert found.parameters == result.parameters


@pytest.mark.parametrize("name", ["heat", "kovasznay", "schroedinger", "burgers-nu"])
def test_it_has_every_digit_of_the_network(name: str, tmp_path: Path) -> None:
    problem = hedge.problems.find_problem(name)
    network = initial_state(TrainingRun(problem, width=5, depth=2)).best
    onnx.save(network_to_onnx(problem, network, real=np.float64), tmp_path / "m.onnx")
    model = load_model(tmp_path / "m.onnx", exact=True)
    points = problem.sample(50, seed=1)
    expected = solution(problem, network, points)
    np.testing.assert_allclose(Evaluator(model)(points), expected, rtol=1e-12, atol=1e-13)
    onnx.checker.check_model(model, full_check=True)


def test_training_goes_on_from_every_digit(trained: tuple[Path, TrainingResult]) -> None:
    path, result = trained
    run, state = resumed(TrainingRun(GROWTH), path, None, None)
    assert run.precision == "float64"
    torch.testing.assert_close(
        parameters_of(state.best), parameters_of(result.network), rtol=1e-12, atol=1e-13
    )
    assert state.best_loss == pytest.approx(result.held_out_loss, rel=1e-6)


@pytest.mark.parametrize("precision", [None, "float32"])
def test_without_a_word_files_are_float32(precision: str | None, run: Run) -> None:
    how = [] if precision is None else ["--precision", precision]
    run("train", "heat", *how, "--width", "4", "--depth", "1", "--steps", "3", "--out", "m.onnx")
    assert not has_doubles(load_model(Path("m.onnx"), exact=True))


@needs_gcc
@pytest.mark.parametrize("choices", [[], ["--jacobian"], ["--outputs", "u,u_x", "--inputs", "x"]])
def test_c_in_double_has_every_digit(
    choices: list[str], run: Run, trained: tuple[Path, TrainingResult], tmp_path: Path
) -> None:
    """Its own test compares it with the network in float64."""
    (tmp_path / "g.onnx").write_bytes(trained[0].read_bytes())
    how = ["--precision", "double", "--test", *choices]
    assert run("export", "g.onnx", "--out", "g.c", *how).err == ""
    made = subprocess.run(
        ["make", "-f", "g.mk", "test"], capture_output=True, text=True, check=False
    )
    assert made.returncode == 0
    off = [float(number) for number in re.findall(r"off by at most (\S+) \(", made.stdout)]
    assert off
    assert max(off) < 1e-14
    weights = [w.double().numpy().ravel() for w in trained[1].network.weights]
    text = (tmp_path / "g.c").read_text()
    assert all(repr(float(number)) in text for number in weights[1])


def test_the_other_commands_say_what_float32_changes(
    run: Run, trained: tuple[Path, TrainingResult]
) -> None:
    run("train", "heat", "--precision", "float64", "--width", "4", "--depth", "1", "--steps", "3",
        "--out", "m.onnx")  # fmt: skip
    assert "double" not in run("evaluate", "m.onnx", "--problem", "heat").err
    for command in (
        ["inspect", "m.onnx"],
        ["export", "m.onnx", "--out", "m.c"],
        ["certify", "m.onnx", "--problem", "heat", "--boxes", "3"],
        ["ntk", "m.onnx", "--points", "10"],
        ["report", "m.onnx", "--out", "m.html"],
    ):
        told = run(*command)
        assert told.code == 0
        assert "m.onnx: is in double precision; hedge works on it in float32" in told.err
    with pytest.warns(RoundingWarning, match=r"by \d\.\de-0[678] of their size"):
        load_model(trained[0])
