"""A domain that is a shape, from compress to what is exported and reported: nothing is said outside of it."""

from __future__ import annotations

import base64
import io
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib.image
import numpy as np
import pytest
from onnx import helper

import hedge
from hedge.api.columns import Columns, described
from hedge.compression.worst import largest_nearby
from hedge.errors import InputError, ModelError
from hedge.exporting import DATASHEET_KEY, open_model
from hedge.exporting.fmu.variables import variables
from hedge.graph import metadata
from hedge.methods.candidate import Absent
from hedge.methods.table import cubic_table
from hedge.problems import Domain, Problem, parse_domain
from tests.conftest import random_mlp

PLATE = "rectangle(0 0, 1 1) - disc(0.5 0.5, 0.2, hole)"
WHERE = parse_domain(PLATE)


@dataclass(frozen=True)
class Made:
    """A dense network, and a small one that was made of it over the plate."""

    dense: Path
    small: Path


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    folder = tmp_path_factory.mktemp("plates")
    dense, small = folder / "dense.onnx", folder / "small.hedge.safetensors"
    dense.write_bytes(random_mlp([2, 12, 12, 1], 1).SerializeToString())
    hedge.compress(dense, device="laptop-x86", tolerance=0.1, domain=PLATE, recover=None, out=small)
    return Made(dense, small)


def test_the_plan_names_the_shape_and_errors_are_measured_in_it(made: Made) -> None:
    plan = open_model(made.small).plan
    assert plan is not None
    assert plan.points == f"uniform over {PLATE}"


def test_points_of_every_set_lie_in_the_shape() -> None:
    points = hedge.compression.points_of_domain(WHERE, 2, 16, seed=0)
    for each in (
        points.fit,
        points.validation,
        points.fresh(0),
        points.judge(),
        points.practice(99),
    ):
        assert WHERE.contains(each).all()


def test_the_search_for_the_largest_error_stays_in_the_shape() -> None:
    seen = []

    def error_at(points: np.ndarray) -> np.ndarray:
        seen.append(points)
        return -np.hypot(*(points - 0.5).T)  # largest at the hole's edge, seen from outside

    found = largest_nearby(error_at, WHERE.sample(500, seed=0), WHERE, seed=0)
    assert WHERE.contains(np.concatenate(seen)).all()
    assert found == pytest.approx(-0.2, abs=1e-3)


def test_datasheets_name_the_shape(made: Made, tmp_path: Path) -> None:
    model = hedge.export(made.small, tmp_path / "m.onnx")
    sheet = json.loads(metadata(model)[DATASHEET_KEY])
    assert sheet["shape"] == PLATE
    assert [sheet["inputs"][0][end] for end in ("lower", "upper")] == [0.0, 1.0]
    again = hedge.export(tmp_path / "m.onnx", tmp_path / "again.onnx", units="u=K")
    assert json.loads(metadata(again)[DATASHEET_KEY])["shape"] == PLATE
    hedge.export_c(made.small, tmp_path / "m.c")
    assert f"They lie in {PLATE}; nothing is known outside." in (tmp_path / "m.h").read_text()


@pytest.mark.parametrize(
    ("domain", "shape"),
    [
        ("0:0.3,0:0.3", None),
        (PLATE, PLATE),
        ("disc(0.2 0.2, 0.1)", "disc(0.2 0.2, 0.1)"),
    ],
)
def test_a_part_of_the_shape_may_be_named(
    made: Made, tmp_path: Path, domain: str, shape: str | None
) -> None:
    model = hedge.export(made.small, tmp_path / "m.onnx", domain=domain)
    assert json.loads(metadata(model)[DATASHEET_KEY]).get("shape") == shape


@pytest.mark.parametrize("domain", ["0:1,0:1", "0:0.5,0:0.5", "disc(0.5 0.5, 0.5)"])
def test_what_reaches_into_the_hole_is_no_part(made: Made, tmp_path: Path, domain: str) -> None:
    with pytest.raises(InputError, match="is not within rectangle"):
        hedge.export(made.small, tmp_path / "m.onnx", domain=domain)
    assert not (tmp_path / "m.onnx").exists()


