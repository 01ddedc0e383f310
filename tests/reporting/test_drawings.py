"""Structures to scale, axes whose marks lie where their values are, histograms of all times."""

from __future__ import annotations

import math
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hedge.benching import BenchResult
from hedge.compression import SitePlan
from hedge.reporting.axes import Axis, log_axis
from hedge.reporting.contents import Contents
from hedge.reporting.latency import distributions
from hedge.reporting.parts import Gallery
from hedge.reporting.runs import BenchFile, Origin
from hedge.reporting.structure import SIDE, site_figure
from hedge.reporting.tradeoff import CostAxis, Point, scatter
from tests.reporting.documents import bench_document

positive = st.floats(1e-12, 1e12)


def site(outputs: int, inputs: int, **structure: object) -> SitePlan:
    return SitePlan.model_validate(
        {
            "name": "site0", "dense_outputs": 128, "dense_inputs": 128, "outputs": outputs,
            "inputs": inputs, "rank": None, "parameters": 1, "reason": "a test", **structure,
        }
    )  # fmt: skip


def rectangles(plan: SitePlan) -> dict[str, list[tuple[float, float]]]:
    """Height and width of the rectangles of a drawing, by class, in entries of the matrix."""
    drawn = ElementTree.fromstring(site_figure(plan, SIDE / 128).svg)
    found: dict[str, list[tuple[float, float]]] = {}
    for rectangle in drawn.iter("rect"):
        sides = [float(rectangle.attrib[key]) * 128 / SIDE for key in ("height", "width")]
        found.setdefault(rectangle.attrib["class"], []).append((sides[0], sides[1]))
    return found


def test_factors_are_drawn_to_scale() -> None:
    drawn = rectangles(site(64, 32, rank=16))
    assert drawn["before"] == [pytest.approx((128, 128), rel=1e-3)]
    assert drawn["lowrank"] == [
        pytest.approx((64, 16), rel=1e-3),
        pytest.approx((16, 32), rel=1e-3),
    ]


def test_blocks_are_drawn_to_scale() -> None:
    drawn = rectangles(site(128, 64, rank=2, leaves=4))
    assert drawn["lowrank"] == [pytest.approx((128, 64), rel=1e-3)]
    assert drawn["dense"] == [pytest.approx((32, 16), rel=1e-3)] * 4


def test_leaves_of_any_partition_tile_the_drawing() -> None:
    tree = (
        (0, 64, 0, 64, None),
        (0, 64, 64, 128, 3),
        (64, 128, 0, 64, 5),
        (64, 128, 64, 128, None),
    )
    plan = site(128, 128, tree=tree)
    drawn = rectangles(plan)
    for kind in ("dense", "lowrank"):
        assert drawn[kind] == [pytest.approx((64, 64), rel=1e-3)] * 2
    svg = ElementTree.fromstring(site_figure(plan, SIDE / 128).svg)
    assert [text.text for text in svg.iter("text")][-2:] == ["3", "5"]


@given(st.lists(positive, min_size=1, max_size=8))
def test_marks_of_a_logarithmic_axis_lie_where_their_values_are(values: list[float]) -> None:
    axis = log_axis(values, 10.0, 350.0, "s")
    for value in values:
        part = math.log(value / axis.low) / math.log(axis.high / axis.low)
        assert axis.at(value) == pytest.approx(10.0 + 340.0 * part, abs=1e-6)
        assert 10.0 < axis.at(value) < 350.0
    ticks = axis.ticks()
    assert 1 <= len(ticks) <= 12
    assert ticks == sorted(ticks)
    assert all(axis.low <= tick <= axis.high for tick in ticks)
    assert len({axis.label(tick) for tick in ticks}) == len(ticks)


@given(st.floats(-1e6, 1e6), st.floats(1e-3, 1e6))
def test_ticks_of_a_linear_axis_are_inside(low: float, length: float) -> None:
    axis = Axis(low, low + length, 0.0, 1.0, "", logarithmic=False)
    ticks = axis.ticks()
    assert 1 <= len(ticks) <= 6
    assert all(axis.low <= tick <= axis.high for tick in ticks)


def test_points_without_a_place_on_logarithmic_axes_are_left_out() -> None:
    points = [Point(1.0, 0.0, "no error"), Point(0.0, 1.0, "no cost"), Point(1.0, 0.1, "there")]
    drawn = scatter({"all": points}, None, 1e-2, CostAxis("parameters"), "a test")
    titles = [title.text for title in ElementTree.fromstring(drawn.svg).iter("title")]
    assert titles == ["all", "there"]  # that of the legend, and one point's
    empty = scatter({"all": points[:2]}, None, 1e-2, CostAxis("parameters"), "a test")
    assert "tolerance 0.01" in empty.svg


def test_hills_are_as_high_as_histograms() -> None:
    result = BenchResult.model_validate(bench_document(["a.onnx"]))
    bench = BenchFile(Origin("bench.json", "", 0), result)
    section = distributions(Contents((), None, None, (bench,), (), (), (bench,)))
    assert section is not None
    gallery = section.parts[0]
    assert isinstance(gallery, Gallery)
    drawn = ElementTree.fromstring(gallery.figures[0].svg)
    outline = next(path.attrib["d"] for path in drawn.iter("path"))
    corners = np.array([[float(c) for c in step.split()] for step in outline[1:-1].split("L")])
    heights = corners[0, 1] - corners[1:-1:2, 1]
    times = result.models[0].windows.ravel()
    assert heights.max() == pytest.approx(34.0)
    tallest = corners[1:-1:2, 0][heights.argmax()]
    widths = corners[2:-1:2, 0] - corners[1:-1:2, 0]
    # The tallest bin lies about the median, whose line is drawn where the axis has it.
    median = next(
        float(line.attrib["x1"]) for line in drawn.iter("line") if "median" in line.attrib["class"]
    )
    assert abs(tallest - median) < 12 * widths[0]
    # All times are in some bin: heights are their counts, in parts of the largest.
    counts = heights / heights.max()
    largest = len(times) / counts.sum()
    assert np.allclose(counts * largest, np.round(counts * largest), atol=0.1)
