"""README and docs: their code runs, their paths exist, and what they promise of the layout is true."""

from __future__ import annotations

import importlib.util
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import hedge
from hedge.cli.app import main
from hedge.devices import read_profile
from hedge.exporting.c99.rows import supported
from hedge.graph.derivatives import differentiated
from hedge.ops import op_of
from tests.benching.test_calibration import SCOPE
from tests.conftest import ROOT, blocks
from tests.exporting.c_compiler import WARNINGS, gcc, needs_gcc

README = (ROOT / "README.md").read_text(encoding="utf-8")
HMATRIX = (ROOT / "docs" / "hmatrix.md").read_text(encoding="utf-8")
OPERATORS = (ROOT / "docs" / "operators.md").read_text(encoding="utf-8")
TRAINING = (ROOT / "docs" / "training.md").read_text(encoding="utf-8")
COMPRESSING = (ROOT / "docs" / "compressing.md").read_text(encoding="utf-8")
BENCHING = (ROOT / "docs" / "benching.md").read_text(encoding="utf-8")
IMPORTING = (ROOT / "docs" / "importing.md").read_text(encoding="utf-8")
REPORTING = (ROOT / "docs" / "reporting.md").read_text(encoding="utf-8")
EXPORTING = (ROOT / "docs" / "exporting.md").read_text(encoding="utf-8")
DEVICES = (ROOT / "docs" / "devices.md").read_text(encoding="utf-8")
C99 = (ROOT / "docs" / "c99.md").read_text(encoding="utf-8")
FMU = (ROOT / "docs" / "fmu.md").read_text(encoding="utf-8")
CASADI = (ROOT / "docs" / "casadi.md").read_text(encoding="utf-8")
ARDUINO = (ROOT / "docs" / "arduino.md").read_text(encoding="utf-8")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder as a reader has it: the models, and a burgers.onnx of their own, here a small one."""
    (tmp_path / "models").symlink_to(ROOT / "models")
    shutil.copy(ROOT / "models" / "heat-64x3.onnx", tmp_path / "burgers.onnx")
    return tmp_path


@pytest.mark.parametrize(
    "code", [code for text in (README, HMATRIX, EXPORTING) for code in blocks(text, "python")]
)
def test_python_of_readme_and_docs_runs(
    code: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    exec(code.replace("tolerance=1e-2, batch=64", "tolerance=1e-2, batch=64, steps=300"), {})


BRIEF = {"bench": ["--seconds", "0.05"], "compress": ["--steps", "500"]}
CommandsRun = Callable[..., list[str]]


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of what is measured of this machine: once for all pages."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def commands_run(monkeypatch: pytest.MonkeyPatch, cache: Path) -> CommandsRun:
    """Runs every hedge command of the texts in a folder, in order, and returns which they were.

    This machine is calibrated at a few sizes once, models are timed briefly and recovered in few steps.
    """
    monkeypatch.setenv("XDG_CACHE_HOME", str(cache))
    monkeypatch.setattr("hedge.benching.calibration.cache.QUICK", replace(SCOPE, limit_s=0.0))

    def run(folder: Path, *texts: str) -> list[str]:
        monkeypatch.chdir(folder)
        lines = [
            line for text in texts for block in blocks(text, "") for line in block.splitlines()
        ]
        commands = [shlex.split(line) for line in lines if line.startswith("hedge ")]
        for command in commands:
            brief = BRIEF.get(command[1], [])
            monkeypatch.setattr(sys, "argv", [*command, *brief])
            with pytest.raises(SystemExit) as stopped:
                main()
            assert not stopped.value.code, command
        return [command[1] for command in commands]

    return run


def test_commands_of_readme_and_docs_run(commands_run: CommandsRun, folder: Path) -> None:
    named = commands_run(folder, README, HMATRIX)
    assert named == ["compress", "inspect", "export", "bench", "compress", "ntk"]


@pytest.mark.parametrize("code", blocks(TRAINING, "python"))
def test_python_of_the_page_on_training_runs(
    code: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The examples of problems of one's own: as short as it says, trained and compressed."""
    problem = code[code.index("= Problem(") :].split("\n\n")[0]
    assert len(problem.splitlines()) <= 30
    monkeypatch.chdir(tmp_path)
    brief = code.replace("max_steps=500", "max_steps=100")
    brief = re.sub(r"tolerance=1e-2(?=[,)])", "tolerance=1e-2, steps=500", brief)
    assert brief.count("steps=") == 2
    exec(brief, {})
    assert list(tmp_path.glob("*.onnx"))


