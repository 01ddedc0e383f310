"""docs/extending.md: what is added in one place is known everywhere."""

from __future__ import annotations

import inspect
import json
import re
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import get_type_hints

import numpy as np
import pytest
import typer
from onnx import ModelProto, helper

import hedge
from hedge import methods
from hedge.cli.app import main
from hedge.cli.commands import compress
from hedge.cli.export_command import export
from hedge.cli.options import with_options_of
from hedge.compression import (
    Case,
    CompressedModel,
    SitePlan,
    dense_as_it_is,
    parameter_count,
    read_plan,
    structures,
)
from hedge.compression.allocation import costs_on
from hedge.compression.structures import STRUCTURES, Entry
from hedge.devices import find_profile, predicted_seconds
from hedge.errors import InputError
from hedge.files import write_atomically
from hedge.formats import FORMATS, Exported, Format, export_as
from hedge.graph import (
    Factors,
    Hierarchy,
    Matrix,
    SiteMatrix,
    assemble,
    graph_work,
    metadata,
    neuron_groups,
    probed_ops,
    run_float32,
    split,
    stored_as,
)
from hedge.graph.reverse import site_gradients, trace
from hedge.hmatrix import plain_spectrum
from hedge.methods import METHODS, Candidate, Method
from hedge.methods.bisection import coarsest_within
from hedge.ops import OPS, Op
from hedge.progress import Progress
from hedge.reporting.structure import site_figure
from hedge.request import Asked, Request, options_of
from tests.architectures import plain
from tests.cli import conftest as command_line
from tests.cli.conftest import Refuses, Run
from tests.conftest import ROOT, make_model
from tests.exporting.c_compiler import needs_gcc
from tests.made_up_structure import Repetition, repetitions

run, refuses = command_line.run, command_line.refuses
POINTS = np.random.default_rng(0).uniform(-1.0, 1.0, (200, 2))
# softshrink, which hedge reads and knows nothing of: x − bias beyond lambd, x + bias below −lambd, else 0.
SHRINK = Op(
    "unary",
    derivative=lambda x, y: (y != 0.0).astype(np.float64),
    c="shrink({0}, {1}, {2})",
    function=(
        "{real} shrink({real} x, {real} b, {real} l) "
        "{{ return x < -l ? x + b : x > l ? x - b : 0; }}"
    ),
    attributes={"bias": 0.0, "lambd": 0.5},
    cost="Neg",
)


@pytest.fixture
def net() -> ModelProto:
    """Two layers with softshrink between them, of 12 neurons in pairs of twins."""
    rng = np.random.default_rng(1)
    weights = {
        "w0": np.repeat(rng.standard_normal((6, 2)), 2, axis=0), "b0": rng.standard_normal(12),
        "w1": rng.standard_normal((1, 12)), "b1": np.ones(1),
    }  # fmt: skip
    weights["b0"][1::2] = weights["b0"][::2]
    nodes = [
        helper.make_node("Gemm", ["x", "w0", "b0"], ["z"], transB=1),
        helper.make_node("Shrink", ["z"], ["a"], bias=0.5, lambd=0.5),
        helper.make_node("Gemm", ["a", "w1", "b1"], ["u"], transB=1),
    ]
    return make_model(nodes, weights, inputs=2)


