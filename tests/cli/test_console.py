"""What people see: units, text that is no markup, and tables that lose no digit when narrow."""

from __future__ import annotations

import io
import sys

import pytest

from hedge.cli.console import joules, print_table, seconds, size


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("value", "text"),
    [(1.5, "1.50 s"), (2e-3, "2.00 ms"), (4.56e-6, "4.56 us"), (3e-9, "3.00 ns"), (0.0, "0 ns")],
)
def test_durations(value: float, text: str) -> None:
    assert seconds(value) == text


def test_energies_and_sizes() -> None:
    assert joules(2.5e-6) == "2.50 uJ"
    assert size(200) == "200 B"
    assert size(2048) == "2.00 KiB"


def test_names_from_files_are_neither_markup_nor_control_characters(
    capsys: pytest.CaptureFixture[str],
) -> None:
    print_table("plain[v1].onnx", ["name"], [["[/bold]"], ["h\x1b[31mred"]])
    printed = capsys.readouterr().out
    assert "plain[v1].onnx" in printed
    assert "[/bold]" in printed
    assert "\x1b" not in printed
    assert "h?[31mred" in printed


def test_a_pipe_gets_no_blanks_at_the_ends_of_lines(capsys: pytest.CaptureFixture[str]) -> None:
    print_table("t", ["name", "why"], [["a", "long " * 9], ["b", ""]], prose=["why"])
    lines = capsys.readouterr().out.splitlines()
    assert lines == ["t", "name why", "a    " + "long " * 8 + "long", "b"]


def test_a_narrow_terminal_folds_cells_and_loses_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stdout", terminal)
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("TERM", "dumb")
    figures = [f"{i}.{i}{i} ms" for i in range(1, 9)]
    names = ["model", *(f"column {i}" for i in range(1, 9))]
    print_table("t", names, [["burgers.factorized.onnx", *figures]])
    assert "…" not in terminal.getvalue()
    assert max(map(len, terminal.getvalue().splitlines())) <= 80
