"""Tables of what Gemms, batched products and passes take, measured by a timer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto

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

COPIES = 4
# A piece that takes so long is measured alone: what starting a node costs is lost in it.
LONG_S = 1e-4
PRODUCTS = 8
FUSED_ACTIVATIONS: dict[str, PassBuilder] = {
    "Relu": lambda builder, source, width: builder.node("Relu", source),
    **{op: PASSES[op] for op in ("Sigmoid", "Softplus", "Tanh")},
}
PASS_WIDTH = 64


@dataclass(frozen=True)
class Grid:
    """The sizes that are measured; a size whose piece would take more than ``limit_s`` is foretold.

    Foretold means in proportion to the size, from the next smaller ones.
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
    pass_limit_s: float


# Odd numbers rather than powers of two where strides count: rows that lie 4 KiB apart fall onto the
# same lines of a cache, which no width but 1,024 and its like suffers.
FULL_GRID = Grid(
    rows=(1, 2, 4, 8, 16, 64, 256, 1000, 4000),
    outputs=(1, 16, 32, 64, 128, 256, 512, 1008, 4000),
    inputs=(1, 4, 16, 64, 128, 256, 500, 1000, 4000),
    product_rows=(1, 2, 4, 16, 64, 250, 1000),
    product_columns=(1, 16, 32, 64, 125, 250, 1000),
    product_depths=(1, 4, 16, 64, 125, 250, 1000),
    numbers=(1, 64, 1024, 16384, 262144, 2097152),
    spans=(2, 20, 200, 600, 2000),
    lengths=(1, 20, 200, 600, 2000, 20000, 200000),
    limit_s=0.006,
    pass_limit_s=0.001,
)
QUICK_GRID = Grid(
    rows=(1, 4, 16, 64, 1000),
    outputs=(1, 16, 64, 128, 512, 1008),
    inputs=(1, 16, 64, 128, 500, 1000),
    product_rows=(1, 4, 64, 1000),
    product_columns=(1, 16, 64, 200, 1000),
    product_depths=(1, 16, 64, 200, 1000),
    numbers=(1, 1024, 65536, 1048576),
    spans=(2, 60, 1000),
    lengths=(1, 60, 1000, 20000),
    limit_s=0.003,
    pass_limit_s=0.001,
)


@dataclass(frozen=True)
class Pair:
    """Two models that differ by ``copies`` pieces, and the rows they are called with."""

    without: ModelProto
    within: ModelProto
    rows: int
    copies: int


