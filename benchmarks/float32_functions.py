"""How far float32 functions are from the real ones, over every finite float: what certificates assume.

Of each function: of onnxruntime's kernel and of the C library's, the largest absolute error, and the
largest relative one where the result is at least 1e-30; for arguments of any size and, of the errors
that grow with the argument, up to 100.

    OMP_NUM_THREADS=1 python benchmarks/float32_functions.py [Tanh Sigmoid …]
"""

from __future__ import annotations

import ctypes
import platform
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import onnxruntime
from onnx import TensorProto, helper
from scipy.special import erf

FUNCTIONS = {
    "Tanh": (np.tanh, "tanhf(x)"),
    "Sigmoid": (lambda x: 0.5 * (1.0 + np.tanh(0.5 * x)), "1 / (1 + expf(-x))"),
    "Exp": (np.exp, "expf(x)"),
    "Log": (np.log, "logf(x)"),
    "Sin": (np.sin, "sinf(x)"),
    "Cos": (np.cos, "cosf(x)"),
    "Erf": (erf, "erff(x)"),
    "Softplus": (lambda x: np.logaddexp(0.0, x), "fmaxf(x, 0) + log1pf(expf(-fabsf(x)))"),
    "Sqrt": (np.sqrt, "sqrtf(x)"),
}
CHUNK = 2**22
MODERATE = 100.0
SMALLEST = (
    1e-30  # results for which relative errors count: products of denormal numbers are off further
)


def runtime(op: str):
    shape = ["n"]
    graph = helper.make_graph(
        [helper.make_node(op, ["x"], ["y"])],
        op,
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, shape)],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(model.SerializeToString(), options)
    return lambda x: session.run(None, {"x": x})[0]


def library(expression: str, folder: Path):
    source, built = folder / "f.c", folder / f"{abs(hash(expression))}.so"
    source.write_text(
        "#include <math.h>\nvoid f(long n, const float *a, float *b)"
        f"{{ for (long i = 0; i < n; i++) {{ const float x = a[i]; b[i] = {expression}; }} }}\n"
    )
    subprocess.run(
        [
            "cc",
            "-O2",
            "-std=c99",
            "-ffp-contract=off",
            "-shared",
            "-fPIC",
            source,
            "-o",
            built,
            "-lm",
        ],
        check=True,
    )
    call = ctypes.CDLL(str(built)).f
    call.argtypes = [ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]

    def run(x):
        y = np.empty_like(x)
        call(len(x), x.ctypes.data, y.ctypes.data)
        return y

    return run


def errors(truth, found, x) -> list[float]:
    defined = np.isfinite(truth) & (np.abs(truth) < 3.4e38)
    apart = np.abs(found.astype(np.float64) - truth)[defined]
    size, near = np.abs(truth[defined]), np.abs(x[defined]) <= MODERATE
    relative = (apart / np.maximum(size, 1e-300))[size > SMALLEST]
    return [
        apart.max(initial=0.0),
        apart[near].max(initial=0.0),
        relative.max(initial=0.0),
        (apart[near] / np.maximum(size[near], 1e-300))[size[near] > 1.2e-38].max(initial=0.0),
    ]


def main(names: list[str]) -> None:
    print(f"onnxruntime {onnxruntime.__version__}, {platform.libc_ver()}, {platform.machine()}")
    print(f"{'':10}{'':14}{'absolute':>10}{'|x|<=100':>10}{'relative':>10}{'|x|<=100':>10}")
    with tempfile.TemporaryDirectory() as folder:
        for name in names:
            real, expression = FUNCTIONS[name]
            runs = {"onnxruntime": runtime(name), "C": library(expression, Path(folder))}
            worst = {run: np.zeros(4) for run in runs}
            for start in range(0, 2**32, CHUNK):
                x = np.arange(start, start + CHUNK, dtype=np.uint32).view(np.float32)
                x = x[np.isfinite(x)]
                if not len(x):
                    continue
                with np.errstate(all="ignore"):
                    truth = real(x.astype(np.float64))
                    for run, call in runs.items():
                        worst[run] = np.fmax(worst[run], errors(truth, call(x), x))
            for run, figures in worst.items():
                print(
                    f"{name:10}{run:14}" + "".join(f"{each:10.1e}" for each in figures), flush=True
                )


if __name__ == "__main__":
    main(sys.argv[1:] or list(FUNCTIONS))
