"""The paper's Theorems 10 and 11, to the letter, and the constants with which 11 holds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import scipy

from hedge.arrays import Array
from hedge.devices import BYTES_PER_FLOAT, Device
from hedge.hmatrix import Block
from hedge.hmatrix.checks import positive


@dataclass(frozen=True)
class PaperEnergy:
    """Theorem 10 to the letter, α k² + β a block; a dense block has full rank.

    >>> PaperEnergy(alpha=0.25, beta=0.5).dense(8, 8)
    16.5
    """

    alpha: float
    beta: float

    def __post_init__(self) -> None:
        positive("alpha", self.alpha)
        positive("beta", self.beta)

    def low_rank(self, rows: int, columns: int, ranks: Array) -> Array:
        """α k² + β."""
        return self.alpha * ranks**2 + self.beta

    def dense(self, rows: int, columns: int) -> float:
        """α min(m, n)² + β."""
        return self.alpha * min(rows, columns) ** 2 + self.beta


def paper_terms(blocks: Sequence[Block], batch: int = 1) -> tuple[int, int]:
    """Σ k², once per input row, and Σ |H_ij| in bytes."""
    squares = sum(block.count * block.full_rank**2 for block in blocks)
    return batch * squares, sum(BYTES_PER_FLOAT * block.count * block.numbers for block in blocks)


def paper_bound_seconds(device: Device, blocks: Sequence[Block], batch: int = 1) -> float:
    """Theorem 11 to the letter: (1/C) Σ k² + (1/B) Σ |H_ij|, the first term once per input row.

    It undercounts: k² stands for the 2k(m + n) operations of a rank-k block, and activations and
    calls are not in it. A real device often exceeds it; whether it holds is for bench to say.

    >>> from hedge.devices import find_profile
    >>> from hedge.hmatrix import Block
    >>> paper_bound_seconds(find_profile("paper-example"), [Block(8, 8, 2)])
    1.284
    """
    squares, moved = paper_terms(blocks, batch)
    return squares / device.paper.compute.value + moved / device.paper.bandwidth.value


def tightest_constants(
    squares: Array, moved: Array, seconds: Array, fastest: float = np.inf
) -> tuple[float, float]:
    """C and B with which Theorem 11 holds for all runs, by the least total of bound / measured.

    squares is Σ k² and moved Σ |H_ij| of each run, seconds its time, all (runs,). With p = 1/C and
    q = 1/B this is a linear program in two unknowns: minimise Σ (squares p + moved q) / seconds
    subject to squares p + moved q ≥ seconds for every run, p and q positive. A dense block takes 2 k²
    operations a row, so C is at most half of ``fastest``, the flop/s that no run exceeds, whatever the
    runs at hand say.

    >>> C, B = tightest_constants(np.array([1.0, 4.0]), np.array([2.0, 1.0]), np.array([4.0, 9.0]))
    >>> round(1 / C, 9), round(1 / B, 9)
    (2.0, 1.0)
    """
    features = np.stack((squares, moved), axis=1) / seconds[:, None]
    sizes = features.max(axis=0)
    scaled = features / sizes
    # A term that no run needs gets a share too small to matter, since a rate can't be infinite.
    least = [(max(1e-9, 2.0 / fastest * sizes[0]), None), (1e-9, None)]
    found = scipy.optimize.linprog(
        scaled.sum(axis=0), A_ub=-scaled, b_ub=-np.ones(len(scaled)), bounds=least
    )
    p, q = found.x / sizes
    return float(1.0 / p), float(1.0 / q)


def paper_energy_joules(device: Device, blocks: Sequence[Block]) -> float:
    """Theorem 10 to the letter: Σ α k² + β over the blocks."""
    squares, _ = paper_terms(blocks)
    count = sum(block.count for block in blocks)
    return device.paper.alpha.value * squares + device.paper.beta.value * count
