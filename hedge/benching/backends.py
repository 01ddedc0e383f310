"""What runs a model: a backend is a function from model, batch and threads to a run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from onnx import ModelProto

from hedge.benching.compiled import compiled_run, compiler_version
from hedge.benching.protocol import Call, bound_run, random_feeds
from hedge.errors import InputError, ModelError, first_line

Start = Callable[[ModelProto, int, int], Call]

ONNXRUNTIME, C = "onnxruntime", "c"


@dataclass(frozen=True)
class Backend:
    """A runtime: its name, the version of its package or compiler, and how it starts a model."""

    name: str
    version: str
    start: Start


def find_backend(name: str) -> Backend:
    """The backend of that name; raises InputError if it is unknown or not installed."""
    if name not in BACKENDS:
        raise InputError(f"backend: {name!r} is not known; use one of {', '.join(BACKENDS)}")
    if name == C:
        return Backend(name, compiler_version(), compiled_run)
    try:
        return Backend(name, version(name), BACKENDS[name])
    except PackageNotFoundError:
        raise InputError(
            f"backend: {name} is not installed; run: pip install 'hedge-pinn[{name}]'"
        ) from None


def openvino_run(model: ModelProto, batch: int, threads: int) -> Call:
    """One inference in OpenVINO on the CPU, in float32, the batch dynamic as in the file.

    Raises ModelError if OpenVINO can't run the model.
    """
    core, tensor = _openvino()
    given = random_feeds(model, batch)
    # On processors with bfloat16 units it would compute in bfloat16.
    settings = {
        "INFERENCE_PRECISION_HINT": "f32",
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_NUM_THREADS": threads,
        "NUM_STREAMS": 1,
    }
    try:
        read = core.read_model(model.SerializeToString(), b"")
        compiled = core.compile_model(read, "CPU", settings)
        request = compiled.create_infer_request()
        for name, values in given.items():
            request.set_tensor(name, tensor(values, shared_memory=True))
        request.infer()
    except (RuntimeError, MemoryError) as error:
        raise ModelError(f"openvino can't run it at batch {batch} ({first_line(error)})") from error

    # Requests alone keep neither what they were made by nor their inputs alive.
    def run(alive: object = (compiled, given)) -> None:
        request.infer(share_outputs=True)

    return run


@cache
def _openvino() -> tuple[Any, Any]:
    """OpenVINO's core and its class of tensors, made once."""
    import openvino

    return openvino.Core(), openvino.Tensor


BACKENDS: dict[str, Start] = {
    ONNXRUNTIME: bound_run,
    "openvino": openvino_run,
    C: compiled_run,
}
