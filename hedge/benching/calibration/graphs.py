"""Whole networks to fit a call to, and to check predictions on: drawn at random, with a seed."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from onnx import ModelProto

from hedge.benching.calibration.probes import PASSES, chain, gemm
from hedge.graph import BlockLayout, BlockMatrix, GraphBuilder, assemble, split
from hedge.hmatrix import Block

ACTIVATIONS = ("Tanh", "Tanh", "QuickGelu", "Sin", None)


@dataclass(frozen=True)
class TimedNetwork:
    """A network, the rows it is called with, and a chain's matrices as the paper counts them."""

    model: ModelProto
    batch: int
    blocks: tuple[Block, ...] = ()


def small_networks() -> list[TimedNetwork]:
    """Chains of so few numbers that calls and nodes are what they take."""
    return [
        _network((width,) * (1 + depth), activation, rank, 1)
        for width in (8, 16)
        for depth in (1, 4, 8)
        for activation in (None, "Tanh")
        for rank in (None, 2)
    ]


def random_networks(count: int, seed: int, most_flops: float) -> list[TimedNetwork]:
    """Chains of 8 to 1,024 neurons and 1 to 4,096 rows, a third of them with layers of low rank."""
    rng = np.random.default_rng(seed)
    return [_random_chain(rng, most_flops) for _ in range(count)]


def held_out_networks(count: int, seed: int, most_flops: float) -> list[TimedNetwork]:
    """As many, in turns chains, networks in blocks and ones with hard conditions: all that hedge makes."""
    rng = np.random.default_rng(seed)
    kinds = (_random_chain, _random_blocks, _random_chain, _random_conditions)
    return [kinds[i % len(kinds)](rng, most_flops) for i in range(count)]


def _random_chain(rng: np.random.Generator, most_flops: float) -> TimedNetwork:
    depth, batch = int(rng.integers(2, 6)), _rows(rng)
    widths = [int(2 ** rng.uniform(3.0, 10.0)) for _ in range(depth)]
    rank = max(2, min(widths) // 8) if rng.random() < 1 / 3 else None
    activation = ACTIVATIONS[int(rng.integers(len(ACTIVATIONS)))]
    sizes = (int(rng.integers(1, 4)), *widths, 1)
    if _flops(sizes, batch) > most_flops:
        return _random_chain(rng, most_flops)
    return _network(sizes, activation, rank, batch)


def _random_blocks(rng: np.random.Generator, most_flops: float) -> TimedNetwork:
    """Two hidden layers whose matrix between them is in blocks with shared bases."""
    width, batch = 16 * int(2 ** rng.uniform(2.0, 6.0)), _rows(rng)
    count, rank = int(rng.choice([4, 8, 16])), int(rng.integers(1, 5))
    sizes = (2, width, width, 1)
    if _flops(sizes, batch) > most_flops:
        return _random_blocks(rng, most_flops)
    parts = split(chain(sizes, "Tanh"))
    name = parts.sites[1].name
    matrix = _in_blocks(rng, BlockLayout(width, width, count, rank))
    return TimedNetwork(assemble(parts.skeleton, {**parts.matrices, name: matrix}), batch)


def _in_blocks(rng: np.random.Generator, layout: BlockLayout) -> BlockMatrix:
    count, rank, (height, width) = layout.leaves, layout.rank, layout.leaf
    return BlockMatrix(
        rng.standard_normal((count, height, width + rank)) / np.sqrt(width),
        rng.standard_normal((count * rank, count * rank)) / np.sqrt(count * rank),
        rng.standard_normal((count, rank, width)) / np.sqrt(width),
        np.zeros(layout.outputs),
        layout.inputs,
    )


def _random_conditions(rng: np.random.Generator, most_flops: float) -> TimedNetwork:
    """u = t (1 − x²) N(x, t) − sin x: nodes that cut, join and go over few numbers a row."""
    width, batch = int(2 ** rng.uniform(3.0, 8.0)), _rows(rng)
    if _flops((2, width, width, 1), batch) > most_flops:
        return _random_conditions(rng, most_flops)
    graph, source = GraphBuilder(), "x"
    for inputs in (2, width):
        source = PASSES["Tanh"](graph, gemm(graph, source, width, inputs), width)
    inside = gemm(graph, source, 1, width)
    x, time = graph.split("x", [1, 1], axis=1)
    falls = graph.add("Sub", np.ones(1), graph.add("Mul", x, x))
    inside = graph.add("Mul", graph.add("Mul", falls, time), inside)
    output = graph.add("Sub", inside, graph.add("Sin", x))
    return TimedNetwork(graph.model({"x": 2}, {output: 1}), batch)


def _rows(rng: np.random.Generator) -> int:
    return int(2 ** rng.uniform(0.0, 12.0))


def _flops(sizes: tuple[int, ...], batch: int) -> int:
    return 2 * batch * sum(a * b for a, b in pairwise(sizes))


def _network(
    widths: tuple[int, ...], activation: str | None, rank: int | None, batch: int
) -> TimedNetwork:
    blocks = tuple(_block(rows, columns, rank) for columns, rows in pairwise(widths))
    return TimedNetwork(chain(widths, activation, rank), batch, blocks)


def _block(rows: int, columns: int, rank: int | None) -> Block:
    full = min(rows, columns)
    if rank is None or rank >= full:
        return Block(rows, columns, None)
    return Block(rows, columns, rank)
