"""Bad input of every kind: one line that names the thing, exit code 1, and nothing left behind."""

from __future__ import annotations

import json
import os
import pickle
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import ModelProto, TensorProto, helper, numpy_helper
from onnx.external_data_helper import set_external_data
from safetensors import safe_open
from safetensors.numpy import save

import hedge
from hedge.devices import shipped_profiles
from tests.cli.conftest import Refuses, Run, contents
from tests.conftest import make_model, random_mlp

DEVICE = ["--device", "laptop-x86"]
DOMAIN = ["--domain", "-1:1,0:1"]
COMMANDS = {
    "compress": ["--tolerance", "1e-2", *DEVICE, *DOMAIN, "--out", "out.safetensors"],
    "inspect": [],
    "evaluate": ["--problem", "heat"],
    "bench": [*DEVICE, "--seconds", "0.01", "--batch", "1", "--out", "bench.json"],
    "compare": ["--tolerance", "1e-2", *DEVICE, *DOMAIN, "--seconds", "0.01", "--batch", "1"],
}


def mlp() -> ModelProto:
    return random_mlp([2, 12, 12, 1])


def serialized(model: ModelProto | bytes) -> bytes:
    return model if isinstance(model, bytes) else bytes(model.SerializeToString())


def gemm(source: str = "x", weight: str = "w", target: str = "u") -> onnx.NodeProto:
    return helper.make_node("Gemm", [source, weight], [target], transB=1)


# --- Model files that can't be read -------------------------------------------------------------


def with_weight(value: float) -> ModelProto:
    model = mlp()
    weight = numpy_helper.to_array(model.graph.initializer[0]).copy()
    weight[0, 0] = value
    name = model.graph.initializer[0].name
    model.graph.initializer[0].CopyFrom(numpy_helper.from_array(weight, name))
    return model


def with_external_data(location: str, length: int | None = None) -> ModelProto:
    model = mlp()
    set_external_data(model.graph.initializer[0], location, offset=0, length=length)
    model.graph.initializer[0].ClearField("raw_data")
    return model


def with_value(kind: str, name: str, element: int, shape: list[str | int]) -> ModelProto:
    """The MLP with one more input or output."""
    model = mlp()
    getattr(model.graph, kind).append(helper.make_tensor_value_info(name, element, shape))
    return model


def with_input(element: int, shape: list[str | int] | None) -> ModelProto:
    """The MLP with another type of input."""
    model = mlp()
    model.graph.input[0].CopyFrom(helper.make_tensor_value_info("x", element, shape))
    return model


def with_weights_too_short() -> ModelProto:
    model = mlp()
    tensor = model.graph.initializer[0]
    tensor.raw_data = tensor.raw_data[:-4]
    return model


def with_unknown_op() -> ModelProto:
    model = mlp()
    model.graph.node[1].op_type = "Tahn"
    return model


def with_name_not_utf8() -> bytes:
    return serialized(mlp()).replace(b"\x02w0", b"\x02w\xff")


def with_unknown_type() -> ModelProto:
    model = mlp()
    model.graph.initializer[0].data_type = 65
    return model


UNREADABLE: dict[str, tuple[Callable[[], ModelProto | bytes] | None, str]] = {
    "missing": (None, "no such file"),
    "truncated": (lambda: serialized(mlp())[:-100], "cut short"),
    "empty": (lambda: b"", "not an ONNX file"),
    "text": (lambda: b"this is not a model\n" * 50, "not an ONNX file"),
    "zeros": (lambda: bytes(1000), "not an ONNX file"),
    "nan": (lambda: with_weight(np.nan), "'w0' contain NaN"),
    "inf": (lambda: with_weight(-np.inf), "'w0' contain NaN or Inf"),
    "external, absolute": (lambda: with_external_data("/etc/passwd"), "outside"),
    "external, parent": (lambda: with_external_data("../secret.bin"), "outside"),
    "external, through a folder": (lambda: with_external_data("a/../../secret.bin"), "outside"),
    "external, missing": (lambda: with_external_data("gone.bin"), "'gone.bin' is missing"),
    "external, short": (lambda: with_external_data("short.bin", 96), "'short.bin' is shorter"),
    "external, short without length": (lambda: with_external_data("short.bin"), "w0"),
    "weights too short": (with_weights_too_short, "w0"),
    "unknown op": (with_unknown_op, "Tahn"),
    "name not UTF-8": (with_name_not_utf8, ""),
    "unknown type of weights": (with_unknown_type, "w0"),
    "second input of integers": (
        lambda: with_value("input", "t", TensorProto.INT64, ["n", 1]),
        "input 't'",
    ),
    "second input of three axes": (
        lambda: with_value("input", "t", TensorProto.FLOAT, ["n", 2, 1]),
        "input 't'",
    ),
    "integer input": (lambda: with_input(TensorProto.INT64, ["n", 2]), "input 'x'"),
    "double input": (lambda: with_input(TensorProto.DOUBLE, ["n", 2]), "is not valid ONNX"),
    "input of one axis": (lambda: with_input(TensorProto.FLOAT, [2]), "takes one point at a time"),
    "input of three axes": (lambda: with_input(TensorProto.FLOAT, ["n", 2, 1]), "input 'x'"),
    "input without a shape": (lambda: with_input(TensorProto.FLOAT, None), "'shape'"),
    "input with a free width": (lambda: with_input(TensorProto.FLOAT, ["n", "d"]), "input 'x'"),
}


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("kind", UNREADABLE)
def test_unreadable_model(refuses: Refuses, tmp_path: Path, command: str, kind: str) -> None:
    data, reason = UNREADABLE[kind]
    folder = tmp_path / "models"
    folder.mkdir()
    (tmp_path / "secret.bin").write_bytes(bytes(96))
    (folder / "short.bin").write_bytes(bytes(95))
    if data is not None:
        (folder / "m.onnx").write_bytes(serialized(data()))
    refuses(command, "models/m.onnx", *COMMANDS[command], named=("m.onnx", reason))


