"""What a sweep's file may say, and what it is refused for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from hedge.devices import shipped_profiles
from hedge.errors import HedgeError, InputError
from hedge.problems import GALLERY
from hedge.sweeping import Sweep, read_sweep
from tests.conftest import random_mlp

SHIPPED = ["a.onnx", "b.onnx"]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Of two models, in which tables are read."""
    for seed, name in enumerate(SHIPPED):
        (tmp_path / name).write_bytes(random_mlp([2, 4, 1], seed).SerializeToString())
    monkeypatch.chdir(tmp_path)
    return tmp_path


def read(**table: Any) -> Sweep:
    return read_sweep(table, lambda: SHIPPED)


def compressing(**axes: Any) -> Sweep:
    return read(stages=["compress"], axes={"model": "a.onnx", "device": "rp2040", **axes})


def values(sweep: Sweep, name: str) -> tuple[Any, ...]:
    return next(axis.values for axis in sweep.axes if axis.name == name)


def test_a_file_is_read_with_its_names_beginning_at_its_folder(folder: Path) -> None:
    (folder / "inner").mkdir()
    path = folder / "inner" / "sweep.toml"
    path.write_text(
        'stages = ["export", "compress"]\n[axes]\nmodel = "../a.onnx"\ndevice = ["rp2040", "rp2350"]\n'
        "tolerance = [1e-2, 1e-3]\n[compress]\nsteps = 7\n"
    )
    plan = read_sweep(path, lambda: SHIPPED).plan
    assert plan.stages == ("compress", "export")
    assert [(cell.axes["device"], cell.axes["tolerance"]) for cell in plan.cells] == [
        ("rp2040", 1e-2), ("rp2040", 1e-3), ("rp2350", 1e-2), ("rp2350", 1e-3)
    ]  # fmt: skip
    first = plan.cells[0].tasks[0]
    assert first.options == {"steps": 7, "tolerance": 1e-2}
    assert (first.files["model"].name, first.files["device"].name) == ("a.onnx", "rp2040")
    assert first.files["model"].read() == (folder / "a.onnx").read_bytes()


@pytest.mark.parametrize(
    ("axis", "given", "meant"),
    [
        ("tolerance", {"from": 1e-4, "to": 1e-1, "count": 4}, (1e-4, 1e-3, 1e-2, 1e-1)),
        ("seed", {"from": 3, "to": 6}, (3, 4, 5, 6)),
        ("batch", {"from": 1, "to": 65, "step": 32}, (1, 33, 65)),
        ("seed", 5, (5,)),
        ("model", "*.onnx", ("a.onnx", "b.onnx")),
        ("model", "shipped", ("a.onnx", "b.onnx")),
        ("model", ["b.onnx", "a*"], ("b.onnx", "a.onnx")),
        ("device", "all", tuple(name for name in shipped_profiles() if name != "paper-example")),
    ],
)
@pytest.mark.usefixtures("folder")
def test_ranges_and_named_sets(axis: str, given: Any, meant: tuple[Any, ...]) -> None:
    assert values(compressing(**{axis: given}), axis) == meant


def test_all_of_the_gallery() -> None:
    assert values(read(stages=["train"], axes={"problem": "gallery"}), "problem") == tuple(GALLERY)


@pytest.mark.usefixtures("folder")
def test_an_axis_of_the_cell_is_for_all_stages_and_a_stages_own_comes_first() -> None:
    sweep = read(
        stages=["train", "compress"],
        axes={
            "problem": ["heat"], "device": "rp2040", "seed": [1, 2],
            "train": {"steps": [10]}, "compress": {"seed": [7]},
        },
    )  # fmt: skip
    found = [[task.options["seed"] for task in cell.tasks] for cell in sweep.plan.cells]
    assert found == [[1, 7], [2, 7]]
    assert "steps" not in sweep.plan.cells[0].tasks[1].options


