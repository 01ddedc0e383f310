"""Work, counted once, and what it costs on a device, in seconds or joules.

A count is a number, or a numpy array of numbers where many sizes are priced at once.

Two numbers with two names, never mixed: the *prediction* of the device model and the *roofline*, a
lower bound. The paper's bound has a module of its own (:mod:`hedge.paper.costs`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from hedge.devices.profile import Device, Runtime
from hedge.ops import op_of

BYTES_PER_FLOAT = 4
Count = Any
# How an activation is called that runs as part of the Gemm before it.
FUSED = "Gemm+"


@dataclass(frozen=True)
class Product:
    """One node of ``count`` matrix products, (rows, depth) times (depth, columns) each.

    packed says that the second factor is one constant matrix, which runtimes rearrange at load.
    """

    rows: Count
    columns: Count
    depth: Count
    count: Count = 1
    packed: bool = True

    @property
    def flops(self) -> Count:
        """A multiplication and an addition for every pair of numbers that meet."""
        return 2 * self.count * self.rows * self.columns * self.depth

    @property
    def bytes(self) -> Count:
        """Both factors and the result, float32; of packed ones the bias, too."""
        rows, columns, depth = self.rows, self.columns, self.depth
        numbers = self.count * (rows * (columns + depth) + columns * depth)
        return BYTES_PER_FLOAT * (numbers + columns if self.packed else numbers)


@dataclass(frozen=True)
class Pass:
    """One node that goes over numbers: elementwise, or moving them.

    It writes ``spans`` runs of ``length`` numbers that lie together (one run where operands are as
    large as the result) and reads ``read`` numbers. An op named ``Gemm+…`` is part of a Gemm.
    """

    op: str
    spans: Count = 0
    length: Count = 0
    read: Count = 0

    @property
    def fused(self) -> bool:
        """Whether it is part of the Gemm before it, in place, and no node of its own."""
        return self.op.startswith(FUSED)

    @property
    def written(self) -> Count:
        """Numbers of the result."""
        return self.spans * self.length

    @property
    def bytes(self) -> Count:
        """Operands and result, float32; nothing where it works in place."""
        if self.fused or op_of(self.op).alias:
            return 0
        return BYTES_PER_FLOAT * (self.read + self.written)

    @property
    def transcendental(self) -> bool:
        """Whether it evaluates such a function of every number."""
        return op_of(self.op.removeprefix(FUSED)).transcendental

    @property
    def evaluations(self) -> Count:
        """Transcendental functions evaluated."""
        return self.written if self.transcendental else 0


@dataclass(frozen=True)
class Work:
    """The nodes of one call.

    >>> work = gemm_work(1, 2, 3) + pass_work("Gemm+Tanh", 1, 2)
    >>> work.nodes, work.flops, work.activations
    (1, 12, 2)
    """

    products: tuple[Product, ...] = ()
    passes: tuple[Pass, ...] = ()

    def __add__(self, other: Work) -> Work:
        return Work(self.products + other.products, self.passes + other.passes)

    @property
    def nodes(self) -> int:
        """Nodes that run by themselves."""
        return len(self.products) + sum(not one.fused for one in self.passes)

    @property
    def flops(self) -> Count:
        """Floating-point operations of all products."""
        return sum(product.flops for product in self.products)

    @property
    def bytes(self) -> Count:
        """Bytes that all nodes read and write, each tensor once a node."""
        return sum(one.bytes for one in self.products) + sum(one.bytes for one in self.passes)

    @property
    def activations(self) -> Count:
        """Transcendental functions evaluated."""
        return sum(one.evaluations for one in self.passes)


def gemm_work(batch: Count, outputs: Count, inputs: Count) -> Work:
    """One Gemm node: (batch, inputs) times constant (inputs, outputs), with bias."""
    return Work((Product(batch, outputs, inputs),))


def product_work(rows: Count, columns: Count, depth: Count, count: Count = 1) -> Work:
    """One MatMul node of ``count`` products (rows, depth) times (depth, columns), none prepacked."""
    return Work((Product(rows, columns, depth, count, packed=False),))


def pass_work(op: str, spans: Count = 0, length: Count = 0, read: Count | None = None) -> Work:
    """One node that goes over numbers; without ``read`` it reads as many as it writes."""
    return Work(passes=(Pass(op, spans, length, spans * length if read is None else read),))


# MLAS, onnxruntime's matrix library, packs constant matrices in panels of so many columns, on every
# processor: 17 outputs take as long as 32. Within the first, fewer are less to write.
PANEL = 16
# A gain that is predicted counts from here on: predictions are off by some percent after calibration, by
# more with the figures of datasheets, though less where two graphs of one model are compared.
LEAST_GAIN = 0.05
# What each product of a batched MatMul costs beside its flops, in nodes: measured in onnxruntime 1.31
# with 16 to 64 products of 16 to 64 rows, 0.1 to 0.15 us where a node takes 0.34 us.
NODES_PER_PRODUCT = 0.35
# Transposes jump through memory, even in the caches: 6 to 20 GB/s were measured where passes that go
# over numbers in order ran at 50 (onnxruntime 1.31, x86).
STRIDES = 3.0


def predicted_seconds(device: Device, work: Work) -> Count:
    """The device model's time for one call: the call itself, and its nodes one after the other."""
    return device.runtime.call.value + marginal_seconds(device, work)