def test_external_data_behind_a_link(refuses: Refuses, tmp_path: Path) -> None:
    folder = tmp_path / "models"
    folder.mkdir()
    (tmp_path / "secret.bin").write_bytes(bytes(96))
    (folder / "w.bin").symlink_to(tmp_path / "secret.bin")
    (folder / "m.onnx").write_bytes(serialized(with_external_data("w.bin")))
    refuses("inspect", "models/m.onnx", named=("m.onnx", "outside"))


def test_model_is_a_folder(refuses: Refuses, tmp_path: Path) -> None:
    (tmp_path / "m.onnx").mkdir()
    refuses("inspect", "m.onnx", named=("m.onnx",))


# --- Models that can be read but not worked on ---------------------------------------------------


def no_site() -> ModelProto:
    return make_model([helper.make_node("Tanh", ["x"], ["u"])], {}, inputs=2, outputs=2)


def no_constant_weight() -> ModelProto:
    nodes = [
        helper.make_node("Transpose", ["x"], ["xt"]),
        helper.make_node("MatMul", ["x", "xt"], ["u"]),
    ]
    return make_model(nodes, {}, inputs=2, outputs=None)


def zero_output() -> ModelProto:
    return make_model([gemm()], {"w": np.zeros((1, 2))}, inputs=2)


def through(op: str, weight: float) -> ModelProto:
    """u = op(weight (x + y))."""
    nodes = [gemm(target="z"), helper.make_node(op, ["z"], ["u"])]
    return make_model(nodes, {"w": np.full((1, 2), weight)}, inputs=2)


def mixing_rows() -> ModelProto:
    nodes = [
        gemm(target="z"),
        helper.make_node("ReduceMean", ["z"], ["mean"], axes=[0], keepdims=1),
        helper.make_node("Sub", ["z", "mean"], ["u"]),
    ]
    return make_model(nodes, {"w": np.ones((1, 2))}, inputs=2)


def unbatched_output() -> ModelProto:
    nodes = [gemm(target="z"), helper.make_node("ReduceSum", ["z"], ["u"], keepdims=0)]
    return make_model(nodes, {"w": np.ones((1, 2))}, inputs=2)


def foreign_op() -> ModelProto:
    model = mlp()
    model.graph.node[1].domain = "foreign"
    model.opset_import.append(helper.make_opsetid("foreign", 1))
    return model


def impossible_constant() -> ModelProto:
    nodes = [
        helper.make_node("Reshape", ["v", "shape"], ["w"]),
        helper.make_node("MatMul", ["x", "w"], ["u"]),
    ]
    return make_model(nodes, {"v": np.ones(4), "shape": np.array([2, 7])}, inputs=2, outputs=7)


UNWORKABLE: dict[str, tuple[Callable[[], ModelProto], str]] = {
    "no site": (no_site, "no linear site"),
    "no constant weight": (no_constant_weight, "no linear site"),
    "zero output": (zero_output, "zero on the whole domain"),
    "NaN output": (lambda: through("Log", -1.0), "not finite"),
    "infinite output": (lambda: through("Exp", 1e4), "not finite"),
    "foreign op": (foreign_op, "foreign"),
    "impossible constant": (impossible_constant, ""),
    "mixing rows": (mixing_rows, "mixes the rows"),
    "unbatched output": (unbatched_output, "output has shape"),
}


@pytest.mark.parametrize("command", ["compress", "compare"])
@pytest.mark.parametrize("kind", UNWORKABLE)
def test_unworkable_model(
    refuses: Refuses, saved: Callable[[ModelProto], Path], kind: str, command: str
) -> None:
    build, reason = UNWORKABLE[kind]
    saved(build())
    refuses(command, "model.onnx", *COMMANDS[command], named=(reason,))


