"""Networks by which the figures of C are found and checked: drawn at random, with a seed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from onnx import ModelProto

from hedge.benching.calibration.probes import PASSES
from hedge.devices import Work
from hedge.devices.c_cost import EIGHTS
from hedge.graph import (
    GraphBuilder,
    Matrix,
    Precision,
    SiteMatrix,
    assemble,
    graph_work,
    split,
    stored_as,
)
from hedge.hmatrix import Block

ACTIVATIONS = ("Tanh", "Sin", "Exp", "Relu", "Sigmoid", "Softplus")
NARROW: tuple[Precision, ...] = ("float16", "bfloat16", "int8")
NARROWEST, WIDEST = 2, 128
MOST_LAYERS, MOST_INPUTS = 5, 5
# Smaller networks are a few instructions each: compilers write them out whole, and no figure describes that.
LEAST_WEIGHTS = 100
# Small enough that no function overflows in layer after layer.
WEIGHT, BIAS = 0.5, 0.1


@dataclass(frozen=True, eq=False)
class CNetwork:
    """A skeleton, and the matrices at its sites."""

    skeleton: ModelProto
    matrices: Mapping[str, Matrix]

    def work(self, batch: int) -> Work:
        """Of one call with so many rows."""
        return graph_work(assemble(self.skeleton, self.matrices), batch)

    @property
    def blocks(self) -> tuple[Block, ...]:
        """Its matrices as the paper counts them."""
        return tuple(block for m in self.matrices.values() for block in m.structure.blocks)


def c_networks(count: int, seed: int, lanes: int) -> list[CNetwork]:
    """Chains of one to five hidden layers of 2 to 128 neurons; some have a block of 8 vectors.

    All have LEAST_WEIGHTS weights or more.
    A third have matrices of two factors, a quarter weights in less than float32.
    """
    rng = np.random.default_rng(seed)
    return [_network(rng, EIGHTS * lanes) for _ in range(count)]


def _network(rng: np.random.Generator, largest_block: int) -> CNetwork:
    depth = int(rng.integers(1, MOST_LAYERS + 1))
    hidden = [_width(rng) for _ in range(depth)]
    if rng.random() < 1 / 5:
        hidden[int(rng.integers(depth))] = largest_block + int(rng.integers(largest_block // 2))
    widths = [int(rng.integers(1, MOST_INPUTS + 1)), *hidden, 1]
    if sum(a * b for a, b in pairwise(widths)) < LEAST_WEIGHTS:
        return _network(rng, largest_block)
    parts = split(_chain(rng, widths, str(rng.choice(ACTIVATIONS))))
    factors = rng.random() < 1 / 3
    precision: Precision = (
        "float32" if rng.random() < 0.75 else NARROW[int(rng.integers(len(NARROW)))]
    )
    matrices = {
        site.name: stored_as(_factorized(rng, site.matrix) if factors else site.matrix, precision)
        for site in parts.sites
    }
    return CNetwork(parts.skeleton, matrices)


def _width(rng: np.random.Generator) -> int:
    """As many narrow as wide ones: of all blocks, and of what is left beside them."""
    return round(float(np.exp(rng.uniform(np.log(NARROWEST), np.log(WIDEST)))))


def _chain(rng: np.random.Generator, widths: list[int], activation: str) -> ModelProto:
    graph, source = GraphBuilder(), "x"
    for layer, (inputs, outputs) in enumerate(pairwise(widths)):
        if layer:
            source = PASSES.get(activation, _relu)(graph, source, inputs)
        weights = WEIGHT * rng.standard_normal((outputs, inputs)) / np.sqrt(inputs)
        bias = BIAS * rng.standard_normal(outputs)
        source = graph.linear(source, weights, bias)
    return graph.model({"x": widths[0]}, {source: 1}, "probe")


def _relu(graph: GraphBuilder, source: str, width: int) -> str:
    return graph.add("Relu", source)


def _factorized(rng: np.random.Generator, matrix: SiteMatrix) -> SiteMatrix:
    """Two random factors in its place, of a rank at which they are smaller, if there is one."""
    outputs, inputs = matrix.shape
    most = (outputs * inputs - 1) // (outputs + inputs)
    if most < 1:
        return matrix
    rank = int(rng.integers(1, most + 1))
    left = WEIGHT * rng.standard_normal((outputs, rank)) / np.sqrt(rank)
    return SiteMatrix((left, rng.standard_normal((rank, inputs)) / np.sqrt(inputs)), matrix.bias)
