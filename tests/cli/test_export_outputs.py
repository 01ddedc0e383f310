"""``hedge export --outputs``: derivatives in the files, and what is refused."""

from __future__ import annotations

import subprocess
from pathlib import Path

import numpy as np
import onnx
import pytest

import hedge
from hedge.graph import load_model, metadata, run_float32
from tests.cli.conftest import Refuses, Run
from tests.conftest import ROOT
from tests.exporting.c_compiler import WARNINGS, gcc, needs_gcc

DENSE = ROOT / "models" / "heat-64x3.onnx"
COMPRESSED = ROOT / "models" / "burgers-128x4.hedge.safetensors"
POINTS = np.random.default_rng(0).uniform(0.1, 0.9, (5, 2)).astype(np.float32)


@pytest.mark.parametrize("model", [DENSE, COMPRESSED], ids=["dense", "compressed"])
def test_an_onnx_of_derivatives(run: Run, tmp_path: Path, model: Path) -> None:
    done = run("export", str(model), "--outputs", "u_x, u,u_xt", "--out", "d.onnx", "--json")
    assert done.code == 0, done.err
    assert done.document()["nodes"] > 20
    made = load_model(tmp_path / "d.onnx")
    assert [value.name for value in made.graph.output] == ["u_x", "u", "u_xt"]
    assert [value.type.tensor_type.shape.dim[1].dim_value for value in made.graph.output] == [1] * 3
    own = metadata(made)
    assert own["hedge.problem"] == model.name.split("-")[0]
    assert ("hedge.plan" in own) == (model == COMPRESSED)
    if model == COMPRESSED:
        run("export", str(model), "--out", "plain.onnx")
    plain = load_model(DENSE if model == DENSE else tmp_path / "plain.onnx")
    value = run_float32(plain, POINTS)[:, 0]
    np.testing.assert_allclose(run_float32(made, POINTS)[:, 1], value, rtol=1e-6)
    step = np.array([1e-2, 0.0], np.float32)
    slope = (run_float32(plain, POINTS + step) - run_float32(plain, POINTS - step))[:, 0] / 2e-2
    np.testing.assert_allclose(run_float32(made, POINTS)[:, 0], slope, atol=2e-2)
    assert run("inspect", "d.onnx").code == 0


@needs_gcc
def test_a_c_file_of_derivatives(run: Run, tmp_path: Path) -> None:
    options = ["--outputs", "u,u_a,u_ab", "--inputs", "a,b", "--format", "c", "--test"]
    done = run("export", str(COMPRESSED), *options, "--out", "d.c", "--json")
    plain = run("export", str(COMPRESSED), "--format", "c", "--out", "plain.c", "--json")
    assert done.document()["parameters"] == plain.document()["parameters"]
    assert "u[1], u_a[1], u_ab[1]" in (tmp_path / "d.h").read_text()
    gcc(tmp_path, *WARNINGS, "-O2", "d_test.c", "d.c", "-o", "d_test", "-lm")
    tested = subprocess.run([tmp_path / "d_test"], capture_output=True, text=True, check=False)
    assert tested.returncode == 0, tested.stdout


@pytest.mark.parametrize("format", ["onnx", "c"])
@pytest.mark.parametrize(
    ("options", "named"),
    [
        (["--outputs", "u,u_y"], ("outputs: 'u_y' is unknown", "u_xx")),
        (["--outputs", "u,u_xxt"], ("outputs: 'u_xxt'",)),
        (["--outputs", "u,,u_x"], ("outputs: ''",)),
        (["--outputs", "u,u"], ("outputs: 'u' is named twice",)),
        (["--outputs", "u", "--inputs", "xt"], ("inputs: ", "'xt' names 1", "x,t")),
        (["--outputs", "u_x", "--inputs", "x,time"], ("inputs: 'x,time' is no list of letters",)),
        (["--domain", "0:1,0:1,0:1", "--outputs", "u"], ("domain: ", "2 input column(s)")),
        (["--domain", "1:0,0:1", "--outputs", "u"], ("domain: ", "lower < upper")),
        (["--units", "y=m", "--outputs", "u"], ("units: 'y' is no column", "x, t, u")),
        (["--units", "x=furlongz", "--outputs", "u"], ("units: 'furlongz' is no unit", "m/s")),
        (["--units", "x", "--outputs", "u"], ("units: 'x' is no list", "x=m,t=s")),
        (["--units", "x=m,x=s", "--outputs", "u"], ("units: 'x=m,x=s'",)),
        (["--outputs", "u", "--inputs", "x"], ("inputs: ", "2 input column(s)")),
        (["--outputs", "u", "--inputs", "x,x"], ("inputs: 'x,x'", "twice")),
    ],
)
def test_bad_outputs(
    refuses: Refuses, format: str, options: list[str], named: tuple[str, ...]
) -> None:
    out = f"u.{format}"
    refuses("export", str(DENSE), "--format", format, "--out", out, *options, named=named)


def test_letters_that_no_problem_gives_are_asked_for(
    refuses: Refuses, run: Run, tmp_path: Path
) -> None:
    model = onnx.load(DENSE)
    del model.metadata_props[:]
    onnx.save(model, tmp_path / "mine.onnx")
    asked = ["export", "mine.onnx", "--outputs", "u_x", "--out", "d.onnx"]
    refuses(*asked, named=("inputs: ", "not known", "--inputs x,t"))
    assert run(*asked, "--inputs", "x,t").code == 0


def test_what_is_for_compressed_models_is_refused_of_onnx(refuses: Refuses) -> None:
    for option in (["--opset", "18"], ["--device", "laptop-x86"], ["--batch", "2"]):
        refuses(
            "export", str(DENSE), "--outputs", "u_x", "--out", "d.onnx", *option,
            named=(option[0].removeprefix("--"), "heat-64x3.onnx", "leave it out"),
        )  # fmt: skip


def test_kinks_are_refused_with_the_file_and_certify_says_what_it_compares(
    refuses: Refuses, run: Run, tmp_path: Path
) -> None:
    run("export", str(DENSE), "--outputs", "u,u_x", "--out", "d.onnx")
    refuses("certify", "d.onnx", str(DENSE), "--domain", "0:1,0:1", named=("2 output(s)",))
    refuses("certify", "d.onnx", "--problem", "heat", named=("d.onnx", "one output"))
    refuses("evaluate", "d.onnx", "--problem", "heat", named=("2", "without derivatives"))
    graph = hedge.graph.GraphBuilder()
    bent = graph.add("Relu", graph.linear("x", np.ones((3, 2)), np.zeros(3)))
    model = graph.model({"x": 2}, {graph.linear(bent, np.ones((1, 3)), output="u"): 1})
    onnx.save(model, tmp_path / "kinked.onnx")
    refuses(
        "export", "kinked.onnx", "--outputs", "u_xx", "--inputs", "x,y", "--out", "k.onnx",
        named=("kinked.onnx", "Relu", "kink"),
    )  # fmt: skip


def test_an_output_of_its_own_needs_no_letters(run: Run, tmp_path: Path) -> None:
    asked = ["export", str(DENSE), "--outputs", "u", "--inputs", "position,time", "--out", "o.onnx"]
    assert run(*asked).code == 0
    model = onnx.load(DENSE)
    del model.metadata_props[:]
    onnx.save(model, tmp_path / "mine.onnx")
    assert run("export", "mine.onnx", "--outputs", "u", "--out", "m.onnx").code == 0