@pytest.mark.parametrize("command", ["inspect", "bench", "evaluate"])
def test_no_site_elsewhere(
    refuses: Refuses, saved: Callable[[ModelProto], Path], command: str
) -> None:
    # u = tanh(x) in one column, so that it could be a solution of a problem.
    nodes = [
        helper.make_node("ReduceSum", ["x", "axes"], ["s"], keepdims=1),
        helper.make_node("Tanh", ["s"], ["u"]),
    ]
    saved(make_model(nodes, {"axes": np.array([1])}, inputs=2))
    refuses(command, "model.onnx", *COMMANDS[command], named=("model.onnx", "no linear site"))


# --- Arguments -----------------------------------------------------------------------------------

ARGUMENTS: dict[str, tuple[list[str], tuple[str, ...]]] = {
    "unknown device": (["--device", "raspberry"], ("'raspberry'", "raspberry-pi-5")),
    "missing profile": (["--device", "gone.toml"], ("gone.toml",)),
    "tolerance zero": (["--tolerance", "0"], ("tolerance: 0 ",)),
    "tolerance two": (["--tolerance", "2"], ("tolerance: 2 ",)),
    "tolerance nan": (["--tolerance", "nan"], ("tolerance: nan",)),
    "tolerance negative": (["--tolerance", "-0.1"], ("tolerance: -0.1",)),
    "tolerance below any square": (["--tolerance", "1e-300"], ("tolerance",)),
    "batch absurd": (["--batch", str(10**30)], ("batch",)),
    "batch zero": (["--batch", "0"], ("batch: 0",)),
    "seed negative": (["--seed", "-1"], ("seed: -1",)),
    "too many intervals": (["--domain", "-1:1,0:1,0:1"], ("domain", "3 interval", "2 input")),
    "too many alike": (["--domain", "-1:1*3"], ("domain", "3 interval", "2 input")),
    "empty interval": (["--domain", "-1:1,1:1"], ("domain", "1:1")),
    "reversed interval": (["--domain", "-1:1,1:0"], ("domain", "1:0")),
    "infinite interval": (["--domain", "-1:1,0:inf"], ("domain", "0:inf")),
    "nan interval": (["--domain", "-1:1,nan:1"], ("domain", "nan:1")),
    "interval too wide": (["--domain", "-1e308:1e308,0:1"], ("domain",)),
    "garbage domain": (["--domain", "everywhere"], ("domain", "'everywhere'")),
    "blank domain": (["--domain", ""], ("domain",)),
    "interval of three": (["--domain", "0:1:2,0:1"], ("domain", "'0:1:2'")),
    "unknown problem": (["--problem", "navier"], ("'navier'", "`hedge problems` lists")),
    "domain and samples": (["--samples", "s.npy"], ("domain and samples",)),
    "reference unknown": (["--against", "reference"], ("--problem",)),
    "out without folder": (["--out", "gone/out.safetensors"], ("gone/out.safetensors",)),
    "out below a file": (["--out", "model.onnx/o.safetensors"], ("model.onnx/o.safetensors",)),
    "out is a folder": (["--out", "."], (".: is a folder",)),
    "out exists": (["--out", "model.onnx"], ("model.onnx: exists", "--force")),
    "out is the model": (["--out", "model.onnx", "--force"], ("model.onnx: is the file",)),
}


@pytest.mark.parametrize("kind", ARGUMENTS)
def test_bad_argument(refuses: Refuses, saved: Callable[[ModelProto], Path], kind: str) -> None:
    saved(mlp())
    argv, named = ARGUMENTS[kind]
    refuses("compress", "model.onnx", *COMMANDS["compress"], *argv, named=named)


def test_out_is_the_samples(
    refuses: Refuses, saved: Callable[[ModelProto], Path], tmp_path: Path
) -> None:
    saved(mlp())
    np.save(tmp_path / "s.npy", np.random.default_rng(0).uniform(size=(300, 2)))
    argv = ["--samples", "s.npy", *DEVICE, "--out", "s.npy", "--force"]
    refuses("compress", "model.onnx", *argv, named=("s.npy: is the file",))


def test_out_is_a_pipe(
    refuses: Refuses, saved: Callable[[ModelProto], Path], tmp_path: Path
) -> None:
    """As for /dev/null: writing through a temporary file would put an ordinary file in its place."""
    saved(mlp())
    os.mkfifo(tmp_path / "pipe")
    argv = [*COMMANDS["compress"], "--out", "pipe", "--force"]
    refuses("compress", "model.onnx", *argv, named=("pipe: is a device or a pipe",))
    assert (tmp_path / "pipe").is_fifo()


def test_intervals_for_one_of_two_inputs(
    refuses: Refuses, saved: Callable[[ModelProto], Path]
) -> None:
    saved(with_value("input", "t", TensorProto.FLOAT, ["n", 1]))
    named = ("domain", "2 interval", "3 input")
    refuses("compress", "model.onnx", *COMMANDS["compress"], named=named)