@pytest.mark.usefixtures("folder")
def test_cells_share_what_they_have_in_common() -> None:
    sweep = read(
        stages=["train", "compress", "export"],
        axes={"problem": ["heat", "poisson"], "tolerance": [0.1, 0.01], "device": "rp2040"},
    )
    tasks = [task.name for cell in sweep.plan.cells for task in cell.tasks]
    assert (len(tasks), len(set(tasks))) == (12, 10)


def test_keys_hang_on_content_and_not_on_the_folder(folder: Path) -> None:
    def key() -> str:
        return compressing(tolerance=1e-2).plan.cells[0].key

    before = key()
    (folder / "x").mkdir()
    (folder / "x" / "a.onnx").write_bytes((folder / "a.onnx").read_bytes())
    assert compressing(tolerance=1e-2, model="x/a.onnx").plan.cells[0].key == before
    (folder / "a.onnx").write_bytes((folder / "b.onnx").read_bytes())
    assert key() != before


AXES = {"model": "a.onnx", "device": "rp2040"}


@pytest.mark.parametrize(
    ("table", "named"),
    [
        ({"stage": ["train"]}, ("key 'stage' is not known; take stages",)),
        ({}, ("stages: give a list",)),
        ({"stages": ["trane"]}, ("stages: 'trane' is not known; take train",)),
        ({"stages": ["train"]}, ("axes.problem: not given", "gallery")),
        ({"stages": ["train"], "axes": {"problem": "het"}}, ("'het' is not known", "heat")),
        ({"stages": ["compress"], "axes": {"device": "rp2040"}}, ("axes.model: not given",)),
        ({"stages": ["compress"], "axes": {"model": "a.onnx"}}, ("axes.device: not given", '"all"')),
        ({"stages": ["compress"], "axes": {**AXES, "tolerence": [1]}}, ("'tolerence'", "tolerance")),
        ({"stages": ["compress"], "axes": {**AXES, "xyzzy": [1]}}, ("'xyzzy'", "hedge compress --help")),
        ({"stages": ["compress"], "axes": {**AXES, "domain": ""}}, ("axes.domain: domain",)),
        ({"stages": ["compress"], "axes": AXES, "compress": {"domain": "1:0"}}, ("compress.domain: ",)),
        ({"stages": ["compress", "export"], "axes": AXES, "export": {"opset": -1}}, ("export.opset: -1",)),
        ({"stages": ["compress", "export"], "axes": {**AXES, "opset": [22]}}, ("axes.opset: 22",)),
        ({"stages": ["compress"], "axes": {**AXES, "width": [1]}}, ("axes.width", "train", "stages")),
        ({"stages": ["compress"], "axes": {**AXES, "tolerance": []}}, ("axes.tolerance", "no cell")),
        ({"stages": ["compress"], "axes": {**AXES, "tolerance": ["x"]}}, ("axes.tolerance: 'x'",)),
        ({"stages": ["compress"], "axes": {**AXES, "tolerance": [2.0]}}, ("not between 0 and 1",)),
        ({"stages": ["compress"], "axes": {**AXES, "seed": [1, 1]}}, ("axes.seed", "twice")),
        ({"stages": ["compress"], "axes": {**AXES, "seed": {"from": 2, "to": 1}}}, ("exchange",)),
        ({"stages": ["compress"], "axes": {**AXES, "seed": {"start": 2}}}, ("from, to", "start")),
        ({"stages": ["compress"], "axes": {**AXES, "seed": {"from": 0, "to": 1e9}}}, ("at most",)),
        ({"stages": ["compress"], "axes": {**AXES, "seed": {"from": 0, "to": 10**400}}},
         ("axes.seed.to", "no number between")),
        ({"stages": ["compress"], "axes": {**AXES, "seed": {"from": 0, "to": 1e90, "step": 1e-90}}},
         ("axes.seed: has 1e+180 values",)),
        ({"stages": ["compress"], "axes": {**AXES, "seed": True}}, ("axes.seed: True",)),
        ({"stages": ["compress"], "axes": {**AXES, "batch": ["2"]}}, ("axes.batch: '2'",)),
        ({"stages": ["compress"], "axes": {**AXES, "grid": [[8, 9], "8x9"]}}, ("'8x9'", "twice")),
        ({"stages": ["compress"], "axes": AXES, "compress": {"flash": True}}, ("compress.flash: True",)),
        ({"stages": ["compress"], "axes": AXES, "compress": {"problem": "het"}},
         ("compress.problem: problem 'het'", "heat")),
        ({"stages": ["compress"], "axes": {**AXES, "problem": "own.py"}}, ("write FILE.py:NAME",)),
        ({"stages": ["compress"], "axes": {**AXES, "method": "svdd"}}, ("'svdd'", "take one of", "svd")),
        ({"stages": ["compress"], "axes": {**AXES, "device": "a.toml"}}, ("a.toml: there is no",)),
        ({"stages": ["compress"], "axes": {**AXES, "model": ["a.onnx", "./a.onnx"]}},
         ("two of its cells are the same (model ./a.onnx and a.onnx)",)),
        ({"stages": ["compress"], "axes": {**AXES, "model": "x*.onnx"}}, ("fits 'x*.onnx'",)),
        ({"stages": ["compress"], "axes": {**AXES, "model": "c.onnx"}}, ("c.onnx: there is no",)),
        ({"stages": ["compress"], "axes": {**AXES, "device": "pi"}}, ("axes.device: device 'pi' is not",)),
        ({"stages": ["compress"], "axes": AXES, "compress": {"stepz": 1}}, ("'stepz'", "steps")),
        ({"stages": ["compress"], "axes": AXES, "compress": {"steps": 0}}, ("compress.steps: 0",)),
        ({"stages": ["compress"], "axes": AXES, "train": {"steps": 1}}, ("[train]: is no stage",)),
        ({"stages": ["compress"], "axes": AXES, "train": 3}, ("train: is no table",)),
        ({"stages": ["compress"], "axes": {**AXES, "seed": [1]}, "compress": {"seed": 2}},
         ("axes.seed: stands in [compress], too",)),
        ({"stages": ["train", "compress"], "axes": {"problem": "heat", "device": "rp2040",
          "method": ["auto"]}}, ("train and compress", "train.method or compress.method")),
        ({"stages": ["train"], "axes": {"problem": "heat", "model": "a.onnx"}}, ("axes.model",)),
        ({"stages": ["compress", "bench"], "axes": AXES}, ("bench", "add export")),
        ({"stages": ["compress"], "axes": AXES, "cluster": {"kind": "cloud"}}, ("cluster", "'cloud'")),
        ({"stages": ["compress"], "axes": {**AXES, "export": {"batch": [1]}}}, ("add it to stages",)),
    ],
)  # fmt: skip
@pytest.mark.usefixtures("folder")
def test_what_is_no_sweep_is_told_in_a_line_that_names_the_key(
    table: dict[str, Any], named: tuple[str, ...]
) -> None:
    with pytest.raises(HedgeError) as refused:
        _ = read(**table).plan
    assert "\n" not in str(refused.value)
    for text in named:
        assert text in str(refused.value)


def test_what_is_no_toml_names_the_file(folder: Path) -> None:
    path = folder / "s.toml"
    for text in ("stages = [", f"a = {'1' * 5000}"):
        path.write_text(text)
        with pytest.raises(InputError, match=r"s\.toml: is no TOML"):
            read_sweep(path, lambda: [])


@pytest.mark.parametrize("name", ["a.py", "12:30.onnx"])
def test_models_are_sent_whatever_they_are_called(folder: Path, name: str) -> None:
    (folder / name).write_bytes(b"a")
    (task,) = compressing(model=name).plan.cells[0].tasks
    assert task.files["model"].is_sent
