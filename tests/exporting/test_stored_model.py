"""The door to model files: one function for dense, exported and compressed ones."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

import hedge
from hedge import api
from hedge.errors import HedgeError, InputError, ModelError
from hedge.exporting import StoredModel, open_model
from tests.conftest import random_mlp

SMALL = "small.hedge.safetensors"


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Path]:
    """One network in all three kinds of files."""
    dense, small, exported = (tmp_path / name for name in ("m.onnx", SMALL, "small.onnx"))
    dense.write_bytes(random_mlp([2, 8, 1]).SerializeToString())
    hedge.compress(
        dense, device="laptop-x86", tolerance=1e-2, domain="0:1,0:1", out=small, recover=None
    )
    hedge.export(small, exported)
    return {"dense": dense, "compressed": small, "exported": exported}


@pytest.mark.parametrize("kind", ["dense", "compressed", "exported"])
def test_a_file_tells_its_kind_whatever_its_name(files: dict[str, Path], kind: str) -> None:
    assert open_model(files[kind]).kind == kind
    renamed = files[kind].rename(files[kind].with_name("model.bin"))
    assert open_model(renamed).kind == kind


def test_compressed_and_exported_give_the_same_plan_problem_and_graph(
    files: dict[str, Path],
) -> None:
    dense, small, exported = (open_model(files[k]) for k in ("dense", "compressed", "exported"))
    assert dense.plan is None
    assert small.plan is not None
    assert exported.plan is not None
    source = dense.source(None)
    assert small.plan.source_sha256 == exported.plan.source_sha256 == source.sha256
    assert dense.problem is small.problem is exported.problem is None
    assert small.graph.graph == exported.graph.graph


def test_a_trained_model_names_its_problem_and_its_source(heat_path: Path) -> None:
    found = open_model(heat_path)
    assert (found.kind, found.problem) == ("dense", "heat")
    source = found.source("heat")
    assert (source.name, source.problem) == (heat_path.name, "heat")


ASKED: dict[str, tuple[str, Callable[[StoredModel], object], str]] = {
    "an .onnx of a compressed one": ("compressed", lambda m: m.onnx, "is a compressed model"),
    "a compressed one of dense": ("dense", lambda m: m.compressed, "is ONNX already"),
    "a compressed one of exported": ("exported", lambda m: m.compressed, "is ONNX already"),
}


@pytest.mark.parametrize("case", ASKED)
def test_another_kind_is_refused_by_the_name_of_the_file(files: dict[str, Path], case: str) -> None:
    kind, ask, why = ASKED[case]
    with pytest.raises(InputError, match=f"{files[kind].name}: {why}"):
        ask(open_model(files[kind]))


@pytest.mark.parametrize("name", ["m.onnx", SMALL, "m.bin"])
@pytest.mark.parametrize("content", [b"", b"text", bytes(1000), b"\x00" * 8 + b"{"])
def test_damage_is_one_line_that_names_the_file(tmp_path: Path, name: str, content: bytes) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(ModelError, match=f"{name}: ") as caught:
        open_model(path)
    assert "\n" not in str(caught.value)


COMMANDS: dict[str, Callable[[Path], object]] = {
    "compress": lambda path: hedge.compress(
        path, device="laptop-x86", domain="0:1,0:1", recover=None
    ),
    "compare": lambda path: hedge.compare_methods(path, device="laptop-x86", domain="0:1,0:1"),
    "ntk": lambda path: api.tangent_kernels(path, domain="0:1,0:1"),
    "bench": lambda path: hedge.bench([path], device="laptop-x86", batches=[1]),
}


@pytest.mark.parametrize("command", COMMANDS)
def test_commands_that_take_an_onnx_say_so_of_a_compressed_one(
    files: dict[str, Path], command: str
) -> None:
    with pytest.raises(HedgeError, match=f"{SMALL}: is a compressed model; give the dense .onnx"):
        COMMANDS[command](files["compressed"])


def test_evaluate_takes_a_compressed_model_as_it_is_exported(
    tmp_path: Path, heat_path: Path
) -> None:
    small, exported = tmp_path / SMALL, tmp_path / "small.onnx"
    hedge.compress(heat_path, device="laptop-x86", tolerance=1e-2, out=small, recover=None)
    hedge.export(small, exported)
    assert api.evaluate(small, "heat") == api.evaluate(exported, "heat")
