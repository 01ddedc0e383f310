"""How close the device model, calibrated here, comes to measured medians on graphs it has not seen.

100 graphs of five kinds, drawn with a seed: widths 8 to 1,024, batches 1 to 4,096, none of them part of
the calibration. Two full calibrations and a quick one; Theorem 11 with the calibrated C and B beside the
same times. With --busy N, N quick calibrations in a row beside a program that keeps one core busy.

python benchmarks/prediction.py [--busy N]
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from onnx import ModelProto

from hedge.benching import FULL, QUICK, calibrate
from hedge.benching.calibration import Scope, WindowedTimer, clocked
from hedge.benching.calibration.probes import PASSES, gemm
from hedge.cli.console import print_table
from hedge.compression import blocks_of
from hedge.devices import Device, predicted_seconds, roofline_seconds
from hedge.graph import (
    BlockLayout,
    BlockMatrix,
    GraphBuilder,
    SiteMatrix,
    assemble,
    graph_work,
    split,
)
from hedge.hmatrix import Block
from hedge.paper import paper_bound_seconds

SEED = 2025
KINDS = {"dense": 30, "narrowed": 20, "factorized": 20, "blocked": 15, "hard conditions": 15}
ACTIVATIONS = ("Tanh", "QuickGelu", "Sin")
MOST_FLOPS = 2e10
TIMER = WindowedTimer(clocked(threads=1, window_s=0.02), windows=9)
WORST = 8


@dataclass(frozen=True)
class Graph:
    """A model, the rows it is called with, and its matrices as the paper counts them."""

    name: str
    model: ModelProto
    batch: int
    blocks: tuple[Block, ...]


def graphs() -> list[Graph]:
    rng = np.random.default_rng(SEED)
    return [drawn(rng, kind) for kind, count in KINDS.items() for _ in range(count)]


def drawn(rng: np.random.Generator, kind: str) -> Graph:
    """One graph of at most MOST_FLOPS a call."""
    batch = round(2.0 ** rng.uniform(0.0, 12.0))
    depth = int(rng.integers(2, 7))
    width = round(2.0 ** rng.uniform(6.0 if kind == "blocked" else 3.0, 10.0))
    if 2 * batch * depth * width**2 > MOST_FLOPS:
        return drawn(rng, kind)
    hidden = [width] * depth
    if kind == "narrowed":
        hidden = [max(8, round(width * 2.0 ** -rng.uniform(0.0, 3.0))) for _ in hidden]
    activation = str(rng.choice(ACTIVATIONS))
    widths = [2 if kind == "hard conditions" else int(rng.integers(1, 5)), *hidden, 1]
    model = network(widths, activation, conditions=kind == "hard conditions")
    parts = split(model)
    matrices = dict(parts.matrices)
    for name, matrix in parts.matrices.items():
        if kind == "factorized" and min(matrix.shape) > 8:
            rank = max(2, round(min(matrix.shape) * 2.0 ** -rng.uniform(1.0, 4.0)))
            matrices[name] = low_rank(rng, matrix, rank)
        if kind == "blocked" and min(matrix.shape) >= 64:
            count = int(rng.choice([4, 8, 16]))
            matrices[name] = in_blocks(rng, matrix, count, int(rng.integers(1, 5)))
    label = f"{kind} {'-'.join(map(str, widths))} {activation}, batch {batch}"
    return Graph(label, assemble(parts.skeleton, matrices), batch, tuple(blocks_of(matrices)))


def network(widths: Sequence[int], activation: str, *, conditions: bool) -> ModelProto:
    graph, source = GraphBuilder(), "x"
    for layer, (inputs, outputs) in enumerate(pairwise(widths)):
        if layer:
            source = PASSES[activation](graph, source, inputs)
        source = gemm(graph, source, outputs, inputs)
    if conditions:
        source = with_conditions(graph, source)
    return graph.model({"x": widths[0]}, {source: widths[-1]})


def with_conditions(graph: GraphBuilder, output: str) -> str:
    """u = (1 − x²) t N(x, t) − sin πx, as hedge's own Burgers networks end."""
    x, t = graph.split("x", [1, 1], axis=1)
    factor = graph.add("Sub", np.ones(1), graph.add("Mul", x, x))
    inside = graph.add("Mul", graph.add("Mul", factor, t), output)
    initial = graph.add("Neg", graph.add("Sin", graph.add("Mul", x, np.array([np.pi]))))
    return graph.add("Add", inside, initial)


def low_rank(rng: np.random.Generator, matrix: SiteMatrix, rank: int) -> SiteMatrix:
    n_out, n_in = matrix.shape
    left, right = rng.standard_normal((n_out, rank)), rng.standard_normal((rank, n_in))
    return SiteMatrix((left / np.sqrt(rank), right / np.sqrt(n_in)), matrix.bias)


