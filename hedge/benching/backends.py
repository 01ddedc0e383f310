"""What runs a model: a backend is a function from model, batch and threads to a run."""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
from onnx import ModelProto

from hedge.benching.protocol import Call, Repeated, bound_run, random_feeds
from hedge.errors import InputError, ModelError, first_line
from hedge.exporting import COptions, to_c
from hedge.graph import run_float32, split_if_any
from hedge.temporaries import scratch_folder

FLAGS = ("-std=c99", "-O3", "-march=native")

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


def _compiler() -> str:
    """The C compiler, ``$CC`` or ``cc``; raises InputError if there is none."""
    found = shutil.which(os.environ.get("CC", "cc"))
    if found is None:
        raise InputError("backend: c needs a C compiler; install gcc, or name one in CC")
    return found


def has_compiler() -> bool:
    """Whether there is one."""
    return shutil.which(os.environ.get("CC", "cc")) is not None


def _compiler_version() -> str:
    """What the compiler calls itself, with the flags that it is given."""
    printed = _finished([_compiler(), "--version"])
    return " ".join([printed.stdout.partition("\n")[0].strip(), *FLAGS])


def compiled_run(model: ModelProto, batch: int, threads: int) -> Call:
    """One call of the model's C for ``batch`` rows; of one row CALLS, as ctypes alone takes about 0.3 µs.

    Raises InputError for more than one thread; ModelError for what C can't do, or does not compile.
    """
    if threads != 1:
        raise InputError(f"threads: the C export runs on one, not {threads}; leave --threads out")
    parts = split_if_any(model)
    files = to_c(parts.skeleton, parts.matrices, COptions("model"), "model")
    library = _compiled(files.source, files.header)
    rows = np.hstack([a.reshape(batch, -1) for a in random_feeds(model, batch).values()])
    x = np.ascontiguousarray(rows, dtype=np.float32)
    u = run_float32(model, rows).astype(np.float32)  # of that shape, to be overwritten
    given, taken = ctypes.c_void_p(x.ctypes.data), ctypes.c_void_p(u.ctypes.data)
    if batch == 1:
        evaluate, calls = library.model_repeat, ctypes.c_size_t(CALLS)

        def run(buffers: object = (x, u)) -> None:
            evaluate(calls, given, taken)

        return Repeated(run, CALLS)
    evaluate_batch, count = library.model_eval_batch, ctypes.c_size_t(batch)

    def run_batch(buffers: object = (x, u)) -> None:
        evaluate_batch(count, given, taken)

    return run_batch


def _compiled(source: str, header: str) -> ctypes.CDLL:
    """The library of it."""
    with _temporary_folder() as folder:
        (folder / "model.c").write_text(source)
        (folder / "model.h").write_text(header)
        (folder / "repeat.c").write_text(REPEAT)
        _run([_compiler(), *FLAGS, "-fPIC", "-c", "model.c", "repeat.c"], folder)
        _run([_compiler(), "-shared", "model.o", "repeat.o", "-o", "model.so", "-lm"], folder)
        try:
            return ctypes.CDLL(str(folder / "model.so"))
        except OSError as error:  # a folder whose files may not be run, for one
            raise ModelError(
                f"its C can't be loaded ({first_line(error)}); name another folder in TMPDIR"
            ) from error


@contextmanager
def _temporary_folder() -> Iterator[Path]:
    """A folder for what is compiled; raises ModelError if nothing can be written there."""
    try:
        with scratch_folder() as folder:
            yield folder
    except OSError as error:
        raise ModelError(
            f"its C can't be written ({error.strerror}); name another folder in TMPDIR"
        ) from error


def _run(command: list[str], folder: Path) -> None:
    done = _finished(command, folder)
    if done.returncode:
        reason = done.stderr.strip().partition("\n")[0]
        raise ModelError(f"its C does not compile here ({reason})")


def _finished(command: list[str], folder: Path | None = None) -> subprocess.CompletedProcess[str]:
    """The compiler's run; raises InputError if it is no program."""
    try:
        return subprocess.run(
            command, cwd=folder, capture_output=True, text=True, errors="replace", check=False,
            # A compiler that is killed leaves files, too.
            env=os.environ | ({} if folder is None else {"TMPDIR": str(folder)}),
        )  # fmt: skip
    except OSError as error:
        raise InputError(
            f"backend: {command[0]} can't be run ({error.strerror}); name a C compiler in CC"
        ) from error


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
        return Backend(name, _compiler_version(), compiled_run)
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


BACKENDS: dict[str, Start] = {ONNXRUNTIME: bound_run, "openvino": openvino_run, C: compiled_run}
