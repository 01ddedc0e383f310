"""Whether compression ever makes a model slower: 50 random ones, timed beside their originals.

python benchmarks/never_slower.py [FIRST [LAST]]
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from onnx import ModelProto

import hedge
from hedge.benching import Effort, time_ratio
from hedge.cli.console import print_table
from hedge.errors import HedgeError
from hedge.graph import GraphBuilder, load_model
from hedge.graph.activations import silu

COUNT = 50
TOLERANCE = 1e-2
SLOWER = 1.03
STEPS = 500  # of recovery
EFFORT = Effort(warm_up_s=0.1, timed_s=0.45, least_runs=15)
# A ratio above this is measured again, longer, before it counts.
DOUBTFUL = 1.0
LONG = Effort(warm_up_s=0.2, timed_s=3.0)
HIDDEN_RANK = 6


@dataclass(frozen=True)
class Draw:
    """One random model and the batch it is compressed for."""

    seed: int
    inputs: int
    width: int
    depth: int
    outputs: int
    activation: str
    skips: bool
    structured: bool
    batch: int

    @staticmethod
    def of(seed: int) -> Draw:
        rng = np.random.default_rng(seed)
        return Draw(
            seed=seed,
            inputs=int(rng.integers(1, 6)),
            width=round(2.0 ** rng.uniform(3.0, 9.0)),
            depth=int(rng.integers(1, 9)),
            outputs=int(rng.integers(1, 4)),
            activation=str(rng.choice(["Tanh", "SiLU", "Relu", "Sin"])),
            skips=bool(rng.random() < 0.3),
            structured=seed % 2 == 1,
            batch=round(2.0 ** rng.uniform(0.0, 12.0)),
        )

    def model(self) -> ModelProto:
        rng = np.random.default_rng(self.seed + 10**6)
        sizes = [self.inputs, *[self.width] * self.depth, self.outputs]
        graph, source = GraphBuilder(), "x"
        for layer, (n_in, n_out) in enumerate(pairwise(sizes)):
            weight, bias = self._weight(rng, n_out, n_in), 0.3 * rng.standard_normal(n_out)
            z = graph.linear(source, weight, bias)
            if layer < self.depth:
                a = silu(graph, z) if self.activation == "SiLU" else graph.add(self.activation, z)
                source = graph.add("Add", a, source) if self.skips and layer else a
        return graph.model({"x": self.inputs}, {z: self.outputs})

    def _weight(self, rng: np.random.Generator, n_out: int, n_in: int) -> np.ndarray:
        """Random; or, if structured, of few directions and a little of all others."""
        whole = rng.standard_normal((n_out, n_in)) / np.sqrt(n_in)
        if not self.structured or min(n_out, n_in) <= HIDDEN_RANK:
            return whole
        left, right = (
            rng.standard_normal((n_out, HIDDEN_RANK)),
            rng.standard_normal((HIDDEN_RANK, n_in)),
        )
        return left @ right / np.sqrt(HIDDEN_RANK * n_in) + 1e-4 * whole


@dataclass(frozen=True)
class Outcome:
    """measured is the result's time over the dense model's, 1 where they are the same graph."""

    draw: Draw
    predicted: float
    measured: float
    parameters: float
    note: str


def outcome(draw: Draw, folder: Path) -> Outcome:
    path, small = folder / f"{draw.seed}.onnx", folder / f"{draw.seed}.small.onnx"
    path.write_bytes(draw.model().SerializeToString())
    compressed = hedge.compress(
        path,
        device="auto",
        tolerance=TOLERANCE,
        batch=draw.batch,
        domain=",".join(["-1:1"] * draw.inputs),
        steps=STEPS,
    )
    hedge.export(compressed, small)
    plan, ratio = compressed.plan, 1.0
    if plan.gains:
        dense, result = load_model(path), load_model(small)
        ratio = time_ratio(dense, result, draw.batch, EFFORT)
        if ratio > DOUBTFUL:
            ratio = time_ratio(dense, result, draw.batch, LONG)
    return Outcome(
        draw,
        plan.predicted_s / plan.dense_predicted_s,
        ratio,
        plan.parameters / plan.dense_parameters,
        plan.note,
    )


def main(first: int = 0, last: int = COUNT) -> None:
    outcomes = []
    with TemporaryDirectory() as folder:
        for seed in range(first, last):
            try:
                outcomes.append(outcome(Draw.of(seed), Path(folder)))
            except HedgeError as error:
                print(f"model {seed}: {error}", file=sys.stderr)
            else:
                one = outcomes[-1]
                print(f"{seed}: {one.measured:.3f} {one.note}", file=sys.stderr, flush=True)
    rows = [
        [
            str(one.draw.seed),
            f"{one.draw.inputs}-{one.draw.width}x{one.draw.depth}-{one.draw.outputs}",
            one.draw.activation + (", skips" if one.draw.skips else ""),
            "yes" if one.draw.structured else "no",
            str(one.draw.batch),
            f"{one.parameters:.3f}",
            f"{one.predicted:.3f}",
            f"{one.measured:.3f}",
        ]
        for one in outcomes
    ]
    columns = ["model", "shape", "activation", "structured", "batch", "parameters", "predicted"]
    print_table(
        f"{len(outcomes)} random models at tolerance {TOLERANCE:g}; figures over the dense model's",
        [*columns, "measured"],
        rows,
    )
    ratios = np.array([one.measured for one in outcomes])
    changed = np.array([one.note == "" for one in outcomes])
    refused = sum(one.note.startswith("measured") for one in outcomes)
    print(
        f"{changed.sum()} compressed, {refused} kept dense by measurement; worst ratio "
        f"{ratios.max():.3f}, median of the compressed {np.median(ratios[changed]):.3f}; "
        f"{(ratios > SLOWER).sum()} more than {SLOWER - 1:.0%} slower"
    )


if __name__ == "__main__":
    main(*map(int, sys.argv[1:3]))
