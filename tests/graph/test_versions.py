"""The oldest versions in which a graph means the same, and runtimes that are older than a file."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper, version_converter
from onnx.defs import get_schema, onnx_opset_version
from onnxruntime.capi.onnxruntime_pybind11_state import Fail

import hedge
from hedge.benching import BenchResult, bench
from hedge.benching.remote import RemoteBench, _packed
from hedge.compression import CompressedModel
from hedge.devices import find_profile, read_profile, write_profile
from hedge.devices.profile import Calibration
from hedge.errors import ModelError
from hedge.graph import input_dimension, load_model, opset, reads_here, run_float32
from hedge.ops import OPS
from tests.architectures import ARCHITECTURES

NEWEST = onnx_opset_version()


def net(version: int, ir_version: int, *more: NodeProto) -> ModelProto:
    """tanh(x A) B, through nodes from ``h`` to ``k`` if any are given."""
    rng = np.random.default_rng(0)
    weights = {"A": rng.standard_normal((2, 8)), "B": rng.standard_normal((8, 1))}
    stored = {name: values.astype(np.float32) for name, values in weights.items()}
    stored |= {"flat": np.array([-1, 8]), "last": np.array([1])}
    nodes = [
        helper.make_node("MatMul", ["x", "A"], ["z"]),
        helper.make_node("Tanh", ["z"], ["h"]),
        *more,
        helper.make_node("MatMul", ["k" if more else "h", "B"], ["u"]),
    ]
    graph = helper.make_graph(
        nodes, "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 2])],
        [helper.make_tensor_value_info("u", TensorProto.FLOAT, ["n", 1])],
        [numpy_helper.from_array(values, name) for name, values in stored.items()],
    )  # fmt: skip
    imports = [helper.make_opsetid("", version), helper.make_opsetid("ai.onnx.ml", 5)]
    return helper.make_model(graph, opset_imports=imports, ir_version=ir_version)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "m.onnx"


def loaded(model: ModelProto, path: Path) -> ModelProto:
    onnx.save(model, path)
    return load_model(path)


def compress(path: Path, device: str, out: Path) -> CompressedModel:
    return hedge.compress(
        path, domain="-1:1,-1:1", device=device, tolerance=1e-2, recover=None, out=out
    )


def task(path: Path, device: str = "laptop-x86") -> RemoteBench:
    return RemoteBench((path,), find_profile(device), (1,), 1, 0.02, "onnxruntime", None)


def bench_of(path: Path) -> BenchResult:
    return bench([path], find_profile("laptop-x86"), batches=[1])


HK = (["h"], ["k"])
BFLOAT16 = [
    helper.make_node("Cast", ["h"], ["b"], to=TensorProto.BFLOAT16),
    helper.make_node("Sin", ["b"], ["s"]),
    helper.make_node("Cast", ["s"], ["k"], to=TensorProto.FLOAT),
]
LESS_MEAN = helper.make_node("Sub", ["h", "m"], ["k"])


@pytest.mark.parametrize(
    ("nodes", "written", "needed"),
    [
        ([], NEWEST, 17),
        ([helper.make_node("Sin", *HK)], NEWEST, 17),
        ([helper.make_node("Reshape", ["h", "flat"], ["k"], allowzero=0)], NEWEST, 17),
        ([helper.make_node("Cast", *HK, to=1, saturate=1)], NEWEST, 17),
        ([helper.make_node("Cast", *HK, to=1, saturate=0)], NEWEST, 19),
        (BFLOAT16, NEWEST, 22),
        ([helper.make_node("ReduceMean", ["h", "last"], ["m"]), LESS_MEAN], NEWEST, 18),
        ([helper.make_node("ReduceMean", ["h"], ["m"]), LESS_MEAN], NEWEST, 17),
        ([helper.make_node("ReduceMean", ["h"], ["m"], noop_with_empty_axes=1), LESS_MEAN], NEWEST, 18),
        ([helper.make_node("ReduceMean", ["h"], ["m"], axes=[1]), LESS_MEAN], 17, 17),
        ([helper.make_node("Gelu", *HK)], NEWEST, 20),
        ([helper.make_node("Swish", *HK)], NEWEST, 24),
    ],
    ids=["nothing new", "types", "a usual value", "a usual value that 17 lacks", "an unusual one",
         "bfloat16", "a newer input", "without it", "a newer attribute", "an older one", "Gelu", "Swish"],
)  # fmt: skip
def test_a_graph_is_brought_to_the_lowest_opset_in_which_it_means_the_same(
    nodes: list[NodeProto], written: int, needed: int, path: Path
) -> None:
    lowered = loaded(net(written, 13, *nodes), path)
    assert opset(lowered) == needed
    assert lowered.ir_version == {17: 8, 18: 8, 19: 9, 20: 9, 22: 10, 24: 12}[needed]
    assert [entry.domain for entry in lowered.opset_import] == [""]
    onnx.checker.check_model(lowered, full_check=True)


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_networks_of_the_newest_opset_stay_what_they_are(name: str, path: Path) -> None:
    model = ARCHITECTURES[name]()
    newest = version_converter.convert_version(model, reads_here().opset)
    newest.ir_version = reads_here().ir_version
    lowered = loaded(newest, path)
    assert opset(lowered) <= opset(model) < opset(newest)
    points = np.random.default_rng(0).uniform(-1, 1, (7, input_dimension(model)))
    np.testing.assert_array_equal(run_float32(lowered, points), run_float32(newest, points))


def test_ops_that_mean_something_else_since_stay_where_they_are() -> None:
    """Of one form in both versions, so that only the table tells."""
    since = {name: op.since for name, op in OPS.items() if op.since}
    for name, version in since.items():
        assert get_schema(name, NEWEST, "").since_version >= version, name
        assert get_schema(name, version, "").since_version == version, name


@pytest.mark.parametrize("ir_version", [11, 12, 13])
def test_what_is_sent_and_exported_is_no_newer_than_1_22_reads(ir_version: int, path: Path) -> None:
    onnx.save(net(21, ir_version), path)
    sent, failures = _packed(task(path))
    assert not failures
    ((_, data),) = sent.values()
    assert onnx.load_from_string(data).ir_version <= 10
    small = compress(path, "raspberry-pi-4b", path.with_name("s.onnx"))
    assert small.plan.relative_error <= 1e-2
    assert onnx.load(path.with_name("s.onnx")).ir_version <= 10


# --- Runtimes that are known ----------------------------------------------------------------------


REFUSED = (
    r"m\.onnx: its Swish needs opset 24 \(IR version 12\), onnxruntime 1\.22\.0 of pi reads opset 22 "
    r"\(IR version 10\) and older; take a newer onnxruntime there, or export the model without it$"
)


@pytest.fixture
def pi(tmp_path: Path) -> str:
    """The profile of a board, as calibrate writes it there."""
    known = Calibration(
        processor="BCM2711", onnxruntime="1.22.0", hedge="1", threads=1, graphs=1, fit_median=0.0,
        held_out=1, held_out_median=0.0, held_out_p90=0.0, held_out_worst=0.0, ir_version=10, opset=22,
    )  # fmt: skip
    board = find_profile("raspberry-pi-4b").model_copy(update={"name": "pi", "calibration": known})
    (tmp_path / "pi.toml").write_bytes(write_profile(board))
    assert read_profile(tmp_path / "pi.toml") == board
    return str(tmp_path / "pi.toml")


def test_an_export_that_the_devices_runtime_could_not_read_is_refused(path: Path, pi: str) -> None:
    onnx.save(net(24, 12, helper.make_node("Swish", *HK)), path)
    small, out = path.with_name("s.hedge.safetensors"), path.with_name("s.onnx")
    with pytest.raises(ModelError, match=REFUSED):
        compress(path, pi, out)
    compress(path, pi, small)
    for device in (None, pi):
        with pytest.raises(ModelError, match=REFUSED):
            hedge.export(small, out, device=device)
    assert not out.exists()
    hedge.export(small, out, device="raspberry-pi-4b")
    assert opset(onnx.load(out)) == 24


def test_it_is_not_sent_there_either(path: Path, pi: str) -> None:
    onnx.save(net(24, 12, helper.make_node("Swish", *HK)), path)
    sent, failures = _packed(task(path, pi))
    assert not sent
    assert re.search(REFUSED, failures[0].reason)


class OlderRuntime(onnxruntime.InferenceSession):
    """Reads what onnxruntime 1.22 does."""

    def __init__(self, model: bytes, *rest: object, **named: object) -> None:
        read = onnx.load_from_string(model)
        if read.ir_version > 10 or opset(read) > 22:
            raise Fail("Unsupported model IR version: 12, max supported IR version: 10")
        super().__init__(model, *rest, **named)


def test_a_runtime_is_asked_what_it_reads_and_said_to_be_too_old(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a board says it of a model that was sent to it."""
    onnx.save(net(24, 12, helper.make_node("Swish", *HK)), path)
    monkeypatch.setattr(onnxruntime, "InferenceSession", OlderRuntime)
    reads_here.cache_clear()
    try:
        assert (reads_here().ir_version, reads_here().opset) == (10, 22)
        for run in (
            lambda: run_float32(load_model(path), np.zeros((1, 2))),
            lambda: bench_of(path),
        ):
            with pytest.raises(
                ModelError, match=r"its Swish needs opset 24 \(IR version 12\), onnxruntime"
            ):
                run()
    finally:
        reads_here.cache_clear()
