"""Checkpoints of a training, with and without a digest that agrees."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

import hedge
from tests.fuzz.altering import altered_bytes, altered_document
from tests.fuzz.kind import Kind

TYPES = (torch.float16, torch.float32, torch.float64, torch.int64, torch.bool, torch.complex64)
Change = Callable[[dict[str, Any], dict[str, Tensor]], object]


def honest(options: dict[str, Any], folder: Path) -> None:
    """A training that was interrupted after its first cycle."""

    def stop(*cycle: object) -> None:
        raise KeyboardInterrupt

    hedge.train(
        "heat", folder / "o.onnx", width=3, depth=2, max_steps=220, on_cycle=stop, **options
    )


def rewritten(path: Path, change: Change) -> None:
    """A checkpoint whose header and tensors are changed in place, with a digest that agrees."""
    with safe_open(path, framework="pt") as file:
        header = json.loads(file.metadata()["hedge"])
        tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    change(header, tensors)
    text = json.dumps(header)
    digest = hashlib.sha256(text.encode())
    for key in sorted(tensors):
        digest.update(key.encode())
        digest.update(np.ascontiguousarray(tensors[key].numpy()).tobytes())
    save_file(tensors, path, {"hedge": text, "sha256": digest.hexdigest()})


def alter(rng: Random, folder: Path) -> str:
    path = folder / "o.onnx.checkpoint"
    how = rng.choice(("bytes", "header", "header", "tensors", "tensors"))
    if how == "bytes":
        path.write_bytes(altered_bytes(rng, path.read_bytes()))
    else:
        rewritten(path, partial(alter_header if how == "header" else alter_tensors, rng))
    return how


def alter_header(rng: Random, header: dict[str, Any], tensors: dict[str, Tensor]) -> None:
    parts = {key: header.pop(key) for key in ("run",) if rng.random() < 0.9}
    altered = altered_document(rng, header)
    header.clear()
    header |= altered | parts if isinstance(altered, dict) else parts


def alter_tensors(rng: Random, header: dict[str, Any], tensors: dict[str, Tensor]) -> None:
    """Other types, lengths and numbers than those of the network."""
    name = rng.choice(list(tensors))
    value = tensors.pop(name)
    change = rng.randrange(6)
    if change == 0:
        tensors[name] = value.to(rng.choice(TYPES))
    elif change == 1:
        tensors[name] = rng.choice(
            [value[:-1], value[None], value[:0], torch.cat([value, value])]
        ).clone()
    elif change == 2:
        tensors[name] = value * rng.choice((0.0, -1.0, 1e300, float("nan"), float("inf")))
    elif change == 3:
        tensors[rng.choice(("network", "inverse", "memory", "attention", "x"))] = value
    elif change == 4:
        other = rng.choice(list(tensors))
        tensors[name] = tensors[other].to(rng.choice(TYPES)).clone()


def kind(command: str, **options: Any) -> Kind:
    """Of one way to train."""
    resume = f"train heat --width 3 --depth 2 --steps 220 --resume --force --out o.onnx {command}"
    return Kind(partial(honest, options), alter, (resume, f"{resume} --json"))


KINDS = {
    "checkpoint": kind(""),
    "checkpoint, weighted": kind(
        "--sampling attention --method ssbroyden", sampling="attention", method="ssbroyden"
    ),
    "checkpoint, growing": kind("--grow --precision float32", grow=True, precision="float32"),
}
