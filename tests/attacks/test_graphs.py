"""Hostile graphs, as an .onnx and as the skeleton of a compressed model, in every command."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from unittest.mock import patch

import numpy as np
import pytest
from onnx import ModelProto, helper, numpy_helper

import hedge
from hedge.compression import CompressedModel, save_compressed
from hedge.devices import Device
from hedge.errors import HedgeError, ModelError
from hedge.graph import assemble, load_model, run_float32, split
from tests.attacks.conftest import ON_COMPRESSED, ON_DENSE
from tests.attacks.graphs import HOSTILE, SECRET, after_layer, named_file, node, with_initializer
from tests.cli.conftest import Refuses
from tests.conftest import make_model, random_mlp

NUMBERS = np.float32([3.25, 4.5, 5.75, 6.0, 7.5, 8.25])


@pytest.fixture(autouse=True)
def strangers_folder(tmp_path: Path) -> None:
    """What a stranger's model could name: a secret, hidden and linked files, a folder, a pipe."""
    (tmp_path / SECRET).parent.mkdir()
    for name in (SECRET, ".netrc", "short.bin"):
        (tmp_path / name).write_bytes(NUMBERS.tobytes())
    (tmp_path / "link.bin").symlink_to(tmp_path / SECRET)
    os.mkfifo(tmp_path / "pipe")


@pytest.mark.parametrize("command", ON_DENSE)
@pytest.mark.parametrize("kind", HOSTILE)
def test_hostile_model(refuses: Refuses, tmp_path: Path, command: str, kind: str) -> None:
    build, reason = HOSTILE[kind]
    (tmp_path / "m.onnx").write_bytes(build().SerializeToString())
    refuses(*ON_DENSE[command], named=("m.onnx", reason))


# --- Skeletons ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def compressed(tmp_path_factory: pytest.TempPathFactory, laptop: Device) -> CompressedModel:
    """u = max(W₂ tanh(W₁ x), 2): a skeleton with a constant of its own."""
    w = np.random.default_rng(0).standard_normal((8, 2))
    nodes = [
        node("Gemm", ["x", "w"], ["y"], transB=1),
        node("Tanh", ["y"], ["a"]),
        node("Gemm", ["a", "v"], ["z"], transB=1),
        node("Max", ["z", "two"], ["u"]),
    ]
    weights = {"w": w, "v": np.ones((1, 8)), "two": np.full((1, 1), 2.0)}
    path = tmp_path_factory.mktemp("dense") / "dense.onnx"
    path.write_bytes(make_model(nodes, weights, inputs=2).SerializeToString())
    return hedge.compress(path, device=laptop, domain="0:1,0:1", tolerance=0.5, recover=None)


def add_file(skeleton: ModelProto) -> None:
    skeleton.graph.initializer.append(named_file("leak", SECRET))
    skeleton.graph.node.append(node("Mul", ["u", "leak"], ["v"]))
    del skeleton.graph.output[:]
    skeleton.graph.output.append(helper.make_tensor_value_info("v", 1, ["n", 6]))


def add_nan(skeleton: ModelProto) -> None:
    for tensor in skeleton.graph.initializer:
        values = np.full_like(numpy_helper.to_array(tensor), np.nan)
        tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))


def forget_the_placeholders(skeleton: ModelProto) -> None:
    kept = [entry for entry in skeleton.opset_import if entry.domain != "hedge"]
    del skeleton.opset_import[:]
    skeleton.opset_import.extend(kept)


def rename_a_site(skeleton: ModelProto) -> None:
    next(n for n in skeleton.graph.node if n.domain == "hedge").name = "elsewhere"


def widen_a_site(skeleton: ModelProto) -> None:
    next(n for n in skeleton.graph.node if n.domain == "hedge").input.append("x")


def add_a_function(skeleton: ModelProto) -> None:
    skeleton.functions.append(
        helper.make_function(
            "f", "F", ["x"], ["y"], [node("Tanh", ["x"], ["y"])], [helper.make_opsetid("", 17)]
        )
    )


def add_many_numbers(skeleton: ModelProto) -> None:
    big = numpy_helper.from_array(np.array([2**20, 2**20]), "size")
    skeleton.graph.initializer.append(big)
    skeleton.graph.node.insert(0, node("ConstantOfShape", ["size"], ["big"]))


def refer_to_a_function(skeleton: ModelProto) -> None:
    """Of which a skeleton has none."""
    skeleton.graph.node.append(node("Gemm", ["x", "x"], ["v"]))
    skeleton.graph.node[-1].attribute.add(name="transB", type=2, ref_attr_name="transB")


def widen_the_input(skeleton: ModelProto) -> None:
    """13 rows of it, as work is told from, would take 208 GiB."""
    skeleton.graph.input[0].type.tensor_type.shape.dim[1].dim_value = 2**31


def add_a_branch(skeleton: ModelProto) -> None:
    branch = helper.make_graph([], "b", [], [helper.make_tensor_value_info("t", 1, None)])
    skeleton.graph.node.append(node("If", ["u"], ["v"], then_branch=branch, else_branch=branch))


SKELETONS: dict[str, tuple[Callable[[ModelProto], None], str]] = {
    "names a file": (add_file, "'leak' lie in another file"),
    "holds NaN": (add_nan, "NaN"),
    "imports no placeholders": (forget_the_placeholders, "graph is damaged"),
    "has an unknown site": (rename_a_site, "does not know"),
    "has a site of two inputs": (widen_a_site, "graph is damaged"),
    "holds a function": (add_a_function, "functions"),
    "makes many numbers": (add_many_numbers, "numbers of two rows"),
    "holds control flow": (add_a_branch, "(If)"),
    "refers to a function": (refer_to_a_function, "'transB' of a function"),
    "reads 2**31 columns": (widen_the_input, "graph is damaged"),
}


