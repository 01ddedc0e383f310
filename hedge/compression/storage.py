"""Compressed models on disk: one safetensors file with factors, skeleton graph and plan."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from google.protobuf.message import DecodeError
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from hedge.arrays import Array
from hedge.compression.compressor import CompressedModel
from hedge.compression.measure import WIDEST
from hedge.compression.plan import read_plan
from hedge.compression.site_plan import SitePlan, byte_count
from hedge.errors import ModelError, naming, quoted, read_again
from hedge.files import require_file, write_atomically
from hedge.graph import STORED_DTYPES, Matrix, decode, encode
from hedge.graph.fusion import PLACEHOLDER_DOMAIN
from hedge.graph.reading import check_runnable, check_skeleton

VERSION = "1"
Tensors = Mapping[str, NDArray[Any]]
LENGTH = 8  # bytes of a safetensors file that tell the length of its header


def save_compressed(model: CompressedModel, path: Path, *, force: bool = False) -> None:
    """Write a compressed model.

    Equal models give equal bytes.

    Raises OutputError if the file exists (without ``force``), can't be written or read again.
    """
    write_atomically(path, as_bytes(model), force=force)


def as_bytes(model: CompressedModel) -> bytes:
    """What the file of a model holds: weights in their precision, the skeleton as bytes of ONNX.

    Raises OutputError if :func:`load_compressed` would refuse it.
    """
    tensors: dict[str, NDArray[Any]] = {
        "skeleton": np.frombuffer(
            model.skeleton.SerializeToString(deterministic=True), dtype=np.uint8
        )
    }
    for name, matrix in model.matrices.items():
        for key, values in matrix.arrays.items():
            stored, scale = encode(values, matrix.precision)
            tensors[f"{name}.{key}"] = stored
            if scale is not None:
                tensors[f"{name}.{key}.scale"] = scale
        tensors[f"{name}.bias"] = encode(matrix.bias, "float32")[0]
    header = {"hedge.version": VERSION, "hedge.plan": model.plan.model_dump_json()}
    with read_again():
        _model(header, tensors)
    return _in_order(save(tensors, header))


def _in_order(file: bytes) -> bytes:
    """The same safetensors file with the keys of its header sorted.

    safetensors writes those of the metadata in another order every time.
    """
    end = LENGTH + int.from_bytes(file[:LENGTH], "little")
    header = json.dumps(
        json.loads(file[LENGTH:end]), sort_keys=True, separators=(",", ":")
    ).encode()
    header += b" " * (-len(header) % LENGTH)
    return len(header).to_bytes(LENGTH, "little") + header + file[end:]


def load_compressed(path: Path) -> CompressedModel:
    """Read what :func:`save_compressed` wrote.

    Raises InputError if the file is missing; ModelError if it is cut short, of another version, or
    inconsistent.
    """
    require_file(path)
    with naming(path):
        return _model(*_opened(path))


def _opened(path: Path) -> tuple[Mapping[str, str], Tensors]:
    try:
        with safe_open(path, framework="numpy") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - safe_open is not iterable
            return file.metadata() or {}, tensors
    except (SafetensorError, OSError, ValueError, TypeError, AttributeError) as error:
        # (numpy has no attribute for types such as BF16 and F8.)
        raise ModelError("is not a safetensors file, or is cut short") from error


def _model(header: Mapping[str, str], tensors: Tensors) -> CompressedModel:
    if header.get("hedge.version") != VERSION:
        found = quoted(header.get("hedge.version", "none"))
        raise ModelError(
            f"has file version {found}, this hedge reads {VERSION}; compress the model again"
        )
    plan = read_plan(header.get("hedge.plan", ""))
    matrices = {site.name: _matrix(site, tensors) for site in plan.sites}
    counted = all(site.parameters == matrices[site.name].parameters for site in plan.sites)
    if not counted or plan.bytes != byte_count(matrices):
        raise ModelError("its plan disagrees with its tensors; compress the model again")
    skeleton = onnx.ModelProto()
    try:
        skeleton.ParseFromString(tensors["skeleton"].tobytes())
    except (KeyError, DecodeError) as error:
        raise ModelError("its graph is damaged; compress the model again") from error
    model = CompressedModel(skeleton, matrices, plan)
    check_skeleton(skeleton)
    _check_graph(model)
    return model


def _matrix(site: SitePlan, tensors: Tensors) -> Matrix:
    if max(site.outputs, site.inputs) > WIDEST:
        raise ModelError(f"{site.name} has more than {WIDEST:,} rows or columns")

    def tensor(key: str, shape: tuple[int, ...], dtype: str) -> NDArray[Any]:
        values = tensors.get(f"{site.name}.{key}")
        if values is None or values.shape != shape or values.dtype != dtype:
            raise ModelError(f"{site.name}.{key} is missing or not {dtype} {shape}")
        return values

    def weights(key: str, shape: tuple[int, ...]) -> Array:
        stored = tensor(key, shape, STORED_DTYPES[site.precision])
        scale = None
        if site.precision == "int8":
            scale = tensor(f"{key}.scale", (*shape[:-1], 1), "float32")
        return _finite(decode(stored, scale, site.precision), f"{site.name}.{key}")

    bias = decode(tensor("bias", (site.outputs,), "float32"), None, "float32")
    bias = _finite(bias, f"{site.name}.bias")
    arrays = {key: weights(key, shape) for key, shape in site.structure.shapes.items()}
    return site.structure.matrix(arrays, bias, site.precision)


def _finite(values: Array, label: str) -> Array:
    if not np.isfinite(values).all():
        raise ModelError(f"{label} contains NaN or Inf")
    return values


def _check_graph(model: CompressedModel) -> None:
    imported = {entry.domain for entry in model.skeleton.opset_import}
    nodes = model.skeleton.graph.node
    placeholders = [node for node in nodes if node.domain == PLACEHOLDER_DOMAIN]
    fits = all(len(node.input) == len(node.output) == 1 for node in placeholders)
    if PLACEHOLDER_DOMAIN not in imported or not fits:
        raise ModelError("its graph is damaged; compress the model again")
    if {node.name for node in placeholders} - set(model.matrices):
        raise ModelError(
            "its graph has sites that its plan does not know; compress the model again"
        )
    check_runnable(model.to_onnx())
