"""Commands run in this process, and a check that they refuse cleanly."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from hedge.cli.app import main

PROGRESS = ("running ", "measuring ", "looking ", "ordering ", "searching ", "certifying ", "proving ",
            "checking ", "timing ", "no candidate ")  # fmt: skip


@dataclass(frozen=True)
class Outcome:
    """What a command did."""

    code: int
    out: str
    err: str

    def document(self) -> dict[str, Any]:
        """The JSON that it printed."""
        assert self.code == 0, self.err
        found: dict[str, Any] = json.loads(self.out)
        return found


Run = Callable[..., Outcome]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Run:
    """Runs ``hedge`` in the temporary folder, as the console script does."""
    monkeypatch.chdir(tmp_path)

    def run_hedge(*argv: str) -> Outcome:
        monkeypatch.setattr(sys, "argv", ["hedge", *argv])
        with pytest.raises(SystemExit) as stopped:
            main()
        return Outcome(int(stopped.value.code or 0), *capsys.readouterr())

    return run_hedge


@pytest.fixture
def refuses(run: Run, tmp_path: Path) -> Callable[..., None]:
    """Runs ``hedge`` and checks that it refuses cleanly, in one line that holds all of ``named``."""

    def check(*argv: str, named: tuple[str, ...]) -> None:
        before = contents(tmp_path)
        outcome = run(*argv)
        lines = outcome.err.splitlines()
        assert outcome.code == 1
        assert [line for line in lines if not line.startswith(PROGRESS)] == lines[-1:]
        assert lines[-1].startswith("hedge: ")
        for text in named:
            assert text in lines[-1]
        assert "Traceback" not in outcome.out + outcome.err
        assert outcome.out == ""
        assert contents(tmp_path) == before

    return check


Refuses = Callable[..., None]


def contents(folder: Path) -> dict[Path, bytes | None]:
    """Every file and folder below, with what it holds."""
    return {p: p.read_bytes() if p.is_file() else None for p in folder.rglob("*")}
