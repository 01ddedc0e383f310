"""``.npy`` of inputs and outputs."""

from __future__ import annotations

import io
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
from safetensors.torch import save_file

from tests.fuzz.altering import REAL, altered_bytes
from tests.fuzz.documents import honest_model
from tests.fuzz.kind import Kind

TYPES = ("f2", "f4", "f8", ">f8", "i1", "i8", "u8", "?", "c16", "U3", "M8[s]", "O")


def honest(folder: Path) -> None:
    import torch

    honest_model(folder)
    save_file({"0.weight": torch.ones(1, 2)}, folder / "w.safetensors")
    np.save(folder / "x.npy", np.ones((4, 2)))
    np.save(folder / "u.npy", np.full((4, 1), 2.0))


def alter(rng: Random, folder: Path) -> str:
    name = rng.choice(("s", "s", "x", "u"))
    drawn = np.random.default_rng(rng.randrange(2**31))
    rows = rng.choice((0, 1, 2, 3, 50, 300, 300, 5000))
    values: Any = drawn.uniform(-1, 1, (rows, rng.choice((1, 2, 2, 2, 3))))
    how = [f"{name} {values.shape}"]
    for _ in range(rng.randint(0, 2)):
        how.append(rng.choice(("type", "shape", "scale", "number", "alike")))
        values = other(rng, how[-1], values)
    stream = io.BytesIO()
    np.save(stream, values, allow_pickle=True)
    data = stream.getvalue()
    if rng.random() < 0.4:
        how.append("bytes")
        data = altered_bytes(rng, data[:128]) + data[128:]
    (folder / f"{name}.npy").write_bytes(data)
    if not (folder / "s.npy").exists():
        np.save(folder / "s.npy", drawn.uniform(-1, 1, (300, 2)))
    return ", ".join(how)


def other(rng: Random, how: str, values: Any) -> Any:
    with np.errstate(all="ignore"):
        if how == "type":
            return values.astype(rng.choice(TYPES))
        if how == "shape":
            if values.ndim != 2:
                return values
            shapes = [values.T, values.reshape(-1), values[None], values[:, :0], values[..., None]]
            return rng.choice(shapes)
        if how == "alike":
            return np.repeat(values[:1], len(values), axis=0)
        if values.dtype.kind != "f" or not values.size:
            return values
        if how == "scale":
            return values * rng.choice(REAL)
        values = values.copy()
        values.flat[rng.randrange(values.size)] = rng.choice(REAL)
        return values


KIND = Kind(
    honest,
    alter,
    (
        "compress m.onnx --no-recover --tolerance 0.1 --device laptop-x86 --samples s.npy "
        "--out o.safetensors",
        "import w.safetensors --check x.npy u.npy --out o.onnx",
    ),
)