@needs_gcc
def test_an_activation_is_one_entry(
    net: ModelProto, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    parts = split(net)
    assert not neuron_groups(parts).groups
    assert probed_ops(parts) == ("Shrink",)
    probed = site_gradients(trace(parts, POINTS), np.ones((200, 1)))

    monkeypatch.setitem(OPS, "Shrink", SHRINK)  # type: ignore[arg-type]
    assert [group.width for group in neuron_groups(parts).groups] == [12]
    assert not probed_ops(parts)
    exact = site_gradients(trace(parts, POINTS), np.ones((200, 1)))
    np.testing.assert_allclose(exact["site0"], probed["site0"], atol=1e-6)

    path, out = tmp_path / "net.onnx", tmp_path / "net.hedge.safetensors"
    path.write_bytes(net.SerializeToString())
    small = hedge.compress(
        path,
        device="laptop-x86",
        domain="-1:1,-1:1",
        tolerance=1e-4,
        objective="size",
        out=out,
        recover=None,
    )
    assert small.plan.sites[0].outputs <= 6
    device = find_profile("laptop-x86")
    assert predicted_seconds(device, graph_work(net, 1000)) > 0.0

    hedge.export_c(out, tmp_path / "net.c")
    found = evaluated_by_c(tmp_path)
    np.testing.assert_allclose(found, run_float32(small.to_onnx(), POINTS)[:, 0], atol=1e-5)


def evaluated_by_c(folder: Path) -> np.ndarray:
    """What net.c in a folder makes of the POINTS."""
    main = folder / "main.c"
    main.write_text(
        '#include <stdio.h>\n#include "net.h"\nint main(void) { float x[2], u[1];\n'
        'while (scanf("%f %f", x, x + 1) == 2) { net_eval(x, u); printf("%.9g\\n", u[0]); } }\n'
    )
    program, sources = folder / "program", [str(folder / "net.c"), str(main)]
    subprocess.run(["gcc", "-o", str(program), *sources, "-lm"], check=True)
    rows = "\n".join(f"{a:.9g} {b:.9g}" for a, b in POINTS.astype(np.float32))
    done = subprocess.run([str(program)], input=rows, capture_output=True, text=True, check=True)
    return np.array(done.stdout.split(), dtype=float)


def in_repetition() -> ModelProto:
    """A net whose second matrix has every row twice: of rank 8, for which factors save nothing."""
    rng = np.random.default_rng(2)
    weights = {"w0": rng.standard_normal((16, 2)), "b0": rng.standard_normal(16)}
    weights |= {"w1": np.repeat(rng.standard_normal((8, 16)), 2, axis=0) / 4.0}
    weights |= {"b1": rng.standard_normal(16), "w2": rng.standard_normal((1, 16)), "b2": np.ones(1)}
    nodes = []
    for i, (source, output) in enumerate((("x", "y"), ("y", "v"), ("v", "u"))):
        z = output if i == 2 else f"z{i}"
        nodes.append(helper.make_node("Gemm", [source, f"w{i}", f"b{i}"], [z], transB=1))
        if i < 2:
            nodes.append(helper.make_node("Tanh", [z], [output]))
    return make_model(nodes, weights, inputs=2)


@needs_gcc
def test_a_structure_is_a_module_and_an_entry(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(structures, "STRUCTURES", (*STRUCTURES, Entry(Repetition, repetitions)))
    model, path, out = in_repetition(), tmp_path / "net.onnx", tmp_path / "net.hedge.safetensors"
    path.write_bytes(model.SerializeToString())
    small = hedge.compress(
        path, device="laptop-x86", domain="-1:1,-1:1", tolerance=1e-4, objective="size", out=out,
        keep_widths=True, recover=None,
    )  # fmt: skip
    site, matrix = small.plan.sites[1], small.matrices["site1"]
    assert site.structure == Repetition(16, 16, 2)
    assert small.plan.dense_parameters - small.plan.parameters == 8 * 16
    seconds = costs_on(find_profile("laptop-x86"), 1024, "latency").of
    assert 0.0 < seconds(site.structure) < seconds(Factors(16, 16, 15))

    again = hedge.load(out)
    assert again.plan == small.plan
    np.testing.assert_array_equal(
        again.matrices["site1"].dense(), stored_as(matrix, matrix.precision).dense().astype("f4")
    )
    assert json.loads(small.plan.model_dump_json())["sites"][1]["times"] == 2
    assert "times" not in json.loads(small.plan.model_dump_json())["sites"][0]

    exported = hedge.export(out, tmp_path / "small.onnx")
    assert "Expand" in {node.op_type for node in exported.graph.node}
    written = read_plan(metadata(exported)["hedge.plan"]).sites[1]
    assert (written.structure, written.form) == (site.structure, "repeated")
    expected = run_float32(assemble(small.skeleton, densely(small.matrices)), POINTS)
    np.testing.assert_allclose(run_float32(exported, POINTS), expected, atol=2e-6)

    shown = site_figure(site, 1.0)
    assert shown.caption.startswith("site1: 16 × 16, rows 2 times")
    assert shown.svg.count('class="lowrank"') == 8
    monkeypatch.setattr("sys.argv", ["hedge", "inspect", str(out)])
    with pytest.raises(SystemExit, match="0"):
        main()
    assert "16x16, rows 2 times" in " ".join(capsys.readouterr().out.split())
    hedge.export_c(out, tmp_path / "net.c")
    np.testing.assert_allclose(evaluated_by_c(tmp_path), expected[:, 0], atol=2e-6)


def densely(matrices: Mapping[str, Matrix]) -> dict[str, Matrix]:
    return {name: SiteMatrix((m.dense(),), m.bias) for name, m in matrices.items()}


def test_a_structure_without_an_entry_is_not_written() -> None:
    with pytest.raises(TypeError, match="Repetition has no entry in STRUCTURES"):
        structures.record_of(Repetition(16, 16, 2))


def test_keys_of_a_plan_are_of_one_structure() -> None:
    """So that the structure of a file is the one that its keys tell."""
    for entry in STRUCTURES:
        needed = {field.name: 1 for field in fields(entry.structure)}
        if "tree" in needed:
            needed["tree"] = [[0, 1, 0, 1, None]]
        if entry.structure is Hierarchy:
            needed |= {"row_order": [0], "column_order": []}
        assert type(structures.structure_from(needed)) is entry.structure
    assert not structures.structure_keys() & SitePlan.model_fields.keys()


def test_structures_stand_in_the_docs_with_forms_and_keys() -> None:
    page = (ROOT / "docs" / "exporting.md").read_text().split("\n## ")[1]
    told = set(re.findall(r"`(\w+)`", page))
    for entry in STRUCTURES:
        keys = {field.name for field in fields(entry.structure)} - structures.SIDES
        assert told >= {*entry.structure.FORMS, *keys}


def write_text(
    model: CompressedModel | Path, out: Path, *, force: bool, on_progress: Progress, name: str = "W"
) -> Exported:
    """A format: all matrices as text."""
    matrices = (hedge.load(model) if isinstance(model, Path) else model).matrices
    lines = [
        f"{name} {key} {matrix.dense().astype('f4').tolist()}" for key, matrix in matrices.items()
    ]
    write_atomically(out, "\n".join(lines).encode(), force=force)
    return Exported(f"{out}: {len(lines)} matrices", {"matrices": len(lines)})


def test_an_export_format_is_a_function_and_an_entry(
    run: Run, refuses: Refuses, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry = Format(
        "numbers", f"{__name__}:write_text", "hedge export m.onnx --out m.txt", ("name",), (".txt",)
    )
    monkeypatch.setitem(FORMATS, "text", entry)
    hedge.compress(
        hedge.reference_models()["heat"], device="laptop-x86", tolerance=1e-2,
        out=tmp_path / "heat.hedge.safetensors", recover=None,
    )  # fmt: skip
    to_text = ["export", "heat.hedge.safetensors", "--format", "text", "--out", "heat.txt"]
    found = run(*to_text, "--name", "V", "--json")
    assert found.document() == {"out": "heat.txt", "matrices": 4}
    assert (tmp_path / "heat.txt").read_text().startswith("V site0 [[")
    assert run(*to_text, "--force").out == "heat.txt: 4 matrices\n"
    assert (tmp_path / "heat.txt").read_text().startswith("W site0 [[")
    refuses(
        *to_text, "--force", "--flash", "0", named=("flash: is no option of text", "--format c")
    )
    refuses(*to_text, named=("heat.txt", "--force"))
    model = str(hedge.reference_models()["heat"])
    asked = ["--device", "laptop-x86", "--tolerance", "1e-2", "--no-recover"]
    assert run("compress", model, *asked, "--out", "small.txt").code == 0
    assert (tmp_path / "small.txt").read_text() == (tmp_path / "heat.txt").read_text()


def test_an_unknown_format_is_refused(run: Run, tmp_path: Path) -> None:
    found = run("export", "m.hedge.safetensors", "--format", "fortran", "--out", "m.f")
    assert found.code == 2
    assert "'fortran' is not one of 'onnx', 'c'" in " ".join(found.err.split())
    with pytest.raises(InputError, match="format: 'fortran' is unknown; give one of onnx, c"):
        export_as("fortran", "m.hedge.safetensors", tmp_path / "m.f", options={})


def test_formats_stand_in_the_docs_with_their_options() -> None:
    table = (ROOT / "docs" / "exporting.md").read_text().split("## ")[0]
    rows = {row.split("`")[1]: row for row in table.splitlines() if row.startswith("| `")}
    rows.pop("--format")
    assert rows.keys() == FORMATS.keys()
    of_all, of_c = re.findall(r"^All take (.*)\. Those of C are (.*)\.$", table, re.MULTILINE)[0]
    for name, format in FORMATS.items():
        said = ", ".join([of_all, rows[name].split("|")[-2].strip().replace("those of C", of_c)])
        options = [f"`--{option.replace('_', '-')}`" for option in format.options]
        assert sorted(said.split(", ")) == sorted(options)
        assert format.what in rows[name]


def test_suffixes_are_of_one_format() -> None:
    suffixes = [suffix for format in FORMATS.values() for suffix in format.suffixes]
    assert len(set(suffixes)) == len(suffixes)


def test_options_of_formats_are_options_of_the_command() -> None:
    known = inspect.signature(export).parameters
    assert all(option in known for format in FORMATS.values() for option in format.options)


@dataclass(frozen=True)
class Rounded(Request):
    """A request with one option more."""

    least_digits: int | None = field(default=None, metadata={"help": "Digits kept."})


def test_an_option_of_compress_is_a_field(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    seen: list[Rounded] = []

    def compressed(case: Case) -> CompressedModel:
        seen.append(case.request)
        return dense_as_it_is(case)

    monkeypatch.setattr("hedge.api.compressing.Request", Rounded)
    monkeypatch.setitem(methods.COMPRESSING, "hierarchical", compressed)
    app = typer.Typer()
    app.command()(with_options_of(Rounded)(compress))
    out = tmp_path / "small.hedge.safetensors"
    words = [str(hedge.reference_models()["heat"]), "--no-recover", "--out", str(out)]
    words += ["--device", "laptop-x86"]
    app([*words, "--least-digits", "3", "--batch", "7"], standalone_mode=False)
    assert (seen[0].least_digits, seen[0].batch) == (3, 7)
    plan = hedge.load(out).plan
    assert "--least-digits 3" in plan.command
    assert "--batch 7" in plan.command
    app([*words, "--force"], standalone_mode=False)
    assert seen[1].least_digits is None
    assert "digits" not in hedge.load(out).plan.command
    app(["--help"], standalone_mode=False)
    assert "Digits kept." in capsys.readouterr().out


def test_keywords_of_compress_are_the_options_of_a_request() -> None:
    types = get_type_hints(Request)
    assert get_type_hints(Asked) == {one.name: types[one.name] for one in options_of(Request)}


def test_what_was_asked_is_in_the_plan() -> None:
    """A field of Plan with the name of an option is that."""
    asked = {
        "tolerance": 1e-2, "objective": "size", "batch": 7, "method": "svd", "keep_widths": True,
        "columns": "joint", "relative_to": "spread", "derivatives": 0.1, "seed": 3,
    }  # fmt: skip
    plan = hedge.compress(
        hedge.reference_models()["heat"], device="laptop-x86", recover=None, **asked
    ).plan
    assert {name: getattr(plan, name) for name in asked} == asked | {"columns": "each"}


def without_small_weights(case: Case) -> Candidate:
    """A method: weights below a thousandth of the largest become zero."""
    matrices = {
        name: type(m)((np.where(np.abs(m.dense()) < 1e-3, 0.0, m.dense()),), m.bias)
        for name, m in case.split.matrices.items()
    }
    return Candidate(assemble(case.split.skeleton, matrices), parameter_count(matrices), 0)


def test_a_method_is_a_function_of_a_case(monkeypatch: pytest.MonkeyPatch) -> None:
    methods = {"dense": METHODS["dense"], "without small weights": Method(without_small_weights)}
    monkeypatch.setattr("hedge.api.measuring.METHODS", methods)
    seen: list[str] = []
    table = hedge.compare_methods(
        hedge.reference_models()["heat"], device="laptop-x86", batches=(1,),
        effort=hedge.benching.Effort(warm_up_s=0.0, timed_s=0.01), on_progress=seen.append,
    )  # fmt: skip
    assert [row.method for row in table.rows] == ["dense", "without small weights"]
    assert "searching without small weights" in seen


def test_an_option_without_a_compress_is_an_error() -> None:
    with pytest.raises(TypeError, match="method 'small': an option and a compress go together"):
        Method(without_small_weights, "small")


def leading_ranks(case: Case, aim: float | None = None) -> Candidate:
    """A method whose matrices a plan can hold: the same rank everywhere, the least that is good enough."""
    rank, matrices = coarsest_within(
        case, lambda rank: truncated_to(case, round(rank)), 64.0, 1.0, aim
    )
    model = assemble(case.split.skeleton, matrices)
    return Candidate(model, parameter_count(matrices), 0, f"rank {rank:.0f}", matrices)


def truncated_to(case: Case, rank: int) -> dict[str, SiteMatrix]:
    return {
        name: SiteMatrix(plain_spectrum(m.dense()).truncate(rank), m.bias)
        if rank < min(m.shape) // 2
        else m
        for name, m in case.split.matrices.items()
    }


def test_a_method_with_matrices_is_one_of_compress_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    method = methods._certified("ranks", leading_ranks)
    monkeypatch.setitem(methods.COMPRESSING, "ranks", method.compress)
    path, out = tmp_path / "net.onnx", tmp_path / "small.hedge.safetensors"
    path.write_bytes(plain("Tanh").SerializeToString())  # its neurons are copies of a few
    small = hedge.compress(
        path, device="laptop-x86", tolerance=1e-2, objective="size", method="ranks",
        domain="-1:1,-1:1", out=out, recover=None,
    )  # fmt: skip
    assert small.plan.method == hedge.load(out).plan.method == "ranks"
    assert small.plan.gains
    assert small.plan.relative_error <= 1e-2
    assert small.plan.parameters < 0.7 * small.plan.dense_parameters
    with pytest.raises(InputError, match="one of hierarchical"):
        hedge.compress(
            hedge.reference_models()["heat"], device="laptop-x86", method="unknown", recover=None
        )