@contextmanager
def suppress_refusals() -> Iterator[None]:
    """A stranger writes what hedge would not."""
    with suppress(ModelError):
        yield


@pytest.mark.parametrize("command", ON_COMPRESSED)
@pytest.mark.parametrize("kind", SKELETONS)
def test_hostile_skeleton(
    refuses: Refuses, compressed: CompressedModel, tmp_path: Path, kind: str, command: str
) -> None:
    change, reason = SKELETONS[kind]
    skeleton = ModelProto()
    skeleton.CopyFrom(compressed.skeleton)
    change(skeleton)
    with patch("hedge.compression.storage.read_again", suppress_refusals):
        save_compressed(replace(compressed, skeleton=skeleton), tmp_path / "c.safetensors")
    (tmp_path / "dense.onnx").write_bytes(random_mlp([2, 8, 1]).SerializeToString())
    refuses(*ON_COMPRESSED[command], named=("c.safetensors", reason))


# --- What honest files may do ---------------------------------------------------------------------


def test_weights_beside_the_model_are_read(tmp_path: Path) -> None:
    """Also where both are links to one store, as caches of downloads have them."""
    store, shown = tmp_path / "blobs", tmp_path / "snapshot"
    store.mkdir()
    shown.mkdir()
    model = with_initializer(named_file("w6", "m.onnx.data"))
    for name, data in {
        "m.onnx": model.SerializeToString(),
        "m.onnx.data": NUMBERS.tobytes(),
    }.items():
        (store / f"blob {name}").write_bytes(data)
        (shown / name).symlink_to(store / f"blob {name}")
    zero = run_float32(load_model(shown / "m.onnx"), np.zeros((1, 2)))
    np.testing.assert_array_equal(zero[0], NUMBERS)


def test_sizes_that_follow_from_the_batch_are_allowed(tmp_path: Path) -> None:
    """Shape, Gather, Concat, Equal, Where, Expand: how torch writes expand()."""
    nodes = [
        node("Shape", ["y"], ["shape"]),
        node("Gather", ["shape", "first"], ["rows"]),
        node("Unsqueeze", ["rows", "first"], ["rows1"]),
        node("Concat", ["rows1", "minus"], ["wanted"], axis=0),
        node("Equal", ["wanted", "minus"], ["free"]),
        node("Where", ["free", "ones", "wanted"], ["size"]),
        node("Expand", ["row", "size"], ["rows6"]),
        node("Add", ["y", "rows6"], ["u"]),
    ]
    model = after_layer(
        *nodes,
        width=6,
        first=np.array([0])[0:1].reshape(()),
        minus=np.array([-1]),
        ones=np.array([1, 1]),
        row=np.ones((1, 6)),
    )
    model.graph.node[3].input[1] = "first1"
    model.graph.initializer.append(numpy_helper.from_array(np.array([0]), "first1"))
    path = tmp_path / "m.onnx"
    path.write_bytes(model.SerializeToString())
    assert run_float32(load_model(path), np.zeros((3, 2))).tolist() == [[1.0] * 6] * 3


def test_a_nan_that_signals_is_refused_as_any_other(tmp_path: Path) -> None:
    model = random_mlp([2, 4, 1])
    path = tmp_path / "m.onnx"
    model.graph.initializer[0].raw_data = 8 * np.array([0x7F800001], np.uint32).tobytes()
    path.write_bytes(model.SerializeToString())
    assert "'w0' contain NaN or Inf" in (refused(path) or "")


def refused(path: Path) -> str | None:
    try:
        load_model(path)
    except HedgeError as error:
        return str(error)
    return None


def test_names_that_hedge_would_give_may_be_taken(tmp_path: Path) -> None:
    """c.rank2 is what the scalar c is called once it has two axes."""
    nodes = [node("Mul", ["y", "c"], ["p"]), node("Add", ["p", "c.rank2"], ["u"])]
    weights = {"c": np.array(2.0), "c.rank2": np.full((1, 1), 100.0)}
    path = tmp_path / "m.onnx"
    path.write_bytes(after_layer(*nodes, **weights).SerializeToString())
    model = load_model(path)
    parts = split(model)
    points = np.random.default_rng(0).uniform(0, 1, (5, 2))
    found = run_float32(assemble(parts.skeleton, parts.matrices), points)
    np.testing.assert_allclose(found, run_float32(model, points), rtol=1e-6)


@pytest.mark.parametrize("version", [0, 7, 2**31, -1])
def test_a_skeleton_of_another_version_of_its_placeholders_is_exported_at_any_opset(
    compressed: CompressedModel, tmp_path: Path, version: int
) -> None:
    """onnx knows nothing of that domain, and has to carry it through the conversion."""
    skeleton = ModelProto()
    skeleton.CopyFrom(compressed.skeleton)
    for entry in skeleton.opset_import:
        if entry.domain:
            entry.version = version
    path = tmp_path / "c.safetensors"
    save_compressed(replace(compressed, skeleton=skeleton), path)
    points = np.random.default_rng(0).uniform(0, 1, (5, 2))
    expected = run_float32(compressed.to_onnx(), points)
    for opset in (17, 19):
        found = hedge.export(hedge.load(path), tmp_path / f"{opset}.onnx", opset=opset)
        np.testing.assert_allclose(run_float32(found, points), expected, rtol=1e-6)