def test_no_domain(refuses: Refuses, saved: Callable[[ModelProto], Path]) -> None:
    saved(mlp())
    argv = ["--tolerance", "1e-2", *DEVICE, "--out", "out.safetensors"]
    refuses("compress", "model.onnx", *argv, named=("domain", "--domain"))


OUTSIDE: dict[str, tuple[list[str], tuple[str, ...]]] = {
    "evaluate, unknown problem": (["evaluate", "m.onnx", "--problem", "navier"], ("'navier'",)),
    "evaluate, dimension": (["evaluate", "d3.onnx", "--problem", "heat"], ("'heat'", "3")),
    "evaluate, outputs": (["evaluate", "m2.onnx", "--problem", "heat"], ("'heat'",)),
    "evaluate, seed": (["evaluate", "m.onnx", "--problem", "heat", "--seed", "-1"], ("seed",)),
    "bench, text": (["bench", "m.onnx", *DEVICE, "--batch", "a"], ("batch", "'a'")),
    "bench, trailing comma": (["bench", "m.onnx", *DEVICE, "--batch", "1,"], ("batch", "'1,'")),
    "bench, absurd": (["bench", "m.onnx", *DEVICE, "--batch", str(10**13)], ("batch",)),
    "bench, threads absurd": (["bench", "m.onnx", *DEVICE, "--threads", str(10**10)], ("threads",)),
    "bench, zero": (["bench", "m.onnx", *DEVICE, "--batch", "0"], ("batch: 0",)),
    "bench, threads": (["bench", "m.onnx", *DEVICE, "--threads", "0"], ("threads: 0",)),
    "bench, seconds": (["bench", "m.onnx", *DEVICE, "--seconds", "nan"], ("seconds: nan",)),
    "bench, backend": (["bench", "m.onnx", *DEVICE, "--backend", "tvm"], ("backend: 'tvm'",)),
    "bench, energy": (["bench", "m.onnx", *DEVICE, "--energy", "2"], ("energy: 2 s", "10")),
    "bench, against nothing": (["bench", "m.onnx", *DEVICE, "--against", "gone.json"], ("gone.json",)),
    "bench, against a model": (["bench", "m.onnx", *DEVICE, "--against", "m.onnx"], ("not JSON",)),
    "bench, against and on": (
        ["bench", "m.onnx", "--on", "pi", "--against", "r.json"], ("against", "--on")
    ),
    "bench, on an option": (["bench", "m.onnx", "--on=-oProxyCommand=ls"], ("on: '-oProxy",)),
    "bench, on twice": (["bench", "m.onnx", "--on", "pi", "--on", "pi"], ("twice",)),
    "bench, device": (["bench", "m.onnx", "--device", "pi"], ("'pi'",)),
    "bench, out exists": (["bench", "m.onnx", *DEVICE, "--out", "m.onnx"], ("m.onnx: exists",)),
    "bench, out is a model": (
        ["bench", "m.onnx", *DEVICE, "--out", "m.onnx", "--force"], ("m.onnx: is the file",)
    ),
    "compare, text": (["compare", "m.onnx", *DEVICE, *DOMAIN, "--batch", "a"], ("batch", "'a'")),
    "compare, zero": (["compare", "m.onnx", *DEVICE, *DOMAIN, "--batch", "0"], ("batch: 0",)),
    "compare, no batch": (["compare", "m.onnx", *DEVICE, *DOMAIN, "--batch", ""], ("batch",)),
    "compare, threads": (["compare", "m.onnx", *DEVICE, *DOMAIN, "--threads", "0"], ("threads: 0",)),
    "compare, seconds": (["compare", "m.onnx", *DEVICE, *DOMAIN, "--seconds", "0"], ("seconds: 0",)),
    "compare, budget": (["compare", "m.onnx", *DEVICE, *DOMAIN, "--budget", "nan"], ("budget: nan",)),
    "compare, no budget": (["compare", "m.onnx", *DEVICE, *DOMAIN, "--budget", "0"], ("budget: 0 ",)),
    "compare, tolerance": (["compare", "m.onnx", *DEVICE, *DOMAIN, "--tolerance", "2"], ("tolerance",)),
    "compare, seed": (["compare", "m.onnx", *DEVICE, *DOMAIN, "--seed", "-1"], ("seed: -1",)),
    "compare, device": (["compare", "m.onnx", *DOMAIN, "--device", "pi"], ("'pi'",)),
    "compare, no domain": (["compare", "m.onnx", *DEVICE], ("domain", "--domain")),
    "compare, intervals": (["compare", "d3.onnx", *DEVICE, *DOMAIN], ("2 interval", "3 input")),
    "compare, unknown problem": (["compare", "m.onnx", "--problem", "navier"], ("'navier'",)),
    "compare, outputs": (["compare", "m2.onnx", *DEVICE, "--problem", "heat"], ("'heat'", "2 output")),
    "compare, samples": (["compare", "m.onnx", *DEVICE, "--samples", "s.npy"], ("s.npy",)),
    "train, unknown problem": (["train", "navier", "--out", "t.onnx"], ("'navier'",)),
    "train, width": (["train", "heat", "--out", "t.onnx", "--width", "0"], ("width",)),
    "train, depth": (["train", "heat", "--out", "t.onnx", "--depth", "0"], ("depth",)),
    "train, seed": (["train", "heat", "--out", "t.onnx", "--seed", "-1"], ("seed",)),
    "train, budget": (["train", "heat", "--out", "t.onnx", "--budget", "nan"], ("budget",)),
    "train, steps": (["train", "heat", "--out", "t.onnx", "--steps", "0"], ("steps",)),
    "train, no checkpoint": (["train", "heat", "--out", "t.onnx", "--resume"], ("checkpoint",)),
    "train, out exists": (["train", "heat", "--out", "m.onnx"], ("m.onnx: exists",)),
    "calibrate, out exists": (["calibrate", "--out", "m.onnx"], ("m.onnx: exists",)),
    "calibrate, threads": (["calibrate", "--out", "c.toml", "--threads", "0"], ("threads",)),
    "calibrate, C as auto": (["calibrate", "--runtime", "c", "--refresh"], ("auto is of onnxruntime",)),
    "calibrate, C on two threads": (
        ["calibrate", "--runtime", "c", "--out", "c.toml", "--threads", "2"], ("threads: C runs on one",)
    ),
    "calibrate, no such compiler": (
        ["calibrate", "--runtime", "c", "--out", "c.toml", "--compiler", "no-such-compiler"],
        ("compiler: 'no-such-compiler' is not there",),
    ),
    "calibrate, flags that run programs": (
        ["calibrate", "--runtime", "c", "--out", "c.toml", "--flags", "-fplugin=x.so"],
        ("flags: '-fplugin=x.so'",),
    ),
    "calibrate, flags for onnxruntime": (
        ["calibrate", "--out", "c.toml", "--flags", "-O2"], ("flags: is for --runtime c",)
    ),
    "calibrate, nothing to write": (["calibrate"], ("--out", "--refresh")),
    "devices, no check": (["devices", "m.onnx"], ("--check",)),
    "devices, no model": (["devices", "--check", "laptop-x86"], ("models",)),
    "devices, unknown profile": (["devices", "m.onnx", "--check", "pi"], ("'pi'",)),
    "calibrate, auto of two threads": (
        ["calibrate", "--refresh", "--threads", "2"], ("auto is of one thread, not 2",)
    ),
    "devices, no such model": (["devices", "gone.onnx", "--check", "laptop-x86"], ("gone.onnx",)),
    "demo, unknown problem": (["demo", "navier"], ("'navier'",)),
    "demo, unknown device": (["demo", "heat", "--device", "pi"], ("'pi'",)),
    "demo, out is a file": (["demo", "heat", "--out", "m.onnx", *DEVICE], ("m.onnx",)),
}  # fmt: skip


