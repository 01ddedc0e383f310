"""FMUs in FMPy: valid, as exact as the network, with its derivatives; and what they refuse."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any, get_args
from zipfile import ZipFile

import fmpy
import numpy as np
import onnx
import onnxruntime
import pytest
from fmpy.fmi1 import FMICallException
from fmpy.model_description import read_build_description, read_model_description
from fmpy.validation import validate_fmu
from onnx import helper

import hedge
from hedge.api.c_network import c_network
from hedge.errors import InputError, ModelError
from hedge.exporting.fmu import STEM, VERSIONS, Binary, fmu
from hedge.graph import Evaluator, with_jacobian
from tests.architectures import Net
from tests.conftest import random_mlp
from tests.exporting.c_compiler import WARNINGS, gcc, needs_gcc
from tests.exporting.fmu_instance import Instance, Kind, unpacked

KINDS: tuple[Kind, ...] = get_args(Kind)
UNITS = "x=m,t=s,u=m/s"
HEADERS = Path(fmpy.__file__).parent / "c-code"

pytestmark = needs_gcc


@pytest.fixture(scope="module")
def burgers_small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return hedge.reference_models()["burgers"].with_suffix(".hedge.safetensors")


@pytest.fixture(scope="module", params=VERSIONS)
def burgers(
    request: pytest.FixtureRequest, burgers_small: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """The compressed Burgers network, guarded, with units."""
    out = tmp_path_factory.mktemp("fmu") / "burgers.fmu"
    hedge.export_fmu(burgers_small, out, fmi=request.param, units=UNITS, guard=True)
    return out


@pytest.fixture
def instance(burgers: Path) -> Iterator[Instance]:
    one = Instance(unpacked(burgers)).start()
    yield one
    one.close()


def several() -> onnx.ModelProto:
    """An input of two columns and one of one, an output of two columns and one of one."""
    net = Net()
    rng = np.random.default_rng(3)
    net.weights |= {"w": rng.standard_normal((4, 2)), "v": rng.standard_normal((2, 4))}
    net.op("Gemm", ["x", "w"], "g", transB=1)
    net.op("Tanh", ["g"], "h")
    net.op("Gemm", ["h", "v"], "flux", transB=1)
    net.nodes.append(helper.make_node("ReduceSum", ["flux", "axes"], ["sum"], keepdims=1))
    net.weights["axes"] = np.array([1])
    net.op("Mul", ["sum", "sum"], "energy")
    return net.model(outputs={"flux": 2, "energy": 1})


def test_fmpy_finds_nothing_wrong(burgers: Path) -> None:
    assert validate_fmu(str(burgers)) == []
    description = read_model_description(burgers, validate=True)
    assert [(v.name, v.causality, v.unit) for v in description.modelVariables[:3]] == [
        ("x", "input", "m"),
        ("t", "input", "s"),
        ("u", "output", "m/s"),
    ]
    assert [(v.min, v.max, v.start) for v in description.modelVariables[:2]] == [
        ("-1.0", "1.0", "0.0"),
        ("0.0", "1.0", "0.5"),
    ]
    assert description.description.startswith("burgers-128x4.onnx; Relative L2 error against ")


@pytest.mark.parametrize("version", VERSIONS)
def test_columns_of_several_inputs_and_outputs(tmp_path: Path, version: Any) -> None:
    model, out = several(), tmp_path / "several.fmu"
    onnx.save(model, tmp_path / "several.onnx")
    hedge.export_fmu(tmp_path / "several.onnx", out, fmi=version, precision="double")
    assert validate_fmu(str(out)) == []
    one = Instance(unpacked(out), "ModelExchange").start()
    outputs = one.references("flux[0]", "flux[1]", "energy")
    inputs = one.references("x[0]", "x[1]")
    points = np.random.default_rng(0).uniform(-1, 1, (5, 2))
    for point in points:
        one.set(inputs, point.tolist())
        expected = Evaluator(with_jacobian(model, np.float64))(point[None])[0]
        np.testing.assert_allclose(one.get(outputs), expected[:3], rtol=0, atol=1e-13)
        slopes = expected[3:].reshape(2, 3).T  # by columns of the input
        np.testing.assert_allclose(one.jacobian(outputs, inputs), slopes, rtol=0, atol=1e-12)
    one.close()
    assert one.messages == []


@pytest.mark.parametrize("kind", KINDS)
def test_a_thousand_steps_are_those_of_the_onnx(
    burgers: Path, burgers_small: Path, kind: Kind, tmp_path: Path
) -> None:
    hedge.export(burgers_small, tmp_path / "burgers.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "burgers.onnx")
    time = np.linspace(0, 1, 1001)
    types = [(name, float) for name in ("time", "x", "t")]
    signals = np.array(list(zip(time, np.sin(9 * time), time, strict=True)), dtype=types)
    steps = {} if kind == "CoSimulation" else {"solver": "Euler", "step_size": 1e-3}
    found = fmpy.simulate_fmu(
        burgers,
        fmi_type=kind,
        start_time=0.0,
        stop_time=1.0,
        output_interval=1e-3,
        input=signals,
        output=["x", "t", "u"],
        **steps,
    )
    assert len(found) == 1001
    assert np.ptp(found["x"]) > 1.99
    points = np.stack([found["x"], found["t"]], axis=1).astype(np.float32)
    expected = session.run(None, {session.get_inputs()[0].name: points})[0][:, 0]
    np.testing.assert_allclose(found["u"], expected, rtol=0, atol=1e-5)


def test_directional_derivatives_are_the_jacobian(burgers: Path, burgers_small: Path) -> None:
    small = hedge.load(burgers_small)
    jacobian = Evaluator(with_jacobian(small.to_onnx(), np.float64))
    one = Instance(unpacked(burgers), "ModelExchange").start()
    u, xt = one.references("u"), one.references("x", "t")
    points = np.random.default_rng(1).uniform([-1, 0], [1, 1], (100, 2)).astype(np.float32)
    expected = jacobian(points.astype(float))[:, 1:]
    allowed = 1e-5 * np.abs(expected).max()
    for point, slopes in zip(points, expected, strict=True):
        one.set(xt, point.tolist())
        np.testing.assert_allclose(one.jacobian(u, xt)[0], slopes, rtol=0, atol=allowed)
        both = one.directional(u, xt, [2.0, -3.0])
        np.testing.assert_allclose(both, slopes @ [2, -3], rtol=0, atol=5 * allowed)
        if one.version == "3":
            back = one.fmu.getAdjointDerivative(u, xt, [2.0], nSensitivity=2)
            np.testing.assert_allclose(back, 2 * slopes, rtol=0, atol=2 * allowed)
    one.close()


def test_instances_are_apart_and_outputs_follow_their_inputs(burgers: Path) -> None:
    folder = unpacked(burgers)
    first, second = Instance(folder, name="a").start(), Instance(folder, name="b").start()
    u, xt = first.references("u"), first.references("x", "t")
    at_start = first.get(u)
    first.set(xt, [0.5, 0.25])
    moved = first.get(u)
    assert moved != at_start == second.get(u)
    second.set(xt[1:], [0.0])  # the other input stays in the middle of its domain
    assert second.get(xt) == [0.0, 0.0]
    second.set(xt, [0.5, 0.25])
    assert second.get(u) == moved == first.get(u)
    first.fmu.reset()
    assert first.get(u) == at_start
    first.close()
    assert second.get(u) == moved
    second.close()


def test_the_state_is_taken_stored_and_given_back(burgers: Path, instance: Instance) -> None:
    fmu, u, xt = instance.fmu, instance.references("u"), instance.references("x", "t")
    instance.set(xt, [-0.75, 0.125])
    value, state = instance.get(u), fmu.getFMUState()
    stored = fmu.serializeFMUState(state)
    instance.set(xt, [0.25, 0.5])
    other = instance.get(u)
    fmu.setFMUState(state)
    assert (instance.get(xt), instance.get(u)) == ([-0.75, 0.125], value)
    instance.set(xt, [0.25, 0.5])
    fmu.freeFMUState(state)
    assert not state
    second = Instance(unpacked(burgers)).start()
    second.fmu.setFMUState(second.fmu.deserializeFMUState(stored))
    assert second.get(u) == value != other == instance.get(u)
    for damaged in (stored[:-1], bytes(len(stored)), stored[:8] + b"\xff" * 8 + stored[16:]):
        with pytest.raises(FMICallException):
            second.fmu.deserializeFMUState(damaged)
    assert ["cut short" in text or "no state of" in text for text in second.messages] == [True] * 3
    second.close()
    exchange = Instance(unpacked(burgers), "ModelExchange").start()
    with pytest.raises(FMICallException):  # it stands between steps, which are of co-simulation
        exchange.fmu.deserializeFMUState(stored)
    exchange.close()


def refused(instance: Instance, call: str, *given: Any) -> str:
    """What is reported of a call that ends in an error."""
    count = len(instance.messages)
    with pytest.raises(FMICallException) as caught:
        getattr(instance.fmu, f"fmi{instance.version}{call}")(instance.fmu.component, *given)
    assert caught.value.status == 3
    assert len(instance.messages) == count + 1
    return instance.messages[-1]


def test_wrong_calls_are_errors_that_say_what_is_wrong(instance: Instance) -> None:
    two, (u,) = instance.version == "2", instance.references("u")
    reals = "Real" if two else "Float64"
    counts = () if two else (1,)

    def refers(*references: int) -> Any:
        return (fmpy.fmi2.fmi2ValueReference * len(references))(*references)

    value = (fmpy.fmi2.fmi2Real * 2)()
    told = refused(instance, f"Get{reals}", refers(9), 1, value, *counts)
    assert (
        told == f"3: fmi{instance.version}Get{reals}: there is no variable with value reference 9"
    )
    told = refused(instance, f"Set{reals}", refers(u), 1, value, *counts)
    assert told.endswith(": u is an output")
    told = refused(instance, f"Set{reals}", refers(9), 1, value, *counts)
    assert told.endswith("there is no input with value reference 9")
    assert "pointer is NULL" in refused(instance, f"Get{reals}", refers(u), 1, None, *counts)
    assert "pointer is NULL" in refused(instance, f"Get{reals}", None, 1, value, *counts)
    seeds = () if two else (1,)
    one = (refers(0), 1, refers(0), 1, value, *seeds, value, *seeds)
    assert "no output with value reference 0" in refused(instance, "GetDirectionalDerivative", *one)
    one = (refers(u), 1, refers(u), 1, value, *seeds, value, *seeds)
    assert f"no input with value reference {u}" in refused(
        instance, "GetDirectionalDerivative", *one
    )
    assert "can't be called between steps" in refused(instance, "ExitInitializationMode")
    whole = (fmpy.fmi2.fmi2Integer * 1)()
    kind = "Integer" if two else "Int32"
    assert "has no" in refused(instance, f"Get{kind}", refers(u), 1, whole, *counts)
    instance.fmu.terminate()
    assert "after termination" in refused(instance, f"Set{reals}", refers(0), 1, value, *counts)
    if not two:
        instance.fmu.reset()
        told = refused(instance, "GetFloat64", refers(u), 1, value, 2)
        assert told == "3: fmi3GetFloat64: 2 values for 1 scalars"
        assert "can't be called before init" in refused(instance, "SetTime", 1.0)
        assert "structural parameters" in refused(instance, "EnterConfigurationMode")


def test_steps_go_forward(instance: Instance) -> None:
    instance.fmu.doStep(0.0, 0.5)
    with pytest.raises(FMICallException):
        instance.fmu.doStep(0.5, -0.25)
    assert instance.messages == [f"3: fmi{instance.version}DoStep: a step of -0.25 goes back"]
    if instance.version == "3":
        assert instance.get(instance.references("time")) == [0.5]
    else:
        assert instance.fmu.getRealStatus(fmpy.fmi2.fmi2LastSuccessfulTime) == 0.5


def test_another_token_is_refused(burgers: Path) -> None:
    with pytest.raises(Exception, match="Failed to instantiate"):
        Instance(unpacked(burgers), token="{another}")


def test_outside_of_the_domain_outputs_are_nan_and_a_warning_says_why(instance: Instance) -> None:
    (u,), xt = instance.references("u"), instance.references("x", "t")
    instance.set(xt, [1.0, 1.0])
    assert (instance.get_status(u), instance.messages) == (0, [])
    instance.set(xt, [0.5, 1.25])
    assert instance.get_status(u) == 1
    assert instance.get_status(u) == 1
    assert np.isnan(instance.get([u])).all()
    told = "1: t: 1.25 is outside of its domain, 0 to 1; outputs are NaN"
    assert instance.messages == [told]  # once, as long as the inputs stay
    instance.set(xt, [0.5, float(np.nextafter(np.float32(1), np.float32(2)))])
    assert instance.get_status(u) == 1
    assert instance.messages[1].startswith("1: t: 1.00000012 is outside")
    assert np.isnan(instance.directional([u], xt, [1.0, 0.0])).all()
    instance.set(xt, [np.nan, 0.5])
    assert instance.get_status(u) == 1
    instance.set(xt, [0.5, 0.5])
    assert instance.get_status(u) == 0
    assert np.isfinite(instance.directional([u], xt, [1.0, 0.0])).all()
    assert len(instance.messages) == 3


def test_its_c_has_no_warnings_and_keeps_to_the_standards_headers(burgers: Path) -> None:
    folder = unpacked(burgers)
    version = read_model_description(folder).fmiVersion[0]
    gcc(folder / "sources", *WARNINGS, "-c", f"fmi{version}.c", "network.c")
    headers = ("-DSTANDARD_HEADERS", "-isystem", str(HEADERS))
    gcc(folder / "sources", *WARNINGS, *headers, "-fsyntax-only", f"fmi{version}.c")
    header = (HEADERS / f"fmi{version}Functions.h").read_text()
    meant = set(re.findall(rf"fmi{version}FullName\((fmi\w+)\)", header))
    described = read_model_description(folder)
    (binary,) = (folder / "binaries").rglob("burgers.so")
    names = subprocess.run(
        ["nm", "-D", "--defined-only", binary], capture_output=True, text=True, check=True
    ).stdout.split()[2::3]
    assert set(names) == meant
    assert described.modelIdentifier == "burgers"


def test_the_binary_is_small_and_for_any_processor_of_its_kind(burgers: Path) -> None:
    (binary,) = (unpacked(burgers) / "binaries").rglob("burgers.so")
    assert binary.stat().st_size <= 60_000
    code = subprocess.run(["objdump", "-d", binary], capture_output=True, text=True, check=True)
    assert "zmm" not in code.stdout
    assert "ymm" not in code.stdout


def test_what_is_known_of_the_network_lies_inside(burgers_small: Path, tmp_path: Path) -> None:
    heat = hedge.reference_models()["heat"]
    hedge.export_fmu(heat, tmp_path / "heat.fmu")
    with ZipFile(tmp_path / "heat.fmu") as archive:
        assert sorted(archive.namelist()) == archive.namelist()
        sheet = json.loads(archive.read("resources/datasheet.json"))
        certificate = archive.read("resources/certificate.json")
        page = archive.read("documentation/index.html").decode()
    assert [column["name"] for column in sheet["inputs"]] == ["x", "t"]
    assert certificate == heat.with_suffix(".certificate.json").read_bytes()
    assert "heat-64x3.onnx" in page
    assert "<p>Inputs: x in [0, 1], t in [0, 1].</p>" in page


def test_equal_networks_give_equal_bytes_and_others_another_token(tmp_path: Path) -> None:
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        onnx.save(random_mlp([2, 4, 1], seed), tmp_path / f"{name}.onnx")
        hedge.export_fmu(tmp_path / f"{name}.onnx", tmp_path / f"{name}.fmu", name="net")
    written = {name: (tmp_path / f"{name}.fmu").read_bytes() for name in "abc"}
    tokens = {n: read_model_description(tmp_path / f"{n}.fmu").guid for n in "abc"}
    assert tokens["c"] not in (tokens["a"], tokens["b"])
    assert written["a"] != written["c"]
    onnx.save(random_mlp([2, 4, 1], 1), tmp_path / "a.onnx")
    hedge.export_fmu(tmp_path / "a.onnx", tmp_path / "a.fmu", name="net", force=True)
    assert (tmp_path / "a.fmu").read_bytes() == written["a"]


@pytest.mark.parametrize("version", VERSIONS)
def test_without_a_compiler_sources_alone_are_written_which_compile_as_they_say(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: Any
) -> None:
    monkeypatch.setenv("CC", "no-such-compiler")
    onnx.save(random_mlp([2, 4, 1]), tmp_path / "net.onnx")
    out = tmp_path / "net.fmu"
    written = hedge.export_fmu(tmp_path / "net.onnx", out, fmi=version)
    assert written.platform is None
    assert fmpy.supported_platforms(out) == ["c-code"]
    folder = unpacked(out)
    builds = (
        read_model_description(folder).buildConfigurations
        if version == "2.0"
        else read_build_description(folder)
    )
    files = builds[0].sourceFileSets[0].sourceFiles
    place = folder / "binaries" / (fmpy.platform if version == "2.0" else fmpy.platform_tuple)
    place.mkdir(parents=True)
    gcc(folder / "sources", "-fPIC", "-shared", *files, "-o", str(place / "net.so"), "-lm")
    found = fmpy.simulate_fmu(folder, stop_time=0.1, output=["u"])
    assert np.isfinite(found["u"]).all()


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        (
            "time,t",
            "'time': is what FMI calls the simulation's own time; name the input columns by",
        ),
        ("der(x),t", r"'der\(x\)': looks like a derivative by time"),
        ("u,t", "'u': is the name of 2 columns, and FMI needs others"),
        ("x\ny,t", r"'x\\ny': holds a line break or another character that can't be printed"),
    ],
)
def test_names_that_fmi_forbids_are_refused(tmp_path: Path, inputs: str, message: str) -> None:
    onnx.save(random_mlp([2, 4, 1]), tmp_path / "net.onnx")
    with pytest.raises(InputError, match=message):
        hedge.export_fmu(tmp_path / "net.onnx", tmp_path / "net.fmu", inputs=inputs)
    assert not (tmp_path / "net.fmu").exists()


def test_any_other_name_is_one(tmp_path: Path) -> None:
    onnx.save(random_mlp([3, 4, 1]), tmp_path / "net.onnx")
    names = 'höhe "h" <&>,100 % #1#??/,a b[0]'
    out = tmp_path / "net.fmu"
    hedge.export_fmu(tmp_path / "net.onnx", out, inputs=names, domain="0:1,0:1,0:1", guard=True)
    assert validate_fmu(str(out)) == []
    one = Instance(unpacked(out)).start()
    assert one.references(*names.split(",")) == [0, 1, 2]
    one.set([1], [2.0])
    one.get_status(3)
    # a format string to FMI 2.0
    told = "1: 100 %% ##1##??/: 2 is outside of its domain, 0 to 1; outputs are NaN"
    assert one.messages == [told]
    one.close()


def test_compilers_for_something_else_are_refused(tmp_path: Path) -> None:
    onnx.save(random_mlp([2, 4, 1]), tmp_path / "net.onnx")
    cross = tmp_path / "cross-gcc"
    cross.write_text("#!/bin/sh\necho arm-none-eabi\n")
    cross.chmod(0o755)
    with pytest.raises(InputError, match="compiler: it compiles for 'arm-none-eabi', and binaries"):
        hedge.export_fmu(tmp_path / "net.onnx", tmp_path / "net.fmu", compiler=str(cross))
    with pytest.raises(InputError, match="compiler: 'nowhere' is not there"):
        hedge.export_fmu(tmp_path / "net.onnx", tmp_path / "net.fmu", compiler="nowhere")
    assert not (tmp_path / "net.fmu").exists()


def test_on_arm_fmi_2_has_the_binary_where_the_standard_says_and_where_tools_look(
    tmp_path: Path,
) -> None:
    onnx.save(random_mlp([2, 4, 1]), tmp_path / "net.onnx")
    network = c_network(tmp_path / "net.onnx", STEM, jacobian=True, name="net")
    found = {}
    for version in VERSIONS:
        data = fmu(network, version, Binary("aarch64-linux", b"code"))
        names = ZipFile(BytesIO(data)).namelist()
        found[version] = [name for name in names if name.startswith("binaries/")]
    assert found == {
        "2.0": ["binaries/aarch64-linux/net.so", "binaries/linux64/net.so"],
        "3.0": ["binaries/aarch64-linux/net.so"],
    }


@pytest.mark.parametrize("name", ["block", "model", "network", "fmi2", "INPUTS", "State"])
def test_no_name_is_taken_for_another(tmp_path: Path, name: str) -> None:
    onnx.save(random_mlp([2, 4, 1]), tmp_path / "net.onnx")
    out = tmp_path / f"{name}.fmu"
    hedge.export_fmu(tmp_path / "net.onnx", out, domain="0:1,0:1", guard=True)
    one = Instance(unpacked(out)).start()
    assert np.isfinite(one.get(one.references("u"))).all()
    one.close()


def test_compress_writes_one_and_refuses_its_name_before_the_work(tmp_path: Path) -> None:
    onnx.save(random_mlp([2, 8, 1]), tmp_path / "net.onnx")
    out = tmp_path / "small.fmu"
    asked = {"device": "laptop-x86-c", "tolerance": 0.1, "domain": "0:1,0:1", "recover": None}
    told: list[str] = []
    with pytest.raises(InputError, match="'my-net' is no C identifier"):
        hedge.compress(
            tmp_path / "net.onnx", out=tmp_path / "my-net.fmu", on_progress=told.append, **asked
        )
    assert told == []
    small = hedge.compress(tmp_path / "net.onnx", out=out, **asked)
    assert validate_fmu(str(out)) == []
    described = read_model_description(out).modelVariables[2].description
    assert f"relative L2 error {small.plan.relative_error:.2e}" in described


def test_what_else_is_refused_in_a_line(tmp_path: Path) -> None:
    onnx.save(random_mlp([2, 4, 1]), tmp_path / "net.onnx")
    net, out = tmp_path / "net.onnx", tmp_path / "net.fmu"
    with pytest.raises(InputError, match="units: 'furlops' is no unit by SI's base units"):
        hedge.export_fmu(net, out, units="u=furlops")
    with pytest.raises(InputError, match=r"fmi: '1\.0' is unknown; give one of 2\.0, 3\.0"):
        hedge.export_fmu(net, out, fmi="1.0")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="'my-net'"):
        hedge.export_fmu(net, tmp_path / "my-net.fmu")
    with pytest.raises(InputError, match=r"net\.zip: simulators know an FMU by \.fmu"):
        hedge.export_fmu(net, tmp_path / "net.zip")
    onnx.save(random_mlp([65, 2, 1]), net)
    with pytest.raises(ModelError, match="has 65 input columns"):
        hedge.export_fmu(net, out)
    assert not out.exists()
    assert [path.name for path in tmp_path.iterdir()] == ["net.onnx"]


@pytest.mark.skipif(sys.platform == "darwin", reason="its files have names of UTF-8 alone")
def test_a_file_whose_name_is_no_text_is_told_with_question_marks(tmp_path: Path) -> None:
    model = tmp_path / "net\udcff.onnx"
    onnx.save(random_mlp([2, 4, 1]), model)
    hedge.export_fmu(model, tmp_path / "net.fmu")
    assert read_model_description(tmp_path / "net.fmu").description == "net?.onnx"
