"""A sweep on the page: fronts, maps over two axes, and what failed."""

from __future__ import annotations

import json
from itertools import product
from pathlib import Path
from xml.etree import ElementTree

import pytest

from hedge.api import planned
from hedge.errors import InputError
from hedge.reporting import contents_of, read_report_files
from hedge.reporting.parts import CellTable, Gallery, Section, Text
from hedge.reporting.sweeps import sweeps
from hedge.sweeping import Ledger, Outcome, Store
from tests.conftest import random_mlp
from tests.reporting.html_page import HtmlPage

DEVICES = ["raspberry-pi-3b-plus", "laptop-x86"]
TOLERANCES = [0.1, 0.01, 0.001]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Of two models, two devices and three tolerances; the last cell failed."""
    monkeypatch.chdir(tmp_path)
    for seed, name in enumerate(("a.onnx", "<b>.onnx")):
        (tmp_path / name).write_bytes(random_mlp([2, 4, 1], seed).SerializeToString())
    plan = planned(
        {"stages": ["compress"],
         "axes": {"model": ["a.onnx", "<b>.onnx"], "device": DEVICES, "tolerance": TOLERANCES}}
    ).plan  # fmt: skip
    store = Store(tmp_path / "runs")
    store.begin(plan, force=False)
    ledger = Ledger(store, plan.cells)
    for i, cell in enumerate(plan.cells[:-1]):
        tolerance = cell.axes["tolerance"]
        figures = {
            "error": 0.9 * tolerance,
            "bytes": int(10 / tolerance),
            "predicted_s": 1e-5 * (1 + i % 3),
        }
        ledger.take(cell.tasks[0], Outcome(figures))
    ledger.take(plan.cells[-1].tasks[0], Outcome(failed="no <room>"))
    return store.folder


@pytest.fixture
def section(folder: Path) -> Section:
    found = sweeps(contents_of(read_report_files([folder])))
    assert found is not None
    return found


def test_the_table_has_the_front_and_the_others_fail_with_their_reason(section: Section) -> None:
    told, worth, _, failed = section.parts
    assert isinstance(told, Text)
    assert told.text == "runs: of 12 cells 11 are done, 1 failed."
    assert isinstance(worth, CellTable)
    assert worth.columns == ("model", "device", "tolerance", "error", "bytes", "predicted")
    assert len(worth.rows) == 11  # a smaller error costs more, so that nothing beats anything
    first = [str(cell).replace("\u202f", " ") for cell in worth.rows[0]]
    assert first == ["a", "raspberry-pi-3b-plus", "0.1", "9.0e−2", "100 B", "10.0 µs"]
    assert isinstance(failed, CellTable)
    assert failed.rows == (("compress: no <room>", "1"),)


def test_drawings_have_every_cell_and_stay_inside(section: Section) -> None:
    gallery = section.parts[2]
    assert isinstance(gallery, Gallery)
    # latency and bytes of two models, as fronts and as maps
    assert len(gallery.figures) == 8
    for figure in gallery.figures:
        svg = ElementTree.fromstring(figure.svg)
        _, _, width, height = map(float, svg.attrib["viewBox"].split())
        for element in svg:
            for key, most in (("x", width), ("cx", width), ("y", height), ("cy", height)):
                assert 0.0 <= float(element.get(key, 0)) <= most, ElementTree.tostring(element)
    fronts, maps = gallery.figures[:4], gallery.figures[4:]
    for figure, cells in zip(fronts, (6, 5, 6, 5), strict=True):
        svg = ElementTree.fromstring(figure.svg)
        marks = [each for each in svg if "mark" in each.get("class", "")]
        assert len(marks) == cells + len(DEVICES)  # those of the legend, too
        lines = [each for each in svg if "curve" in each.get("class", "")]
        assert len(lines) == len(DEVICES)
    for figure, cells in zip(maps, (6, 5, 6, 5), strict=True):
        svg = ElementTree.fromstring(figure.svg)
        places = [each for each in svg if each.tag == "rect"]
        assert len(places) == cells
        told = {each.text for place in places for each in place}
        wanted = {f"device {d}, tolerance {t:.3g}" for d, t in product(DEVICES, TOLERANCES)}
        assert sum(any(text in (one or "") for one in told) for text in wanted) == cells


def test_shade_follows_the_figure_and_the_figure_stands_there(section: Section) -> None:
    gallery = section.parts[2]
    assert isinstance(gallery, Gallery)
    svg = ElementTree.fromstring(gallery.figures[6].svg)
    shades = [float(each.attrib["fill-opacity"]) for each in svg if each.tag == "rect"]
    assert shades[:3] == sorted(
        set(shades[:3]), reverse=True
    )  # 0.1 stands at the right, and is smallest
    words = [str(each.text).replace("\u202f", " ") for each in svg if each.tag == "text"]
    assert {"100 B", "1,000 B"} <= set(words) or {"100 B", "1000 B"} <= set(words), words


def test_the_page_is_whole_and_names_are_escaped(folder: Path, tmp_path: Path) -> None:
    import hedge

    hedge.report([folder], tmp_path / "r.html")
    page = HtmlPage((tmp_path / "r.html").read_text())
    assert "<b>" in page.text
    assert "no <room>" in page.text


def test_a_folder_without_results_is_refused(folder: Path, tmp_path: Path) -> None:
    for path in (folder / "cells").iterdir():
        path.unlink()
    with pytest.raises(InputError, match="none of its cells is done yet"):
        read_report_files([folder])
    with pytest.raises(InputError, match="is no folder of a sweep"):
        read_report_files([tmp_path])


def test_a_strangers_figures_are_numbers_or_nothing(folder: Path) -> None:
    path = next((folder / "cells").iterdir())
    document = json.loads(path.read_text())
    path.write_text(
        json.dumps(
            {**document, "figures": {"error": "x", "bytes": float("nan"), "predicted_s": True}}
        )
    )
    assert sweeps(contents_of(read_report_files([folder]))) is not None
    path.write_text(json.dumps({**document, "figures": 3}))
    with pytest.raises(InputError, match="is damaged"):
        read_report_files([folder])
