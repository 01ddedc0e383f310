"""What the nodes of a call cost in onnxruntime: by tables of whole nodes, else by rates."""

from __future__ import annotations

import numpy as np

from hedge.devices.profile import OnnxRuntime
from hedge.devices.work import BYTES_PER_FLOAT, FUSED, Count, Pass, Product, Work
from hedge.ops import op_of

# MLAS, onnxruntime's matrix library, packs constant matrices in panels of so many columns, on every
# processor: 17 outputs take as long as 32. Within the first, fewer are less to write.
PANEL = 16
# What each product of a batched MatMul costs beside its flops, in nodes: measured in onnxruntime 1.31
# with 16 to 64 products of 16 to 64 rows, 0.1 to 0.15 us where a node takes 0.34 us.
NODES_PER_PRODUCT = 0.35
# Transposes jump through memory, even in the caches: 6 to 20 GB/s were measured where passes that go
# over numbers in order ran at 50 (onnxruntime 1.31, x86).
STRIDES = 3.0


def onnxruntime_seconds(runtime: OnnxRuntime, work: Work) -> Count:
    """What the nodes of a call take one after the other, without the call itself."""
    products = sum(_product_seconds(runtime, product) for product in work.products)
    return products + sum(_pass_seconds(runtime, one) for one in work.passes)


def seconds_by_table(runtime: OnnxRuntime, work: Work) -> dict[str, float]:
    """The same by the tables that it is read from: "gemm", "batched", or the name of a pass."""
    found = dict[str, float]()
    for product in work.products:
        name = "gemm" if product.packed else "batched"
        found[name] = found.get(name, 0.0) + float(_product_seconds(runtime, product))
    for one in work.passes:
        name = _measured_as(runtime, one)
        if name in runtime.passes:
            found[name] = found.get(name, 0.0) + float(_pass_seconds(runtime, one))
    return found


def _product_seconds(runtime: OnnxRuntime, product: Product) -> Count:
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


def _flop_rate(runtime: OnnxRuntime, product: Product) -> Count:
    """Of a product as large as one of square matrices; log-log between the sizes known."""
    if not runtime.compute_by_size:
        return runtime.compute.value
    size = np.cbrt(np.maximum(product.rows * product.columns * product.depth, 1.0))
    known = sorted(runtime.compute_by_size, key=lambda rate: rate.size)
    sizes, rates = [rate.size for rate in known], [rate.value for rate in known]
    return np.exp(np.interp(np.log(size), np.log(sizes), np.log(rates)))


def _pass_seconds(runtime: OnnxRuntime, one: Pass) -> Count:
    table = runtime.passes.get(_measured_as(runtime, one))
    if table is not None:
        return table.at(one.written) if len(table.axes) == 1 else table.at(one.spans, one.length)
    functions = one.evaluations * runtime.activation.value
    if one.fused:  # in place: what no function is evaluated for is read and written
        moved = 0 if one.transcendental else 2 * one.written
        return functions + BYTES_PER_FLOAT * moved / runtime.bandwidth.value
    return runtime.node.value + _moved_seconds(runtime, one) + functions


def _moved_seconds(runtime: OnnxRuntime, one: Pass) -> Count:
    slower = STRIDES if one.op.startswith("Transpose") else 1.0
    return slower * one.bytes / runtime.bandwidth.value


def _measured_as(runtime: OnnxRuntime, one: Pass) -> str:
    """The table of this op or of one as fast; ops on operands of unequal size have their own."""
    name = one.op.removeprefix(FUSED)
    op = op_of(name)
    if one.fused:
        return one.op if one.op in runtime.passes else FUSED + (op.fused or name)
    similar = op.cost or name
    if similar == "Add" and one.spans > 1:
        similar = "Add of rows"
    return similar
