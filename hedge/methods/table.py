"""A table instead of a network: cubic B-splines on a grid, for few inputs."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache

import numpy as np
from onnx import ModelProto
from scipy.interpolate import make_lsq_spline

from hedge.arrays import Array
from hedge.compression import Case, ErrorEstimate
from hedge.devices import BYTES_PER_FLOAT
from hedge.graph import run_float32
from hedge.methods.candidate import Absent, Candidate
from hedge.methods.table_graph import table_to_onnx
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
        fitted = make_lsq_spline(_centres(len(values)), values, knots, k=DEGREE).c
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
