"""The page: it tells what its files hold, for everyone, and nothing of its own."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

import hedge
from hedge import api
from hedge.compression import Rung, Trial, load_compressed, save_compressed
from hedge.devices.figures import Bytes
from hedge.devices.profile import Memory
from hedge.graph import load_model, run_float32
from hedge.problems import find_operator, find_problem
from hedge.reporting.maps import UP, plane_of
from hedge.reporting.numbers import count, error, quantity
from hedge.reporting.operator_example import operator_example
from hedge.reporting.page import figure_rows
from hedge.reporting.parts import Gallery, Text
from tests.compression.promises import head
from tests.devices.c_profile import c_device
from tests.reporting.conftest import TOLERANCE, Files, Write, comparison
from tests.reporting.documents import bench_document, bench_document_1
from tests.reporting.html_page import HtmlPage

SECTIONS = [
    "At a glance", "What was asked", "Results", "Solution and error", "Block structure", "Error by layer",
    "Cost against error", "Beside other methods", "Latency distributions", "The device",
    "Bound against measured", "Energy", "Provenance",
]  # fmt: skip


@pytest.fixture(scope="session")
def whole(files: Files, tmp_path_factory: pytest.TempPathFactory) -> HtmlPage:
    out = tmp_path_factory.mktemp("report") / "report.html"
    hedge.report(files.all, out)
    return HtmlPage(out.read_text(encoding="utf-8"))


def test_the_page_needs_nothing_beside_it(whole: HtmlPage, files: Files, write: Write) -> None:
    html = write(files.all)
    assert len(html.encode()) < 2 * 2**20
    assert "script" not in whole.tags
    assert all(link.startswith(("#", "data:")) for link in whole.links)
    assert "@import" not in html
    assert set(re.findall(r"url\((.*?)\)", html)) == {"#hatch"}
    assert write(files.all) == html


def test_the_page_is_for_everyone(whole: HtmlPage) -> None:
    assert [level for level, _ in whole.headings] == [1] + [2] * len(SECTIONS)
    assert whole.sections == SECTIONS
    assert len(whole.ids) == len(set(whole.ids))
    assert {link[1:] for link in whole.links if link.startswith("#")} <= set(whole.ids)
    assert whole.drawings
    for drawing in whole.drawings:
        assert drawing["role"] == "img"
        assert drawing["aria-label"]
    for table in whole.tables:
        assert table.scopes == ["col"] * len(table.columns) + ["row"] * len(table.rows)
        assert all(len(row) == len(table.columns) for row in table.rows)


def test_the_numbers_are_those_of_the_plan(whole: HtmlPage, files: Files) -> None:
    plan = files.plan
    for text in (count(plan.dense_parameters), count(plan.parameters)):
        assert text in whole.text
    sizes = whole.table("Size and error").row("heat.pi")
    assert sizes[1] == count(plan.parameters)
    asked = whole.table("The request")
    assert asked.columns == ["request", "heat.pi"]
    assert asked.row("error allowed")[1] == "0.01 against the dense model"
    assert asked.row("rows a call")[1] == "256"
    assert plan.command in " ".join(whole.text.split())
    layers = whole.table("heat.pi: each layer")
    assert layers.column("layer") == [site.name for site in plan.sites]
    assert layers.column("parameters") == [count(site.parameters) for site in plan.sites]
    shares = [site.error_share or 0.0 for site in plan.sites]
    assert layers.column("share of the error") == [f"{share:.0%}" for share in shares]
    made = whole.table("How the compressed models were made").row("heat.pi")
    assert made[1] == "0"
    assert made[3] == plan.source_sha256


def test_figures_of_the_device_have_their_sources(whole: HtmlPage, files: Files) -> None:
    device = files.plan.device_profile
    assert device is not None
    row = whole.table("Figures of raspberry-pi-4b").row("paper.compute")
    compute = device.paper.compute
    assert row[1:] == [quantity(compute.value, "flop/s"), compute.kind, compute.source]


def test_figures_of_c_are_told_by_row_and_tile() -> None:
    flash = Bytes(value=2048, unit="byte", source="a test's")
    device = c_device(8).model_copy(update={"memory": Memory(flash=flash)})
    rows = {row["figure"]: row["value"] for row in figure_rows("runtime", device.runtime)}
    assert rows["runtime.row.vector"] == quantity(2e-9, "s")
    assert rows["runtime.tile.functions.Tanh"] == quantity(5.4e-8, "s")
    (row,) = figure_rows("memory", device.memory)
    assert (row["figure"], row["value"]) == ("memory.flash", quantity(2048, "byte"))


def test_the_numbers_are_those_of_the_bench(whole: HtmlPage) -> None:
    document = bench_document(["heat.onnx", "heat.pi.onnx"])
    table, bounds = whole.table("Latency of a call"), whole.table("The same in numbers")
    for model in document["models"]:
        key = (model["path"].removesuffix(".onnx"), count(model["batch"]))
        row = table.row(*key)
        assert row[2:4] == [quantity(model["median_s"], "s"), quantity(model["p90_s"], "s")]
        assert row[4] == "–"
        assert row[6] == f"{model['speedup']:.2f}×"
        named = ("roofline_s", "paper_bound_s", "predicted_s", "median_s")
        assert bounds.row(*key)[2:6] == [quantity(model[name], "s") for name in named]
        assert bounds.row(*key)[7] == "no"
    assert "Not measured: wide.onnx: is too wide." in whole.text
    assert "Times are of the machine that measured" in whole.text


def test_the_page_opens_with_what_was_won(whole: HtmlPage, files: Files) -> None:
    plan = load_compressed(files.compressed).plan
    glance = whole.table("Times of a call")
    assert whole.sections[0] == "At a glance"
    assert glance.column("model") == ["heat", "heat.pi"]
    assert glance.row("heat.pi")[1] == count(plan.parameters)
    result = json.loads(files.bench.read_text())
    timed = {(m["path"], m["batch"]): m for m in result["models"]}
    batches = sorted({m["batch"] for m in result["models"]})
    for place, batch in enumerate(batches):
        m = timed["heat.pi.onnx", batch]
        median, faster = glance.row("heat.pi")[4 + 2 * place : 6 + 2 * place]
        assert median == quantity(m["median_s"], "s")
        assert faster == f"{m['speedup']:.2f}×"


def test_the_numbers_are_those_of_the_comparison(whole: HtmlPage) -> None:
    table = whole.table("heat.onnx by each method")
    for row in comparison().rows:
        cells = table.row(row.method)
        assert cells[1] == count(row.parameters)
        assert cells[3] == error(row.error)
        assert cells[5] == ("yes" if row.within else "no")
        assert cells[6] == quantity(row.latencies[0].median_s, "s")
    assert "No result of small-net: needs torch." in whole.text
    assert "table is faster than hedge at batch 256" in whole.text


def test_reference_errors_are_those_of_evaluate(whole: HtmlPage, files: Files) -> None:
    for path in (files.dense, files.exported):
        found = api.evaluate(path, "heat")
        row = whole.table("Size and error").row(path.name.removesuffix(".onnx"))
        assert row[5:] == [error(found.relative_l2), error(found.residual_rms)]


def test_maps_show_the_error_against_the_reference(whole: HtmlPage, files: Files) -> None:
    problem = find_problem("heat")
    plane = plane_of(problem.domain, tuple(problem.inputs))
    points = plane.points
    assert problem.reference is not None
    assert points[0].tolist() == [1.0, 0.0]  # x upwards, t to the right
    assert points[-1].tolist() == [0.0, 1.0]
    assert len(points) % UP == 0
    output = run_float32(load_model(files.exported), points)
    largest = float(np.abs(output - problem.reference(points)).max())
    assert f"heat.pi, its error: at most {error(largest)}." in whole.text
    assert [tag for tag, _ in whole.shapes].count("image") == 8  # two models, two maps, with bars


def test_sections_are_there_when_their_input_is(files: Files, write: Write) -> None:
    def sections(*runs: Path) -> list[str]:
        return HtmlPage(write(runs)).sections

    assert sections(files.bench) == [
        "Results", "Latency distributions", "The device", "Bound against measured", "Energy",
        "Provenance",
    ]  # fmt: skip
    assert sections(files.comparison) == ["Beside other methods", "The device", "Provenance"]
    assert sections(files.dense) == ["Results", "Solution and error", "Provenance"]
    assert sections(files.compressed) == [
        "What was asked", "Results", "Solution and error", "Block structure", "Error by layer",
        "Cost against error", "The device", "Energy", "Provenance",
    ]  # fmt: skip


def test_a_compressed_model_and_its_export_are_one(files: Files, write: Write) -> None:
    for order in ([files.compressed, files.exported], [files.exported, files.compressed]):
        page = HtmlPage(write(order))
        assert page.table("Size and error").column("model") == ["heat.pi"]
        names = page.table("The files this page").column("file")
        assert names == [path.name for path in order]
    alone = HtmlPage(write([files.dense, files.compressed]))
    assert alone.table("Size and error").column("model") == ["heat", "heat.hedge"]


def test_a_model_of_unknown_problem_is_judged_by_the_dense_one(
    files: Files, write: Write, tmp_path: Path
) -> None:
    model = load_model(files.dense)
    del model.metadata_props[:]
    foreign, small = tmp_path / "foreign.onnx", tmp_path / "foreign.hedge.safetensors"
    foreign.write_bytes(model.SerializeToString())
    hedge.compress(
        foreign,
        device="laptop-x86",
        tolerance=TOLERANCE,
        batch=256,
        domain="0:1,0:1",
        out=small,
        recover=None,
    )
    page = HtmlPage(write([foreign, small]))
    assert "errors are against the dense model" in page.text
    assert "foreign.hedge, its error: at most" in page.text
    assert "foreign, its error" not in page.text
    assert "to reference" not in page.table("Size and error").columns
    assert "Solution and error" in HtmlPage(write([small])).sections


def test_a_dense_model_solves_what_was_made_from_it(
    files: Files, write: Write, tmp_path: Path
) -> None:
    model = load_model(files.dense)
    del model.metadata_props[:]
    dense, small = tmp_path / "d.onnx", tmp_path / "s.hedge.safetensors"
    dense.write_bytes(model.SerializeToString())
    hedge.compress(
        dense,
        device="laptop-x86",
        tolerance=TOLERANCE,
        batch=256,
        problem="heat",
        out=small,
        recover=None,
    )
    sizes = HtmlPage(write([dense, small])).table("Size and error")
    assert "–" not in sizes.column("to reference")


def test_the_head_is_of_the_smallest_model_and_its_best_time(whole: HtmlPage, files: Files) -> None:
    head = whole.text[: whole.text.index("What was asked")]
    bench = bench_document(["heat.onnx", "heat.pi.onnx"])
    fastest = max(bench["models"], key=lambda m: m["speedup"])
    where = f"measured on {bench['machine']['processor']}"  # which is no Raspberry Pi
    told = f"as fast as heat at batch {fastest['batch']}, {where}"
    for text in (count(files.plan.parameters), "heat.pi, for raspberry-pi-4b", told, "2.00×"):
        assert text in head


def test_of_darcy_flow_the_medium_is_shown_as_what_it_is() -> None:
    section = operator_example(find_operator("darcy-operator", 16), [])
    (told, gallery) = section.parts
    assert isinstance(told, Text)
    assert "one random coefficient, and" in told.text
    assert isinstance(gallery, Gallery)
    assert gallery.figures[0].caption == "The coefficient a."


def test_an_operator_is_shown_by_an_example(write: Write) -> None:
    page = HtmlPage(write([hedge.reference_models()["poisson-operator"]]))
    assert "Curves" not in page.sections
    assert "Errors of the solutions, against the reference." in page.text
    assert page.table("Size and error").row("poisson-operator-1024")[1] == "1,049,600"


def test_recovery_is_drawn_by_its_rungs(files: Files, write: Write, tmp_path: Path) -> None:
    model = load_compressed(files.compressed)
    rungs = (
        Rung(parameters=900, cut_error=0.1, error=5e-3, on="outputs", steps=200),
        Rung(parameters=400, cut_error=0.2, error=9e-3, on="outputs", steps=300),
    )
    path = tmp_path / "recovered.hedge.safetensors"
    plan = model.plan.model_copy(update={"rungs": rungs, "trials": ()})
    save_compressed(replace(model, plan=plan), path)
    page = HtmlPage(write([path]))
    assert "recovered.hedge: steps of recovery" in page.text
    marks = [s for s in page.shapes if str(s[1].get("class", "")).startswith("mark ")]
    assert len(marks) == 2 + 2 * len(rungs)  # the legend's, and two for each rung
    assert "400 parameters, 9.0e−3, outputs" in page.text


def test_every_candidate_of_the_search_is_drawn(whole: HtmlPage, files: Files) -> None:
    trials = files.plan.trials
    assert all(isinstance(trial, Trial) for trial in trials)
    for trial in trials:
        told = f"{count(trial.parameters)} parameters, {quantity(trial.predicted_s, 's')}, error "
        assert f"{told}{error(trial.error)}" in whole.text


@pytest.mark.parametrize("metered", [False, True])
def test_energy_is_named_modelled_or_measured(metered: bool, write: Write, tmp_path: Path) -> None:
    path = tmp_path / "bench.json"
    document = bench_document(["heat.onnx"], energy=metered)
    path.write_text(json.dumps(document))
    table = HtmlPage(write([path])).table("Energy of a call")
    first = document["models"][0]
    cells = [quantity(first["energy_j"], "J")]
    if metered:
        assert "measured by hwmon" in table.caption
        cells += [quantity(first["measured_energy"][key], "J") for key in ("gross_j", "net_j")]
    else:
        assert "there was no meter" in table.caption
    assert table.row("heat", "1")[2:] == cells


def test_what_was_unstable_is_said_once(write: Write, tmp_path: Path) -> None:
    path = tmp_path / "bench.json"
    path.write_text(json.dumps(bench_document(["a.onnx", "b.onnx"], unstable="the loop is slow")))
    page = HtmlPage(write([path]))
    assert "Unstable at batch 256: the loop is slow (a, b)." in page.text


def test_results_of_schema_1_are_read(write: Write, tmp_path: Path) -> None:
    path = tmp_path / "old.json"
    document = bench_document_1(["heat.onnx", "heat.pi.onnx"])
    path.write_text(json.dumps(document))
    row = HtmlPage(write([path])).table("Latency of a call").row("heat.pi", "256")
    assert row[2] == quantity(document["models"][-1]["median_s"], "s")


def test_a_model_that_stays_dense_says_why(heat_path: Path, write: Write, tmp_path: Path) -> None:
    path = tmp_path / "heat.hedge.safetensors"
    small = hedge.compress(
        heat_path, device="laptop-x86", tolerance=1e-6, batch=1, out=path, recover=None
    )
    assert not small.plan.gains
    page = HtmlPage(write([path]))
    assert f"heat.hedge stays dense: {small.plan.note}." in page.text
    assert "Cost against error" not in page.sections


# --- What a plan claims ---------------------------------------------------------------------------


def test_errors_are_measured_where_the_dense_model_is_there(whole: HtmlPage, files: Files) -> None:
    box = find_problem("heat").domain.sample(50_000, 99)
    u, v = (run_float32(load_model(path), box) for path in (files.dense, files.exported))
    measured = np.linalg.norm(u - v) / np.linalg.norm(u)
    shown = whole.table("Size and error").row("heat.pi")[3]
    assert number(shown) == pytest.approx(measured, rel=0.1)
    assert "To dense measured on 16,384 new points of heat: heat.pi." in whole.text


def test_errors_stand_by_column_and_derivative(write: Write, tmp_path: Path) -> None:
    dense, out = tmp_path / "m.onnx", tmp_path / "m.hedge.safetensors"
    dense.write_bytes(head(1.0, 1e3).SerializeToString())
    plan = hedge.compress(
        dense,
        device="laptop-x86",
        domain="-1:1,-1:1",
        objective="size",
        tolerance=1e-2,
        out=out,
        recover=None,
    ).plan
    page = HtmlPage(write([dense, out]))
    columns = page.table("Errors against the dense model by column")
    assert columns.column("column") == ["0", "1"]
    told = [number(text) for text in columns.column("to dense")]
    assert told == pytest.approx([one.relative_error for one in plan.errors], rel=0.1)
    derivatives = page.table("Relative L2 errors of the derivatives")
    assert derivatives.column("by") == ["x[0]", "x[0]", "x[1]", "x[1]"]


def test_without_the_dense_model_errors_stand_as_the_file_says(write: Write, files: Files) -> None:
    page = HtmlPage(write([files.exported]))
    shown = page.table("Size and error").row("heat.pi")[3]
    assert shown == error(files.plan.relative_error)
    assert "To dense as the file says: heat.pi." in page.text


def test_a_plan_that_lies_is_belied(write: Write, files: Files, tmp_path: Path) -> None:
    model = onnx.load(str(files.exported))
    for tensor in model.graph.initializer:
        values = numpy_helper.to_array(tensor)
        if values.size > 50:
            tensor.CopyFrom(numpy_helper.from_array(np.zeros_like(values), tensor.name))
    lie = tmp_path / "lie.onnx"
    lie.write_bytes(model.SerializeToString())
    page = HtmlPage(write([files.dense, lie]))
    assert number(page.table("Size and error").row("lie")[3]) > 1.0
    assert "lie is further from the dense model than its plan says" in page.text
    assert error(files.plan.relative_error) not in page.text


def number(text: str) -> float:
    """What a cell shows, as a number."""
    return float(text.replace("\u2212", "-"))


def test_every_field_of_a_system_has_its_error_and_its_maps(tmp_path: Path, write: Write) -> None:
    path = tmp_path / "flow.onnx"
    hedge.train("kovasznay", path, width=6, depth=1, max_steps=20)
    page = HtmlPage(write([path]))
    found = api.evaluate(path, "kovasznay")
    row = page.table("Relative L2 errors of each field").row("flow")
    assert row[1:] == [error(found.by_field[name]) for name in ("u", "v", "p")]
    problem = find_problem("kovasznay")
    points = plane_of(problem.domain, tuple(problem.inputs)).points
    off = np.abs(run_float32(load_model(path), points) - problem.reference(points))
    for column, name in enumerate(problem.fields):
        assert f"flow, error of {name}: at most {error(float(off[:, column].max()))}." in page.text
    assert [tag for tag, _ in page.shapes].count("image") == 12


def test_the_residual_of_an_inverse_problem_is_that_with_what_was_found(
    tmp_path: Path, write: Write
) -> None:
    path = tmp_path / "inverse.onnx"
    hedge.train("heat-inverse", path, width=4, depth=1, max_steps=10)
    page = HtmlPage(write([path]))
    found = api.evaluate(path, "heat-inverse")
    assert found.residual_rms is not None
    assert error(found.residual_rms) in page.table("Size and error").row("inverse")
