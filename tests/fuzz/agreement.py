"""Whether what hedge made of a file computes what onnxruntime makes of the file itself."""

from __future__ import annotations

import ctypes
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray
from onnx import ModelProto

import hedge
from hedge.exporting import open_model
from hedge.graph import run_float32
from hedge.graph.evaluation import ORT_ERRORS, quiet_options
from hedge.graph.ports import feeds, input_dimension
from tests.fuzz.kind import Fault, Said

ROWS, MANY = 7, 1000  # of a file whose batch is free
TYPES = {"tensor(float)": np.float32, "tensor(double)": np.float64}


def points_for(path: Path, model: ModelProto, rows: int) -> NDArray[np.float64] | None:
    """Points (n, d) of the unit box that the file takes as it is; None if onnxruntime refuses it."""
    try:
        session = _session(path)
    except ORT_ERRORS:
        return None
    fixed = [value.shape[0] for value in session.get_inputs() if value.shape]
    rows = next((size for size in fixed if isinstance(size, int)), rows)
    return np.random.default_rng(rows).uniform(0, 1, (rows, input_dimension(model)))


def raw_outputs(
    path: Path, model: ModelProto, points: NDArray[np.float64]
) -> NDArray[np.float64] | None:
    """What onnxruntime makes of the file as it is; None where that has other ports than ``model``."""
    given = feeds(model, points)
    try:
        session = _session(path)
        wanted = {value.name: TYPES.get(value.type) for value in session.get_inputs()}
        if wanted.keys() != given.keys() or None in wanted.values():
            return None
        outputs = session.run(None, {name: given[name].astype(wanted[name]) for name in given})
    except ORT_ERRORS:
        return None
    if not all(value.ndim and len(value) == len(points) for value in outputs):
        return None
    return np.hstack([value.reshape(len(points), -1).astype(np.float64) for value in outputs])


def rounding_of(
    path: Path, model: ModelProto, points: NDArray[np.float64], outputs: NDArray[np.float64]
) -> float:
    """By how much outputs move if inputs do by their last digit: sin(10⁷ x) is any number."""
    single = points.astype(np.float32)
    moved = (np.nextafter(single, np.float32(end)).astype(np.float64) for end in (-1, 2))
    results = [raw_outputs(path, model, each) for each in moved]
    off = [np.abs(each - outputs) for each in results if each is not None]
    return max(float(each[np.isfinite(each)].max(initial=0.0)) for each in off) if off else 0.0


def _session(path: Path) -> onnxruntime.InferenceSession:
    return onnxruntime.InferenceSession(path, quiet_options(), providers=["CPUExecutionProvider"])


def check_same(
    found: NDArray[Any], expected: NDArray[Any], what: str, rounding: float = 0.0
) -> None:
    """Raise Fault unless two results are alike up to ``rounding``."""
    if found.shape != expected.shape:
        raise Fault(f"{what}: {found.shape}, and {expected.shape} in onnxruntime")
    size = np.abs(expected[np.isfinite(expected)]).max(initial=0.0)
    near = 1e-3 * size + 20.0 * rounding + 1e-37
    if not np.allclose(found, expected, rtol=1e-3, atol=near, equal_nan=True):
        raise Fault(f"{what}: {found.ravel()[:4]}, and {expected.ravel()[:4]} in onnxruntime")


def check_compressed(small: Path, dense: Path) -> None:
    """Raise Fault if a compressed file is further from a dense one than it was allowed to."""
    compressed = hedge.load(small)
    out = small.with_suffix(".exported.onnx")
    hedge.export(compressed, out)
    check_exported(out, dense, compressed.plan.tolerance)


def check_exported(small: Path, dense: Path, tolerance: float) -> None:
    """The same of an ``.onnx``, column by column."""
    model = open_model(dense).onnx
    points = points_for(dense, model, MANY)
    expected = None if points is None else raw_outputs(dense, model, points)
    if points is None or expected is None:
        return
    found = raw_outputs(small, model, points)
    if found is None or found.shape != expected.shape:
        raise Fault("what was compressed is not run")
    scale = np.abs(expected).max(axis=0)
    scale[scale == 0.0] = 1.0
    error = np.linalg.norm((found - expected) / scale, axis=0)
    # Few points of a fixed batch are no sample.
    slack = 1.5 if len(points) >= MANY else 5.0
    allowed = slack * tolerance * np.linalg.norm(expected / scale, axis=0)
    if not (error <= allowed + 1e-6).all():
        raise Fault(f"errors of {error}, where {allowed} are allowed")


def check_c(source: Path, points: NDArray[Any], expected: NDArray[Any], rounding: float) -> None:
    """Raise Fault if C computes something else."""
    if shutil.which("gcc") is None:
        return
    library = source.with_suffix(".so")
    made = subprocess.run(
        ["gcc", "-std=c99", "-O1", "-shared", "-fPIC", source, "-o", library, "-lm"],
        capture_output=True,
        text=True,
        check=False,
    )
    if made.returncode:
        raise Fault(f"C that does not compile: {made.stderr[:500]}")
    x = np.ascontiguousarray(points, dtype=np.float32)
    found = np.full(expected.shape, np.nan, np.float32)
    evaluate = getattr(ctypes.CDLL(str(library)), f"{source.stem}_eval_batch")
    evaluate(*(ctypes.c_size_t(len(x)), *(ctypes.c_void_p(a.ctypes.data) for a in (x, found))))
    check_same(found.astype(np.float64), expected, "C", rounding)


def check_told(folder: Path, command: str, said: Said) -> None:
    """Raise Fault where an error that is stated was not measured, and it isn't said whose word it is."""
    states = command.startswith("inspect") and "relative L2 error" in said.out
    if states and "--json" not in command and "as the file says" not in said.out:
        raise Fault("states the file's error as a fact")
    if command.startswith("report"):
        _check_page(folder, command)


def _check_page(folder: Path, command: str) -> None:
    small = next(folder / name for name in command.split() if name in ("e.onnx", "c.safetensors"))
    stored, dense = open_model(small), open_model(folder / "m.onnx").graph
    plan, page = stored.plan, (folder / "r.html").read_text()
    if plan is None or "further from the dense model" in page or "as the file says" in page:
        return
    points = np.random.default_rng(3).uniform(0, 1, (MANY, 2))
    expected, found = (run_float32(graph, points) for graph in (dense, stored.graph))
    alike = found.shape == expected.shape
    error = np.linalg.norm(found - expected) / np.linalg.norm(expected) if alike else np.inf
    if not error <= 1.5 * max(plan.relative_error, plan.tolerance):
        raise Fault(f"an error of {error}, where the plan has {plan.relative_error}, is not told")
