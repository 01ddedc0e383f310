"""``hedge report`` as a user runs it, and what it refuses, in one line each."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import Refuses, Run
from tests.reporting.conftest import Files, comparison
from tests.reporting.documents import bench_document, bench_document_1

OUT = ["--out", "report.html"]


def test_the_command_writes_a_page_and_says_so(run: Run, files: Files, tmp_path: Path) -> None:
    document = run("report", str(files.dense), str(files.bench), *OUT, "--json").document()
    page = tmp_path / "report.html"
    assert document == {"out": "report.html", "bytes": page.stat().st_size}
    assert page.read_bytes().startswith(b"<!doctype html>")
    again = run("report", str(files.bench), *OUT, "--force")
    assert again.code == 0
    assert (
        again.out == f"report.html: one page of {page.stat().st_size} bytes, needs nothing else\n"
    )


def of_schema(number: Any) -> Any:
    return {**bench_document(["a.onnx"]), "hedge_bench": number}


def damaged(change: Callable[[dict[str, Any]], None]) -> Any:
    document = bench_document(["a.onnx"])
    change(document)
    return document


def compared(**changed: Any) -> Any:
    return {"hedge_compare": 1, "model": "a.onnx", **changed}


def compared_with(rows: list[dict[str, Any]]) -> Any:
    return {"model": "a.onnx", **comparison().to_json(), "rows": rows}


def row(batch: int) -> dict[str, Any]:
    found: dict[str, Any] = comparison().to_json()["rows"][0]
    found["latencies"][0]["batch"] = batch
    return found


JSON: dict[str, tuple[Any, tuple[str, ...]]] = {
    "a bench of another version": (of_schema(3), ("run.json", "schema 3", "1 and 2")),
    "a bench of no version": (of_schema(None), ("run.json", "None")),
    "a bench without times": (
        damaged(lambda found: found["models"][0].pop("times_s")), ("run.json", "models.0.times_s"),
    ),
    "an old bench without a median": (
        {**bench_document_1(["a.onnx"]), "models": [{}]}, ("run.json", "schema 1"),
    ),
    "a comparison of another version": (compared(hedge_compare=2), ("run.json", "schema 2", "1")),
    "a comparison without rows": (compared(), ("run.json", "device")),
    "a bench of nothing": ({**bench_document([]), "models": []}, ("run.json", "models")),
    "a comparison of nothing": (compared_with([]), ("run.json", "rows")),
    "a comparison of other batches": (
        compared_with([row(1), row(2)]), ("run.json", "rows", "batches"),
    ),
    "another document": ({"a": 1}, ("run.json", "no result of hedge bench or hedge compare")),
    "no document": ([1], ("run.json", "no result of hedge bench or hedge compare")),
}  # fmt: skip


@pytest.mark.parametrize("case", JSON)
def test_results_that_are_none_are_refused(case: str, refuses: Refuses, tmp_path: Path) -> None:
    document, named = JSON[case]
    (tmp_path / "run.json").write_text(json.dumps(document))
    refuses("report", "run.json", *OUT, named=named)


FILES: dict[str, tuple[str, bytes, tuple[str, ...]]] = {
    "no JSON": ("run.json", b"{", ("run.json", "not JSON")),
    "JSON with NaN": ("run.json", b'{"hedge_bench": NaN}', ("run.json", "schema nan")),
    "JSON with a number beyond all": (
        "run.json",
        b'{"hedge_compare": 1e999}',
        ("run.json", "schema inf"),
    ),
    "JSON of no text": ("run.json", b"\xff\xfe", ("run.json", "not JSON")),
    "no ONNX": ("run.onnx", b"\x00\x01", ("run.onnx",)),
    "no compressed model": ("run.hedge.safetensors", b"{", ("run.hedge.safetensors",)),
    "a profile": ("device.toml", b"name = 1", ("device.toml", "is no run", ".hedge.safetensors")),
}


@pytest.mark.parametrize("case", FILES)
def test_files_that_are_no_runs_are_refused(case: str, refuses: Refuses, tmp_path: Path) -> None:
    name, content, named = FILES[case]
    (tmp_path / name).write_bytes(content)
    refuses("report", name, *OUT, named=named)


def test_a_missing_file_is_refused(refuses: Refuses) -> None:
    refuses("report", "there-is-none.json", *OUT, named=("there-is-none.json",))


def test_a_page_that_is_there_is_kept(refuses: Refuses, files: Files, tmp_path: Path) -> None:
    (tmp_path / "report.html").write_text("mine")
    refuses("report", str(files.bench), *OUT, named=("report.html", "--force"))
    refuses("report", str(files.bench), "--out", "no/report.html", named=("no", "create it"))


def test_a_file_that_is_read_is_not_written(refuses: Refuses, tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text(json.dumps(bench_document(["a.onnx"])))
    refuses("report", "run.json", "--out", "run.json", "--force", named=("run.json", "is read"))


def test_two_models_of_one_name_are_refused(
    refuses: Refuses,
    files: Files,
    heat_path: Path,
    burgers_path: Path,
    tmp_path: Path,
) -> None:
    (tmp_path / "heat.onnx").write_bytes(burgers_path.read_bytes())
    refuses("report", str(files.dense), "heat.onnx", *OUT, named=("'heat'", "rename"))


@pytest.mark.parametrize("package", ["jinja2", "matplotlib"])
def test_without_the_extra_the_line_says_how_to_get_it(
    package: str,
    refuses: Refuses,
    files: Files,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    install = "pip install 'hedge-pinn[report]'"
    refuses("report", str(files.bench), *OUT, named=(package, install))


@pytest.mark.skipif(os.name != "posix", reason="file names elsewhere are text")
def test_a_name_that_is_no_text_is_shown_as_far_as_it_is(run: Run, files: Files) -> None:
    name = os.fsdecode(b"be\xffnch.json")
    Path(name).write_bytes(files.bench.read_bytes())
    assert run("report", name, *OUT).code == 0
    assert "be?nch.json" in Path("report.html").read_text(encoding="utf-8")