def marginal_seconds(device: Device, work: Work) -> Count:
    """The same without the call itself: what a part of a graph adds."""
    runtime = device.runtime
    products = sum(_product_seconds(runtime, product) for product in work.products)
    return products + sum(_pass_seconds(runtime, one) for one in work.passes)


def seconds_by_table(device: Device, work: Work) -> dict[str, float]:
    """The same by the tables that it is read from: "gemm", "batched", or the name of a pass."""
    runtime, found = device.runtime, dict[str, float]()
    for product in work.products:
        name = "gemm" if product.packed else "batched"
        found[name] = found.get(name, 0.0) + float(_product_seconds(runtime, product))
    for one in work.passes:
        name = _measured_as(runtime, one)
        if name in runtime.passes:
            found[name] = found.get(name, 0.0) + float(_pass_seconds(runtime, one))
    return found


def _product_seconds(runtime: Runtime, product: Product) -> Count:
    rows, columns, depth = product.rows, product.columns, product.depth
    if product.packed and runtime.gemm is not None:
        return runtime.gemm.at(rows, _in_panels(columns), depth)
    if not product.packed and runtime.batched is not None:
        each = runtime.batched.at(rows, _in_panels(columns), depth)
        return runtime.node.value + product.count * each
    nodes = 1.0 if product.packed else 1.0 + NODES_PER_PRODUCT * product.count
    return (
        nodes * runtime.node.value
        + product.flops / _flop_rate(runtime, product)
        + product.bytes / runtime.bandwidth.value
    )


def _in_panels(columns: Count) -> Count:
    columns = np.asarray(columns)
    return np.where(columns > PANEL, PANEL * np.ceil(columns / PANEL), columns)


def _flop_rate(runtime: Runtime, product: Product) -> Count:
    """Of a product as large as one of square matrices; log-log between the sizes known."""
    if not runtime.compute_by_size:
        return runtime.compute.value
    size = np.cbrt(np.maximum(product.rows * product.columns * product.depth, 1.0))
    known = sorted(runtime.compute_by_size, key=lambda rate: rate.size)
    sizes, rates = [rate.size for rate in known], [rate.value for rate in known]
    return np.exp(np.interp(np.log(size), np.log(sizes), np.log(rates)))


def _pass_seconds(runtime: Runtime, one: Pass) -> Count:
    table = runtime.passes.get(_measured_as(runtime, one))
    if table is not None:
        return table.at(one.written) if len(table.axes) == 1 else table.at(one.spans, one.length)
    functions = one.evaluations * runtime.activation.value
    if one.fused:  # in place: what no function is evaluated for is read and written
        moved = 0 if one.transcendental else 2 * one.written
        return functions + BYTES_PER_FLOAT * moved / runtime.bandwidth.value
    return runtime.node.value + _moved_seconds(runtime, one) + functions


def _moved_seconds(runtime: Runtime, one: Pass) -> Count:
    slower = STRIDES if one.op.startswith("Transpose") else 1.0
    return slower * one.bytes / runtime.bandwidth.value


def _measured_as(runtime: Runtime, one: Pass) -> str:
    """The table of this op or of one as fast; ops on operands of unequal size have their own."""
    name = one.op.removeprefix(FUSED)
    op = op_of(name)
    if one.fused:
        return one.op if one.op in runtime.passes else FUSED + (op.fused or name)
    similar = op.cost or name
    if similar == "Add" and one.spans > 1:
        similar = "Add of rows"
    return similar


def energy_joules(device: Device, work: Work, seconds: Count) -> Count:
    """Modelled energy of a call that takes ``seconds``: static power over time, plus flops."""
    return device.power.idle.value * seconds + device.power.flop_energy.value * work.flops


def roofline_seconds(device: Device, work: Work) -> Count:
    """max(flops / peak, bytes / bandwidth of the fastest cache): no run on one core is faster."""
    limits = device.limits
    return max(work.flops / limits.compute.value, work.bytes / limits.bandwidth.value)