@dataclass(frozen=True)
class Measuring:
    """The sizes, the timer, and how often it goes over all sizes of a table.

    Of each model the shortest time counts. A neighbour who keeps the machine busy for seconds spoils
    one sweep.
    """

    grid: Grid
    timer: Timer
    sweeps: int
    source: str

    def gemms(self) -> Table:
        """Whole Gemm nodes over (rows, outputs, inputs)."""

        def pair(foretold: float, rows: int, outputs: int, inputs: int) -> Pair:
            return _repeated(rows, inputs, gemm_piece(outputs, inputs), foretold)

        grid = self.grid
        return self._table((grid.rows, grid.outputs, grid.inputs), pair, grid.limit_s)

    def products(self, node_s: float) -> Table:
        """One product of many in a node, over (rows, columns, depth), without the node."""

        def pair(foretold: float, rows: int, columns: int, depth: int) -> Pair:
            return _repeated(rows, depth, product_piece(columns, depth, PRODUCTS), foretold)

        grid = self.grid
        axes = (grid.product_rows, grid.product_columns, grid.product_depths)
        whole = self._table(axes, pair, grid.limit_s)
        each = tuple(max(value - node_s, 0.0) / PRODUCTS for value in whole.value)
        return whole.model_copy(update={"value": each})

    def passes(self) -> dict[str, Table]:
        """Passes by name: over numbers, or over (spans, length)."""
        tables = {op: self._over_numbers(build) for op, build in PASSES.items()}
        for op, build in FUSED_ACTIVATIONS.items():
            tables[FUSED + op] = self._over_numbers(build, fused=True)
        return tables | {name: self._over_rows(row_pass) for name, row_pass in ROW_PASSES.items()}

    def _over_numbers(self, build: PassBuilder, *, fused: bool = False) -> Table:
        def pair(foretold: float, numbers: int) -> Pair:
            width = min(numbers, PASS_WIDTH)
            return _added(numbers // width, width, build, fused=fused)

        return self._table((self.grid.numbers,), pair, self.grid.pass_limit_s)

    def _over_rows(self, row_pass: RowPass) -> Table:
        def pair(foretold: float, spans: int, length: int) -> Pair:
            return _added(*row_pass.shape(spans, length), row_pass.build)

        return self._table((self.grid.spans, self.grid.lengths), pair, self.grid.pass_limit_s)

    def _table(
        self, axes: tuple[tuple[int, ...], ...], pair: Callable[..., Pair], limit_s: float
    ) -> Table:
        """What is measured within the limit, and what that foretells."""
        shape = [len(axis) for axis in axes]
        values, shortest = np.empty(shape), np.full((*shape, 2), np.inf)
        expected: dict[tuple[int, ...], float] = {}
        for _ in range(self.sweeps):
            for place in product(*(range(size) for size in shape[1:])):
                for i, first in enumerate(axes[0]):
                    at = (i, *place)
                    foretold = _in_proportion(values, axes, at)
                    if foretold > limit_s:
                        values[at] = foretold
                        continue
                    sizes = [axis[j] for axis, j in zip(axes[1:], place, strict=True)]
                    two = pair(expected.setdefault(at, foretold), first, *sizes)
                    seconds = self.timer([two.without, two.within], two.rows)
                    shortest[at] = np.minimum(shortest[at], seconds)
                    without, within = shortest[at]
                    measured = float(within - without) / two.copies
                    values[at] = max(measured, _of_smaller(values, at))
        return Table(
            axes=axes,
            value=tuple(float(f"{value:.4g}") for value in values.ravel()),
            unit="s",
            source=self.source,
            kind="measured",
        )


def _of_smaller(values: NDArray[np.float64], at: tuple[int, ...]) -> float:
    """The longest time of sizes one step smaller along an axis: more is never faster."""
    smaller = [(*at[:axis], i - 1, *at[axis + 1 :]) for axis, i in enumerate(at) if i]
    return max((float(values[place]) for place in smaller), default=0.0)


def _in_proportion(
    values: NDArray[np.float64], axes: tuple[tuple[int, ...], ...], at: tuple[int, ...]
) -> float:
    """At most what sizes one step smaller along an axis foretell; 0 at the smallest of all."""
    found = []
    for axis, (sizes, i) in enumerate(zip(axes, at, strict=True)):
        if i:
            smaller = (*at[:axis], i - 1, *at[axis + 1 :])
            found.append(float(values[smaller]) * sizes[i] / sizes[i - 1])
    return min(found, default=0.0)


def _repeated(rows: int, inputs: int, piece: Piece, foretold: float) -> Pair:
    """More copies of a piece, which takes about ``foretold`` seconds."""
    first, copies = (0, 1) if foretold > LONG_S else (1, COPIES)
    few, many = (probe(inputs, piece, n) for n in (first, first + copies))
    return Pair(few, many, rows, copies)


def _added(rows: int, width: int, build: PassBuilder, *, fused: bool = False) -> Pair:
    """A pass behind a Gemm, where it is fused, or behind a node that takes in nothing."""
    inputs = 1 if fused else width

    def before(builder: Builder) -> str:
        if fused:
            return builder.gemm("x", width, 1)
        return builder.node("Add", "x", builder.random(1))

    def within(builder: Builder) -> str:
        return build(builder, before(builder), width)

    return Pair(probe(inputs, before, COPIES), probe(inputs, within, COPIES), rows, COPIES)