def test_commands_of_the_page_on_importing_run(
    commands_run: CommandsRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(0)
    monkeypatch.chdir(tmp_path)
    exec(next(code for code in blocks(IMPORTING, "python") if "np.save" in code), {})
    net = nn.Sequential(nn.Linear(2, 16), nn.Tanh(), nn.Linear(16, 1))
    torch.save({"model_state_dict": net.state_dict()}, tmp_path / "burgers-20000.pt")
    torch.save({"state_dict": net.state_dict()}, tmp_path / "epoch=999-step=1000.ckpt")
    assert commands_run(tmp_path, IMPORTING) == ["import", "import", "compress", "import"]


def test_commands_of_the_page_on_operators_run_on_a_small_grid(
    commands_run: CommandsRun, tmp_path: Path
) -> None:
    named = commands_run(tmp_path, OPERATORS.replace("1024", "64").replace("32x32", "8x8"))
    assert named == ["train", "evaluate", "compress", "export", "train", "evaluate"]


def test_commands_of_the_page_on_compressing_run_in_fewer_steps(
    commands_run: CommandsRun, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(BRIEF, "compress", ["--steps", "1500"])
    named = commands_run(folder, COMPRESSING)
    assert named == ["compress", "compress"]
    plan = hedge.load(folder / "heat.hedge.safetensors").plan
    assert f"{plan.dense_parameters} -> " in COMPRESSING
    assert plan.rungs


def test_commands_of_the_page_on_c_run_and_its_list_of_ops_is_whole(
    commands_run: CommandsRun, folder: Path
) -> None:
    assert commands_run(folder, C99) == ["compress", "export"]
    assert {path.name for path in folder.glob("nu*.[ch]")} == {"nu.c", "nu.h", "nu_test.c"}
    named = set(re.findall(r"\b[A-Z][A-Za-z]+\b", C99[C99.index("- elementwise") :]))
    assert named >= set(supported())
    header, caller = blocks(C99, "c")
    written = (folder / "nu.h").read_text()
    for line in header.splitlines():
        assert re.sub(r" \d+$", " ", line) in written
    (folder / "caller.c").write_text(caller)
    if shutil.which("gcc"):
        gcc(folder, *WARNINGS, "-c", "caller.c", "nu.c")
    if shutil.which("g++"):
        subprocess.run(
            ["g++", "-Wall", "-Werror", "-fsyntax-only", "-xc++", "caller.c"],
            cwd=folder,
            check=True,
        )


@needs_gcc
def test_commands_and_python_of_the_page_on_fmus_run(
    commands_run: CommandsRun, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert commands_run(folder, FMU) == ["export"]
    monkeypatch.chdir(folder)
    for code in blocks(FMU, "python"):
        exec(code, {})


@pytest.mark.parametrize(
    ("page", "commands"),
    [
        ("index", ["compress", "inspect", "export", "bench"]),
        ("tolerance", ["compress", "compress"]),
        ("plan", ["compress", "inspect"]),
        ("systems", ["export", "export", "export"]),
    ],
)
def test_commands_of_the_first_pages_run(
    commands_run: CommandsRun, page: str, commands: list[str], folder: Path
) -> None:
    text = (ROOT / "docs" / f"{page}.md").read_text(encoding="utf-8")
    assert commands_run(folder, text) == commands


def test_the_site_holds_every_page_and_the_reference_every_public_name() -> None:
    site = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    pages = set(re.findall(r"([\w-]+\.md)", site))
    assert pages == {path.name for path in (ROOT / "docs").glob("*.md")}
    named = re.findall(r"^::: (\S+)$", (ROOT / "docs" / "api.md").read_text(), flags=re.MULTILINE)
    for name in named:
        module, _, attribute = name.rpartition(".")
        assert getattr(importlib.import_module(module), attribute).__doc__, name
    functions = {f"hedge.{name}" for name in hedge.__all__ if not name.startswith("_")}
    assert functions <= set(named)


def test_commands_of_exporting_run(commands_run: CommandsRun, folder: Path) -> None:
    assert commands_run(folder, EXPORTING) == [
        "compress",
        "export",
        "inspect",
        "export",
        "export",
        "export",
        "export",
        "export",
    ]


def test_the_page_on_exporting_lists_what_is_differentiated() -> None:
    told = re.search(r"Differentiated are (.*?), and what moves", EXPORTING, flags=re.DOTALL)
    assert told is not None
    names = {*differentiated(almost_everywhere=True), "LayerNormalization"}
    moving = {name for name in names if op_of(name).kind == "moving"}
    assert re.split(r",\s+", told[1]) == sorted(names - moving)


@needs_gcc
def test_the_page_on_casadi_runs_and_swings_the_pendulum_up(
    commands_run: CommandsRun, folder: Path
) -> None:
    assert commands_run(folder, CASADI) == ["export"]
    scope: dict[str, Any] = {}
    for code in blocks(CASADI, "python"):
        exec(code, scope)
    assert scope["solver"].stats()["success"]
    cost, torques = float(scope["found"]["f"]), np.array(scope["found"]["x"])[-40:, 0]
    # With the differential equation itself it is 24.5507.
    assert abs(cost - 24.5507) < 1e-2
    assert np.abs(torques).max() <= 5.0 + 1e-6
    assert torques[0] < -4.9 < 4.9 < torques[10]  # first it gains momentum
    written = {path.name for path in (folder / "pendulum").iterdir()}
    told = set(re.findall(r"`([\w.]+\.(?:so|c|h|json))`", CASADI[CASADI.index("## The folder") :]))
    assert written == told - {"certificate.json"}


def test_commands_of_the_page_on_devices_run_for_a_microcontroller(
    commands_run: CommandsRun, folder: Path
) -> None:
    section = DEVICES[DEVICES.index("## Microcontrollers") :].split("\n## ")[0]
    assert commands_run(folder, section) == ["compress"]
    header = (folder / "heat.h").read_text()
    assert int(re.findall(r"HEAT_FLASH_BYTES (\d+)", header)[0]) <= 8192
    assert int(re.findall(r"HEAT_BATCH_STACK_BYTES (\d+)", header)[0]) <= 2048


def test_commands_of_the_page_on_arduino_run(
    commands_run: CommandsRun, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(BRIEF, "compress", ["--steps", "1500"])
    assert commands_run(folder, ARDUINO) == ["export", "compress", "export"]
    header = (folder / "UnoNet" / "src" / "UnoNet.h").read_text()
    assert int(re.findall(r"UNONET_FLASH_BYTES (\d+)", header)[0]) <= 1024


def test_commands_of_the_page_on_benching_run(commands_run: CommandsRun, folder: Path) -> None:
    shutil.copy(ROOT / "models" / "heat-64x3.onnx", folder / "burgers.pi.onnx")
    assert commands_run(folder, BENCHING.replace("1,1024", "1")) == ["bench", "bench"]


def test_commands_of_the_page_on_reporting_run(commands_run: CommandsRun, folder: Path) -> None:
    assert commands_run(folder, REPORTING) == ["compress", "export", "bench", "report"]
    assert (folder / "report.html").stat().st_size < 2 * 2**20


def test_the_profiles_of_the_docs_are_some(tmp_path: Path) -> None:
    page = (ROOT / "docs" / "files.md").read_text(encoding="utf-8")
    example, of_c, memory = blocks(page, "toml")
    path = tmp_path / "my-board.toml"
    path.write_text(example, encoding="utf-8")
    assert read_profile(path).name == "my-board"
    assert not read_profile(path).runs_c
    runtime = example[example.index("[runtime]") : example.index("[limits]")]
    path.write_text(example.replace(runtime, of_c) + memory, encoding="utf-8")
    assert read_profile(path).runs_c
    assert read_profile(path).memory is not None


PAGES = ["README.md", "models/README.md", *(f"docs/{p.name}" for p in (ROOT / "docs").glob("*.md"))]


@pytest.mark.parametrize("page", sorted(PAGES))
def test_links_lead_somewhere(page: str) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    prose = re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE)
    for target in re.findall(r"\]\(([^)#]+)\)", prose):
        assert (ROOT / page).parent.joinpath(target).exists(), target


def test_the_layout_table_names_the_packages_there_are() -> None:
    architecture = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (`hedge/.*?) \|", architecture, flags=re.MULTILINE)
    named = {name for row in rows for name in re.findall(r"`hedge/(\w+)`", row)}
    there = {path.parent.name for path in (ROOT / "hedge").glob("*/__init__.py")}
    assert named == there


@pytest.mark.parametrize("target", re.findall(r"make (\w+)", README))
def test_make_targets_named_in_the_readme_exist(target: str) -> None:
    assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(), flags=re.MULTILINE)
