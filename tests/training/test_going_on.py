"""Going on from a finished model, on points where a certificate of it is worst."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import hedge
from hedge.certifying import read_certificate
from hedge.certifying.certificate import digest_of
from hedge.errors import InputError, ModelError
from hedge.graph import Evaluator, load_model
from hedge.names import checkpoint_of
from hedge.problems import find_problem
from hedge.problems.unknowns import UNKNOWNS_KEY
from hedge.training import TrainingRun, network_to_onnx, resumed, worst_boxes
from hedge.training.checkpoint import saved_widths
from hedge.training.judge import judge_of
from hedge.training.network import Network
from hedge.training.optimisers import Descent
from hedge.training.seeds import stream_seed
from hedge.training.terms import Term
from hedge.training.trainer import WORST_SEED
from tests.certifying.problems import untrained
from tests.cli.conftest import Refuses, contents
from tests.conftest import random_mlp

HEAT = find_problem("heat")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a heat network of 6 and 5 neurons, and its certificate."""
    folder = tmp_path_factory.mktemp("made")
    model = folder / "m.onnx"
    model.write_bytes(untrained(HEAT, widths=(6, 5)).SerializeToString())
    hedge.certify(model, problem="heat", out=folder / "c.json", boxes=300)
    return folder


@pytest.fixture
def folder(made: Path, tmp_path: Path) -> Path:
    """The same, to be written to."""
    shutil.copytree(made, tmp_path, dirs_exist_ok=True)
    return tmp_path


# --- The points -----------------------------------------------------------------------------------


def test_points_lie_in_the_boxes_by_volume_times_cubed_bound(made: Path) -> None:
    (solution,) = read_certificate(made / "c.json").solutions
    levels, places = np.array(solution.boxes.levels), np.array(solution.boxes.places)
    density = np.array(solution.boxes.largest) ** 3 / 2.0 ** levels.sum(axis=1)
    count = 2**15
    points = worst_boxes(made / "c.json", HEAT).points(count, seed=1)
    unit = (points - HEAT.domain.lower) / (HEAT.domain.upper - HEAT.domain.lower)
    inside = (np.floor(unit[:, None] * 2.0**levels) == places).all(axis=2)
    assert (inside.sum(axis=1) == 1).all()
    assert inside.mean(axis=0) == pytest.approx(density / density.sum(), abs=8 / count)
    within = (unit[:, None] * 2.0**levels - places)[inside]
    assert within.mean(axis=0) == pytest.approx([0.5, 0.5], abs=0.01)


