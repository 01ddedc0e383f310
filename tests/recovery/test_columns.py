"""Columns of wide inputs go where others tell what they tell."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from onnx import ModelProto, helper

import hedge
from hedge.compression import Request, Source, points_of_arrays, prepare
from hedge.compression.fitting import with_fewer_columns
from hedge.devices import find_profile
from hedge.graph import (
    assemble,
    grid_of,
    input_widths,
    load_model,
    read_columns,
    run_float32,
    split,
)
from hedge.recovery.ways import FewerColumns
from tests.conftest import make_model
from tests.recovery.cases import cut_only

SENSORS, MODES = 32, 3
AT = np.linspace(0.0, 1.0, SENSORS)
BASIS = np.cos(np.pi * np.arange(MODES)[:, None] * AT)


def functions(count: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((count, MODES)) @ BASIS


def deeponet() -> ModelProto:
    """tanh(A f) · tanh(C y), f at 32 sensors, y a point."""
    rng = np.random.default_rng(1)
    weights = {"A": rng.standard_normal((6, SENSORS)) / SENSORS, "C": rng.standard_normal((6, 1))}
    weights |= {"a": 0.3 * rng.standard_normal(6), "c": rng.standard_normal(6)}
    nodes = [
        helper.make_node("Gemm", ["f", "A", "a"], ["zb"], transB=1),
        helper.make_node("Tanh", ["zb"], ["b"]),
        helper.make_node("Gemm", ["y", "C", "c"], ["zt"], transB=1),
        helper.make_node("Tanh", ["zt"], ["t"]),
        helper.make_node("Einsum", ["b", "t"], ["u"], equation="bi,ni->bn"),
    ]
    built = make_model(nodes, weights, inputs={"f": SENSORS, "y": 1}, outputs={"u": 1})
    built.graph.input[1].type.tensor_type.shape.dim[0].dim_param = "m"
    built.graph.output[0].type.tensor_type.shape.dim[1].dim_param = "m"
    return built


@pytest.fixture
def path(tmp_path: Path) -> Path:
    (tmp_path / "m.onnx").write_bytes(deeponet().SerializeToString())
    return tmp_path / "m.onnx"


def test_a_model_of_few_columns_is_the_same_where_they_tell_the_others(path: Path) -> None:
    """Functions of three modes are told by three sensors."""
    np.savez(path.with_name("s.npz"), f=functions(2000, 0), y=np.linspace(0, 1, 200))
    model = load_model(path)
    points = points_of_arrays(path.with_name("s.npz"), input_widths(model), grid_of(model), 32, 0)
    source, request = Source("m.onnx", "0" * 64), Request(1e-2, "size")
    case = prepare(model, find_profile("laptop-x86"), points, request, source)
    (read,) = read_columns(case.split)
    assert (read.input, len(read.columns)) == ("f", SENSORS)
    kept = np.array([2, 11, 20, 31])
    small = with_fewer_columns(case.split, case.measured, read, kept, noise=1e-6)
    assert small.matrices["site0"].shape == (6, 4)
    rows = np.hstack([functions(50, 2), np.random.default_rng(3).random((50, 1))])
    wanted = run_float32(load_model(path), rows)
    found = run_float32(assemble(small.skeleton, small.matrices), rows)
    np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-4)


def test_sensors_go_in_recovery(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cut_only(monkeypatch, FewerColumns(1e-2))
    np.savez(tmp_path / "s.npz", f=functions(4000, 4), y=np.linspace(0, 1, 200))
    small = hedge.compress(
        path, device="laptop-x86", samples=tmp_path / "s.npz", tolerance=1e-2, objective="size",
        out=tmp_path / "m.hedge.safetensors",
    )  # fmt: skip
    (site,) = (site for site in small.plan.sites if site.name == "site0")
    assert site.structure.inputs <= 4
    assert f"reads {site.structure.inputs} of 32" in site.reason
    assert hedge.load(tmp_path / "m.hedge.safetensors").plan == small.plan
    hedge.export(small, tmp_path / "u.onnx")
    again = load_model(tmp_path / "u.onnx")
    (gather,) = (node for node in again.graph.node if node.op_type == "Gather")
    assert gather.input[0] == "f"
    rows = np.hstack([functions(500, 5), np.random.default_rng(6).random((500, 1))])
    wanted = run_float32(load_model(path), rows)
    assert np.linalg.norm(run_float32(again, rows) - wanted) <= 1e-2 * np.linalg.norm(wanted)


def test_coordinates_all_count() -> None:
    built = make_model(
        [helper.make_node("Gemm", ["x", "w"], ["u"], transB=1)], {"w": np.ones((3, 15))}, inputs=15
    )
    assert read_columns(split(built)) == ()
