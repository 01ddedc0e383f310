"""The page on systems: its programs are built from its own text and print what the model gives."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import hedge
from hedge.exporting import open_model
from hedge.graph import Evaluator, with_jacobian
from tests.conftest import ROOT, blocks
from tests.exporting.c_compiler import needs_gcc

COMPRESSED = ROOT / "models" / "burgers-128x4.hedge.safetensors"
PAGE = (ROOT / "docs" / "systems.md").read_text(encoding="utf-8")
STAND_INS = Path(__file__).parent / "ros"
POINTS = np.array([[0.5, 0.25], [-0.5, 0.25]])
WARNINGS = ("-Wall", "-Wextra", "-Werror")
# CMake comes with FMPy, beside this Python.
PROGRAMS = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])


def needs(program: str) -> pytest.MarkDecorator:
    is_there = shutil.which(program, path=PROGRAMS) is not None
    return pytest.mark.skipif(not is_there, reason=f"there is no {program} here")


def ran(folder: Path, *command: str) -> str:
    """What a command prints; what it says against it is an assertion's message."""
    program = shutil.which(command[0], path=PROGRAMS) or command[0]
    done = subprocess.run(
        [program, *command[1:]],
        cwd=folder,
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        timeout=120,
        env=os.environ | {"PATH": PROGRAMS},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what the page's commands write, which the tests of the documentation run."""
    folder = tmp_path_factory.mktemp("exported")
    hedge.export_c(COMPRESSED, folder / "burgers.c", guard=True)
    hedge.export_c(COMPRESSED, folder / "burgers64.c", precision="double", jacobian=True)
    return folder


@pytest.fixture(scope="module")
def expected() -> np.ndarray:
    """u and its derivatives by position and time at the points, (2, 3)."""
    return Evaluator(with_jacobian(open_model(COMPRESSED).graph, np.float64))(POINTS)


@needs_gcc
@needs("cmake")
@needs("g++")
def test_the_project_with_cmake(exported: Path, expected: np.ndarray, tmp_path: Path) -> None:
    shutil.copytree(exported, tmp_path, dirs_exist_ok=True)
    (tmp_path / "CMakeLists.txt").write_text(blocks(PAGE, "cmake")[0])
    (tmp_path / "flow.cpp").write_text(blocks(PAGE, "cpp")[0])
    configure, build, run = (line.split() for line in blocks(PAGE, "sh")[0].splitlines())
    ran(tmp_path, *configure, f"-DCMAKE_CXX_FLAGS={' '.join(WARNINGS)}")
    ran(tmp_path, *build)
    assert float(ran(tmp_path, f"./{run[0]}")) == pytest.approx(expected[0, 0], abs=1e-5)


@needs_gcc
@needs("g++")
def test_the_node_of_ros_answers_points(
    exported: Path, expected: np.ndarray, tmp_path: Path
) -> None:
    (tmp_path / "burgers_node.cpp").write_text(blocks(PAGE, "cpp")[1])
    ran(tmp_path, "gcc", "-std=c99", *WARNINGS, "-c", str(exported / "burgers.c"))
    ran(tmp_path, "g++", "-std=c++17", *WARNINGS, f"-I{exported}", f"-I{STAND_INS}",
        "burgers_node.cpp", "burgers.o", "-lm", "-o", "node")  # fmt: skip
    one, two, refused = ran(tmp_path, "./node").splitlines()
    assert float(one) == pytest.approx(expected[0, 0], abs=1e-5)
    np.testing.assert_allclose([float(word) for word in two.split()], expected[:, 0], atol=1e-5)
    assert refused == "burgers: x must have rows of 2 numbers"


@needs("octave-cli")
@needs("mkoctfile")
def test_the_mex_function_in_octave(exported: Path, expected: np.ndarray, tmp_path: Path) -> None:
    shutil.copytree(exported, tmp_path, dirs_exist_ok=True)
    (tmp_path / "burgers64_mex.c").write_text(blocks(PAGE, "c")[0])
    build = next(line for line in PAGE.splitlines() if line.startswith("mkoctfile"))
    ran(tmp_path, *build.partition("#")[0].split())
    code = (
        "printf('%.9f\\n', burgers64_mex([0.5 -0.5; 0.25 0.25]));"
        "try, burgers64_mex([1 2 3]), catch refused, disp(refused.message), end"
    )
    *values, refused = ran(tmp_path, "octave-cli", "--no-init-file", "--eval", code).splitlines()
    np.testing.assert_allclose([float(value) for value in values], expected[:, 0], atol=1e-6)
    assert "give real numbers, a column for each point" in refused


# What a tool for Modelica makes of these external functions: arrays are pointers, matrices row by row.
CALLS = """
#include <stdio.h>
#include "burgers64.h"

int main(void)
{{
    const double x[2] = {{0.5, 0.25}};
    double u[1], J[1][2];
    {eval};
    printf("%.9f\\n", u[0]);
    {jacobian};
    printf("%.9f\\n%.9f\\n%.9f\\n", u[0], J[0][0], J[0][1]);
    return 0;
}}
"""


@needs_gcc
def test_the_external_functions_of_modelica(
    exported: Path, expected: np.ndarray, tmp_path: Path
) -> None:
    text = blocks(PAGE, "modelica")[0]
    calls = [line.split('external "C" ')[1] for line in text.splitlines() if "external" in line]
    evaluate, jacobian = (call.partition(" annotation")[0] for call in calls)
    assert (evaluate, jacobian) == ("burgers64_eval(x, u)", "burgers64_jacobian(x, u, J)")
    assert "Real J[1, 2]" in text
    main = CALLS.format(eval=evaluate, jacobian=jacobian.replace("J", "&J[0][0]"))
    (tmp_path / "main.c").write_text(main)
    ran(tmp_path, "gcc", "-std=c99", *WARNINGS, f"-I{exported}", "main.c",
        str(exported / "burgers64.c"), "-lm", "-o", "calls")  # fmt: skip
    found = [float(line) for line in ran(tmp_path, "./calls").splitlines()]
    np.testing.assert_allclose(found, [expected[0, 0], *expected[0]], rtol=1e-6, atol=1e-6)
