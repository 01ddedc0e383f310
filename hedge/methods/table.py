"""A table instead of a network: cubic B-splines on a grid, for few inputs; a graph of standard ops."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache, reduce

import numpy as np
import scipy
from onnx import ModelProto, TensorProto

from hedge.arrays import Array
from hedge.compression import Case, ErrorEstimate
from hedge.devices import BYTES_PER_FLOAT
from hedge.graph import GraphBuilder, run_float32
from hedge.methods.candidate import Absent, Candidate
from hedge.problems import Domain

Cells = tuple[int, ...]

MOST_INPUTS = 3
DEGREE = 3
LEAST_CELLS = 1
# Parts of an axis' cells that are tried on the way back.
SHRINKING = (0.7, 0.85, 0.93, 0.97, 0.99)
MOST_ENTRIES = 2**20  # as many numbers as a layer of 1,024 neurons
# The dense model is sampled on a grid of at least so many points per cell, in powers of two.
LEAST_SAMPLES, SAMPLES_PER_CELL, MOST_SAMPLES = 16, 2, 2**22
CHUNK = 2**16  # rows per call of the dense model, whose hidden layers are to fit into memory


@dataclass(frozen=True)
class _Table:
    cells: Cells
    model: ModelProto
    entries: int
    error: ErrorEstimate


def cubic_table(case: Case) -> Candidate | Absent:
    """A tensor-product cubic B-spline on the coarsest grid that keeps the tolerance.

    Its coefficients are the least-squares fit to the dense model over the box (de Boor, A Practical
    Guide to Splines, 2001), C² and of fourth order. The cells of each axis are its knobs.
    """
    domain = case.points.domain
    if domain is None:
        return Absent("needs a box domain, and the points are not from one")
    if domain.shape is not None:
        return Absent("needs a box domain, and the points are from a shape")
    if domain.dimension > MOST_INPUTS:
        return Absent(f"{domain.dimension} inputs; a grid is for at most {MOST_INPUTS}")

    @cache
    def samples(counts: Cells) -> Array:
        return _on_grid(case.dense, domain, counts)

    @cache
    def table(cells: Cells) -> _Table:
        coefficients = fit(samples(_sample_counts(cells)), cells)
        model = table_to_onnx(coefficients, domain)
        return _Table(cells, model, coefficients.size, case.error_of(model, case.validation))

    found = _smallest(table, domain.dimension, case.request.tolerance)
    grid = " x ".join(map(str, found.cells))
    return Candidate(
        model=found.model,
        parameters=found.entries,
        bytes=BYTES_PER_FLOAT * found.entries,
        note=f"cubic B-splines on {grid} cells",
    )


def _smallest(table: Callable[[Cells], _Table], axes: int, tolerance: float) -> _Table:
    """Double the cells of one axis after the other until the tolerance is met, then take some back.

    Each time it is the axis where the error changes most, or least, per entry. Doubled grids are
    nested, so the error never rises on the way up. If no grid is fine enough, the finest is returned.
    """
    found = table((LEAST_CELLS,) * axes)
    while not found.error.surely_within(tolerance):
        larger = [table(cells) for cells in _doubled(found.cells)]
        if not larger:
            return found
        found = max(larger, key=lambda trial: _gain(found, trial))
    while True:
        smaller = [table(cells) for cells in _shrunk(found.cells)]
        smaller = [trial for trial in smaller if trial.error.surely_within(tolerance)]
        if not smaller:
            return found
        found = min(smaller, key=lambda trial: _gain(trial, found))


def fit(samples: Array, cells: Cells) -> Array:
    """Least squares, axis after axis: samples (s₁, …, s_d, m) -> coefficients (c₁ + 3, …, c_d + 3, m).

    Sample i of s stands at (i + ½) / s of its axis.

    >>> fit(np.ones((16, 1)), (4,)).round(9).ravel()
    array([1., 1., 1., 1., 1., 1., 1.])
    """
    coefficients = samples
    for axis, count in enumerate(cells):
        knots = np.arange(-DEGREE, count + DEGREE + 1) / count
        values = np.moveaxis(coefficients, axis, 0)
        fitted = scipy.interpolate.make_lsq_spline(_centres(len(values)), values, knots, k=DEGREE).c
        coefficients = np.moveaxis(fitted, 0, axis)
    return coefficients


def _centres(count: int) -> Array:
    return (np.arange(count) + 0.5) / count


def _on_grid(model: ModelProto, domain: Domain, counts: Cells) -> Array:
    """The outputs of the model at the centres of a grid, (s₁, …, s_d, m)."""
    axes = [
        lower + (upper - lower) * _centres(count)
        for (lower, upper), count in zip(domain.intervals, counts, strict=True)
    ]
    points = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, len(counts))
    outputs = [
        run_float32(model, points[start : start + CHUNK]) for start in range(0, len(points), CHUNK)
    ]
    return np.concatenate(outputs).reshape(*counts, -1)


def _sample_counts(cells: Cells) -> Cells:
    return tuple(max(LEAST_SAMPLES, 2 ** math.ceil(math.log2(SAMPLES_PER_CELL * c))) for c in cells)


def _doubled(cells: Cells) -> Iterator[Cells]:
    """The grids with twice the cells along one axis, as far as they are not too large."""
    for axis, count in enumerate(cells):
        doubled = _with_cells(cells, axis, 2 * count)
        entries = math.prod(c + DEGREE for c in doubled)
        if entries <= MOST_ENTRIES and math.prod(_sample_counts(doubled)) <= MOST_SAMPLES:
            yield doubled


def _shrunk(cells: Cells) -> Iterator[Cells]:
    """The grids with some cells less along one axis."""
    for axis, count in enumerate(cells):
        for fewer in sorted({int(part * count) for part in SHRINKING} - {0, count}):
            yield _with_cells(cells, axis, fewer)


def _with_cells(cells: Cells, axis: int, count: int) -> Cells:
    return (*cells[:axis], count, *cells[axis + 1 :])


def _gain(now: _Table, grown: _Table) -> float:
    """Decades that the error falls per decade that the entries rise."""
    fallen = math.log(now.error.relative / max(grown.error.relative, 1e-300))
    return fallen / math.log(grown.entries / now.entries)


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
