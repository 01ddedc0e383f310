"""A tensor-product cubic B-spline as a graph of standard ops."""

from __future__ import annotations

import math
from functools import reduce

import numpy as np
from onnx import ModelProto, TensorProto

from hedge.arrays import Array
from hedge.graph import GraphBuilder
from hedge.problems import Domain

# The four cubic B-splines that meet in a cell, at t in [0, 1]: rows of coefficients of 1, t, t², t³.
BASIS = np.array([[1, -3, 3, -1], [4, 0, -6, 3], [1, 3, 3, -3], [0, 0, 0, 1]]) / 6.0
LARGEST = np.finfo(np.float32).max
NEIGHBOURS = 4


def table_to_onnx(coefficients: Array, domain: Domain) -> ModelProto:
    """The spline with ``coefficients`` (c₁ + 3, …, c_d + 3, m) on c_k equal cells per axis of a box.

    Input ``x`` [n, d], output ``u`` [n, m], n dynamic, float32. Points outside the box are
    extrapolated by the nearest cell. Inside the graph the batch is the last axis, so that every
    elementwise op runs over it without a stride.
    """
    # What float32 can't hold becomes its largest number, and the error tells.
    coefficients = np.clip(coefficients, -LARGEST, LARGEST)
    *counts, outputs = coefficients.shape
    axes = len(counts)
    cells = np.array(counts) - (NEIGHBOURS - 1)
    graph = GraphBuilder()

    scale = cells / (domain.upper - domain.lower)
    shift = (-domain.lower * scale)[:, None]
    place = graph.add("Gemm", np.diag(scale), "x", shift, transB=1)
    cell = graph.add("Max", graph.add("Floor", place), np.zeros((axes, 1)))
    cell = graph.add("Min", cell, cells[:, None] - 1.0)  # (d, n)
    t = graph.add("Sub", place, cell)

    strides = np.array([math.prod(counts[k + 1 :]) for k in range(axes)])
    corner = graph.add(
        "MatMul", strides[None].astype(np.float64), cell
    )  # exact in float32: below 2²⁴
    steps = [math.prod(counts) * np.arange(outputs)]
    steps += [stride * np.arange(NEIGHBOURS) for stride in strides]
    offsets = reduce(np.add.outer, steps)[..., None]  # (m, 4, …, 4, 1)
    corner = graph.add("Cast", corner, to=TensorProto.INT32)
    index = graph.add("Add", corner, offsets.astype(np.int32))
    # Over flat arrays GatherElements copies number by number, ten times faster than Gather.
    flat = graph.add("Reshape", index, [-1])
    entries = np.moveaxis(coefficients, -1, 0).ravel()
    patch = graph.add("GatherElements", entries, flat, axis=0)
    patch = graph.add("Reshape", patch, [*offsets.shape[:-1], -1])  # (m, 4, …, 4, n)

    weighted = graph.add("Mul", patch, _patch_weights(graph, t, axes))
    total = graph.add("ReduceSum", weighted, [*range(1, axes + 1)], keepdims=0)  # (m, n)
    u = graph.add("Transpose", total, output="u", perm=[1, 0])
    return graph.model({"x": domain.dimension}, {u: outputs}, "table")


def _patch_weights(graph: GraphBuilder, t: str, axes: int) -> str:
    """Products of the basis functions of all axes at ``t`` (d, n): (4, …, 4, n)."""
    square = graph.add("Mul", t, t)
    powers = graph.add("Concat", t, square, graph.add("Mul", square, t), axis=0)  # (3 d, n)
    # Row 4 k + j takes the powers of axis k to its basis function j.
    rows = np.kron(np.eye(axes), BASIS[:, 1:].reshape(NEIGHBOURS, 3))
    by_power = rows.reshape(-1, axes, 3).transpose(0, 2, 1).reshape(-1, 3 * axes)
    constants = np.tile(BASIS[:, 0], axes)[:, None]
    values = graph.add("Gemm", by_power, powers, constants)  # (4 d, n)
    if axes == 1:
        return values
    product = ""
    for axis, part in enumerate(graph.split(values, [NEIGHBOURS] * axes, axis=0)):
        later = [*range(1, axes - axis)]
        spread = graph.add("Unsqueeze", part, later) if later else part
        product = graph.add("Mul", product, spread) if product else spread
    return product
