"""What travels with an exported network is what was measured, and of this network."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import onnx
import pytest

import hedge
from hedge.certifying import read_certificate
from hedge.certifying.certificate import digest_of
from hedge.compression import CompressedModel
from hedge.errors import InputError, ModelError
from hedge.exporting import DATASHEET_KEY, open_model, to_onnx
from hedge.graph import metadata
from tests.conftest import ROOT, random_mlp

COMPRESSED = ROOT / "models" / "burgers-128x4.hedge.safetensors"
HEAT = ROOT / "models" / "heat-64x3.onnx"


def sheet_of(model: Path | CompressedModel, out: Path, **options: Any) -> dict[str, Any]:
    made = hedge.export(model, out, **options)
    found: dict[str, Any] = json.loads(metadata(made)[DATASHEET_KEY])
    return found


def test_errors_are_those_of_the_plan(tmp_path: Path) -> None:
    plan = open_model(COMPRESSED).plan
    assert plan is not None
    sheet = sheet_of(COMPRESSED, tmp_path / "m.onnx", units="x=m, t=s,u=m/s")
    assert sheet["inputs"] == [
        {"name": "x", "unit": "m", "lower": -1.0, "upper": 1.0},
        {"name": "t", "unit": "s", "lower": 0.0, "upper": 1.0},
    ]
    u = {"relative_l2": plan.relative_error, "largest": plan.max_error}
    assert sheet["outputs"] == [{"name": "u", "unit": "m/s", **u}]
    assert "on 16,384 fresh points, uniform over -1:1,0:1" in sheet["errors"]


def test_errors_of_derivatives_are_known_of_first_ones(tmp_path: Path) -> None:
    small = hedge.compress(HEAT, device="laptop-x86", tolerance=1e-2, recover=None)
    plan = small.plan
    sheet = sheet_of(small, tmp_path / "m.onnx", outputs="u_t,u,u_xx")
    first, value, second = sheet["outputs"]
    slope = next(each.relative_error for each in plan.slope_errors if each.by == "x[1]")
    assert first == {"name": "u_t", "unit": "", "relative_l2": slope}
    assert (value["relative_l2"], value["largest"]) == (plan.relative_error, plan.max_error)
    assert second == {"name": "u_xx", "unit": ""}


def test_columns_have_errors_of_their_own(tmp_path: Path) -> None:
    (tmp_path / "m.onnx").write_bytes(random_mlp([2, 24, 3], 1).SerializeToString())
    small = hedge.compress(
        tmp_path / "m.onnx", device="laptop-x86", tolerance=0.2, domain="0:1", recover=None
    )
    plan = small.plan
    sheet = sheet_of(small, tmp_path / "small.onnx")
    assert len(plan.errors) == 3
    for column, error in zip(sheet["outputs"], plan.errors, strict=True):
        assert column["name"] == f"{error.output}[{error.column}]"
        assert (column["relative_l2"], column["largest"]) == (
            error.relative_error, error.max_error,
        )  # fmt: skip


def test_a_certificate_travels_with_its_own_file_only(tmp_path: Path) -> None:
    for name in ("heat-64x3.onnx", "heat-64x3.certificate.json"):
        shutil.copy(ROOT / "models" / name, tmp_path / name)
    model = tmp_path / "heat-64x3.onnx"
    certified = read_certificate(tmp_path / "heat-64x3.certificate.json")
    sheet = sheet_of(model, tmp_path / "m.onnx", outputs="u")
    proved = [each.bound for each in certified.distances]
    assert [bound["value"] for bound in sheet["bounds"]] == proved
    assert "largest distance to the solution" in [bound["what"] for bound in sheet["bounds"]]
    hedge.export_c(model, tmp_path / "m.c")
    assert f"distance to the solution at most {proved[0]:.2e}" in (tmp_path / "m.h").read_text()
    other = onnx.load(model)
    other.doc_string = "another file"
    onnx.save(other, model)
    assert sheet_of(model, tmp_path / "m.onnx", outputs="u", force=True)["bounds"] == []


def test_a_bound_is_told_with_the_box_that_it_is_proved_over(tmp_path: Path) -> None:
    model = random_mlp([2, 6, 1])
    for name in ("small.onnx", "dense.onnx"):
        onnx.save(model, tmp_path / name)
        model.doc_string = "another file"
    hedge.certify(
        tmp_path / "small.onnx", tmp_path / "dense.onnx", domain="0:0.1,0:0.25", boxes=64,
        out=tmp_path / "small.certificate.json",
    )  # fmt: skip
    hedge.export_c(tmp_path / "small.onnx", tmp_path / "m.c", domain="-1:1,0:1")
    header = (tmp_path / "m.h").read_text()
    assert "x[0] in [-1, 1], x[1] in [0, 1]" in header
    assert "Proved of u over 0:0.1,0:0.25: relative L2 error against the dense network" in header
    bounds = sheet_of(tmp_path / "small.onnx", tmp_path / "m.onnx", outputs="u", inputs="x,t")[
        "bounds"
    ]
    assert {bound["over"] for bound in bounds} == {"0:0.1,0:0.25"}


def test_errors_relative_to_an_output_of_zero_are_no_bound(tmp_path: Path) -> None:
    model = random_mlp([2, 6, 1])
    for name in ("small.onnx", "dense.onnx"):
        onnx.save(model, tmp_path / name)
        model.doc_string = "another file"
    beside = tmp_path / "small.certificate.json"
    hedge.certify(
        tmp_path / "small.onnx", tmp_path / "dense.onnx", domain="0:1", boxes=4, out=beside
    )
    document = json.loads(beside.read_text())
    document["difference"]["claims"][0]["dense_seen"] = 0.0
    document["digest"] = digest_of(document)
    beside.write_text(json.dumps(document))
    sheet = sheet_of(tmp_path / "small.onnx", tmp_path / "m.onnx", domain="0:1")
    assert sheet["bounds"] == []


def test_a_domain_beyond_what_was_measured_is_refused(tmp_path: Path) -> None:
    with pytest.raises(
        InputError, match=r"^domain: -2:1,0:1 is not within -1:1,0:1, where the net"
    ):
        hedge.export(COMPRESSED, tmp_path / "m.onnx", domain="-2:1,0:1")
    sheet = sheet_of(COMPRESSED, tmp_path / "m.onnx", domain="-0.5:0.123456789,0:1")
    assert sheet["inputs"][0]["upper"] == 0.123456789


def test_an_onnx_is_given_units_and_a_domain(tmp_path: Path) -> None:
    dense = tmp_path / "m.onnx"
    onnx.save(random_mlp([2, 8, 1]), dense)
    sheet = sheet_of(dense, tmp_path / "a.onnx", inputs="angle,speed", units="angle=rad")
    assert sheet["inputs"] == [{"name": "angle", "unit": "rad"}, {"name": "speed", "unit": ""}]
    sheet = sheet_of(dense, tmp_path / "b.onnx", domain="0:1,-1:1")
    assert [(each["lower"], each["upper"]) for each in sheet["inputs"]] == [(0, 1), (-1, 1)]
    assert onnx.load(tmp_path / "b.onnx").graph == onnx.load(dense).graph
    with pytest.raises(InputError, match=r"m\.onnx: is ONNX already; .* name another --format"):
        hedge.export(dense, tmp_path / "c.onnx")


@pytest.mark.parametrize(
    "error", ["[1]", "NaN", "1e999", "-1", "true", '"5"', "null", "9" * 5000, "[" * 100_000]
)
def test_nothing_is_claimed_of_a_strangers_network(tmp_path: Path, error: str) -> None:
    model = random_mlp([2, 8, 1])
    model.metadata_props.add(key="hedge.training", value=f'{{"relative_l2": {error}}}')
    (tmp_path / "m.onnx").write_bytes(model.SerializeToString())
    sheet = sheet_of(tmp_path / "m.onnx", tmp_path / "small.onnx", outputs="u", inputs="a,b")
    assert sheet["inputs"] == [{"name": "a", "unit": ""}, {"name": "b", "unit": ""}]
    assert sheet["outputs"] == [{"name": "u", "unit": ""}]
    assert (sheet["errors"], sheet["bounds"], sheet["origin"]) == ("", [], ["m.onnx"])


@pytest.mark.parametrize(
    ("by_field", "told"),
    [
        ('{"v": 0.5, "w": null}', "2.50e-01 (v 5.00e-01)"),
        ('{"v": 0.5, "w": 0.125}', "2.50e-01 (v 5.00e-01, w 1.25e-01)"),
        ('{"*/ v": 0.5}', "2.50e-01"),
        (f'{{"{"v" * 1000}": 0.5}}', "2.50e-01"),
        ('{"v": "small"}', None),
        ("[0.5]", None),
    ],
    ids=["unknown", "both", "no name", "long", "no number", "no names"],
)
def test_errors_of_fields_stand_beside_that_of_all(
    by_field: str, told: str | None, tmp_path: Path
) -> None:
    model = random_mlp([2, 8, 1])
    text = f'{{"relative_l2": 0.25, "by_field": {by_field}}}'
    model.metadata_props.add(key="hedge.training", value=text)
    (tmp_path / "m.onnx").write_bytes(model.SerializeToString())
    sheet = sheet_of(tmp_path / "m.onnx", tmp_path / "small.onnx", outputs="u", inputs="a,b")
    said = (
        []
        if told is None
        else [f"As trained its relative L2 error against the reference was {told}"]
    )
    assert sheet["origin"] == ["m.onnx", *said]


def test_errors_of_columns_together_are_not_those_of_one(tmp_path: Path) -> None:
    (tmp_path / "m.onnx").write_bytes(random_mlp([2, 24, 3], 1).SerializeToString())
    small = hedge.compress(
        tmp_path / "m.onnx", device="laptop-x86", tolerance=0.3, domain="0:1", recover=None,
        columns="joint",
    )  # fmt: skip
    sheet = sheet_of(small, tmp_path / "small.onnx")
    together = {"relative_l2": small.plan.relative_error, "largest": small.plan.max_error}
    for column in sheet["outputs"]:
        assert column.items() >= {**together, "errors_of": "all columns of u together"}.items()
    hedge.export_c(small, tmp_path / "m.c")
    told = f"all columns of u together {small.plan.relative_error:.2e} (largest"
    assert (tmp_path / "m.h").read_text().count(told) == 1


def test_errors_relative_to_the_spread_say_so(tmp_path: Path) -> None:
    (tmp_path / "m.onnx").write_bytes(random_mlp([2, 24, 1], 1).SerializeToString())
    small = hedge.compress(
        tmp_path / "m.onnx", device="laptop-x86", tolerance=0.3, domain="0:1", recover=None,
        relative_to="spread",
    )  # fmt: skip
    errors = sheet_of(small, tmp_path / "small.onnx")["errors"]
    assert errors.endswith("uniform over 0:1,0:1, relative to how much an output varies")


@pytest.fixture(scope="module")
def with_slope(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An exported file whose outputs are no longer those of its plan, and that has a domain and units."""
    small = hedge.compress(HEAT, device="laptop-x86", tolerance=1e-2, recover=None)
    out = tmp_path_factory.mktemp("exported") / "slope.onnx"
    hedge.export(small, out, outputs="u_x,u", domain="0:0.5,0:1", units="x=m,u=K")
    return out