def test_boxes_are_guarded_and_shapes_are_not(made: Made, tmp_path: Path) -> None:
    for write in (
        lambda **options: hedge.export(made.small, tmp_path / "m.onnx", guard=True, **options),
        lambda **options: hedge.export_c(made.small, tmp_path / "m.c", guard=True, **options),
    ):
        with pytest.raises(InputError, match="only boxes are guarded; give a box within it"):
            write()
        write(domain="0:0.3,0:0.3")


@pytest.mark.parametrize(
    ("shape", "told"),
    [
        ("disc(0 0", "can't read"),
        ("disc(0.5 0.5, 0.4)", "are not the box around"),
        ("rectangle(0 0, 1\n 1)", None),
    ],
)
def test_sheets_of_others_are_read_with_care(
    made: Made, tmp_path: Path, shape: str, told: str | None
) -> None:
    model = hedge.export(made.small, tmp_path / "m.onnx")
    sheet: dict[str, Any] = json.loads(metadata(model)[DATASHEET_KEY]) | {"shape": shape}
    helper.set_model_props(model, metadata(model) | {DATASHEET_KEY: json.dumps(sheet)})
    (tmp_path / "other.onnx").write_bytes(model.SerializeToString())
    if told is None:
        hedge.export_c(tmp_path / "other.onnx", tmp_path / "m.c")
        assert "They lie in rectangle(0 0, 1 1); nothing" in (tmp_path / "m.h").read_text()
    else:
        with pytest.raises(ModelError, match=told):
            hedge.export_c(tmp_path / "other.onnx", tmp_path / "m.c")


def test_fmus_start_in_the_shape(made: Made, tmp_path: Path) -> None:
    stored = open_model(made.small)
    assert stored.plan is not None
    sheet = described(Columns(), stored.graph, stored).sheet
    starts = [each.start for each in variables(sheet) if each.causality == "input"]
    assert WHERE.contains(np.array([starts]))[0]


def test_tables_are_for_boxes(made: Made) -> None:
    class Case:
        points = hedge.compression.points_of_domain(WHERE, 2, 16, seed=0)

    found = cubic_table(Case())  # type: ignore[arg-type]
    assert isinstance(found, Absent)
    assert "the points are from a shape" in found.reason


def test_maps_are_blank_outside(made: Made, tmp_path: Path) -> None:
    hedge.report([made.dense, made.small], tmp_path / "r.html")
    pictures = re.findall(r"data:image/png;base64,([^\"]+)", (tmp_path / "r.html").read_text())
    maps = [
        matplotlib.image.imread(io.BytesIO(base64.b64decode(p)), format="png") for p in pictures
    ]
    maps = [each for each in maps if each.shape[1] > 1]
    assert len(maps) == 3  # both fields, one error
    for each in maps:
        opaque = each[..., 3] > 0.5
        assert opaque.mean() == pytest.approx(1.0 - np.pi * 0.04, abs=0.01)
        assert not opaque[each.shape[0] // 2, each.shape[1] // 2]


def test_residuals_are_measured_in_the_shape() -> None:
    """u = 1/r around the hole, whose Laplacian is r⁻³."""
    problem = Problem(
        "around", "around a hole", "xy", WHERE, ("u_xx", "u_yy"),
        residual=lambda x, d, math: d["u_xx"] + d["u_yy"],
    )  # fmt: skip

    def u(x: np.ndarray) -> np.ndarray:
        r = np.hypot(*(x - 0.5).T)[:, None]
        assert (r > 0.2).all()
        return 1.0 / r

    points = WHERE.sample(100_000, seed=3)
    exact = np.sqrt(np.mean(np.hypot(*(points - 0.5).T) ** -6.0))
    assert problem.residual_rms(u, seed=0) == pytest.approx(exact, rel=0.03)


def test_shapes_of_other_dimensions_are_told(made: Made) -> None:
    with pytest.raises(InputError, match="has 3 interval\\(s\\), but the model has 2"):
        hedge.compress(made.dense, device="laptop-x86", domain="ball(0 0 0, 1)")
    with pytest.raises(InputError, match="has 2 letters, its domain 3 intervals"):
        Problem(
            "p", "p", "xy", Domain.over(WHERE.shape, (0.0, 1.0)), ("u",), lambda x, d, math: d["u"]
        )  # type: ignore[arg-type]
