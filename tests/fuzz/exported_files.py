"""Exported ``.onnx``, in whose metadata a plan lies: a valid container of a lie."""

from __future__ import annotations

import json
from pathlib import Path
from random import Random

import numpy as np
import onnx
from onnx import ModelProto, TensorProto, numpy_helper

import hedge
from tests.conftest import random_mlp
from tests.fuzz.agreement import check_told
from tests.fuzz.altering import alter_message, altered_bytes, altered_document
from tests.fuzz.kind import Kind
from tests.fuzz.onnx_files import DEVICE, QUICK


def honest(folder: Path) -> None:
    (folder / "m.onnx").write_bytes(random_mlp([2, 8, 8, 1]).SerializeToString())
    small = hedge.compress(
        folder / "m.onnx", device="paper-example", domain="0:1,0:1", tolerance=0.5, objective="size",
        recover=None,
    )  # fmt: skip
    hedge.export(small, folder / "e.onnx")


def alter(rng: Random, folder: Path) -> str:
    path = folder / "e.onnx"
    model = onnx.load_model_from_string(path.read_bytes())
    how = rng.choice(("plan", "plan", "plan", "text", "graph", "weights"))
    for entry in model.metadata_props:
        if entry.key == "hedge.plan" and how == "plan":
            entry.value = json.dumps(altered_document(rng, json.loads(entry.value)))
        elif entry.key == "hedge.plan" and how == "text":
            entry.value = altered_bytes(rng, entry.value.encode()).decode(errors="replace")
    if how == "graph":
        alter_message(rng, model.graph)
    if how == "weights":
        scale_weights(rng, model)
    path.write_bytes(model.SerializeToString())
    return how


def scale_weights(rng: Random, model: ModelProto) -> None:
    tensor = rng.choice([t for t in model.graph.initializer if t.data_type == TensorProto.FLOAT])
    values = numpy_helper.to_array(tensor) * rng.choice((0.0, 0.5, -1.0, 3.0))
    tensor.CopyFrom(numpy_helper.from_array(values.astype(np.float32), tensor.name))


KIND = Kind(
    honest,
    alter,
    (
        "inspect e.onnx",
        "inspect e.onnx --json",
        "report m.onnx e.onnx --out r.html",
        "report e.onnx --out r.html",
        "export e.onnx --format c --out m.c",
        f"bench m.onnx e.onnx {DEVICE} {QUICK} --json",
    ),
    check_told,
)
