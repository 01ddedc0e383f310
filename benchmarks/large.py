"""Time and memory of compressing models that are large, deep, or without anything to find, in one table.

    python benchmarks/large.py [NAME ...] [--recover]

Each is made from a seed and compressed by the command in a process of its own; processor seconds are of all
its threads. The largest takes 576 MB of disk and 4 GB of memory.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
from onnx import ModelProto, save

from hedge.graph.builder import GraphBuilder

Chain = Callable[[], ModelProto]


def chain(widths: Sequence[int], activation: str = "Tanh", *, norm: bool = False) -> ModelProto:
    """A network of random layers; with ``norm`` each is normalised before its activation."""
    rng, graph, source = np.random.default_rng(0), GraphBuilder(), "x"
    for inputs, outputs in pairwise(widths):
        scale = np.float32(1.0 if len(widths) == 2 else 5.0 / 3.0) / np.float32(np.sqrt(inputs))
        weight = rng.standard_normal((outputs, inputs), dtype=np.float32) * scale
        source = graph.linear(source, weight, np.zeros(outputs))
        if norm and outputs != widths[-1]:
            ones, zeros = np.ones(outputs), np.zeros(outputs)
            source = graph.add("LayerNormalization", source, ones, zeros, axis=-1)
        if outputs != widths[-1]:
            source = graph.add(activation, source)
    graph.rename(source, "u")
    return graph.model({"x": widths[0]}, {"u": widths[-1]})


def green(points: int) -> ModelProto:
    """Green's function of −Δ on a square grid, row by row, as one matrix."""
    one = (2 * np.eye(points) - np.eye(points, k=1) - np.eye(points, k=-1)) * (points + 1) ** 2
    inverse = np.linalg.inv(np.kron(one, np.eye(points)) + np.kron(np.eye(points), one))
    graph = GraphBuilder()
    graph.rename(graph.linear("x", inverse), "u")
    return graph.model({"x": points**2}, {"u": points**2})


MODELS: dict[str, tuple[Chain, str]] = {
    "one layer of 4,096": (lambda: chain([2, 4096, 1]), "1e-3"),
    "20 layers of 64": (lambda: chain([2, *[64] * 20, 1]), "1e-2"),
    "10 inputs, 5 x 256, LayerNorm": (
        lambda: chain([10, *[256] * 5, 3], "Tanh", norm=True),
        "1e-2",
    ),
    "Green's function, 2,304 x 2,304": (lambda: green(48), "1e-3"),
    "random, 4,096 x 4,096": (lambda: chain([4096, 4096]), "1e-3"),
    "random, 12,000 x 12,000": (lambda: chain([12_000, 12_000]), "1e-3"),
}


def main(arguments: Sequence[str]) -> None:
    """Print the table, a row as soon as it is there."""
    recover = "--recover" in arguments
    asked = [name for name in arguments if not name.startswith("--")] or list(MODELS)
    print(f"{'model':34}{'processor s':>12}{'peak MiB':>10}  parameters", flush=True)
    for name in asked:
        make, tolerance = MODELS[name]
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "model.onnx"
            save(make(), path)
            print(f"{name:34}{_compressed(path, tolerance, recover=recover)}", flush=True)


def _compressed(path: Path, tolerance: str, *, recover: bool) -> str:
    """What the command takes, in a process that holds nothing of the model yet."""
    command = [
        sys.executable, "-m", "hedge", "compress", str(path), "--domain=-1:1", "--tolerance", tolerance,
        "--device", "laptop-x86", "--batch", "1024", "--out", str(path.with_name("small.onnx")),
        *([] if recover else ["--no-recover"]),
    ]  # fmt: skip
    with tempfile.TemporaryFile("w+") as printed:
        process = subprocess.Popen(command, stdout=printed, stderr=subprocess.STDOUT)
        _, status, used = os.wait4(process.pid, 0)
        printed.seek(0)
        lines = printed.read().splitlines()
    found = next((line for line in lines if line.startswith("parameters")), lines[-1])
    seconds = used.ru_utime + used.ru_stime
    peak = used.ru_maxrss / (2**10 if sys.platform == "linux" else 2**20)
    ended = "" if status == 0 else f"exit code {os.waitstatus_to_exitcode(status)}: "
    return f"{seconds:12.1f}{peak:10.0f}  {ended}{found.split(',')[0].removeprefix('parameters ')}"


if __name__ == "__main__":
    main(sys.argv[1:])
