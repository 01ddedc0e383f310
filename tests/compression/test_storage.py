"""Compressed files: what is written is what is read, and what is damaged is refused."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper
from safetensors import safe_open
from safetensors.numpy import save

import hedge
from hedge.compression import CompressedModel, SitePlan, load_compressed, save_compressed
from hedge.devices import find_profile
from hedge.errors import ModelError, OutputError
from hedge.graph import BlockLayout, Factors, Partition


@pytest.fixture(scope="module")
def compressed() -> CompressedModel:
    device = find_profile("laptop-x86")
    return hedge.compress(
        hedge.reference_models()["heat"],
        device=device,
        tolerance=1e-2,
        batch=256,
        recover=None,
    )


# Sites as files have held them from the first, key by key.
SITE = (
    '{"name":"site0","dense_outputs":8,"dense_inputs":6,"outputs":8,"inputs":6,%s,"precision":"float32",'
    '"form":null,"parameters":9,"bytes":null,"dense_bytes":null,"predicted_s":null,'
    '"dense_predicted_s":null,"error_squared":null,"error_share":null,"frobenius_error":null,'
    '"frobenius_bound":null,"reason":"a test"}'
)
STRUCTURES = {
    '"rank":null,"leaves":null,"tree":null': Factors(8, 6),
    '"rank":2,"leaves":null,"tree":null': Factors(8, 6, 2),
    '"rank":1,"leaves":3,"tree":null': BlockLayout(8, 6, 3, 1),
    '"rank":null,"leaves":null,"tree":[[0,8,0,2,null],[0,8,2,6,1]]': Partition(
        8, 6, ((0, 8, 0, 2, None), (0, 8, 2, 6, 1))
    ),
}


@pytest.mark.parametrize("keys", STRUCTURES)
def test_structures_are_told_apart_by_the_keys_of_old_files(keys: str) -> None:
    site = SitePlan.model_validate(json.loads(SITE % keys))
    assert site.structure == STRUCTURES[keys]
    assert site.model_dump_json() == SITE % keys
    short = json.loads(site.model_dump_json(exclude_defaults=True))  # as exported files hold it
    assert None not in short.values()
    assert SitePlan.model_validate(short) == site


def test_a_file_reads_back_as_the_same_model(compressed: CompressedModel, tmp_path: Path) -> None:
    path = tmp_path / "m.hedge.safetensors"
    save_compressed(compressed, path)
    again = load_compressed(path)
    assert again.plan == compressed.plan
    assert again.to_onnx().SerializeToString(
        deterministic=True
    ) == compressed.to_onnx().SerializeToString(deterministic=True)
    with pytest.raises(OutputError, match="exists already"):
        save_compressed(compressed, path)


def test_equal_models_give_equal_bytes(compressed: CompressedModel, tmp_path: Path) -> None:
    """safetensors itself orders the keys of the metadata by chance."""
    files = [tmp_path / f"{number}.hedge.safetensors" for number in range(12)]
    for file in files:
        save_compressed(compressed, file)
    assert len({file.read_bytes() for file in files}) == 1


def rewritten(path: Path, change: str) -> None:
    with safe_open(path, framework="numpy") as file:
        header = dict(file.metadata())
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    plan = json.loads(header["hedge.plan"])
    first = plan["sites"][0]["name"]
    key = f"{first}.bias"
    if change == "version":
        header["hedge.version"] = "99"
    elif change == "no plan":
        del header["hedge.plan"]
    elif change == "unknown plan key":
        header["hedge.plan"] = json.dumps({**plan, "surprise": 1})
    elif change in ("parameters of sites", "bytes"):
        key, by = ("parameters", 1) if change == "parameters of sites" else ("bytes", 4)
        plan["sites"][0][key] += by
        plan["sites"][1][key] -= by if change == "parameters of sites" else 0
        plan["bytes"] += by if change == "bytes" else 0
        header["hedge.plan"] = json.dumps(plan)
    elif change == "negative error":
        header["hedge.plan"] = json.dumps({**plan, "relative_error": -1.0})
    elif change == "NaN weights":
        tensors[key] = np.full_like(tensors[key], np.nan)
    elif change == "shape":
        tensors[key] = tensors[key][:-1]
    elif change == "dtype":
        tensors[key] = tensors[key].astype(np.float64)
    elif change == "missing tensor":
        del tensors[key]
    elif change == "no graph":
        del tensors["skeleton"]
    elif change == "damaged graph":
        tensors["skeleton"] = tensors["skeleton"][:-20]
    elif change == "foreign graph":
        tensors["skeleton"] = np.frombuffer(b"\x08\x08", dtype=np.uint8)
    elif change == "text":
        skeleton = onnx.ModelProto.FromString(tensors["skeleton"].tobytes())
        helper.set_model_props(skeleton, {"key": "value"})
        damaged = skeleton.SerializeToString().replace(b"value", b"v\xfflue")
        tensors["skeleton"] = np.frombuffer(damaged, dtype=np.uint8)
    path.write_bytes(save(tensors, header))


CHANGES = [
    "version", "no plan", "unknown plan key", "parameters of sites", "bytes",
    "negative error", "NaN weights", "shape", "dtype", "missing tensor", "no graph",
    "damaged graph", "foreign graph", "text",
]  # fmt: skip


@pytest.mark.parametrize("change", CHANGES)
def test_damaged_files_are_refused_by_name(
    compressed: CompressedModel, tmp_path: Path, change: str
) -> None:
    path = tmp_path / "m.hedge.safetensors"
    save_compressed(compressed, path)
    rewritten(path, change)
    with pytest.raises(ModelError, match=r"m\.hedge\.safetensors"):
        load_compressed(path)


@pytest.mark.parametrize("kept", [0, 1, 7, 8, 100, -1])
def test_truncated_files_are_refused(
    compressed: CompressedModel, tmp_path: Path, kept: int
) -> None:
    path = tmp_path / "m.hedge.safetensors"
    save_compressed(compressed, path)
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(ModelError, match="cut short"):
        load_compressed(path)
