"""Files of strangers: names that are code, times beyond sense, models that do not what they say."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from onnx import ModelProto, helper

from hedge.compression import load_compressed, save_compressed
from tests.conftest import make_model, random_mlp
from tests.reporting.conftest import Files, Write
from tests.reporting.documents import bench_document
from tests.reporting.html_page import HtmlPage


def claiming(model: ModelProto, problem: str) -> ModelProto:
    helper.set_model_props(model, {"hedge.problem": problem})
    return model


@pytest.mark.parametrize(
    ("widths", "problem"),
    [([2, 8, 2], "heat"), ([3, 8, 1], "heat"), ([64, 8, 3], "poisson-operator"), ([1, 8, 1], "x")],
)
def test_a_model_that_can_not_solve_what_it_names_is_not_judged_by_it(
    widths: list[int], problem: str, write: Write, saved: Callable[[ModelProto], Path]
) -> None:
    page = HtmlPage(write([saved(claiming(random_mlp(widths), problem))]))
    assert page.sections == ["Results", "Provenance"]
    assert "to reference" not in page.table("Size and error").columns


def test_outputs_that_are_not_finite_are_said_so(
    files: Files, write: Write, saved: Callable[[ModelProto], Path]
) -> None:
    nodes = [helper.make_node("Gemm", ["x", "w"], ["a"]), helper.make_node("Log", ["a"], ["u"])]
    odd = saved(claiming(make_model(nodes, {"w": -np.ones((2, 1))}, inputs=2), "heat"))
    page = HtmlPage(write([files.dense, odd]))
    assert page.table("Size and error").row("model")[5] == "not finite"
    assert "No maps of model: its output is not finite everywhere." in page.text
    assert "heat, its error: at most" in page.text


def test_an_operator_whose_outputs_are_not_finite_is_not_drawn(
    write: Write, saved: Callable[[ModelProto], Path]
) -> None:
    steps = [("Gemm", "x w a"), ("Mul", "a a b"), ("Neg", "b c"), ("Log", "c u")]
    nodes = [helper.make_node(op, [*names.split()[:-1]], [names[-1]]) for op, names in steps]
    odd = make_model(nodes, {"w": np.eye(64)}, inputs=64)
    written = write([saved(claiming(odd, "poisson-operator"))])
    assert "No curve of model: its output is not finite everywhere." in HtmlPage(written).text
    assert not re.search(r' d="[^"]*(nan|inf)', written)


@pytest.mark.parametrize("value", [1e-29, 1e29])
def test_times_beyond_sense_are_drawn_all_the_same(
    value: float, write: Write, tmp_path: Path
) -> None:
    path = tmp_path / "bench.json"
    document = bench_document(["a.onnx", "b.onnx"])
    first = document["models"][0]
    for key in ("median_s", "p90_s", "p99_s", "predicted_s", "roofline_s", "paper_bound_s"):
        first[key] = value
    first["times_s"] = [[value] * 16] * 20
    path.write_text(json.dumps(document))
    html = write([path])
    assert not re.search(r"\b(nan|inf)\b", html)
    assert HtmlPage(html).table("Latency of a call").row("a", "1")


HOSTILE = "<script>alert(1)</script>&\"'\u202e\x07"


def test_hostile_names_are_text(files: Files, write: Write, tmp_path: Path) -> None:
    document = bench_document([f"{HOSTILE}.onnx", "heat.onnx"], unstable=HOSTILE)
    document["device"] = document["runtime"] = document["machine"]["processor"] = HOSTILE
    bench = tmp_path / "<b>&'.json"
    bench.write_text(json.dumps(document))
    compared = json.loads(files.comparison.read_text())
    compared["model"] = compared["device"] = compared["rows"][1]["method"] = HOSTILE
    compared["absent"] = {HOSTILE: HOSTILE}
    comparison_file = tmp_path / "compare.json"
    comparison_file.write_text(json.dumps(compared))
    model = load_compressed(files.compressed)
    plan = model.plan.model_copy(
        update={
            "source": HOSTILE, "command": HOSTILE, "note": HOSTILE, "device": HOSTILE,
            "left_alone": (HOSTILE,),
            "sites": tuple(s.model_copy(update={"reason": HOSTILE}) for s in model.plan.sites),
        }
    )  # fmt: skip
    small = tmp_path / "small.hedge.safetensors"
    save_compressed(replace(model, plan=plan), small)
    html = write([bench, comparison_file, small])
    page = HtmlPage(html)
    assert "script" not in page.tags
    assert "<script" not in html
    assert "<b>" not in html
    assert "\u202e" not in html
    assert "\x07" not in html
    shown = "<script>alert(1)</script>&\"'??"
    assert page.table("Latency of a call").row(shown, "1")
    assert page.table("The files this page").row(bench.name)
