"""What a computation costs on a device: work is counted once, then priced in seconds or joules.

Three numbers with three names, never mixed: the *prediction* of the device model, the *roofline*
(a lower bound), and the paper's Theorem 11 (called a bound there; see :func:`paper_bound_seconds`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from hedge.devices.profile import Device

BYTES_PER_FLOAT = 4
# What each product of a batched MatMul costs beside its flops, in nodes: measured in onnxruntime 1.31
# with 16 to 64 products of 16 to 64 rows, 0.1 to 0.15 us where a node takes 0.34 us.
NODES_PER_PRODUCT = 0.35
Count = Any  # a number, or a numpy array of numbers where many sizes are priced at once


@dataclass(frozen=True)
class Work:
    """Nodes that run, floating-point operations, bytes moved, transcendental functions evaluated.

    transposed is the bytes that transposes read and write; bytes are those of all other nodes.
    """

    nodes: Count = 0
    flops: Count = 0
    bytes: Count = 0
    activations: Count = 0
    transposed: Count = 0

    def __add__(self, other: Work) -> Work:
        return Work(
            self.nodes + other.nodes,
            self.flops + other.flops,
            self.bytes + other.bytes,
            self.activations + other.activations,
            self.transposed + other.transposed,
        )


@dataclass(frozen=True)
class Block:
    """A leaf of a layer's matrix as the paper counts it: its shape, its rank, and its bytes."""

    rows: int
    columns: int
    rank: int
    low_rank: bool

    @property
    def bytes(self) -> int:
        """|H_ij|: float32 factors if low rank, else the dense block."""
        entries = (
            self.rank * (self.rows + self.columns) if self.low_rank else self.rows * self.columns
        )
        return BYTES_PER_FLOAT * entries


def gemm_work(batch: Count, outputs: Count, inputs: Count) -> Work:
    """One Gemm node: (batch, inputs) times (inputs, outputs), with bias.

    >>> gemm_work(1, 2, 3).flops
    12
    """
    moved = batch * (inputs + outputs) + inputs * outputs + outputs
    return Work(nodes=1, flops=2 * batch * outputs * inputs, bytes=BYTES_PER_FLOAT * moved)


def batched_work(batch: Count, products: Count, outputs: Count, inputs: Count) -> Work:
    """One node of many small products: ``products`` matrices (outputs, inputs), each used once a row.

    >>> batched_work(1, 4, 2, 3).flops
    48
    """
    weights = products * outputs * inputs
    moved = weights + batch * products * (inputs + outputs)
    return Work(
        nodes=1 + NODES_PER_PRODUCT * products,
        flops=2 * batch * weights,
        bytes=BYTES_PER_FLOAT * moved,
    )


def copy_work(batch: Count, inputs: Count, outputs: Count) -> Work:
    """One node that only moves numbers; inputs and outputs per row of the batch."""
    return Work(nodes=1, bytes=BYTES_PER_FLOAT * batch * (inputs + outputs))


def transpose_work(batch: Count, numbers: Count) -> Work:
    """One node that brings the batch to the front or to the back; numbers per row of the batch."""
    return Work(nodes=1, transposed=2 * BYTES_PER_FLOAT * batch * numbers)


def predicted_seconds(device: Device, work: Work) -> Count:
    """The device model's time for one call (DESIGN, costs)."""
    runtime = device.runtime
    return runtime.call.value + marginal_seconds(device, work)


def marginal_seconds(device: Device, work: Work) -> Count:
    """The same without the call itself: what a part of a graph adds.

    Transposes jump through memory: they run at about the rate at which memory is copied, even in the
    caches (measured: 6 to 20 GB/s where that rate is 14 and Gemms read 110).
    """
    runtime = device.runtime
    return (
        work.nodes * runtime.node.value
        + work.flops / runtime.compute.value
        + work.bytes / runtime.bandwidth.value
        + work.activations * runtime.activation.value
        + work.transposed / device.paper.bandwidth.value
    )


def energy_joules(device: Device, work: Work, seconds: Count) -> Count:
    """Modelled energy of a call that takes ``seconds``: static power over time, plus flops."""
    return device.power.idle.value * seconds + device.power.flop_energy.value * work.flops


def roofline_seconds(device: Device, work: Work) -> Count:
    """max(flops / peak, bytes / bandwidth of the fastest cache): no run on one core is faster."""
    limits = device.limits
    moved = work.bytes + work.transposed
    return max(work.flops / limits.compute.value, moved / limits.bandwidth.value)


def paper_bound_seconds(device: Device, blocks: Sequence[Block], batch: int = 1) -> float:
    """Theorem 11 to the letter: (1/C) Σ k² + (1/B) Σ |H_ij|, the first term once per input row.

    It undercounts: k² stands for the 2k(m + n) operations of a rank-k block, and activations and
    calls are not in it. A real device often exceeds it; whether it holds is for bench to say.

    >>> from hedge.devices import find_profile
    >>> paper_bound_seconds(find_profile("paper-example"), [Block(8, 8, 2, True)])
    1.284
    """
    squares = sum(block.rank**2 for block in blocks)
    moved = sum(block.bytes for block in blocks)
    return batch * squares / device.paper.compute.value + moved / device.paper.bandwidth.value


def paper_energy_joules(device: Device, blocks: Sequence[Block]) -> float:
    """Theorem 10 to the letter: Σ α k² + β over the blocks."""
    squares = sum(block.rank**2 for block in blocks)
    return device.paper.alpha.value * squares + device.paper.beta.value * len(blocks)