@pytest.mark.parametrize("kind", OUTSIDE)
def test_bad_argument_of_other_commands(
    refuses: Refuses, saved: Callable[[ModelProto, str], Path], kind: str
) -> None:
    argv, named = OUTSIDE[kind]
    if argv[0] == "train":
        pytest.importorskip("torch")
    saved(mlp(), "m.onnx")
    saved(random_mlp([3, 4, 1]), "d3.onnx")
    saved(random_mlp([2, 4, 2]), "m2.onnx")
    refuses(*argv, named=named)


def test_c_is_told_from_a_damaged_model(refuses: Refuses, tmp_path: Path) -> None:
    (tmp_path / "m.c").write_text("/* A model */\nfloat u(float x) { return x; }\n")
    refuses("evaluate", "m.c", "--problem", "heat", named=("m.c: is C", "give the .onnx"))


USAGE: dict[str, tuple[list[str], str]] = {
    "bench without a model": (["bench"], "models"),
    "compress without out": (["compress", "m.onnx"], "--out"),
    "tolerance as text": (
        ["compress", "m.onnx", "--out", "o", "--tolerance", "small"],
        "--tolerance",
    ),
    "unknown objective": (["compress", "m.onnx", "--out", "o", "--objective", "fun"], "fun"),
    "unknown option": (["compress", "m.onnx", "--out", "o", "--quickly"], "--quickly"),
    "unknown command": (["squeeze"], "squeeze"),
}


@pytest.mark.parametrize("kind", USAGE)
def test_usage_error(run: Run, tmp_path: Path, kind: str) -> None:
    argv, named = USAGE[kind]
    outcome = run(*argv)
    assert outcome.code == 2
    assert outcome.out == ""
    assert named in outcome.err
    assert "Traceback" not in outcome.err
    assert contents(tmp_path) == {}


