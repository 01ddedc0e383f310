"""What runs a model: a backend is a function from model, batch and threads to a run."""

from __future__ import annotations

import ctypes
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, partial
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto

from hedge.benching.machine import calibrated_here
from hedge.benching.protocol import Call, Repeated, Start, bound_run, random_feeds
from hedge.devices import CRuntime, Device
from hedge.errors import InputError, ModelError, first_line
from hedge.exporting import COptions, to_c
from hedge.exporting.compiling import Compiler, compiler_here, compiler_of
from hedge.graph import Matrix, as_grid, assemble, grid_of, run_float32, split_if_any

CALLS = 100
# In a file of its own, so that no call is left out for having been made before.
REPEAT = """#include "model.h"

void model_repeat(size_t calls, const float *x, float *u);
void model_repeat(size_t calls, const float *x, float *u) {
  for (size_t i = 0; i < calls; i++) {
    model_eval(x, u);
  }
}
"""


@dataclass(frozen=True)
class CompiledModel:
    """The C of a model as functions of this process, and what it is called with: rows and their results."""

    library: ctypes.CDLL
    x: NDArray[np.float32]
    u: NDArray[np.float32]

    def row(self, calls: int) -> Call:
        """So many calls of one row, one after the other inside C: ctypes alone takes about 0.3 µs."""
        repeat, count = self.library.model_repeat, ctypes.c_size_t(calls)
        given, taken = self._addresses

        def run(buffers: object = (self.x, self.u)) -> None:
            repeat(count, given, taken)

        return Repeated(run, calls)

    def batch(self) -> Call:
        """One call of all rows."""
        evaluate, count = self.library.model_eval_batch, ctypes.c_size_t(len(self.x))
        given, taken = self._addresses

        def run(buffers: object = (self.x, self.u)) -> None:
            evaluate(count, given, taken)

        return run

    @property
    def _addresses(self) -> tuple[ctypes.c_void_p, ctypes.c_void_p]:
        return ctypes.c_void_p(self.x.ctypes.data), ctypes.c_void_p(self.u.ctypes.data)


def compiled(
    skeleton: ModelProto,
    matrices: Mapping[str, Matrix],
    batch: int,
    compiler: Compiler,
) -> CompiledModel:
    """The C of a skeleton with these matrices at its sites, for ``batch`` rows.

    Raises ModelError for what C can't do, or does not compile.
    """
    files = to_c(skeleton, matrices, COptions("model"), "model")
    texts = {"model.c": files.source, "model.h": files.header, "repeat.c": REPEAT}
    model = assemble(skeleton, matrices)
    rows = np.hstack([a.reshape(batch, -1) for a in random_feeds(model, batch).values()])
    return CompiledModel(
        compiler.library(texts),
        np.ascontiguousarray(rows, dtype=np.float32),
        run_float32(model, rows).astype(np.float32),  # of that shape, to be overwritten
    )


def compiled_run(
    model: ModelProto, batch: int, threads: int, compiler: Compiler | None = None
) -> Call:
    """One call of the model's C for ``batch`` rows; of one row CALLS.

    Raises InputError for more than one thread; ModelError for what C can't do, or does not compile.
    """
    if threads != 1:
        raise InputError(f"threads: the C export runs on one, not {threads}; leave --threads out")
    if grid_of(model) is not None and batch > 1:
        raise InputError(
            f"batch: C takes a product grid pair by pair, not {batch} rows at {batch} others; time it in C "
            "at batch 1, or in onnxruntime"
        )
    parts = split_if_any(model)
    found = compiled(parts.skeleton, parts.matrices, batch, compiler or compiler_here())
    return found.row(CALLS) if batch == 1 else found.batch()


ONNXRUNTIME, C = "onnxruntime", "c"


@dataclass(frozen=True)
class Backend:
    """A runtime: its name, the version of its package or compiler, and how it starts a model."""

    name: str
    version: str
    start: Start


def backend_for(device: Device, name: str | None = None) -> Backend:
    """The backend of that name or, without one, of a profile's runtime.

    C is compiled with the profile's flags where its figures are of this machine's C.

    Raises InputError as :func:`find_backend`.
    """
    chosen = name or device.runtime.name
    if chosen == C and isinstance(device.runtime, CRuntime) and calibrated_here(device):
        return find_backend(C, compiler_of(device.runtime))
    return find_backend(chosen)


def find_backend(name: str, compiler: Compiler | None = None) -> Backend:
    """The backend of that name; of C by that compiler, or the usual one with the usual flags.

    Raises InputError if it is unknown or not installed.
    """
    if name not in BACKENDS:
        raise InputError(f"backend: {name!r} is not known; use one of {', '.join(BACKENDS)}")
    if name == C:
        compiler = compiler or compiler_here()
        return Backend(name, compiler.label, partial(compiled_run, compiler=compiler))
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
    model = as_grid(model)
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


BACKENDS: dict[str, Start] = {ONNXRUNTIME: bound_run, "openvino": openvino_run, C: compiled_run}