def test_what_was_exported_is_exported_again_with_the_errors_of_its_own_outputs(
    with_slope: Path, tmp_path: Path
) -> None:
    first = json.loads(metadata(onnx.load(with_slope))[DATASHEET_KEY])
    again = sheet_of(with_slope, tmp_path / "m.onnx", outputs="u,u_x,u_x_t")
    slope, value = first["outputs"]
    assert slope["relative_l2"] != value["relative_l2"]
    assert again["outputs"] == [value, slope, {"name": "u_x_t", "unit": ""}]
    assert (again["inputs"], again["errors"]) == (first["inputs"], first["errors"])
    assert again["inputs"][0] == {"name": "x", "unit": "m", "lower": 0.0, "upper": 0.5}
    with pytest.raises(InputError, match=r"^domain: 0:1,0:1 is not within 0:0.5,0:1"):
        hedge.export_c(with_slope, tmp_path / "m.c", domain="0:1,0:1")


def test_without_a_datasheet_a_plan_of_other_outputs_says_nothing(
    with_slope: Path, tmp_path: Path
) -> None:
    model = onnx.load(with_slope)
    entries = [entry for entry in model.metadata_props if entry.key != DATASHEET_KEY]
    del model.metadata_props[:]
    model.metadata_props.extend(entries)
    onnx.save(model, tmp_path / "m.onnx")
    outputs = sheet_of(tmp_path / "m.onnx", tmp_path / "again.onnx", outputs="u_x,u")["outputs"]
    assert [column.get("relative_l2") for column in outputs] == [None, None]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("[", "is no JSON"),
        ("[]", "input should be"),
        ('{"inputs": []}', "key 'outputs': field required"),
        ("OUTPUTS", "its outputs are not those of the graph"),
        ("INPUTS", "it has 1 inputs, the graph 2"),
        ("NAN", "key 'outputs.0.relative_l2': input should be a finite number"),
    ],
)
def test_a_damaged_datasheet_is_told(with_slope: Path, tmp_path: Path, text: str, why: str) -> None:
    model = onnx.load(with_slope)
    for entry in model.metadata_props:
        if entry.key == DATASHEET_KEY:
            sheet = json.loads(entry.value)
            if text == "OUTPUTS":
                sheet["outputs"].reverse()
            elif text == "INPUTS":
                sheet["inputs"].pop()
            elif text == "NAN":
                sheet["outputs"][0]["relative_l2"] = float("nan")
            entry.value = json.dumps(sheet) if text.isupper() else text
    onnx.save(model, tmp_path / "m.onnx")
    with pytest.raises(ModelError, match=r"hedge\.datasheet in its metadata is damaged \(") as told:
        hedge.export_c(tmp_path / "m.onnx", tmp_path / "m.c")
    assert why in str(told.value)
    assert not (tmp_path / "m.c").exists()