# --- Samples -------------------------------------------------------------------------------------


class Bomb:
    """Writes a file when it is unpickled."""

    def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
        return Path.touch, (Path("unpickled"),)


def uniform(rows: int, columns: int = 2) -> NDArray[np.float64]:
    return np.random.default_rng(0).uniform(size=(rows, columns))


def with_nan() -> NDArray[np.float64]:
    values = uniform(100)
    values[7, 1] = np.nan
    return values


ABSURD = "{'descr': '<f8', 'fortran_order': False, 'shape': (100000000000000, 2), }"


def npy_header(text: str) -> bytes:
    return b"\x93NUMPY\x01\x00v\x00" + text.encode().ljust(118)


SAMPLES: dict[str, tuple[Callable[[Path], object], str]] = {
    "wrong width": (lambda p: np.save(p, uniform(100, 3)), "(100, 3)"),
    "one axis": (lambda p: np.save(p, uniform(100)[:, 0]), "(100,)"),
    "NaN": (lambda p: np.save(p, with_nan()), "NaN"),
    "text array": (lambda p: np.save(p, uniform(100).astype(str)), "no real numbers"),
    "complex": (lambda p: np.save(p, uniform(100).astype(complex)), "no real numbers"),
    "too few rows": (lambda p: np.save(p, uniform(255)), "255 different rows"),
    "no rows": (lambda p: np.save(p, uniform(0)), "0 different rows"),
    "objects": (lambda p: np.save(p, np.array([[Bomb()] * 2] * 100), allow_pickle=True), ".npy"),
    "pickle": (lambda p: p.write_bytes(pickle.dumps(Bomb())), ".npy"),
    "several arrays": (lambda p: np.savez(p.open("wb"), a=uniform(100)), "several arrays"),
    "text": (lambda p: p.write_text("1 2\n3 4\n"), ".npy"),
    "empty": (lambda p: p.write_bytes(b""), ".npy"),
    "broken zip": (lambda p: p.write_bytes(b"PK\x03\x04 not a zip"), ".npy"),
    "broken header": (lambda p: p.write_bytes(npy_header("{'descr': ((((")), ".npy"),
    "absurd shape": (lambda p: p.write_bytes(npy_header(ABSURD)), "s.npy"),
    "missing": (lambda p: None, "s.npy"),
    "a folder": (lambda p: p.mkdir(), "s.npy"),
}


@pytest.mark.parametrize("kind", SAMPLES)
@pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning")
def test_bad_samples(
    refuses: Refuses, saved: Callable[[ModelProto], Path], tmp_path: Path, kind: str
) -> None:
    write, reason = SAMPLES[kind]
    saved(mlp())
    write(tmp_path / "s.npy")
    argv = ["--samples", "s.npy", "--tolerance", "1e-2", *DEVICE, "--out", "out.safetensors"]
    refuses("compress", "model.onnx", *argv, named=("s.npy", reason))


def test_truncated_samples(
    refuses: Refuses, saved: Callable[[ModelProto], Path], tmp_path: Path
) -> None:
    saved(mlp())
    path = tmp_path / "s.npy"
    np.save(path, uniform(100))
    path.write_bytes(path.read_bytes()[:-8])
    argv = ["--samples", "s.npy", *DEVICE, "--out", "out.safetensors"]
    refuses("compress", "model.onnx", *argv, named=("s.npy",))


# --- Device profiles -----------------------------------------------------------------------------

PROFILES: dict[str, tuple[Callable[[str], str], tuple[str, ...]]] = {
    "missing key": (lambda t: t.replace("call = ", "# call = "), ("'runtime.call'", "missing")),
    "missing section": (lambda t: t[: t.index("[power]")], ("'power'", "missing")),
    "negative figure": (
        lambda t: t.replace("value = 2.7", "value = -2.7"),
        ("'power.idle.value'",),
    ),
    "zero rate": (
        lambda t: t.replace("value = 29700000000.0", "value = 0"),
        ("'paper.compute.value'", "greater than 0"),
    ),
    "infinite figure": (lambda t: t.replace("value = 2.7", "value = inf"), ("'power.idle.value'",)),
    "nan figure": (lambda t: t.replace("value = 2.7", "value = nan"), ("'power.idle.value'",)),
    "figure as text": (
        lambda t: t.replace("value = 2.7", 'value = "two"'),
        ("'power.idle.value'",),
    ),
    "misspelt key": (lambda t: t.replace("call = ", "cal = "), ("'runtime.cal",)),
    "wrong unit": (lambda t: t.replace('unit = "W"', 'unit = "kW"'), ("'power.idle.unit'", "'W'")),
    "no source": (lambda t: t.replace('unit = "W", source', 'unit = "W", src'), ("'power.idle.s",)),
    "bare figure": (lambda t: t.replace("idle = {", "idle = 2.7 # {"), ("'power.idle'",)),
    "another version": (lambda t: t.replace("profile = 1", "profile = 2"), ("'hedge_profile'",)),
    "not TOML": (lambda t: t + "\n[power", ("not TOML",)),
    "not UTF-8": (lambda t: t + "# \udcff", ("can't be read",)),
    "empty": (lambda t: "", ("'hedge_profile'", "missing")),
}


