"""``hedge export --format c``: what it writes and prints, and what it refuses."""

from __future__ import annotations

import subprocess
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper

import hedge
from tests.cli.conftest import Refuses, Run, contents
from tests.conftest import ROOT, make_model
from tests.exporting.c_compiler import WARNINGS, gcc, needs_gcc

BURGERS_NU = ROOT / "models" / "burgers-nu-24x3.onnx"
C = ["--format", "c"]


@needs_gcc
@pytest.mark.parametrize(
    "options",
    [
        [],
        ["--precision", "double", "--jacobian"],
        ["--no-fast-tanh", "--jacobian"],
        ["--jacobian", "--outputs", "u,u_t"],
    ],
)
def test_the_test_program_agrees(run: Run, tmp_path: Path, options: list[str]) -> None:
    found = run("export", str(BURGERS_NU), *C, "--out", "nu.c", "--test", "--json", *options)
    document = found.document()
    assert document["parameters"] == 1321
    assert document["flash_bytes"] < 5700
    assert {path.name for path in tmp_path.iterdir()} == {"nu.c", "nu.h", "nu_test.c", "nu.mk"}
    assert "main" not in (tmp_path / "nu.c").read_text()
    gcc(tmp_path, *WARNINGS, "-O2", "nu_test.c", "nu.c", "-o", "nu_test", "-lm")
    tested = subprocess.run([tmp_path / "nu_test"], capture_output=True, text=True, check=False)
    assert tested.returncode == 0, tested.stdout
    assert tested.stdout.startswith("nu: 17 rows, off by at most ")
    assert ("nu: with derivatives off by at most " in tested.stdout) == ("--jacobian" in options)
    assert ("jacobian_stack_bytes" in document) == ("--jacobian" in options)


@needs_gcc
def test_the_makefile_runs_the_program_of_the_compiler_that_is_named_now(
    run: Run, tmp_path: Path
) -> None:
    run("export", str(BURGERS_NU), *C, "--out", "nu.c", "--test")

    def make(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = ["make", "-f", "nu.mk", "test", *arguments]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)

    assert "nu: 17 rows" in make("CC=gcc").stdout
    assert make("CC=false").returncode != 0
    assert "started ./nu_test" in make("CC=gcc", "RUN=echo started").stdout.splitlines()


@needs_gcc
@pytest.mark.parametrize("precision", ["float", "double"])
def test_the_test_program_allows_for_sums_that_cancel(
    run: Run, tmp_path: Path, precision: str
) -> None:
    rng = np.random.default_rng(3)
    inner, outer = rng.standard_normal((16, 2)), rng.standard_normal((1, 16))
    nodes = [
        helper.make_node("Gemm", ["x", "w"], ["z"], transB=1),
        helper.make_node("Tanh", ["z"], ["a"]),
        helper.make_node("Gemm", ["a", "v"], ["u"], transB=1),
    ]
    # Neurons in pairs of nearly equal ones and opposite weights: six digits are lost.
    weights = {"w": np.vstack([inner, inner * (1 + 1e-6)]), "v": np.hstack([outer, -outer])}
    onnx.save(make_model(nodes, weights, inputs=2), tmp_path / "m.onnx")
    run("export", "m.onnx", *C, "--out", "u.c", "--test", "--precision", precision)
    gcc(tmp_path, "-O3", "-ffast-math", "u_test.c", "u.c", "-o", "u_test", "-lm")
    tested = subprocess.run([tmp_path / "u_test"], capture_output=True, text=True, check=False)
    assert tested.returncode == 0, tested.stdout


@needs_gcc
@pytest.mark.parametrize(
    ("right", "wrong"),
    [("0.99999994f", "0.98f"), ("0.99999994f", "0.0f / 0.0f"), (" J[1] = ", " J[1] = 1.0f + ")],
    ids=["a function", "not a number", "a derivative"],
)
def test_the_test_program_finds_what_is_wrong(
    run: Run, tmp_path: Path, right: str, wrong: str
) -> None:
    run("export", str(BURGERS_NU), *C, "--out", "nu.c", "--test", "--jacobian")
    source = (tmp_path / "nu.c").read_text()
    assert right in source
    (tmp_path / "nu.c").write_text(source.replace(right, wrong, 1))
    gcc(tmp_path, "-O2", "nu_test.c", "nu.c", "-o", "nu_test", "-lm")
    assert subprocess.run([tmp_path / "nu_test"], capture_output=True, check=False).returncode == 1


def test_what_it_prints_and_writes_of_a_compressed_model(run: Run, tmp_path: Path) -> None:
    hedge.compress(
        hedge.reference_models()["heat"], device="laptop-x86", tolerance=1e-2,
        out=tmp_path / "heat.hedge.safetensors", recover=None,
    )  # fmt: skip
    found = run("export", "heat.hedge.safetensors", *C, "--out", "a.c", "--name", "heat")
    assert found.code == 0, found.err
    assert found.out.startswith("a.c, a.h: ")
    assert "parameters" in found.out
    header = (tmp_path / "a.h").read_text()
    assert "heat-64x3.onnx" in header
    assert "tolerance 0.01" in header
    assert " * 1D heat equation, x in [0, 1], t in [0, 1]" in header
    assert "#define HEAT_STACK_BYTES" in header
    assert (tmp_path / "a.c").read_text().startswith('#include "a.h"')
    first = contents(tmp_path)
    again = ["--out", "a.c", "--name", "heat", "--force"]
    assert run("export", "heat.hedge.safetensors", *C, *again).code == 0
    assert contents(tmp_path) == first


