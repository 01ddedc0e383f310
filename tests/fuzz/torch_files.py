"""State dicts in keys, tensors, pickles and archives: an accepted one is that network."""

from __future__ import annotations

import io
import pickle
import zipfile
from collections import OrderedDict
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file

from hedge.exporting import open_model
from hedge.graph import run_float32
from tests.fuzz.agreement import check_same
from tests.fuzz.altering import altered_bytes
from tests.fuzz.kind import Fault, Kind, Said

TYPES = (torch.float16, torch.bfloat16, torch.float32, torch.float64, torch.int64, torch.bool)
KEYS: tuple[Any, ...] = (
    "1" * 5000, f"{'9' * 5000}.weight", "weight", "bias", "", ".", "0.weight", "00.weight", "u.0.weight",
    "\x00.weight", "ä.bias", "0.weight_g", "0.weight_v", "0.running_mean", 0, None, 2**70, ("0", "weight"),
    "state_dict", "model_state_dict", "_pina_models.0.0.weight", "parametrizations.weight.original0",
)  # fmt: skip


def honest(folder: Path) -> None:
    """Nothing is needed but what is altered."""


def state(rng: Random) -> dict[Any, Any]:
    """A chain of dense layers."""
    generator = torch.Generator().manual_seed(rng.randrange(2**31))
    widths = [rng.randint(1, 6) for _ in range(rng.randint(2, 5))]
    found: dict[Any, Any] = OrderedDict()
    for i in range(len(widths) - 1):
        found[f"{2 * i}.weight"] = torch.randn(widths[i + 1], widths[i], generator=generator)
        if rng.random() < 0.8:
            found[f"{2 * i}.bias"] = torch.randn(widths[i + 1], generator=generator)
    return found


def alter_state(rng: Random, found: dict[Any, Any]) -> str:
    key = rng.choice(list(found))
    value = found[key]
    if not isinstance(value, torch.Tensor):
        return "again"
    change = rng.choice(
        ("key", "key", "type", "shape", "values", "strides", "object", "order", "left out")
    )
    if change == "key":
        found[rng.choice(KEYS)] = found.pop(key)
    elif change == "type":
        found[key] = value.to(rng.choice(TYPES))
    elif change == "shape":
        found[key] = rng.choice(
            [value.reshape(value.shape[::-1]), value.reshape(-1), value[None], value[:0], value[:1]]
        )
    elif change == "values":
        found[key] = value.float() * rng.choice(
            (0.0, 1e30, 1e38, 1e-42, float("nan"), float("inf"))
        )
    elif change == "strides":
        found[key] = rng.choice(
            [value.flip(0), value[:1].expand_as(value), value.mT.contiguous().mT]
            if value.ndim > 1
            else [value.flip(0)]
        )
    elif change == "object":
        found[key] = rng.choice(
            [None, 1.5, "x", [value], {"weight": value}, 10**5000, value.tolist()]
        )
    elif change == "order":
        found[key] = found.pop(key)
    elif len(found) > 1:
        del found[key]
    return change


def alter(rng: Random, folder: Path) -> str:
    path = folder / "w.pt"
    found = state(rng)
    how = ["whole"] if rng.random() < 0.2 else []
    while not how or (rng.random() < 0.4 and how != ["whole"]):
        how.append(alter_state(rng, found))
    if rng.random() < 0.2 and all(
        isinstance(k, str) and isinstance(v, torch.Tensor) for k, v in found.items()
    ):
        return f"safetensors, {', '.join(how + as_safetensors(rng, found, folder))}"
    held = rng.choice(
        [found, found, found, {"model": found, "epoch": 1}, {"state_dict": found}, [found]]
    )
    stream = io.BytesIO()
    torch.save(held, stream)
    data = stream.getvalue()
    change = rng.choice(("none", "none", "bytes", "pickle"))
    if change == "bytes":
        data = altered_bytes(rng, data)
    elif change == "pickle":
        data = with_other_pickle(rng, data)
    path.write_bytes(data)
    return ", ".join([*how, change])


def as_safetensors(rng: Random, found: dict[Any, Any], folder: Path) -> list[str]:
    """Written to w.pt, which is then renamed by the command's own file."""
    path = folder / "w.safetensors"
    save_file({k: v.contiguous().clone() for k, v in found.items()}, path)
    changes = ["bytes"] if rng.random() < 0.3 else []
    if changes:
        path.write_bytes(altered_bytes(rng, path.read_bytes()))
    return changes


def with_other_pickle(rng: Random, data: bytes) -> bytes:
    """An archive whose pickle has other bytes, sums and sizes in order."""
    stream = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as before, zipfile.ZipFile(stream, "w") as after:
        for record in before.infolist():
            content = before.read(record)
            if record.filename.endswith("data.pkl"):
                content = altered_bytes(rng, content)
            after.writestr(record.filename, content)
    return stream.getvalue()


def check(folder: Path, command: str, said: Said) -> None:
    """The tensors in the order of the file, or of their numbers, with tanh between them."""
    path = folder / "w.pt"
    if not path.exists() or "--key" in command:
        return
    try:
        found = torch.load(path, weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, KeyError) as error:
        raise Fault(f"read what torch does not: {error}") from error
    found = found.get("state_dict", found)
    plain = all(str(key).rpartition(".")[2] in ("weight", "bias") for key in found)
    if not plain or any(str(key).startswith("_pina_models.") for key in found):
        return  # weights that are folded, one network that is taken of several
    weights = {key: value.double().numpy() for key, value in found.items()}
    first = next(value for value in weights.values() if value.ndim == 2)
    points = np.random.default_rng(0).uniform(-1, 1, (7, first.shape[1]))
    a, layers = points, [key for key in weights if weights[key].ndim == 2]
    for key in layers:
        a = a @ weights[key].T + weights.get(f"{key.removesuffix('weight')}bias", 0.0)
        a = a if key == layers[-1] else np.tanh(a)
    check_same(run_float32(open_model(folder / "o.onnx").graph, points), a, "what was imported")


KIND = Kind(
    honest,
    alter,
    (
        "import w.pt --out o.onnx",
        "import w.pt --out o.onnx",
        "import w.pt --out o.onnx --json",
        "import w.safetensors --out o.onnx",
        "import w.pt --key model --out o.onnx",
    ),
    check,
)