def test_half_of_a_cycles_points_are_those_of_the_boxes(
    made: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sets: list[np.ndarray] = []

    def seen(problem: object, descent: Descent, terms: Sequence[Term], *rest: Any) -> Descent:
        sets.append(terms[0].points.x.numpy())
        return replace(descent, steps=descent.steps + 1)

    monkeypatch.setattr("hedge.training.trainer.descend", seen)
    how: dict[str, Any] = {"width": 3, "depth": 1, "max_steps": 2}
    hedge.train("heat", **how)
    hedge.train("heat", **how, worst=made / "c.json")
    usual, _, *worst = sets
    half = len(usual) // 2
    for cycle, points in enumerate(worst, start=1):
        seed = stream_seed(0, WORST_SEED + 1000 * cycle)
        drawn = worst_boxes(made / "c.json", HEAT).points(half, seed)
        assert points.shape == usual.shape
        assert np.array_equal(points[:half], drawn)
        assert len(np.unique(points, axis=0)) == len(points)
    assert not np.isin(worst[0], worst[1]).any()


# --- The run --------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["heat", "allen-cahn", "heat-family"])
def test_what_is_gone_on_from_is_the_model(name: str, tmp_path: Path) -> None:
    problem, out = find_problem(name), tmp_path / "m.onnx"
    model = untrained(problem, widths=(5, 3), seed=2)
    out.write_bytes(model.SerializeToString())
    found, state = resumed(TrainingRun(problem), out, None, None)
    points = problem.sample(500, seed=3)
    assert found.hidden == (5, 3)
    again = Evaluator(network_to_onnx(problem, state.best))(points)
    assert again == pytest.approx(Evaluator(model)(points), abs=1e-6)


def test_a_seed_and_steps_fix_the_file_and_the_certificate_changes_it(folder: Path) -> None:
    files = {}
    for name, how in {
        "first": {"worst": folder / "c.json"},
        "again": {"worst": folder / "c.json"},
        "usual": {},
        "other": {"worst": folder / "c.json", "seed": 1},
    }.items():
        out = folder / f"{name}.onnx"
        shutil.copy(folder / "m.onnx", out)
        result = hedge.train("heat", out, max_steps=30, resume=True, **how)
        assert (result.steps, result.network.widths) == (30, (6, 5))
        assert result.held_out_loss < 0.5 * judge_of(result.run).loss(_network_in(folder))
        assert not checkpoint_of(out).exists()
        files[name] = out.read_bytes()
    assert files["first"] == files["again"]
    assert len(set(files.values())) == 3


def _network_in(folder: Path) -> Network:
    return resumed(TrainingRun(HEAT), folder / "m.onnx", None, None)[1].best


def test_a_model_is_not_replaced_by_a_worse_one(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = Evaluator(load_model(folder / "m.onnx"))(HEAT.sample(100, 0))

    def spoiled(problem: object, descent: Descent, *rest: Any) -> Descent:
        network = descent.network
        worse = tuple(3.0 * bias + 1.0 for bias in network.biases)
        return replace(descent, network=replace(network, biases=worse), steps=descent.steps + 1)

    monkeypatch.setattr("hedge.training.trainer.descend", spoiled)
    hedge.train("heat", folder / "m.onnx", max_steps=2, resume=True)
    after = Evaluator(load_model(folder / "m.onnx"))(HEAT.sample(100, 0))
    assert after == pytest.approx(before, abs=1e-6)


def test_an_interrupted_one_goes_on_with_its_widths_and_its_certificate(folder: Path) -> None:
    how: dict[str, Any] = {"max_steps": 150, "resume": True}
    straight, out = folder / "straight.onnx", folder / "m.onnx"
    shutil.copy(out, straight)
    hedge.train("heat", straight, **how, worst=folder / "c.json")

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    first = hedge.train("heat", out, **how, worst=folder / "c.json", on_cycle=interrupt)
    assert (first.stopped, first.steps) == ("interrupted", 100)
    assert saved_widths(checkpoint_of(out)) == (6, 5)
    before = contents(folder)
    with pytest.raises(ModelError, match="is of another run, with worst"):
        hedge.train("heat", out, **how)
    with pytest.raises(InputError, match="has hidden layers of 6, 5 neurons"):
        hedge.train("heat", out, **how, width=6, worst=folder / "c.json")
    assert contents(folder) == before
    hedge.train("heat", out, **how, worst=folder / "c.json")
    assert out.read_bytes() == straight.read_bytes()


def test_what_is_gone_on_from_again_keeps_its_window_and_its_precision(tmp_path: Path) -> None:
    """By the same command, which names neither, of a problem that several windows suit."""
    problem = replace(HEAT, name="rod", windows=2)
    out, straight = tmp_path / "m.onnx", tmp_path / "straight.onnx"
    hedge.train(problem, out, width=3, depth=1, max_steps=4, windows=1, precision="float64")
    straight.write_bytes(out.read_bytes())

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    more: dict[str, Any] = {"max_steps": 150, "resume": True}
    hedge.train(problem, straight, **more)
    assert hedge.train(problem, out, **more, on_cycle=interrupt).stopped == "interrupted"
    with pytest.raises(ModelError, match="is of another run, with windows 1"):
        hedge.train(problem, out, **more, windows=2)
    with pytest.raises(ModelError, match="is of another run, with precision float64"):
        hedge.train(problem, out, **more, precision="float32")
    hedge.train(problem, out, **more)
    assert out.read_bytes() == straight.read_bytes()


# --- What is refused ------------------------------------------------------------------------------


def resealed(path: Path, change: Callable[[dict[str, Any]], object]) -> None:
    document = json.loads(path.read_text())
    change(document)
    document["digest"] = digest_of(document)
    path.write_text(json.dumps(document))


def of_another_problem(document: dict[str, Any]) -> None:
    document["solutions"][0]["problem"] = "wave"


def beyond_the_domain(document: dict[str, Any]) -> None:
    boxes = document["solutions"][0]["boxes"]
    boxes["places"][0][0] = 2 ** boxes["levels"][0][0]


def of_a_part(document: dict[str, Any]) -> None:
    document["solutions"][0]["domain"] = [[0.0, 0.5], [0.0, 1.0]]


WORST = ["train", "heat", "--out", "m.onnx", "--resume", "--worst", "c.json"]
REFUSED: dict[str, tuple[list[str], Callable[[Path], object], tuple[str, ...]]] = {
    "no model": (
        ["train", "heat", "--out", "no.onnx", "--resume"],
        lambda f: None,
        ("no.onnx.checkpoint: there is no checkpoint to resume, and no model",),
    ),
    "another problem": (
        ["train", "wave", "--out", "m.onnx", "--resume"],
        lambda f: None,
        ("m.onnx: solves 'heat'", "'wave'"),
    ),
    "another width": (
        [*WORST, "--width", "6"],
        lambda f: None,
        ("m.onnx: has hidden layers of 6, 5",),
    ),
    "another depth": (
        [*WORST, "--depth", "3"],
        lambda f: None,
        ("m.onnx: has hidden layers of 6, 5",),
    ),
    "no chain of tanh": (
        WORST,
        lambda f: (f / "m.onnx").write_bytes(
            random_mlp([2, 5, 1], activation="Relu").SerializeToString()
        ),
        ("m.onnx: is not a plain chain of tanh layers",),
    ),
    "of no problem": (
        WORST,
        lambda f: (f / "m.onnx").write_bytes(random_mlp([2, 5, 1]).SerializeToString()),
        ("m.onnx: its output is not offset + distance",),
    ),
    "other inputs": (
        WORST,
        lambda f: (f / "m.onnx").write_bytes(random_mlp([3, 5, 1]).SerializeToString()),
        ("m.onnx: has 3 input(s)",),
    ),
    "no model at all": (WORST, lambda f: (f / "m.onnx").write_text("no"), ("m.onnx: ",)),
    "no certificate": (
        WORST,
        lambda f: (f / "c.json").unlink(),
        ("c.json: there is no such file",),
    ),
    "a changed certificate": (
        WORST,
        lambda f: (f / "c.json").write_text((f / "c.json").read_text().replace("heat", "hear")),
        ("c.json: was changed",),
    ),
    "a certificate of another problem": (
        WORST,
        lambda f: resealed(f / "c.json", of_another_problem),
        ("c.json: holds a solution of 'wave', none of 'heat'",),
    ),
    "a certificate of a part": (
        WORST,
        lambda f: resealed(f / "c.json", of_a_part),
        ("c.json: is of 0:0.5,0:1, not of the whole domain",),
    ),
    "boxes beyond the domain": (
        WORST,
        lambda f: resealed(f / "c.json", beyond_the_domain),
        ("c.json: its boxes reach beyond",),
    ),
    "attention": ([*WORST, "--sampling", "attention"], lambda f: None, ("worst", "attention")),
    "an operator": (
        ["train", "poisson-operator", "--sensors", "16", "--out", "o.onnx", "--worst", "c.json"],
        lambda f: None,
        ("poisson-operator", "--worst"),
    ),
    "a log over the certificate": (
        [*WORST, "--log", "c.json", "--force"],
        lambda f: None,
        ("c.json: is the file that is read",),
    ),
    "a model over the certificate": (
        ["train", "heat", "--out", "c.onnx", "--worst", "c.onnx", "--force"],
        lambda f: (f / "c.json").rename(f / "c.onnx"),
        ("c.onnx: is the file that is read",),
    ),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_what_cannot_be_gone_on_from_is_one_line(folder: Path, refuses: Refuses, kind: str) -> None:
    argv, spoil, named = REFUSED[kind]
    spoil(folder)
    refuses(*argv, "--steps", "5", named=named)


def test_a_certificate_of_a_difference_alone_is_refused(folder: Path) -> None:
    (folder / "small.onnx").write_bytes(untrained(HEAT, widths=(2,)).SerializeToString())
    alone = folder / "alone.json"
    hedge.certify(folder / "small.onnx", folder / "m.onnx", out=alone, boxes=10)
    with pytest.raises(InputError, match=r"alone\.json: holds no solution of a problem"):
        worst_boxes(alone, HEAT)


@pytest.mark.parametrize(
    ("kept", "message"),
    [
        ("{}", "says no value of kappa to go on from"),
        ('{"kappa": {"value": 7.0}}', "hedge.unknowns.*its value 7.0 is not between its bounds"),
    ],
)
def test_a_model_without_the_values_of_its_unknowns_is_not_gone_on_from(
    tmp_path: Path, kept: str, message: str
) -> None:
    out = tmp_path / "m.onnx"
    hedge.train("heat-inverse", out, width=4, depth=1, max_steps=2)
    checkpoint_of(out).unlink(missing_ok=True)
    model = load_model(out)
    for entry in model.metadata_props:
        if entry.key == UNKNOWNS_KEY:
            entry.value = kept
    out.write_bytes(model.SerializeToString())
    with pytest.raises((InputError, ModelError), match=message):
        hedge.train("heat-inverse", out, max_steps=4, resume=True, force=True)
