"""compress --resume with a file that says it is of the model, and is of another."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from onnx import ModelProto

import hedge
from hedge.compression import save_compressed
from hedge.errors import InputError
from tests.conftest import random_mlp

HOW: dict[str, Any] = {"device": "laptop-x86", "tolerance": 0.3, "objective": "size"}


def saved(path: Path, widths: list[int]) -> Path:
    path.write_bytes(random_mlp(widths).SerializeToString())
    return path


@pytest.mark.parametrize(
    "widths",
    [[2, 8, 8, 3], [3, 8, 8, 1], [2, 40, 40, 1], [2, 8, 1], [2, 8, 8, 8, 1]],
    ids=["more outputs", "more inputs", "wider", "fewer layers", "more layers"],
)
def test_a_result_of_another_shape_is_not_resumed(widths: list[int], tmp_path: Path) -> None:
    pytest.importorskip("torch")
    model = saved(tmp_path / "m.onnx", [2, 8, 8, 1])
    other = saved(tmp_path / "other.onnx", widths)
    found = hedge.compress(
        other,
        domain=",".join(["0:1"] * widths[0]),
        **{**HOW, "keep_widths": True},
        recover=None,
    )
    digest = hashlib.sha256(model.read_bytes()).hexdigest()
    plan = found.plan.model_copy(update={"source_sha256": digest})
    out = tmp_path / "out.hedge.safetensors"
    save_compressed(replace(found, plan=plan), out)
    before = out.read_bytes()
    with pytest.raises(InputError, match=r"out\.hedge\.safetensors: was not made from m\.onnx"):
        hedge.compress(model, domain="0:1,0:1", out=out, recover="outputs", resume=True, **HOW)
    assert out.read_bytes() == before


def renamed(skeleton: ModelProto, port: str) -> ModelProto:
    """The same graph whose input or output has another name."""
    other = ModelProto()
    other.CopyFrom(skeleton)
    (entry,) = getattr(other.graph, port)
    for node in other.graph.node:
        for names in (node.input, node.output):
            names[:] = ["other" if name == entry.name else name for name in names]
    entry.name = "other"
    return other


@pytest.mark.parametrize("port", ["input", "output"])
def test_a_result_of_other_ports_is_not_resumed(port: str, tmp_path: Path) -> None:
    """Where layers were removed its graph is gone on from, whose names would be those of the file."""
    model = saved(tmp_path / "m.onnx", [2, 8, 8, 1])
    found = hedge.compress(model, domain="0:1,0:1", recover=None, **HOW)
    out = tmp_path / "out.hedge.safetensors"
    save_compressed(replace(found, skeleton=renamed(found.skeleton, port)), out)
    before = out.read_bytes()
    with pytest.raises(InputError, match=r"out\.hedge\.safetensors: was not made from m\.onnx"):
        hedge.compress(model, domain="0:1,0:1", out=out, steps=100, resume=True, **HOW)
    assert out.read_bytes() == before


def test_what_is_not_kept_is_said_with_the_errors_of_now(tmp_path: Path) -> None:
    """The file's error keeps its own tolerance: that of derivatives, asked for now, is what does not."""
    model = saved(tmp_path / "m.onnx", [2, 8, 8, 1])
    out = tmp_path / "out.hedge.safetensors"
    hedge.compress(model, domain="0:1,0:1", out=out, recover=None, **HOW)
    asked = {**HOW, "domain": "0:1,0:1", "out": out, "steps": 100, "resume": True}
    told = (
        r"has an error of \S+, \S+ of derivatives, and does not keep .* 0\.3, 1e-06 of derivatives"
    )
    with pytest.raises(InputError, match=told):
        hedge.compress(model, derivatives=1e-6, **asked)


def test_what_gains_nothing_on_another_device_is_not_called_dense(tmp_path: Path) -> None:
    """Factors gain where rows cost; in a call of one row their nodes do."""
    model = saved(tmp_path / "m.onnx", [2, 64, 64, 1])
    out = tmp_path / "out.hedge.safetensors"
    asked: dict[str, Any] = {
        "device": "laptop-x86",
        "tolerance": 0.05,
        "domain": "0:1,0:1",
        "keep_widths": True,
    }
    found = hedge.compress(model, batch=4096, out=out, recover=None, **asked)
    assert found.plan.parameters < found.plan.dense_parameters
    before = out.read_bytes()
    with pytest.raises(InputError, match=r"gains nothing over m\.onnx at batch 1 on laptop-x86"):
        hedge.compress(model, batch=1, out=out, steps=1, resume=True, **asked)
    assert out.read_bytes() == before
