"""Names that are not UTF-8, or as long as the system takes or longer: they work, or are one line at once."""

from __future__ import annotations

import json
import os
import shutil
from json import dumps
from pathlib import Path

import numpy as np
import pytest
import torch

import hedge
from hedge.benching import read_result
from hedge.devices import find_profile, named_after, write_profile
from tests.cli.conftest import Refuses, Run
from tests.conftest import random_mlp
from tests.reporting.documents import bench_document

DEVICE = ("--device", "laptop-x86")
DOMAIN = ("--domain", "-1:1,-1:1", "--tolerance", "0.5")
QUICK = ("--batch", "1", "--seconds", "0.01")
TINY = ("--width", "2", "--depth", "1", "--steps", "1")

pytestmark = pytest.mark.skipif(os.name != "posix", reason="file names elsewhere are text")


@pytest.fixture
def odd(tmp_path: Path) -> str:
    r"""Begins the names of a model, samples and a result in the folder: two bytes that are no UTF-8."""
    begin = os.fsdecode(b"\xff\xfe")
    (tmp_path / f"{begin}.onnx").write_bytes(random_mlp([2, 4, 1], seed=1).SerializeToString())
    np.save(tmp_path / f"{begin}.npy", np.random.default_rng(0).uniform(-1, 1, (300, 2)))
    (tmp_path / f"{begin}.json").write_text(dumps(bench_document([f"{begin}.onnx"])))
    torch.save({"0.weight": torch.ones(1, 2)}, tmp_path / f"{begin}.pt")
    return begin


def test_the_whole_pipeline_takes_names_that_are_not_utf_8(run: Run, odd: str) -> None:
    onnx, small, page = f"{odd}.onnx", f"{odd}.small.safetensors", f"{odd}.html"
    samples = ("--samples", f"{odd}.npy", "--tolerance", "0.5")
    plan = run(
        "compress", onnx, "--no-recover", *DEVICE, *samples, "--out", small, "--json"
    ).document()
    assert plan["source"] == "??.onnx"
    assert plan["points"] == "300 rows of ??.npy"
    assert plan["command"].startswith("hedge compress '??.onnx' ")
    assert plan["out"] == "??.small.safetensors"
    assert hedge.load(small).plan.source == "??.onnx"
    assert run("inspect", small).code == 0
    assert run("inspect", onnx).out.startswith("??.onnx (dense)")
    assert run("export", small, "--out", f"{odd}.pi.onnx").out.startswith("??.pi.onnx: ")
    assert run("export", onnx, "--format", "c", "--name", "u", "--out", "u.c").code == 0
    assert Path("u.h").read_text(encoding="ascii").startswith("/*\n * __.onnx")
    bench = ("bench", onnx, *DEVICE, *QUICK)
    found = run(*bench, "--out", f"{odd}.new.json", "--json").document()
    assert [model["path"] for model in found["models"]] == ["??.onnx"]
    assert [model.path for model in read_result(Path(f"{odd}.new.json")).models] == ["??.onnx"]
    again = run(*bench, "--against", f"{odd}.new.json", "--json").document()
    assert [change["path"] for change in again["against"]] == ["??.onnx"]
    assert run("report", onnx, small, f"{odd}.new.json", "--out", page).code == 0
    assert "??.small.safetensors" in Path(page).read_text(encoding="utf-8")


def test_a_profile_is_called_after_a_file_that_is_not_utf_8(tmp_path: Path) -> None:
    path = tmp_path / os.fsdecode(b"\xff\xfe.toml")
    path.write_bytes(write_profile(named_after(path, find_profile("laptop-x86"))))
    assert find_profile(str(path)).name == "??"


@pytest.mark.parametrize(
    "argv",
    [
        ("evaluate", "{}.onnx", "--problem", "heat"),
        ("ntk", "{}.onnx", "--domain", "-1:1,-1:1", "--points", "8"),
        ("import", "{}.pt", "--out", "{}.i.onnx"),
        ("devices", "{}.onnx", "--check", "laptop-x86", *QUICK),
        ("train", "heat", *TINY, "--out", "{}.t.onnx", "--log", "{}.jsonl"),
    ],
)
def test_other_commands_take_names_that_are_not_utf_8(
    run: Run, odd: str, argv: tuple[str, ...]
) -> None:
    found = run(*(word.format(odd) for word in argv), "--json").document()
    assert "\\ud" not in json.dumps(found)