@pytest.mark.parametrize("kind", PROFILES)
def test_bad_profile(
    refuses: Refuses, saved: Callable[[ModelProto], Path], tmp_path: Path, kind: str
) -> None:
    spoil, named = PROFILES[kind]
    text = shipped_profiles()["laptop-x86"].read_text(encoding="utf-8")
    spoilt = spoil(text)
    assert spoilt != text
    (tmp_path / "d.toml").write_bytes(spoilt.encode(errors="surrogateescape"))
    saved(mlp())
    argv = [*COMMANDS["compress"], "--device", "d.toml"]
    refuses("compress", "model.onnx", *argv, named=("d.toml", *named))


# --- Compressed files ----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def compressed(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A compressed model with at least one site of low rank."""
    folder = tmp_path_factory.mktemp("compressed")
    (folder / "m.onnx").write_bytes(serialized(mlp()))
    out = folder / "m.safetensors"
    plan = hedge.compress(
        folder / "m.onnx", device="paper-example", objective="size", tolerance=0.5,
        domain="-1:1,0:1", keep_widths=True, out=out, recover=None,
    ).plan  # fmt: skip
    assert any(site.structure.label != "dense" for site in plan.sites)
    return out.read_bytes()


@dataclass
class Parts:
    """A compressed file taken apart, to be spoilt and put together again."""

    tensors: dict[str, NDArray[np.generic]]
    header: dict[str, str]
    plan: dict[str, object]

    @property
    def sites(self) -> list[dict[str, object]]:
        sites = self.plan["sites"]
        assert isinstance(sites, list)
        return sites

    @property
    def low_rank(self) -> dict[str, object]:
        return next(site for site in self.sites if site["rank"] is not None)

    def without(self, name: str) -> None:
        del self.tensors[name]

    def change(self, name: str, values: NDArray[np.generic]) -> None:
        self.tensors[name] = np.ascontiguousarray(values)

    def skeleton(self, spoil: Callable[[ModelProto], object]) -> None:
        model = onnx.ModelProto.FromString(self.tensors["skeleton"].tobytes())
        spoil(model)
        self.change("skeleton", np.frombuffer(serialized(model), np.uint8))


def rebuilt(data: bytes, folder: Path, spoil: Callable[[Parts], object]) -> bytes:
    path = folder / "whole.safetensors"
    path.write_bytes(data)
    with safe_open(path, framework="numpy") as file:
        header = dict(file.metadata())
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    path.unlink()
    parts = Parts(tensors, header, json.loads(header["hedge.plan"]))
    before = json.dumps(parts.plan)
    spoil(parts)
    if json.dumps(parts.plan) != before:
        parts.header["hedge.plan"] = json.dumps(parts.plan)
    return save(parts.tensors, parts.header)


def nan_bias(parts: Parts) -> None:
    parts.change("site0.bias", np.full_like(parts.tensors["site0.bias"], np.nan))


def last_site_of_two_columns(parts: Parts) -> None:
    """Every tensor as the plan says, but one site can't read what the one before it writes."""
    site = parts.sites[-1]
    site |= {"rank": None, "inputs": 5, "outputs": 1}
    parts.change(f"{site['name']}.factor0", np.ones((1, 5), np.float32))


FILES: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda data: b"",
    "truncated": lambda data: data[:-10],
    "truncated in the header": lambda data: data[:100],
    "header of absurd length": lambda data: b"\xff" * 8 + data[8:],
    "text": lambda data: b"not a model " * 100,
    "longer": lambda data: data + b"more",
    "an ONNX file": lambda data: serialized(mlp()),
    "foreign": lambda data: save({"a": np.ones(3)}),
}

