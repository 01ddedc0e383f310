"""What export reaches: the choice of forms, HODLR matrices in onnxruntime, C99 beside it.

python benchmarks/export.py [choice|hodlr|c99]
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import c99_timing
import numpy as np
from onnx import ModelProto

from hedge.benching import Effort, calibrate
from hedge.benching.protocol import bound_run, interleaved
from hedge.cli.console import print_table, seconds
from hedge.devices import predicted_seconds
from hedge.graph import (
    BlockLayout,
    BlockMatrix,
    Form,
    GraphBuilder,
    LeafMatrix,
    Matrix,
    SiteMatrix,
    assemble,
    forms_of,
    graph_work,
    split,
)
from hedge.hmatrix import Leaf

CLOSE = 1.10
EFFORT = Effort(warm_up_s=0.1, timed_s=0.3, least_runs=10)


@dataclass(frozen=True)
class Case:
    """A site's matrix, and for how many rows its form is to be chosen."""

    name: str
    make: Callable[[], Matrix]
    batch: int


def factors(width: int, rank: int) -> SiteMatrix:
    rng = np.random.default_rng(0)
    left, right = rng.standard_normal((width, rank)), rng.standard_normal((rank, width))
    return SiteMatrix((left / width, right), np.ones(width))


def shared_bases(width: int, leaf: int, rank: int) -> BlockMatrix:
    rng = np.random.default_rng(0)
    layout = BlockLayout(width, width, width // leaf, rank)
    (rows, columns), count = layout.leaf, layout.leaves
    return BlockMatrix(
        rows=rng.standard_normal((count, rows, columns + rank)) / width,
        coupling=rng.standard_normal((count * rank, count * rank)),
        right=rng.standard_normal((count, rank, columns)),
        bias=np.ones(width),
        inputs=width,
    )


def hodlr(width: int, leaf: int, rank: int) -> LeafMatrix:
    rng = np.random.default_rng(0)

    def leaves(start: int, stop: int) -> list[Leaf]:
        size = stop - start
        if size <= leaf:
            return [Leaf(start, stop, start, stop, (rng.standard_normal((size, size)) / width,))]
        middle = start + size // 2
        beside = [(start, middle, middle, stop), (middle, stop, start, middle)]
        return [
            *(Leaf(*place, factors(size // 2, rank).factors) for place in beside),
            *leaves(start, middle),
            *leaves(middle, stop),
        ]

    return LeafMatrix(tuple(leaves(0, width)), np.ones(width), width)


def cases() -> list[Case]:
    found = []
    for width in (16, 64, 128, 256, 512, 1024):
        for rank in (max(2, width // 16), 3 * width // 8):
            for batch in (1, 4096) if width > 128 else (1, 64):
                found.append(
                    Case(f"rank {rank} of {width}", lambda w=width, k=rank: factors(w, k), batch)
                )
    for width in (2048, 4096):
        for batch in (1, 128):
            found.append(
                Case(f"rank {width // 4} of {width}", lambda w=width: factors(w, w // 4), batch)
            )
    for width in (128, 256, 512, 1024, 2048, 4096):
        for batch in (1, 16, 128):
            found.append(
                Case(f"HODLR {width}", lambda w=width: hodlr(w, min(64, w // 4), 8), batch)
            )
    for width in (256, 512, 1024, 2048, 4096):
        for batch in (1, 16, 128) if width > 256 else (1, 128):
            found.append(
                Case(f"shared bases {width}", lambda w=width: shared_bases(w, 64, 4), batch)
            )
    return found


def in_forms(matrix: Matrix) -> dict[Form, ModelProto]:
    """u = tanh(H x + b) with H in each of its forms."""
    outputs, inputs = matrix.shape
    graph = GraphBuilder()
    u = graph.add("Tanh", graph.linear("x", np.zeros(matrix.shape)))
    dense = graph.model({"x": inputs}, {u: outputs})
    skeleton = split(dense).skeleton
    return {
        form: assemble(skeleton, {"site0": matrix}, forms={"site0": form})
        for form in forms_of(matrix)
    }


def print_choice() -> None:
    device = calibrate()
    close, rows = [], []
    for case in cases():
        models = in_forms(case.make())
        predicted = {
            form: float(predicted_seconds(device, graph_work(model, case.batch)))
            for form, model in models.items()
        }
        runs = [bound_run(model, case.batch, 1) for model in models.values()]
        timings = interleaved(runs, EFFORT)
        measured = {
            form: float(np.median(t.times)) for form, t in zip(models, timings, strict=True)
        }
        chosen, best = min(predicted, key=predicted.__getitem__), min(measured.values())
        close.append(measured[chosen] <= CLOSE * best)
        rows.append(
            [
                case.name,
                str(case.batch),
                chosen,
                min(measured, key=measured.__getitem__),
                f"{measured[chosen] / best:.2f}",
                ", ".join(
                    f"{form} {seconds(measured[form])} ({seconds(predicted[form])})"
                    for form in models
                ),
            ]
        )
    columns = ["site", "batch", "chosen", "fastest", "times the fastest", "measured (predicted)"]
    print_table("The form that is predicted to be the fastest", columns, rows)
    print(
        f"{sum(close)} of {len(close)} ({np.mean(close):.0%}) are within {CLOSE - 1:.0%} of the "
        "fastest"
    )


def print_hodlr() -> None:
    models = in_forms(hodlr(4096, 64, 8))
    rows = []
    for batch in (1, 16, 128):
        runs = [bound_run(model, batch, 1) for model in models.values()]
        timings = dict(zip(models, interleaved(runs, EFFORT), strict=True))
        warm = {form: float(np.median(t.times)) for form, t in timings.items()}
        cold = {form: float(np.median(t.first)) for form, t in timings.items()}
        rows.append([str(batch), *_beside(warm), *_beside(cold)])
    columns = ["batch"]
    for how in ("warm caches", "after another model"):
        columns += [f"dense, {how}", "panels", "levels"]
    print_table("HODLR 4,096, rank 8, leaves of 64 (times faster than dense)", columns, rows)


def _beside(times: Mapping[Form, float]) -> list[str]:
    dense = times["dense"]
    faster = [
        f"{seconds(times[form])} ({dense / times[form]:.1f}x)" for form in ("panels", "levels")
    ]
    return [seconds(dense), *faster]


PARTS = {"choice": print_choice, "hodlr": print_hodlr, "c99": c99_timing.main}


if __name__ == "__main__":
    for part in sys.argv[1:] or PARTS:
        PARTS[part]()