def test_a_model_that_fails_keeps_its_odd_name(run: Run, odd: str) -> None:
    outcome = run("bench", f"{odd}.gone.onnx", f"{odd}.onnx", *DEVICE, *QUICK, "--json")
    assert outcome.code == 1
    assert outcome.err.splitlines()[-1] == "hedge: ??.gone.onnx: there is no such file"
    assert json.loads(outcome.out)["failures"][0]["path"] == "??.gone.onnx"


OVERLONG = "x" * 300
LONG = "x" * 250
TOO_LONG = {
    "inspect": ("inspect", OVERLONG),
    "compress": ("compress", f"{OVERLONG}.onnx", *DEVICE, *DOMAIN, "--out", "o.safetensors"),
    "compress to": ("compress", "m.onnx", *DEVICE, *DOMAIN, "--out", f"{OVERLONG}.safetensors"),
    "samples": ("compress", "m.onnx", *DEVICE, "--samples", OVERLONG, "--out", "o.safetensors"),
    "device": ("compress", "m.onnx", "--device", f"{OVERLONG}.toml", *DOMAIN, "--out", "o"),
    "bench": ("bench", OVERLONG, *DEVICE),
    "bench to": ("bench", "m.onnx", *DEVICE, "--out", OVERLONG),
    "bench against": ("bench", "m.onnx", *DEVICE, "--against", OVERLONG),
    "check": ("devices", "m.onnx", "--check", f"{OVERLONG}.toml"),
    "calibrate to": ("calibrate", "--out", OVERLONG),
    "demo to": ("demo", "heat", *DEVICE, "--out", OVERLONG),
    "demo to a folder within": ("demo", "heat", *DEVICE, "--out", f"new/{OVERLONG}"),
    "reproduce to": ("reproduce", "def1", "--out", OVERLONG),
    "report": ("report", f"{OVERLONG}.json", "--out", "o.html"),
    "report to": ("report", "m.onnx", "--out", OVERLONG),
    "train to": ("train", "heat", *TINY, "--out", OVERLONG),
    "its checkpoint": ("train", "heat", *TINY, "--out", LONG),
    "its log": ("train", "heat", *TINY, "--out", "o.onnx", "--log", OVERLONG),
    "an operator to": ("train", "heat-operator", "--sensors", "4", "--out", OVERLONG),
    "import": ("import", OVERLONG, "--out", "o.onnx"),
    "import to": ("import", "w.pt", "--out", OVERLONG),
    "evaluate": ("evaluate", OVERLONG, "--problem", "heat"),
    "ntk": ("ntk", "m.onnx", OVERLONG, "--domain", "-1:1,-1:1"),
    "compare": ("compare", OVERLONG, *DEVICE),
    "export": ("export", OVERLONG, "--out", "o.onnx"),
    "export to": ("export", "c.safetensors", "--out", OVERLONG),
    "export to C": ("export", "m.onnx", "--format", "c", "--out", f"{OVERLONG}.c"),
    "its test": ("export", "m.onnx", "--format", "c", "--test", "--out", f"{LONG}.c"),
}  # fmt: skip


@pytest.mark.parametrize("command", TOO_LONG)
def test_names_that_are_too_long_are_refused_before_the_work(
    tmp_path: Path, refuses: Refuses, command: str
) -> None:
    (tmp_path / "m.onnx").write_bytes(random_mlp([2, 4, 1], seed=1).SerializeToString())
    torch.save({"0.weight": torch.ones(1, 2)}, tmp_path / "w.pt")
    refuses(*TOO_LONG[command], named=("xxx", "File name too long"))


@pytest.mark.parametrize("length", [245, 255])
def test_an_out_as_long_as_the_system_takes_is_written(
    run: Run, heat_path: Path, tmp_path: Path, length: int
) -> None:
    shutil.copy(heat_path, tmp_path / "m.onnx")
    name = "x" * (length - len(".html")) + ".html"
    assert run("report", "m.onnx", "--out", name).code == 0
    assert {path.name for path in tmp_path.iterdir()} == {"m.onnx", name}
