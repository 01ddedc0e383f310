"""Operators in compress: how long it takes, what is left, how fast that is, warm and cold, also in C.

    python benchmarks/operators.py [NAME ...] [--no-c]

The largest, of 16,384 numbers, run where they are named: each takes minutes and some 9 GiB.
The dense matrices are exact, so that nothing is trained. Times of one thread, called in turn: warm, a
model has the caches for itself for a window of calls; cold, 256 MB are read before each call. C is compiled
by the usual compiler; its time is compared with that of the dense model in onnxruntime.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import argparse
import resource
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from onnx import ModelProto, save

import hedge
from hedge.benching import Effort, bound_run, interleaved_times
from hedge.benching.backends import compiled
from hedge.exporting.compiling import compiler_here
from hedge.graph import load_model, run_float32
from hedge.graph.builder import GraphBuilder
from hedge.problems import find_operator
from hedge.training import OperatorNetwork, operator_network_to_onnx

EFFORT = Effort(warm_up_s=0.2, timed_s=1.0)
COLD_CALLS = 15
BATCHES = (1, 16, 128)


def of_the_gallery(name: str, sensors: int) -> ModelProto:
    """The exact operator as its file would be."""
    problem = find_operator(name, sensors)
    exact = OperatorNetwork(problem, problem.layer.solve(np.eye(sensors)))
    return operator_network_to_onnx(exact)


def of_someone_else(side: int) -> ModelProto:
    """The Green's function of a square, row by row, as one Gemm without a word about where it is from."""
    size, graph = side**2, GraphBuilder()
    problem = find_operator("poisson2d-operator", size)
    greens = np.empty((size, size), np.float32)
    for loads in np.array_split(np.arange(size), side):  # row by row, as it is symmetric
        greens[loads] = problem.layer.solve(np.eye(len(loads), size, int(loads[0])))
    graph.rename(graph.linear("x", greens), "u")
    return graph.model({"x": size}, {"u": size})


CASES: dict[str, tuple[Callable[[], ModelProto], dict[str, object]]] = {
    "poisson, 1,024": (lambda: of_the_gallery("poisson-operator", 1024), {"tolerance": 1e-4}),
    "poisson, 4,096": (lambda: of_the_gallery("poisson-operator", 4096), {"tolerance": 1e-4}),
    "poisson2d, 48 x 48": (
        lambda: of_the_gallery("poisson2d-operator", 48**2),
        {"tolerance": 1e-3},
    ),
    "poisson2d, 64 x 64": (
        lambda: of_the_gallery("poisson2d-operator", 64**2),
        {"tolerance": 1e-3},
    ),
    "heat2d, 64 x 64": (lambda: of_the_gallery("heat2d-operator", 64**2), {"tolerance": 1e-3}),
    "foreign, 64 x 64": (lambda: of_someone_else(64), {"tolerance": 1e-3, "domain": "-1:1"}),
}
LARGEST: dict[str, tuple[Callable[[], ModelProto], dict[str, object]]] = {
    "poisson, 16,384": (lambda: of_the_gallery("poisson-operator", 16384), {"tolerance": 1e-4}),
    "foreign, 128 x 128": (lambda: of_someone_else(128), {"tolerance": 1e-3, "domain": "-1:1"}),
}


def main() -> None:
    """Print a line for what is left, and one for each batch."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("only", nargs="*", help=f"of {', '.join([*CASES, *LARGEST])}")
    parser.add_argument("--no-c", action="store_true", help="compile nothing")
    arguments = parser.parse_args()
    for name in arguments.only or CASES:
        make, asked = (CASES | LARGEST)[name]
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "dense.onnx"
            save(make(), path)
            _report(name, path, asked, in_c=not arguments.no_c)


def _report(name: str, path: Path, asked: dict[str, object], *, in_c: bool) -> None:
    started = time.process_time()
    small = hedge.compress(path, device="laptop-x86", recover=None, **asked)  # type: ignore[arg-type]
    spent = time.process_time() - started
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    dense, model = load_model(path), small.to_onnx()
    plan = small.plan
    (site,) = plan.sites
    sources = np.random.default_rng(9).standard_normal((128, site.dense_inputs))
    wanted = run_float32(dense, sources)
    error = np.linalg.norm(run_float32(model, sources) - wanted) / np.linalg.norm(wanted)
    fewer = plan.dense_bytes / plan.bytes
    print(
        f"{name}: {spent:.1f} s of processor; {site.structure.label}, {fewer:.1f} times "
        f"fewer bytes; error {plan.relative_error:.1e} as certified, {error:.1e} of white sources; "
        f"{peak:.1f} GiB at most",
        flush=True,
    )
    for batch in BATCHES:
        runs = [bound_run(one, batch, 1) for one in (dense, model)]
        labels = ["dense", "small"]
        if in_c and batch == 1:
            runs.append(compiled(small.skeleton, small.matrices, 1, compiler_here()).row(1))
            labels.append("small in C")
        warm = [float(np.median(times)) for times in interleaved_times(runs, EFFORT)]
        for kind, times in (("warm", warm), ("cold", _cold(runs))):
            told = ", ".join(
                f"{label} {seconds * 1e6:.4g} us ({times[0] / seconds:.1f} times faster)"
                for label, seconds in zip(labels, times, strict=True)
            )
            print(f"  batch {batch}, {kind}: {told}", flush=True)


def _cold(runs: Sequence[Callable[[], None]]) -> list[float]:
    """Median seconds of a call after caches were filled with something else."""
    other = np.ones(2**25)
    found: list[list[float]] = [[] for _ in runs]
    for _ in range(COLD_CALLS):
        for run, times in zip(runs, found, strict=True):
            other += 1.0
            started = time.perf_counter()
            run()
            times.append(time.perf_counter() - started)
    return [float(np.median(times)) for times in found]


if __name__ == "__main__":
    main()
