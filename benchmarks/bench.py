"""How far the bench itself can be trusted: equal models, a bare loop, and what windows are good for.

python benchmarks/bench.py
"""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
import onnx
import onnxruntime

import hedge
from hedge.benching import Effort, bound_run
from hedge.benching.protocol import interleaved
from hedge.benching.statistics import median_ratio, ratio_interval
from hedge.cli.console import print_table, seconds
from hedge.graph import GraphBuilder, load_model

MODELS = ("burgers", "heat", "poisson-operator")
BATCHES = (1, 64, 1024)
EFFORT = Effort(warm_up_s=0.2, timed_s=0.5)
BRIEF = Effort(
    warm_up_s=0.05, timed_s=0.1, least_runs=16
)  # short turns, so that both loops meet the same machine
TURNS = 9
LARGE = 4096


def main() -> None:
    models = {name: load_model(hedge.reference_models()[name]) for name in MODELS}
    cases = [(name, model, batch) for name, model in models.items() for batch in BATCHES]
    equal_models(cases)
    bare_loop(cases)
    beside_a_large_model(models["heat"])


def equal_models(cases: list[tuple[str, onnx.ModelProto, int]]) -> None:
    """The ratio of a model to itself, both interleaved."""
    rows = []
    for name, model, batch in cases:
        first, second = interleaved([bound_run(model, batch, 1) for _ in range(2)], EFFORT)
        ratio = median_ratio(first.windows, second.windows)
        low, high = ratio_interval(first.windows, second.windows, paired=True)
        rows.append([name, str(batch), f"{ratio - 1:+.2%}", f"{low - 1:+.2%} to {high - 1:+.2%}"])
    print_table("A model beside itself", ["model", "batch", "ratio", "95 % interval"], rows)


def bare_loop(cases: list[tuple[str, onnx.ModelProto, int]]) -> None:
    """The bench's median beside that of a loop that does nothing but run, by turns."""
    rows = []
    for name, model, batch in cases:
        ratios = []
        alone, bound = bare_run(model, batch), bound_run(model, batch, 1)
        for _ in range(TURNS):
            bare = loop_median(alone)
            (timing,) = interleaved([bound], BRIEF)
            ratios.append(float(np.median(timing.times)) / bare)
        rows.append([name, str(batch), seconds(bare), f"{np.median(ratios) - 1:+.2%}"])
    print_table("Beside a bare loop", ["model", "batch", "bare", "bench, more"], rows)


def bare_run(model: onnx.ModelProto, batch: int) -> Callable[[], None]:
    """A run through IOBinding without anything of hedge's."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(model.SerializeToString(), options)
    binding = session.io_binding()
    (port,) = session.get_inputs()
    rows = np.random.default_rng(0).random((batch, *port.shape[1:]), dtype=np.float32)
    binding.bind_cpu_input(port.name, rows)
    (output,) = session.run(None, {port.name: rows})
    target = onnxruntime.OrtValue.ortvalue_from_numpy(output)
    binding.bind_ortvalue_output(session.get_outputs()[0].name, target)
    return lambda: session.run_with_iobinding(binding)


def loop_median(run: Callable[[], None]) -> float:
    """Seconds per run: the median over blocks of runs timed as a whole, after a warm-up as long."""
    started = time.perf_counter()
    count = 0
    while time.perf_counter() - started < BRIEF.warm_up_s:
        run()
        count += 1
    block = max(1, count // 20)
    times = []
    started = time.perf_counter()
    while time.perf_counter() - started < BRIEF.timed_s:
        begun = time.perf_counter()
        for _ in range(block):
            run()
        times.append((time.perf_counter() - begun) / block)
    return float(np.median(times))


def beside_a_large_model(small: onnx.ModelProto) -> None:
    """A small model alone, in windows beside one of 64 MiB, and right after each run of that."""
    (alone,) = interleaved([bound_run(small, 1, 1)], EFFORT)
    beside, _ = interleaved([bound_run(small, 1, 1), bound_run(dense(LARGE), 1, 1)], EFFORT)
    found = {
        "alone": float(np.median(alone.times)),
        "in windows": float(np.median(beside.times)),
        "first query of each window": float(np.median(beside.first)),
    }
    rows = [[name, seconds(t), f"{t / found['alone']:.2f}x"] for name, t in found.items()]
    print_table("heat at batch 1, beside 4096 x 4096", ["how", "median", "of alone"], rows)


def dense(width: int) -> onnx.ModelProto:
    weight = np.random.default_rng(0).standard_normal((width, width), dtype=np.float32)
    graph = GraphBuilder()
    return graph.model({"x": width}, {graph.add("MatMul", "x", weight): width})


if __name__ == "__main__":
    main()
