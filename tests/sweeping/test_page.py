"""The page on sweeping: its examples are sweeps, of as many cells as it says."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from hedge.api import planned
from tests.conftest import ROOT

PAGE = (ROOT / "docs" / "sweeping.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"^```toml\n(.*?)^```$", PAGE, flags=re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("example", EXAMPLES)
def test_examples_are_sweeps(example: str, tmp_path: Path) -> None:
    (tmp_path / "models").symlink_to(ROOT / "models")
    path = tmp_path / "sweep.toml"
    path.write_text(example)
    found = planned(path)
    assert len(found.plan.cells) == found.count > 10
    assert found.cluster.kind == tomllib.loads(example).get("cluster", {"kind": "local"})["kind"]


def test_cells_are_as_many_as_it_says(tmp_path: Path) -> None:
    (tmp_path / "models").symlink_to(ROOT / "models")
    counts = []
    for example in EXAMPLES[:2]:
        (tmp_path / "sweep.toml").write_text(example)
        plan = planned(tmp_path / "sweep.toml").plan
        first = {cell.tasks[0].key for cell in plan.cells}
        counts.append((len(plan.cells), len(first)))
    assert counts == [(12, 12), (360, 60)]
    assert "That is 12 cells" in PAGE
    assert "These are 360 cells of 60 trainings" in PAGE
