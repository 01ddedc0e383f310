"""DeepXDE's DeepONet of the antiderivative, compressed: sizes, errors and times, cold and warm.

    python benchmarks/deeponet.py                    trains with DeepXDE, compresses, times; some minutes
    python benchmarks/deeponet.py --keep FOLDER      keeps the dense networks, or takes those that are there

The network relu-40 is that of DeepXDE's example antiderivative_unaligned, [100, 40, 40] and [1, 40, 40], on
functions drawn from the Gaussian process of that example's data (RBF of length 0.2); tanh-128 is the same
with tanh and 128 neurons a layer. They give [b, 100] for b functions at 100 points. Errors are relative L2
on 1,000 functions that neither training nor compression has seen. Times are one thread's: medians of calls
in turns for the two files, and the session's start and first call in a fresh process ("cold"). C takes a
pair of a function and a point a call, so its times are per pair; there "cold" is the first call after
another model's. Needs deepxde, torch and a C compiler.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import tempfile
import warnings
from pathlib import Path

import numpy as np
import onnxruntime
from numpy.typing import NDArray

import hedge
from hedge.benching.backends import compiled_run
from hedge.benching.cold_start import cold_start
from hedge.benching.protocol import DEFAULT_EFFORT, Call, interleaved
from hedge.cli.console import print_table, seconds
from hedge.graph import load_model

SENSORS, POINTS = 100, 100
NETWORKS = (("relu", 40), ("tanh", 128))
TRAINED, FREE, JUDGED = 2000, 40_000, 1000
STEPS = 20_000
LENGTH = 0.2
BATCHES = (1, 16, 128)
GRID = np.linspace(0.0, 1.0, POINTS, dtype=np.float32)[:, None]


def functions(count: int, seed: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Random functions at the sensors, (count, SENSORS), and their antiderivatives on GRID."""
    fine = np.linspace(0.0, 1.0, 10 * (SENSORS - 1) + 1)
    kernel = np.exp(-0.5 * ((fine[:, None] - fine) / LENGTH) ** 2)
    values, vectors = np.linalg.eigh(kernel)
    kept = values > 1e-10 * values[-1]
    root = vectors[:, kept] * np.sqrt(values[kept])
    f = np.random.default_rng(seed).standard_normal((count, root.shape[1])) @ root.T
    steps = 0.5 * (f[:, 1:] + f[:, :-1]) * (fine[1] - fine[0])
    u = np.hstack([np.zeros((count, 1)), np.cumsum(steps, axis=1)])
    return f[:, ::10].astype(np.float32), u[:, ::10].astype(np.float32)


def train(activation: str, width: int, path: Path) -> None:
    """DeepXDE's own network, data and optimiser; its graph as torch exports it."""
    os.environ["DDE_BACKEND"] = "pytorch"
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        import deepxde as dde
        import torch

        dde.config.set_random_seed(0)
        f, u = functions(TRAINED, seed=0)
        data = dde.data.TripleCartesianProd((f, GRID), u, (f[:100], GRID), u[:100])
        net = dde.nn.DeepONetCartesianProd(
            [SENSORS, width, width], [1, width, width], activation, "Glorot normal"
        )
        model = dde.Model(data, net)
        model.compile("adam", lr=1e-3, decay=("inverse time", 2000, 0.5))
        model.train(iterations=STEPS, batch_size=100, display_every=STEPS)
        net.eval().cpu()
        warnings.simplefilter("ignore")
        torch.onnx.export(
            net, ((torch.zeros(3, SENSORS), torch.zeros(5, 1)),), path, opset_version=17,
            dynamo=False, input_names=["f", "y"], dynamic_axes={"f": {0: "b"}, "y": {0: "n"}},
        )  # fmt: skip


def run(path: Path, f: NDArray[np.float32]) -> NDArray[np.float32]:
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return np.asarray(session.run(None, {"f": f, "y": GRID})[0])


def call(path: Path, batch: int) -> Call:
    """One call for ``batch`` functions at all points, on one thread."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    binding = session.io_binding()
    for name, values in (("f", functions(batch, seed=5)[0]), ("y", GRID)):
        binding.bind_ortvalue_input(name, onnxruntime.OrtValue.ortvalue_from_numpy(values))
    result = np.empty((batch, POINTS), np.float32)
    output = session.get_outputs()[0].name
    binding.bind_ortvalue_output(output, onnxruntime.OrtValue.ortvalue_from_numpy(result))

    def once(held: object = result) -> None:
        session.run_with_iobinding(binding)

    return once


def relative(found: NDArray[np.float32], wanted: NDArray[np.float32]) -> float:
    return float(np.linalg.norm(found - wanted) / np.linalg.norm(wanted))


def measure(activation: str, width: int, folder: Path, tolerance: float) -> None:
    name = f"{activation}-{width}"
    dense, small = folder / f"{name}.onnx", folder / f"{name}-{tolerance:g}.onnx"
    if not dense.exists():
        train(activation, width, dense)
    samples = folder / "functions.npz"
    f, _ = functions(FREE, seed=1)
    y = np.random.default_rng(2).random((8000, 1), np.float32)
    np.savez(samples, f=f, y=y)
    started = os.times()
    found = hedge.compress(
        dense, device="laptop-x86", samples=samples, tolerance=tolerance, batch=128
    )
    ended = os.times()
    hedge.export(found, small, force=True)
    f, u = functions(JUDGED, seed=3)
    of_dense, of_small = run(dense, f), run(small, f)
    plan = found.plan
    print(
        f"\n{name}, within {tolerance:g}: parameters {plan.dense_parameters} -> {plan.parameters}"
        f" ({plan.dense_parameters / plan.parameters:.1f} times fewer), to dense"
        f" {relative(of_small, of_dense):.2e}, to the antiderivative {relative(of_dense, u):.2e} ->"
        f" {relative(of_small, u):.2e}; compressed in"
        f" {ended.user - started.user:.0f} s of processor time"
    )
    rows = []
    for batch in BATCHES:
        timings = interleaved([call(path, batch) for path in (dense, small)], DEFAULT_EFFORT, 0)
        warm = [float(np.median(timing.times)) for timing in timings]
        cold = [cold_start(path.read_bytes(), batch, 1) for path in (dense, small)]
        rows.append(
            ["onnxruntime", f"{batch} x {POINTS}", *map(seconds, warm), f"{warm[0] / warm[1]:.1f}",
             *(seconds(one.start_s + one.first_run_s) for one in cold)]
        )  # fmt: skip
    pairs = [compiled_run(load_model(path), 1, 1) for path in (dense, small)]
    timings = interleaved(pairs, DEFAULT_EFFORT, 0)
    warm = [float(np.median(timing.times)) for timing in timings]
    first = [float(np.median(timing.first)) for timing in timings]
    rows.append(
        ["C", "1 pair", *map(seconds, warm), f"{warm[0] / warm[1]:.1f}", *map(seconds, first)]
    )
    print_table(
        activation,
        ["runtime", "call", "dense", "small", "faster", "dense cold", "small cold"],
        rows,
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--keep", type=Path)
    parser.add_argument("--tolerance", type=float, default=1e-2)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.keep or Path(temporary)
        folder.mkdir(exist_ok=True, parents=True)
        for activation, width in NETWORKS:
            measure(activation, width, folder, options.tolerance)


if __name__ == "__main__":
    main()
