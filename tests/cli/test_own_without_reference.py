"""A problem of the user's own whose solution nobody knows, with a condition in the loss and with readings."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from hedge.graph import load_model, run_float32
from tests.cli.conftest import Run

PROBLEMS = """
from dataclasses import replace
import numpy as np
from hedge.problems import Condition, Domain, Faces, Measurements, Problem

swing = Problem(
    name="swing",
    title="u' = v, v' = -u",
    inputs="t",
    fields=("u", "v"),
    domain=Domain(((0.0, 1.5),)),
    derivatives=("u", "v", "u_t", "v_t"),
    residual=lambda x, d, math: (d["u_t"] - d["v"], d["v_t"] + d["u"]),
    distance=lambda x, math: (x[0], 1.0),
    conditions=(Condition(Faces("t", (0,)), lambda x, d, math: d["v"] - 1.0, ("v",)),),
)
known = replace(swing, reference=lambda t: np.concatenate([np.sin(t), np.cos(t)], axis=1))
points = np.array([[0.5], [1.0]])
read = replace(known, data=(Measurements(points, np.sin(points[:, 0]) + 0.2, 0.2, "u"),))
"""
BRIEF = ("--width", "4", "--depth", "1", "--steps", "12", "--out", "m.onnx", "--force")
MISSED = "condition 1 (lower end of t)"


@pytest.fixture
def here(run: Run, tmp_path: Path) -> Run:
    """Commands in a folder with the file of problems."""
    (tmp_path / "own.py").write_text(PROBLEMS)
    return run


def test_training_tells_what_a_condition_is_missed_by(here: Run, tmp_path: Path) -> None:
    told = here("train", "own.py:swing", *BRIEF, "--json").document()
    at_start = run_float32(load_model(tmp_path / "m.onnx"), np.zeros((1, 1)))
    assert told["missed"][MISSED] == pytest.approx(abs(at_start[0, 1] - 1.0), rel=1e-4)
    text = here("train", "own.py:swing", *BRIEF).out
    assert f"{MISSED}: missed by {told['missed'][MISSED]:.2e} (rms)" in text
    assert f"m.onnx: held-out loss {told['held_out_loss']:.2e} after 12 steps" in text


def test_evaluate_tells_the_residual_alone(here: Run) -> None:
    here("train", "own.py:swing", *BRIEF)
    told = here("evaluate", "m.onnx", "--problem", "own.py:swing", "--json").document()
    beside = here("evaluate", "m.onnx", "--problem", "own.py:known", "--json").document()
    assert (told["relative_l2"], told["max_abs"]) == (None, None)
    assert beside["relative_l2"] > 0.0
    assert told["residual_rms"] == beside["residual_rms"] > 0.0
    row, *others = here("evaluate", "m.onnx", "--problem", "own.py:swing").out.splitlines()[2:]
    assert all("missed by" in line for line in others)
    assert row.split() == ["-", "-", f"{told['residual_rms']:.3e}", str(told["parameters"])]


def test_errors_of_readings_are_no_want_of_steps(here: Run) -> None:
    assert "not converged" in here("train", "own.py:known", *BRIEF).err
    assert "not converged" not in here("train", "own.py:read", *BRIEF).err


RING = """
from hedge.geometry import Disc
from hedge.problems import Condition, Domain, Piece, Problem

ring = Problem(
    name="ring",
    title="Heat that a disc loses",
    inputs="xy",
    domain=Domain.over(Disc((0.0, 0.0), 1.0, "rim")),
    derivatives=("u_xx", "u_yy"),
    residual=lambda x, d, math: d["u_xx"] + d["u_yy"] + 1.0,
    conditions=(Condition(Piece("rim"), lambda x, d, math: d["u"] - 1.0),),
)
"""


def test_a_report_claims_nothing_of_conditions_that_no_proof_bounds(
    run: Run, tmp_path: Path
) -> None:
    (tmp_path / "own.py").write_text(RING)
    run("train", "own.py:ring", *BRIEF)
    problem = ("--problem", "own.py:ring")
    told = run("certify", "m.onnx", *problem, "--boxes", "40", "--out", "c.json")
    assert "conditions, if it has any, are bounded on ends of inputs alone" in told.out
    assert run("report", "m.onnx", "c.json", *problem, "--out", "r.html").code == 0
    page = re.sub(r"<[^>]*>", " ", (tmp_path / "r.html").read_text())
    heads = page.index("conditions missed by")
    row = page[heads:].split("m.onnx in ring", 1)[1].split()
    assert float(row[0]) > 0.0
    assert row[4] == "–"
