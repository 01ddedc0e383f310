"""``hedge export --format casadi``: what it writes and says, and bad input."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.conftest import Refuses, Run
from tests.conftest import ROOT
from tests.exporting.c_compiler import needs_gcc

HEAT = str(ROOT / "models" / "heat-64x3.onnx")


@needs_gcc
def test_without_a_compiler_the_sources_are_there(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    document = run("export", HEAT, "--format", "casadi", "--out", "heat", "--json").document()
    assert document["parameters"] == 8577
    assert document["second_derivatives"] is True
    assert document["library_bytes"] == (tmp_path / "heat" / "heat.so").stat().st_size
    monkeypatch.setenv("CC", "there-is-none")
    found = run("export", HEAT, "--format", "casadi", "--out", "heat", "--force")
    assert "heat.so is missing, for there is no C compiler 'there-is-none'" in found.out
    # The old one would be of another export.
    assert {path.suffix for path in (tmp_path / "heat").iterdir()} == {".c", ".h", ".json"}


@pytest.mark.parametrize(
    ("options", "named"),
    [
        (["--out", "two__bars"], ("name: CasADi", "two__bars", "--name")),
        (["--out", "heat", "--name", "jac"], ("name: CasADi", "'jac'")),
        (["--out", "double"], ("name: ", "no C identifier")),
        (["--out", "math"], ("math.c", "C's own math.h")),
        (
            ["--out", "heat", "--precision", "float"],
            ("precision: is no option of casadi", "--format c"),
        ),
        (["--out", "heat", "--compiler", "there-is-none"], ("compiler: ", "there-is-none")),
        (["--out", "full"], ("full: is not empty", "--force")),
        (["--out", "heat", "--outputs", "u,u_q"], ("outputs: ", "u_q")),
    ],
)
def test_bad_options(
    refuses: Refuses, tmp_path: Path, options: list[str], named: tuple[str, ...]
) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").write_text("mine")
    refuses("export", HEAT, "--format", "casadi", *options, named=named)