def test_what_is_compressed_again_has_no_datasheet_of_before(with_slope: Path) -> None:
    small = hedge.compress(
        with_slope, device="laptop-x86", tolerance=0.1, domain="0:0.5,0:1", recover=None
    )
    assert DATASHEET_KEY not in metadata(to_onnx(small))


def test_a_bound_names_its_outputs_and_its_box(tmp_path: Path) -> None:
    for name in ("heat-64x3.onnx", "heat-64x3.certificate.json"):
        shutil.copy(ROOT / "models" / name, tmp_path / name)
    model = tmp_path / "heat-64x3.onnx"
    sheet = sheet_of(model, tmp_path / "m.onnx", outputs="u_x", domain="0:0.1,0:0.1")
    assert {(bound["of"], bound["over"]) for bound in sheet["bounds"]} == {("u", "0:1,0:1")}
    hedge.export_c(model, tmp_path / "m.c", outputs="u_x", domain="0:0.1,0:0.1")
    assert "Proved of u over 0:1,0:1: largest distance to the" in (tmp_path / "m.h").read_text()
    with pytest.raises(InputError, match=r"^domain: 0:5,0:5 is not within 0:1,0:1, where the net"):
        hedge.export_c(model, tmp_path / "m.c", domain="0:5,0:5", force=True)


