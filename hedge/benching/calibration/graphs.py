"""Whole networks to fit a call to, and to check predictions on: drawn at random, with a seed."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from onnx import ModelProto

from hedge.benching.calibration.probes import chain
from hedge.devices import Block

MOST_FLOPS = 2e9  # of one call: a tenth of a second on a slow board
ACTIVATIONS = ("Tanh", "Tanh", "QuickGelu", "Sin", None)


@dataclass(frozen=True)
class Network:
    """A network, the rows it is called with, and its matrices as the paper counts them."""

    model: ModelProto
    batch: int
    blocks: tuple[Block, ...]


def small_networks() -> list[Network]:
    """Chains of so few numbers that calls and nodes are what they take."""
    return [
        _network((width,) * (1 + depth), activation, rank, 1)
        for width in (8, 16)
        for depth in (1, 4, 8)
        for activation in (None, "Tanh")
        for rank in (None, 2)
    ]


def random_networks(count: int, seed: int, most_flops: float = MOST_FLOPS) -> list[Network]:
    """Chains of 8 to 1,024 neurons and 1 to 4,096 rows, a third of them with layers of low rank."""
    rng = np.random.default_rng(seed)
    found: list[Network] = []
    while len(found) < count:
        depth, batch = int(rng.integers(2, 6)), int(2 ** rng.uniform(0.0, 12.0))
        widths = [int(2 ** rng.uniform(3.0, 10.0)) for _ in range(depth)]
        rank = max(2, min(widths) // 8) if rng.random() < 1 / 3 else None
        activation = ACTIVATIONS[int(rng.integers(len(ACTIVATIONS)))]
        sizes = (int(rng.integers(1, 4)), *widths, 1)
        if 2 * batch * sum(a * b for a, b in pairwise(sizes)) <= most_flops:
            found.append(_network(sizes, activation, rank, batch))
    return found


def _network(
    widths: tuple[int, ...], activation: str | None, rank: int | None, batch: int
) -> Network:
    blocks = tuple(_block(rows, columns, rank) for columns, rows in pairwise(widths))
    return Network(chain(widths, activation, rank), batch, blocks)


def _block(rows: int, columns: int, rank: int | None) -> Block:
    full = min(rows, columns)
    if rank is None or rank >= full:
        return Block(rows, columns, full, low_rank=False)
    return Block(rows, columns, rank, low_rank=True)