def test_the_format_is_that_of_the_name_where_none_is_given(
    run: Run, refuses: Refuses, tmp_path: Path
) -> None:
    run("export", str(BURGERS_NU), *C, "--out", "asked.c", "--name", "u")
    assert run("export", str(BURGERS_NU), "--out", "named.c", "--name", "u").code == 0
    asked, named = (tmp_path / f"{name}.c" for name in ("asked", "named"))
    assert named.read_text() == asked.read_text().replace("asked.", "named.")
    slope = ["--outputs", "u_x", "--out"]
    for name in ("slope.onnx", "slope"):
        assert run("export", str(BURGERS_NU), *slope, name).code == 0
        assert onnx.load(tmp_path / name).graph.output[0].name == "u_x"
    refuses("export", str(BURGERS_NU), "--out", "n.h", named=("n.h", ".c"))
    refuses("export", str(BURGERS_NU), "--out", "n.C", named=("n.C", ".c"))
    refuses("export", str(BURGERS_NU), "--out", "n.c", "--opset", "17", named=("opset", "onnx"))
    refuses("export", str(BURGERS_NU), "--format", "onnx", "--out", "n.c", named=("n.c",))


@pytest.mark.parametrize(
    ("options", "named"),
    [
        (["--out", "2d.c"], ("name: '2d'", "--name")),
        (["--out", "u.c", "--name", "while"], ("name: 'while'", "C identifier")),
        *(
            (["--out", "u.c", "--name", name], ("name: ", "C identifier"))
            for name in (
                "a b",
                'a"b',
                "a*/b",
                "a\n#error",
                "a\n",
                "a\r",
                "_a",
                "__x",
                "\u00e9",
                "float",
            )
        ),
        (["--out", "u.c", "--name", "a" * 10**5 + "?"], ("name: ",)),
        (["--out", "math.c"], ("math.c", "C's own math.h")),
        (["--out", "StdDef.c", "--name", "u"], ("StdDef.c", "C's own stddef.h")),
        (["--out", "u.onnx"], ("u.onnx", ".c")),
        (["--out", 'u"\n.c'], ("ends in .c",)),
        (["--out", "gone/u.c"], ("gone/u.c", "no folder")),
        (["--out", "-u.c", "--name", "u"], ("name a file",)),
        (["--out", "u.c", "--flash", "5000"], ("flash: ", "5000", "more than")),
        (
            ["--out", "u.c", "--jacobian", "--stack", "1000"],
            ("ram: a Jacobian takes", "more than"),
        ),
    ],
)
def test_bad_options(refuses: Refuses, options: list[str], named: tuple[str, ...]) -> None:
    refuses("export", str(BURGERS_NU), *C, *options, named=named)


@pytest.mark.parametrize("there", ["u.c", "u.h", "u_test.c", "u.mk"])
def test_no_file_is_written_where_one_of_them_exists(
    refuses: Refuses, tmp_path: Path, there: str
) -> None:
    (tmp_path / there).write_text("mine")
    refuses("export", str(BURGERS_NU), *C, "--out", "u.c", "--test", named=(there, "--force"))


@pytest.mark.parametrize(
    "option",
    [
        ["--name", "u"],
        ["--flash", "9"],
        ["--fast-tanh"],
        ["--test"],
        ["--jacobian"],
        ["--precision", "double"],
    ],
)
def test_options_of_c_are_refused_for_onnx(refuses: Refuses, option: list[str]) -> None:
    refuses(
        "export", "m.hedge.safetensors", "--out", "u.onnx", *option,
        named=(option[0].removeprefix("--"), "--format c"),
    )  # fmt: skip


@pytest.mark.parametrize("kind", [".hedge.safetensors", ".onnx"])
def test_a_damaged_model(refuses: Refuses, tmp_path: Path, kind: str) -> None:
    whole = tmp_path / "whole.hedge.safetensors"
    if kind == ".onnx":
        whole = BURGERS_NU
    else:
        heat = hedge.reference_models()["heat"]
        hedge.compress(heat, device="laptop-x86", tolerance=1e-2, out=whole, recover=None)
    damaged = tmp_path / f"damaged{kind}"
    damaged.write_bytes(whole.read_bytes()[:-100])
    refuses("export", str(damaged), *C, "--out", "u.c", named=(damaged.name, "cut short"))


def test_a_missing_model(refuses: Refuses) -> None:
    refuses("export", "gone.onnx", *C, "--out", "u.c", named=("gone.onnx", "no such file"))
