"""README and docs: their code runs, their paths exist, and what they promise of the layout is true."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from hedge.devices import find_profile, read_profile

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
HMATRIX = (ROOT / "docs" / "hmatrix.md").read_text(encoding="utf-8")


def blocks(text: str, language: str) -> list[str]:
    found = re.findall(r"^```(\w*)\n(.*?)^```$", text, flags=re.DOTALL | re.MULTILINE)
    return [code for named, code in found if named == language]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder as a reader has it: the models, and a burgers.onnx of their own."""
    (tmp_path / "models").symlink_to(ROOT / "models")
    shutil.copy(ROOT / "models" / "burgers-128x4.onnx", tmp_path / "burgers.onnx")
    return tmp_path


@pytest.mark.parametrize("code", blocks(README, "python") + blocks(HMATRIX, "python"))
def test_python_of_readme_and_docs_runs(code: str, folder: Path) -> None:
    subprocess.run([sys.executable, "-c", code], cwd=folder, check=True, capture_output=True)


def test_commands_of_readme_and_docs_run(folder: Path) -> None:
    environment = {**os.environ, "XDG_CACHE_HOME": str(folder / "cache")}
    commands = [
        line
        for block in blocks(README, "") + blocks(HMATRIX, "")
        for line in block.splitlines()
        if line.startswith("hedge ")
    ]
    named = [line.split()[1] for line in commands]
    assert named == ["compress", "inspect", "export", "bench", "ntk"]
    for line in commands:
        code = "from hedge.cli.app import main; main()"
        arguments = [word.strip('"') for word in line.split()[1:]]
        run = subprocess.run(
            [sys.executable, "-c", code, *arguments],
            cwd=folder,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert run.returncode == 0, run.stderr


def test_the_profile_of_the_docs_is_one(tmp_path: Path) -> None:
    (example,) = blocks((ROOT / "docs" / "files.md").read_text(encoding="utf-8"), "toml")
    path = tmp_path / "my-board.toml"
    path.write_text(example, encoding="utf-8")
    assert read_profile(path).name == "my-board"
    assert type(read_profile(path)) is type(find_profile("laptop-x86"))


@pytest.mark.parametrize(
    "page", ["README.md", "docs/files.md", "docs/hmatrix.md", "models/README.md"]
)
def test_links_lead_somewhere(page: str) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)#]+)\)", text):
        assert (ROOT / page).parent.joinpath(target).exists(), target


def test_the_layout_table_names_the_packages_there_are() -> None:
    named = set(re.findall(r"`hedge/(\w+)`", README))
    there = {path.parent.name for path in (ROOT / "hedge").glob("*/__init__.py")}
    assert named == there


@pytest.mark.parametrize("target", re.findall(r"make (\w+)", README))
def test_make_targets_named_in_the_readme_exist(target: str) -> None:
    assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(), flags=re.MULTILINE)