def in_blocks(rng: np.random.Generator, matrix: SiteMatrix, count: int, rank: int) -> BlockMatrix:
    layout = BlockLayout(*matrix.shape, count, rank)
    (height, width), coupled = layout.leaf, count * rank
    return BlockMatrix(
        rng.standard_normal((count, height, width + rank)) / np.sqrt(width),
        rng.standard_normal((coupled, coupled)) / np.sqrt(coupled),
        rng.standard_normal((count, rank, width)) / np.sqrt(width),
        matrix.bias,
        matrix.shape[1],
    )


def predictions(device: Device, found: Sequence[Graph]) -> np.ndarray:
    works = [graph_work(one.model, one.batch) for one in found]
    return np.array([float(predicted_seconds(device, work)) for work in works])


def measured(found: Sequence[Graph]) -> np.ndarray:
    return np.array([float(TIMER([one.model], one.batch)[0]) for one in found])


@dataclass(frozen=True)
class Calibrated:
    """A profile, how long it took to make (s), and what it predicts over what was measured, each graph."""

    device: Device
    took_s: float
    ratios: np.ndarray

    @property
    def off(self) -> np.ndarray:
        return np.abs(self.ratios - 1.0)


def calibrated(scope: Scope, found: Sequence[Graph], seconds: np.ndarray) -> Calibrated:
    started = time.perf_counter()
    device = calibrate(scope=scope)
    took_s = time.perf_counter() - started
    return Calibrated(device, took_s, predictions(device, found) / seconds)


def print_quiet(found: Sequence[Graph]) -> None:
    seconds = measured(found)
    full, again, quick = (calibrated(one, found, seconds) for one in (FULL, FULL, QUICK))
    runs, device = (full, again, quick), full.device
    roofs = [float(roofline_seconds(device, graph_work(g.model, g.batch))) for g in found]
    bounds = np.array([paper_bound_seconds(device, g.blocks, g.batch) for g in found])
    apart = np.abs(again.ratios / full.ratios - 1.0)
    print_table(
        f"{len(found)} graphs on {device.description}",
        ["figure", "full", "full again", "quick"],
        [
            ["calibration took", *(f"{one.took_s:.0f} s" for one in runs)],
            ["unstable", *("yes" if one.device.unstable else "no" for one in runs)],
            ["deviation in the median", *(f"{np.median(one.off):.1%}" for one in runs)],
            *(
                [f"within {part:.0%}", *(f"{np.mean(one.off <= part):.0%}" for one in runs)]
                for part in (0.10, 0.15, 0.25)
            ),
            *(
                [f"  within 10 %: {kind}"]
                + [f"{np.mean(one.off[of_kind(found, kind)] <= 0.10):.0%}" for one in runs]
                for kind in KINDS
            ),
        ],
    )
    print_table(
        "Beside the first full calibration",
        ["figure", "value"],
        [
            ["roofline is below the measured median", f"{np.mean(roofs <= seconds):.0%}"],
            ["Theorem 11 holds", f"{np.mean(seconds <= bounds):.0%}"],
            [
                "its bound over the measured median, in the median",
                f"{np.median(bounds / seconds):.1f}",
            ],
            ["the other full one predicts apart, median", f"{np.median(apart):.1%}"],
            ["the other full one predicts apart, most", f"{apart.max():.1%}"],
        ],
    )
    worst = np.argsort(full.off)[::-1][:WORST]
    print_table(
        "The worst",
        ["graph", "predicted over measured"],
        [[found[i].name, f"{full.ratios[i]:.2f}"] for i in worst],
        prose={"graph"},
    )


def print_busy(found: Sequence[Graph], times: int) -> None:
    with subprocess.Popen([sys.executable, "-c", "while True: pass"]) as neighbour:
        seconds = measured(found)
        runs = [calibrated(QUICK, found, seconds) for _ in range(times)]
        neighbour.kill()
    rows = [
        [
            str(number),
            f"{one.took_s:.0f} s",
            "yes" if one.device.unstable else "no",
            f"{np.median(one.off):.1%}",
            f"{np.mean(one.off <= 0.10):.0%}",
            f"{one.off.max():.0%}",
        ]
        for number, one in enumerate(runs, 1)
    ]
    print_table(
        f"{len(found)} graphs after calibrate --quick, beside a program that keeps one core busy",
        ["run", "took", "unstable", "off in the median", "within 10 %", "worst"],
        rows,
    )


def main() -> None:
    options = argparse.ArgumentParser()
    options.add_argument("--busy", type=int, default=0)
    times = options.parse_args().busy
    if times:
        print_busy(graphs(), times)
    else:
        print_quiet(graphs())


def of_kind(found: Sequence[Graph], kind: str) -> np.ndarray:
    return np.array([one.name.startswith(kind) for one in found])


if __name__ == "__main__":
    main()
