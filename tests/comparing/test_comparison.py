from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

import hedge
from hedge.benching import Effort
from hedge.cli.comparison_table import print_comparison
from hedge.comparing import ComparisonTable, Latency, Row, Win, compare
from hedge.compression import Case, points_of_sources
from hedge.devices import predicted_seconds
from hedge.graph import graph_work, load_model, run_float32
from hedge.methods import METHODS, Absent, Candidate, activation_svd
from hedge.problems import find_operator, find_problem
from tests.architectures import two_outputs, worst_error
from tests.methods.cases import case_of

BRIEF = Effort(warm_up_s=0.01, timed_s=0.01)


@pytest.fixture(scope="module")
def heat() -> Case:
    model = load_model(hedge.reference_models()["heat"])
    return case_of(model, 1e-2, problem=find_problem("heat"))


def test_every_figure_of_a_row_is_what_it_says(heat: Case) -> None:
    methods = {name: METHODS[name].solve for name in ("dense", "hedge", "quantize-dynamic")}
    methods["nothing"] = lambda case: Absent("for a reason")
    told: list[str] = []
    table = compare(
        heat, methods, batches=[1, 16], threads=1, effort=BRIEF, on_progress=told.append
    )
    assert [row.method for row in table.rows] == ["dense", "hedge", "quantize-dynamic"]
    assert table.absent == {"nothing": "for a reason"}
    assert "searching nothing" in told
    dense, small, int8 = table.rows
    assert dense.error == 0.0
    assert 0.0 < small.error <= 1e-2 < int8.error
    assert (dense.within, small.within, int8.within) == (True, True, False)
    assert small.parameters < dense.parameters == int8.parameters
    x = heat.points.domain.sample(4000, seed=77)
    true = heat.problem.reference(x)
    error = np.linalg.norm(run_float32(heat.dense, x) - true) / np.linalg.norm(true)
    assert dense.reference_error == pytest.approx(error, rel=0.1)
    for latency, batch in zip(dense.latencies, (1, 16), strict=True):
        assert latency.batch == batch
        predicted = predicted_seconds(heat.device, graph_work(heat.dense, batch))
        assert latency.predicted_s == pytest.approx(predicted)
        assert latency.median_s > 0.0
    assert int8.latencies[0].predicted_s is None
    assert int8.latencies[0].energy_j is None
    document = json.loads(json.dumps(table.to_json(), allow_nan=False))
    assert document["rows"][1]["latencies"][1]["batch"] == 16


def test_hedge_is_certified_and_rivals_are_judged_on_points_of_no_search(heat: Case) -> None:
    asked = []

    def judge() -> np.ndarray:
        asked.append("judge")
        return heat.points.domain.sample(500, seed=1000)

    def fresh(attempt: int) -> np.ndarray:
        raise AssertionError("points of a certification")

    case = replace(heat, points=replace(heat.points, judge=judge, fresh=fresh))
    compare(case, {"svd": activation_svd}, batches=[1], threads=1, effort=BRIEF)
    assert asked == ["judge"]


def test_an_operator_has_the_methods_that_suit_it(heat_path: Path) -> None:
    operator = find_operator("poisson-operator", 1024)
    model = load_model(heat_path.with_name("poisson-operator-1024.onnx"))
    points = points_of_sources(operator, 1024, seed=0)
    case = replace(
        case_of(model, 0.1, points=points), problem=operator, reference=operator.reference
    )
    methods = {name: METHODS[name].solve for name in ("activation-svd", "table", "small-net")}
    table = compare(case, methods, batches=[1], threads=1, effort=BRIEF)
    assert table.absent.keys() == {"table", "small-net"}
    assert table.rows[0].error <= 0.1
    assert table.rows[0].parameters < 1024 * 1024


def row(method: str, predicted: float | None, measured: float, *, within: bool = True) -> Row:
    latency = Latency(8, predicted, measured, None)
    return Row(method, 1, 4, 1e-3, None, within, (latency,), 0.1, "")


def wins(*rows: Row) -> tuple[Win, ...]:
    return ComparisonTable("here", 1e-2, 1, {}, rows, {}).wins()


def test_a_rival_wins_where_it_is_clearly_faster_and_as_accurate() -> None:
    ours = row("hedge", 10.0, 20.0)
    assert wins(ours, row("table", 5.0, 30.0)) == (Win("table", 8, "predicted", 5.0, 10.0),)
    assert wins(ours, row("table", 12.0, 2.0)) == (Win("table", 8, "measured", 2.0, 20.0),)
    assert wins(ours, row("table", 9.8, 19.5)) == ()
    assert wins(ours, row("table", 1.0, 1.0, within=False)) == ()
    assert wins(ours, row("quantize-static", None, 1.0))[0].by == "measured"
    assert wins(ours, row("dense", 1.0, 1.0)) == ()
    assert wins(row("hedge", 1.0, 1.0, within=False), row("table", 2.0, 2.0)) == ()
    assert wins(row("hedge recovered", 4.0, 1.0), ours, row("table", 5.0, 2.0)) == ()


def test_the_reference_counts_as_well_as_the_dense_model(heat: Case) -> None:
    """A network that never saw the dense one may be nearer to the truth than to it."""
    truth = Candidate(heat.dense, 1, 4)
    other = load_model(hedge.reference_models()["heat"])
    for tensor in other.graph.initializer:
        if tensor.name == "layer0.weight":
            tensor.raw_data = (numpy_helper.to_array(tensor) * np.float32(0.5)).tobytes()
    case = replace(heat, dense=other)
    (row,) = compare(case, {"small": lambda case: truth}, batches=[1], threads=1, effort=BRIEF).rows
    assert row.error > 0.1
    assert row.reference_error < 1e-2
    assert row.within


def test_a_small_output_does_not_hide_behind_a_large_one(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Every output keeps the tolerance in every row, as in hedge's own."""
    case = case_of(two_outputs(), 1e-2)
    names = ("hedge", "svd", "prune")
    found = {name: METHODS[name].solve(case) for name in names}
    for name in names:
        candidate = found[name]
        assert isinstance(candidate, Candidate)
        assert worst_error(candidate.model, case.dense) < 1.1e-2
    zeroed = without_pressure(case)
    table = compare(
        case,
        {"hedge": lambda _: Candidate(zeroed, 1, 4)},
        batches=[1],
        threads=1,
        effort=BRIEF,
    )
    (found_row,) = table.rows
    assert found_row.error == pytest.approx(1.0)
    assert not found_row.within
    assert {one.output: one.relative_error for one in found_row.errors} == {
        "u": 0.0, "p": pytest.approx(1.0)
    }  # fmt: skip
    (document,) = table.to_json()["rows"]
    assert document["errors"][-1]["output"] == "p"
    print_comparison("m", table)
    assert "To dense, by column" in capsys.readouterr().out


def without_pressure(case: Case) -> onnx.ModelProto:
    """The dense model with its small output p at zero."""
    model = onnx.ModelProto()
    model.CopyFrom(case.dense)
    (small,) = [t for t in model.graph.initializer if t.name == "small"]
    small.CopyFrom(numpy_helper.from_array(np.zeros((), dtype=np.float32), "small"))
    return model
