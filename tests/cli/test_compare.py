"""``hedge compare`` from end to end."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from hedge.cli.comparison_table import verdicts
from hedge.comparing import Latency, Row, Win
from hedge.methods import METHODS
from tests.cli.conftest import Run
from tests.cli.test_commands import in_one_process
from tests.conftest import random_mlp

BRIEF = ["--device", "laptop-x86", "--tolerance", "1e-2", "--batch", "1,16", "--seconds", "0.01"]


def test_every_method_is_in_the_document(run: Run, saved: Callable[..., Path]) -> None:
    saved(random_mlp([2, 24, 24, 1], seed=1))
    known = ["--problem", "heat", "--steps", "20"]
    found = run("compare", "model.onnx", *BRIEF, *known, "--json").document()
    assert found["model"] == "model.onnx"
    assert found["device"] == "laptop-x86"
    assert found["absent"] == {}
    rows = {row["method"]: row for row in found["rows"]}
    assert list(rows) == list(METHODS)
    for row in rows.values():
        assert row.keys() == {
            "method", "parameters", "bytes", "error", "reference_error", "within", "latencies",
            "seconds", "note", "errors",
        }  # fmt: skip
        assert [latency["batch"] for latency in row["latencies"]] == [1, 16]
        assert row["latencies"][0].keys() == {"batch", "predicted_s", "median_s", "energy_j"}
        closest = min(row["error"], row["reference_error"])
        assert row["within"] == (closest <= 1e-2)
    for method in ("dense", "hedge", "svd", "activation-svd", "prune", "table"):
        assert rows[method]["within"]
    assert rows["table"]["parameters"] < rows["dense"]["parameters"]
    assert all(win["seconds"] < win["hedge_seconds"] for win in found["wins"])


def test_without_torch_or_a_problem_the_row_says_so(saved: Callable[..., Path]) -> None:
    model, once = (
        saved(random_mlp([2, 8, 8, 1])),
        [*BRIEF, "--batch", "1", "--problem", "heat", "--steps", "20"],
    )
    asked = ["compare", model, *once]
    (known, wider), run = in_one_process(
        [*asked, "--json"], [*asked, "--domain", "0:2,0:2"], block="torch"
    )
    assert "pip install 'hedge-pinn[train]'" in json.loads(known)["absent"]["small-net"]
    assert "small-net: no result: needs a problem of the gallery" in wider
    table = wider.strip().splitlines()
    assert table[1].split()[:4] == ["method", "parameters", "bytes", "to"]
    there = [name for name in METHODS if name != "small-net"]
    rows = table[2 : 2 + len(there)]
    assert [line.partition("  ")[0] for line in rows] == there
    assert all("–" in line for line in rows)  # no reference outside the domain
    assert "measured times are of this machine" in run.stderr


def row(method: str, parameters: int) -> Row:
    return Row(method, parameters, 4, 1e-3, None, True, (Latency(8, 1.0, 1.0, 1.0),), 0.1, "")


def test_where_a_rival_is_faster_one_line_says_so() -> None:
    rows = [row("hedge", 300), row("table", 1200), row("small-net", 80)]
    wins = [
        Win("table", 1, "measured", 2e-6, 4e-6),
        Win("table", 1024, "measured", 3e-5, 2e-4),
        Win("table", 1024, "predicted", 2e-5, 1e-4),
    ]
    (line,) = verdicts(rows, wins)
    assert line == (
        "table of 1200 parameters is within the tolerance and faster than hedge at batch 1: 2.00 us "
        "against 4.00 us measured; at batch 1024: 30.0 us against 200 us measured, 20.0 us against "
        "100 us predicted"
    )
    assert verdicts(rows, []) == []


@pytest.mark.parametrize("method", METHODS)
def test_every_method_is_described_in_the_docs(method: str) -> None:
    page = Path(__file__).parents[2] / "docs" / "comparing.md"
    assert f"| `{method}` |" in page.read_text(encoding="utf-8")