def test_ends_of_the_domain_are_told_with_every_digit(tmp_path: Path) -> None:
    hedge.export_c(HEAT, tmp_path / "m.c", domain="0:0.1234567,0.25:1")
    assert "x in [0, 0.1234567], t in [0.25, 1]" in (tmp_path / "m.h").read_text()


def test_a_unit_of_two_columns_of_one_name_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"^units: 'u' is the name of 2 columns; call the inputs "):
        hedge.export_c(HEAT, tmp_path / "m.c", inputs="u,t", units="u=m")


def test_a_guard_is_told_and_stays(tmp_path: Path) -> None:
    guarded = tmp_path / "guarded.onnx"
    assert sheet_of(HEAT, guarded, guard=True, domain="0:0.5,0:1")["guarded"] is True
    assert sheet_of(HEAT, tmp_path / "plain.onnx", domain="0:0.5,0:1")["guarded"] is False
    again = sheet_of(guarded, tmp_path / "again.onnx", units="x=m")
    assert (again["guarded"], again["inputs"][0]["upper"]) == (True, 0.5)
    for write in (hedge.export_c, hedge.export_fmu):
        with pytest.raises(
            ModelError, match=r"guarded\.onnx: it gives NaN outside of its domain a"
        ):
            write(guarded, tmp_path / ("m.c" if write is hedge.export_c else "m.fmu"))
    with pytest.raises(
        ModelError, match=r"as exported with --guard; give the file that it was exp"
    ):
        hedge.export(guarded, tmp_path / "m.onnx", outputs="u_x")
    assert not list(tmp_path.glob("m.*"))
    small = hedge.compress(
        guarded, device="laptop-x86", tolerance=1e-2, domain="0:0.5,0:1", recover=None
    )
    assert sheet_of(small, tmp_path / "small.onnx")["guarded"] is True
