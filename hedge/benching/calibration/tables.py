"""Tables of what Gemms, batched products and passes take, measured by a timer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray

from hedge.benching.calibration.probes import (
    PASSES,
    ROW_PASSES,
    Builder,
    PassBuilder,
    Piece,
    RowPass,
    gemm_piece,
    probe,
    product_piece,
)
from hedge.benching.calibration.timing import Timer
from hedge.devices import FUSED, Table

Array = NDArray[np.float64]

COPIES = 4
# A piece that takes so long is measured alone: what starting a node costs is lost in it.
LONG_S = 1e-4
PRODUCTS = 8
FUSED_ACTIVATIONS = ("Relu", "Sigmoid", "Softplus", "Tanh")
PASS_WIDTH = 64


@dataclass(frozen=True)
class Grid:
    """The sizes that are measured; a size whose piece would take more than ``limit_s`` is foretold.

    Foretold means in proportion to the rows, from the most rows that were measured.
    """

    rows: tuple[int, ...]
    outputs: tuple[int, ...]
    inputs: tuple[int, ...]
    product_rows: tuple[int, ...]
    product_columns: tuple[int, ...]
    product_depths: tuple[int, ...]
    numbers: tuple[int, ...]
    spans: tuple[int, ...]
    lengths: tuple[int, ...]
    limit_s: float


FULL_GRID = Grid(
    rows=(1, 2, 4, 8, 16, 64, 256, 1024, 4096),
    outputs=(16, 32, 64, 128, 256, 512, 1024, 4096),
    inputs=(1, 4, 16, 64, 128, 256, 512, 1024, 4096),
    product_rows=(1, 2, 4, 16, 64, 256, 1024),
    product_columns=(1, 16, 32, 64, 256, 1024),
    product_depths=(1, 4, 16, 64, 256, 1024),
    numbers=(1, 64, 1024, 16384, 262144, 2097152),
    spans=(2, 16, 256, 4096),
    lengths=(1, 16, 256, 4096),
    limit_s=0.006,
)
QUICK_GRID = Grid(
    rows=(1, 4, 16, 64, 1024),
    outputs=(16, 64, 128, 512, 1024),
    inputs=(1, 16, 64, 128, 512, 1024),
    product_rows=(1, 4, 64, 1024),
    product_columns=(1, 16, 64, 1024),
    product_depths=(1, 16, 64, 1024),
    numbers=(1, 1024, 65536, 1048576),
    spans=(2, 64, 4096),
    lengths=(1, 64, 1024),
    limit_s=0.003,
)


def gemm_table(grid: Grid, timer: Timer, source: str) -> Table:
    """Whole Gemm nodes over (rows, outputs, inputs)."""

    def seconds(foretold: float, rows: int, outputs: int, inputs: int) -> float:
        return _marginal(timer, rows, inputs, gemm_piece(outputs, inputs), foretold)

    return _filled((grid.rows, grid.outputs, grid.inputs), seconds, grid.limit_s, source)


def product_table(grid: Grid, timer: Timer, node_s: float, source: str) -> Table:
    """One product of many in a node, over (rows, columns, depth), without the node."""

    def seconds(foretold: float, rows: int, columns: int, depth: int) -> float:
        piece = product_piece(columns, depth, PRODUCTS)
        whole = _marginal(timer, rows, depth, piece, PRODUCTS * foretold)
        return max(whole - node_s, 0.0) / PRODUCTS

    axes = (grid.product_rows, grid.product_columns, grid.product_depths)
    return _filled(axes, seconds, grid.limit_s / PRODUCTS, source)


def pass_tables(grid: Grid, timer: Timer, source: str) -> dict[str, Table]:
    """Passes by name: over numbers, or over (spans, length)."""

    def over_numbers(build: PassBuilder, *, fused: bool = False) -> Table:
        def seconds(foretold: float, numbers: int) -> float:
            width = min(numbers, PASS_WIDTH)
            return _added(timer, numbers // width, width, build, fused)

        return _filled((grid.numbers,), seconds, grid.limit_s, source)

    tables = {op: over_numbers(build) for op, build in PASSES.items()}
    for op in FUSED_ACTIVATIONS:
        build = PASSES.get(op, lambda builder, source, width: builder.node("Relu", source))
        tables[FUSED + op] = over_numbers(build, fused=True)
    for name, row_pass in ROW_PASSES.items():

        def seconds(
            foretold: float, spans: int, length: int, row_pass: RowPass = row_pass
        ) -> float:
            return _added(timer, *row_pass.shape(spans, length), row_pass.build, False)

        tables[name] = _filled((grid.spans, grid.lengths), seconds, grid.limit_s, source)
    return tables


def _marginal(timer: Timer, rows: int, inputs: int, piece: Piece, foretold: float) -> float:
    """Seconds of one more copy of a piece, which takes about ``foretold``."""
    first, copies = (0, 1) if foretold > LONG_S else (1, COPIES)
    few, many = timer([probe(inputs, piece, n) for n in (first, first + copies)], rows)
    return max(float(many - few) / copies, 0.0)


def _added(timer: Timer, rows: int, width: int, build: PassBuilder, fused: bool) -> float:
    """Seconds that a pass adds behind a Gemm, where it is fused, or behind a node that is not one."""
    inputs = 1 if fused else width

    def before(builder: Builder) -> str:
        if fused:
            return builder.gemm("x", width, 1)
        return builder.node("Add", "x", builder.random(1))

    models = [
        probe(inputs, before, COPIES),
        probe(inputs, lambda builder: build(builder, before(builder), width), COPIES),
    ]
    without, within = timer(models, rows)
    return max(float(within - without) / COPIES, 0.0)


def _filled(
    axes: Sequence[tuple[int, ...]], seconds: Callable[..., float], limit_s: float, source: str
) -> Table:
    """A table of what is measured within the limit, and of what that foretells."""
    values = np.empty([len(axis) for axis in axes])
    for others in product(*(range(len(axis)) for axis in axes[1:])):
        sizes = [axis[i] for axis, i in zip(axes[1:], others, strict=True)]
        for i, size in enumerate(axes[0]):
            foretold = values[i - 1, *others] * size / axes[0][i - 1] if i else 0.0
            values[i, *others] = foretold if foretold > limit_s else seconds(foretold, size, *sizes)
    return Table(
        axes=tuple(axes),
        value=tuple(float(f"{value:.4g}") for value in values.ravel()),
        unit="s",
        source=source,
        kind="measured",
    )
