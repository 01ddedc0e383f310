"""What runs a model: a backend is a function from model, batch and threads to a run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version

from onnx import ModelProto

from hedge.benching.protocol import Run, bound_run, random_feeds
from hedge.errors import InputError, ModelError, first_line

Start = Callable[[ModelProto, int, int], Run]

ONNXRUNTIME = "onnxruntime"


@dataclass(frozen=True)
class Backend:
    """A runtime: its name, the package that holds it, and how it starts a model."""

    name: str
    version: str
    start: Start


def find_backend(name: str) -> Backend:
    """The backend of that name; raises InputError if it is unknown or not installed."""
    if name not in BACKENDS:
        raise InputError(f"backend: {name!r} is not known; use one of {', '.join(BACKENDS)}")
    try:
        return Backend(name, version(name), BACKENDS[name])
    except PackageNotFoundError:
        raise InputError(
            f"backend: {name} is not installed; run: pip install 'hedge-pinn[{name}]'"
        ) from None


def openvino_run(model: ModelProto, batch: int, threads: int) -> Run:
    """One inference in OpenVINO on the CPU, compiled for ``batch`` rows, in float32.

    Raises ModelError if OpenVINO can't run the model.
    """
    import openvino

    given = random_feeds(model, batch)
    # On processors with bfloat16 units it would compute in bfloat16.
    settings = {
        "INFERENCE_PRECISION_HINT": "f32",
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_NUM_THREADS": threads,
        "NUM_STREAMS": 1,
    }
    try:
        core = openvino.Core()
        read = core.read_model(model.SerializeToString(), b"")
        read.reshape({name: list(values.shape) for name, values in given.items()})
        request = core.compile_model(read, "CPU", settings).create_infer_request()
        for name, values in given.items():
            request.set_tensor(name, openvino.Tensor(values, shared_memory=True))
        request.infer()
    except (RuntimeError, MemoryError) as error:
        raise ModelError(f"openvino can't run it at batch {batch} ({first_line(error)})") from error

    def run(buffers: object = given) -> None:
        request.start_async()
        request.wait()

    return run


BACKENDS: dict[str, Start] = {ONNXRUNTIME: bound_run, "openvino": openvino_run}
