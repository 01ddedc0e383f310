"""``.hedge.safetensors``, altered in plan, tensors, graph and bytes: refused, or not called certified."""

from __future__ import annotations

import json
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from safetensors import safe_open
from safetensors.numpy import save

import hedge
from tests.conftest import random_mlp
from tests.fuzz.agreement import check_compressed, check_told
from tests.fuzz.altering import REAL, alter_message, altered_bytes, altered_document
from tests.fuzz.kind import Kind, Said
from tests.fuzz.onnx_files import DEVICE

Tensors = dict[str, NDArray[Any]]
PRECISIONS = ("f2", "f4", "f8", "i1", "u1", "i4", "i8", "u2", "?")
# One of each structure: factors, blocks with a tree of leaves, int8.
HOW: tuple[dict[str, Any], ...] = (
    {"objective": "size", "tolerance": 0.3},
    {"method": "paper", "tolerance": 0.3},
    {"method": "svd", "tolerance": 0.3},
    {"objective": "size", "tolerance": 0.05},
)


def honest(folder: Path) -> None:
    (folder / "m.onnx").write_bytes(random_mlp([2, 16, 16, 1], 3, scale=0.5).SerializeToString())
    for number, how in enumerate(HOW):
        hedge.compress(
            folder / "m.onnx", device="paper-example", domain="0:1,0:1", recover=None,
            out=folder / f"{number}.safetensors", **how,
        )  # fmt: skip


def alter(rng: Random, folder: Path) -> str:
    number = rng.randrange(len(HOW))
    source, path = folder / f"{number}.safetensors", folder / "c.safetensors"
    how = rng.choice(
        ("plan", "plan", "plan", "tensors", "weights", "skeleton", "skeleton", "bytes")
    )
    if how == "bytes":
        path.write_bytes(altered_bytes(rng, source.read_bytes()))
    else:
        with safe_open(source, framework="numpy") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            header = file.metadata()
        {"plan": alter_plan, "tensors": alter_tensors, "weights": alter_weights,
         "skeleton": alter_skeleton}[how](rng, header, tensors)  # fmt: skip
        path.write_bytes(save(tensors, header))
    for other in range(len(HOW)):
        (folder / f"{other}.safetensors").unlink()
    return f"{how} of {HOW[number]}"


def alter_plan(rng: Random, header: dict[str, str], tensors: Tensors) -> None:
    plan = json.loads(header["hedge.plan"])
    if rng.random() < 0.8:  # its longest part would be all that is altered
        figures = plan.pop("device_profile")
        plan = altered_document(rng, plan)
        if isinstance(plan, dict) and rng.random() < 0.5:
            plan["device_profile"] = figures
    else:
        plan["device_profile"] = altered_document(rng, plan["device_profile"])
    header["hedge.plan"] = json.dumps(plan)


def alter_tensors(rng: Random, header: dict[str, str], tensors: Tensors) -> None:
    name = rng.choice(list(tensors))
    values = tensors[name]
    change = rng.randrange(4)
    if change == 0:
        del tensors[name]
    elif change == 1:
        with np.errstate(all="ignore"):
            tensors[name] = values.astype(rng.choice(PRECISIONS))
    elif change == 2:
        other = rng.choice([values.T, values[:1], values.reshape(-1), values[None], values[:0]])
        tensors[name] = np.ascontiguousarray(other)
    else:
        tensors[name] = tensors[rng.choice(list(tensors))]


def alter_weights(rng: Random, header: dict[str, str], tensors: Tensors) -> None:
    """Shapes and types stay, and so does what the plan says of the error."""
    name = rng.choice([name for name in tensors if name != "skeleton"])
    values = tensors[name].copy()
    with np.errstate(all="ignore"):
        if rng.random() < 0.5:
            values = (values * np.float64(rng.choice((0.0, -1.0, 3.0, 1e30)))).astype(values.dtype)
        elif values.size:
            values.flat[rng.randrange(values.size)] = np.array(rng.choice(REAL)).astype(
                values.dtype
            )
    tensors[name] = values


def alter_skeleton(rng: Random, header: dict[str, str], tensors: Tensors) -> None:
    model = onnx.ModelProto()
    model.ParseFromString(tensors["skeleton"].tobytes())
    for _ in range(rng.choice((1, 1, 2))):
        alter_message(rng, model)
    tensors["skeleton"] = np.frombuffer(model.SerializeToString(), np.uint8)


def check(folder: Path, command: str, said: Said) -> None:
    check_told(folder, command, said)
    if command.startswith("compress"):
        check_compressed(folder / "c.safetensors", folder / "m.onnx")


KIND = Kind(
    honest,
    alter,
    (
        "inspect c.safetensors",
        "inspect c.safetensors",
        "inspect c.safetensors --json",
        "export c.safetensors --out o.onnx",
        "export c.safetensors --opset 19 --out o.onnx",
        "export c.safetensors --format c --out o.c",
        "report m.onnx c.safetensors --out r.html",
        "report c.safetensors --out r.html",
        "ntk m.onnx c.safetensors --domain 0:1,0:1 --points 8",
        "evaluate c.safetensors --problem heat",
        f"compress m.onnx --resume --steps 1 --tolerance 0.3 {DEVICE} --domain 0:1 --out c.safetensors",
    ),
    check,
)
