"""How close the device model, calibrated here, comes to measured medians on graphs it has not seen.

100 graphs of five kinds, drawn with a seed: widths 8 to 1,024, batches 1 to 4,096, none of them part of
the calibration. Theorem 11 with the calibrated C and B beside the same times, and a second
calibration's predictions beside the first's. Takes about eight minutes on a quiet machine.

python benchmarks/prediction.py
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from onnx import ModelProto

from hedge.benching import calibrate
from hedge.benching.calibration import WindowedTimer, clocked
from hedge.benching.calibration.probes import PASSES, Builder
from hedge.cli.console import print_table
from hedge.compression import blocks_of
from hedge.devices import Block, Device, paper_bound_seconds, predicted_seconds, roofline_seconds
from hedge.graph import BlockLayout, BlockMatrix, SiteMatrix, assemble, graph_work, split

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
    builder = Builder(widths[0])
    source = "x"
    for layer, (inputs, outputs) in enumerate(pairwise(widths)):
        if layer:
            source = PASSES[activation](builder, source, inputs)
        source = builder.gemm(source, outputs, inputs)
    if conditions:
        source = with_conditions(builder, source)
    return builder.model(source, widths[-1])


def with_conditions(builder: Builder, output: str) -> str:
    """u = (1 − x²) t N(x, t) − sin πx, as hedge's own Burgers networks end."""
    sizes = builder.constant(np.array([1, 1], np.int64))
    x = builder.node("Split", "x", sizes, outputs=2, axis=1)
    t = x.replace(".0", ".1")
    one, pi = (builder.constant(np.array([v], np.float32)) for v in (1.0, np.pi))
    factor = builder.node("Sub", one, builder.node("Mul", x, x))
    inside = builder.node("Mul", builder.node("Mul", factor, t), output)
    initial = builder.node("Neg", builder.node("Sin", builder.node("Mul", x, pi)))
    return builder.node("Add", inside, initial)


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


def main() -> None:
    found = graphs()
    device = calibrate()
    seconds = measured(found)
    again = calibrate()
    predicted, repeated = predictions(device, found), predictions(again, found)
    signed = predicted / seconds - 1.0
    off = np.abs(signed)
    roofs = [float(roofline_seconds(device, graph_work(g.model, g.batch))) for g in found]
    bounds = np.array([paper_bound_seconds(device, g.blocks, g.batch) for g in found])
    apart = np.abs(repeated / predicted - 1.0)
    rows = [
        ["graphs", str(len(found))],
        ["median deviation of the prediction", f"{np.median(off):.1%}"],
        ["within 10 %", f"{np.mean(off <= 0.10):.0%}"],
        ["within 25 %", f"{np.mean(off <= 0.25):.0%}"],
        *(
            [f"  within 10 %: {kind}", f"{np.mean(off[of_kind(found, kind)] <= 0.10):.0%}"]
            for kind in KINDS
        ),
        ["roofline is below the measured median", f"{np.mean(roofs <= seconds):.0%}"],
        ["Theorem 11 holds", f"{np.mean(seconds <= bounds):.0%}"],
        ["its bound over the measured median, in the median", f"{np.median(bounds / seconds):.1f}"],
        ["two calibrations apart, median", f"{np.median(apart):.1%}"],
        ["two calibrations apart, most", f"{apart.max():.1%}"],
    ]
    print_table(device.description, ["figure", "value"], rows)
    worst = np.argsort(off)[::-1][:WORST]
    print_table(
        "The worst",
        ["graph", "predicted over measured"],
        [[found[i].name, f"{1.0 + signed[i]:.2f}"] for i in worst],
        prose={"graph"},
    )


def of_kind(found: Sequence[Graph], kind: str) -> np.ndarray:
    return np.array([one.name.startswith(kind) for one in found])


if __name__ == "__main__":
    main()