PARTS: dict[str, tuple[Callable[[Parts], object], str]] = {
    "other version": (lambda p: p.header.update({"hedge.version": "2"}), "version '2'"),
    "no version": (lambda p: p.header.pop("hedge.version"), "version"),
    "no plan": (lambda p: p.header.pop("hedge.plan"), "plan"),
    "plan cut short": (
        lambda p: p.header.update({"hedge.plan": p.header["hedge.plan"][:-9]}),
        "plan",
    ),
    "plan lacks a key": (lambda p: p.plan.pop("device"), "plan"),
    "plan has a key too many": (lambda p: p.plan.update(more=1), "plan"),
    "plan with an infinite figure": (lambda p: p.plan.update(predicted_s=float("inf")), "plan"),
    "plan with a negative count": (lambda p: p.plan.update(parameters=-1), "plan"),
    "plan without sites": (lambda p: p.plan.update(sites=[]), ""),
    "plan lacks a site": (lambda p: p.sites.pop(), ""),
    "site named twice": (lambda p: p.sites.append(p.sites[0]), ""),
    "site of another name": (lambda p: p.sites[0].update(name="site9"), "site9"),
    "other rank": (lambda p: p.low_rank.update(rank=1000), "factor"),
    "rank zero": (lambda p: p.low_rank.update(rank=0), "factor"),
    "rank forgotten": (lambda p: p.low_rank.update(rank=None), "factor"),
    "other width": (lambda p: p.sites[0].update(outputs=7), "site0"),
    "total of parameters": (lambda p: p.plan.update(parameters=1), "plan"),
    "tensor missing": (lambda p: p.without("site0.bias"), "site0.bias"),
    "tensor in double": (
        lambda p: p.change("site0.bias", p.tensors["site0.bias"].astype(np.float64)),
        "site0.bias",
    ),
    "tensor with NaN": (nan_bias, "site0.bias"),
    "widths that don't meet": (last_site_of_two_columns, ""),
    "graph missing": (lambda p: p.without("skeleton"), "graph"),
    "graph empty": (lambda p: p.change("skeleton", np.zeros(0, np.uint8)), "graph"),
    "graph of zeros": (lambda p: p.change("skeleton", np.zeros(50, np.uint8)), "graph"),
    "graph cut short": (lambda p: p.change("skeleton", p.tensors["skeleton"][:-20]), "graph"),
    "graph in double": (lambda p: p.change("skeleton", np.ones(20)), "graph"),
    "graph with an unknown op": (
        lambda p: p.skeleton(lambda m: setattr(m.graph.node[1], "op_type", "Tahn")),
        "'Tahn'",
    ),
    "graph without inputs": (lambda p: p.skeleton(lambda m: m.graph.ClearField("input")), "graph"),
    "graph without outputs": (
        lambda p: p.skeleton(lambda m: m.graph.ClearField("output")),
        "graph",
    ),
    "placeholder reads nothing": (
        lambda p: p.skeleton(lambda m: m.graph.node[0].ClearField("input")),
        "graph",
    ),
}


READERS: dict[str, list[str]] = {"inspect": [], "export": ["--out", "out.onnx"]}


@pytest.mark.parametrize("command", READERS)
@pytest.mark.parametrize("kind", FILES)
def test_no_compressed_file(
    refuses: Refuses, tmp_path: Path, compressed: bytes, command: str, kind: str
) -> None:
    (tmp_path / "c.safetensors").write_bytes(FILES[kind](compressed))
    refuses(command, "c.safetensors", *READERS[command], named=("c.safetensors",))


@pytest.mark.parametrize("command", READERS)
@pytest.mark.parametrize("kind", PARTS)
def test_inconsistent_compressed_file(
    refuses: Refuses, tmp_path: Path, compressed: bytes, command: str, kind: str
) -> None:
    spoil, reason = PARTS[kind]
    (tmp_path / "c.safetensors").write_bytes(rebuilt(compressed, tmp_path, spoil))
    refuses(command, "c.safetensors", *READERS[command], named=("c.safetensors", reason))


EXPORTS: dict[str, tuple[list[str], tuple[str, ...]]] = {
    "missing": (["gone.safetensors", "--out", "o.onnx"], ("gone.safetensors",)),
    "a folder": (["folder", "--out", "o.onnx"], ("folder",)),
    "out exists": (["c.safetensors", "--out", "c.safetensors"], ("c.safetensors: exists",)),
    "out is the input": (
        ["c.safetensors", "--out", "c.safetensors", "--force"],
        ("c.safetensors: is the file",),
    ),
    "out without folder": (["c.safetensors", "--out", "gone/o.onnx"], ("gone/o.onnx",)),
    "out below a file": (["c.safetensors", "--out", "c.safetensors/o"], ("c.safetensors/o",)),
    "out is a folder": (["c.safetensors", "--out", "folder", "--force"], ("folder",)),
}


@pytest.mark.parametrize("kind", EXPORTS)
def test_bad_export(refuses: Refuses, tmp_path: Path, compressed: bytes, kind: str) -> None:
    (tmp_path / "c.safetensors").write_bytes(compressed)
    (tmp_path / "folder").mkdir()
    argv, named = EXPORTS[kind]
    refuses("export", *argv, named=named)


@pytest.mark.parametrize("plan", ["", "{}", "[1]", "no JSON"])
@pytest.mark.parametrize("command", ["inspect", "bench"])
def test_damaged_plan_in_metadata(
    refuses: Refuses, saved: Callable[[ModelProto], Path], command: str, plan: str
) -> None:
    model = mlp()
    helper.set_model_props(model, {"hedge.plan": plan})
    saved(model)
    refuses(command, "model.onnx", *COMMANDS[command], named=("model.onnx", "plan"))
