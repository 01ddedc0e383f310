"""Compressed models on disk: one safetensors file with factors, skeleton graph and plan."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from google.protobuf.message import DecodeError
from pydantic import ValidationError
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from hedge.compression.compressor import CompressedModel
from hedge.compression.plan import Plan, SitePlan, parameter_count
from hedge.errors import ModelError, first_line
from hedge.files import require_file, write_atomically
from hedge.graph import SiteMatrix

VERSION = "1"


def save_compressed(model: CompressedModel, path: Path, *, force: bool = False) -> None:
    """Write a compressed model; weights as float32, the skeleton as bytes of ONNX.

    Raises OutputError if the file exists (without ``force``) or can't be written.
    """
    tensors = {"skeleton": np.frombuffer(model.skeleton.SerializeToString(), dtype=np.uint8)}
    for name, matrix in model.matrices.items():
        arrays = {f"factor{i}": factor for i, factor in enumerate(matrix.factors)}
        arrays["bias"] = matrix.bias
        for key, values in arrays.items():
            tensors[f"{name}.{key}"] = np.ascontiguousarray(values, dtype=np.float32)
    header = {"hedge.version": VERSION, "hedge.plan": model.plan.model_dump_json()}
    write_atomically(path, save(tensors, header), force=force)


def load_compressed(path: Path) -> CompressedModel:
    """Read what :func:`save_compressed` wrote.

    Raises InputError if the file is missing; ModelError if it is cut short, of another version, or
    inconsistent.
    """
    require_file(path)
    try:
        with safe_open(path, framework="numpy") as file:
            header = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - safe_open is not iterable
    except (SafetensorError, OSError, ValueError, TypeError) as error:
        raise ModelError(f"{path}: is not a safetensors file, or is cut short") from error
    if header.get("hedge.version") != VERSION:
        found = header.get("hedge.version", "none")
        raise ModelError(
            f"{path}: has file version {found}, this hedge reads {VERSION}; compress the model again"
        )
    try:
        plan = Plan.model_validate_json(header.get("hedge.plan", ""))
    except ValidationError as error:
        raise ModelError(f"{path}: its plan is damaged; compress the model again") from error
    matrices = {site.name: _matrix(site, tensors, path) for site in plan.sites}
    if len(matrices) != len(plan.sites) or plan.parameters != parameter_count(matrices):
        raise ModelError(f"{path}: its plan disagrees with its tensors; compress the model again")
    skeleton = onnx.ModelProto()
    try:
        skeleton.ParseFromString(tensors["skeleton"].tobytes())
    except (KeyError, DecodeError) as error:
        raise ModelError(f"{path}: its graph is damaged; compress the model again") from error
    model = CompressedModel(skeleton, matrices, plan)
    _check_graph(model, path)
    return model


def _matrix(site: SitePlan, tensors: dict[str, np.ndarray], path: Path) -> SiteMatrix:
    if site.rank is None:
        shapes = {"factor0": (site.outputs, site.inputs)}
    else:
        shapes = {"factor0": (site.outputs, site.rank), "factor1": (site.rank, site.inputs)}
    arrays = []
    for key, shape in {**shapes, "bias": (site.outputs,)}.items():
        values = tensors.get(f"{site.name}.{key}")
        if values is None or values.shape != shape or values.dtype != np.float32:
            raise ModelError(f"{path}: {site.name}.{key} is missing or not float32 {shape}")
        if not np.isfinite(values).all():
            raise ModelError(f"{path}: {site.name}.{key} contains NaN or Inf")
        arrays.append(values.astype(np.float64))
    return SiteMatrix(tuple(arrays[:-1]), arrays[-1])


def _check_graph(model: CompressedModel, path: Path) -> None:
    try:
        runnable = model.to_onnx()
        onnx.checker.check_model(runnable, full_check=True)
    except (
        onnx.checker.ValidationError,
        onnx.shape_inference.InferenceError,
        KeyError,
        IndexError,
        ValueError,
    ) as error:
        raise ModelError(f"{path}: its graph is damaged ({first_line(error)})") from error
    if not runnable.graph.input or not runnable.graph.output:
        raise ModelError(f"{path}: its graph has no input or no output; compress the model again")
