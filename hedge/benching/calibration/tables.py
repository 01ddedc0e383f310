"""Tables of what Gemms, batched products and passes take, measured by a timer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from onnx import ModelProto

from hedge.arrays import Array
from hedge.benching.calibration.filling import Axes, Difference, Filling, Spending
from hedge.benching.calibration.probes import (
    PASSES,
    PassBuilder,
    Piece,
    gemm,
    probe,
    random_weight,
    unary,
)
from hedge.benching.calibration.timing import Timer, WindowedTimer
from hedge.devices import FUSED, Table
from hedge.graph import GraphBuilder
from hedge.ops import OPS

GEMM, BATCHED = "gemm", "batched"
COPIES = 4
# A piece that takes so long is measured alone: what starting a node costs is lost in it.
LONG_S = 1e-4
PRODUCTS = 8
MOST_DISTURBED = 0.1  # of all entries, however often they were measured
FUSED_ACTIVATIONS: dict[str, PassBuilder] = {
    op: PASSES.get(op, unary(op))
    for op in sorted(name for name, known in OPS.items() if known.fused)
}
PASS_WIDTH = 64


@dataclass(frozen=True)
class _RowPass:
    """A pass whose time depends on how many numbers lie together, too.

    shape gives rows and width of the tensor of which it writes (spans, length), of ``least_spans`` up.
    """

    build: PassBuilder
    shape: Callable[[int, int], tuple[int, int]]
    least_spans: int = 1


ROW_PASSES: dict[str, _RowPass] = {
    "Add of rows": _RowPass(
        lambda graph, source, width: graph.add("Add", source, random_weight(graph, width)),
        lambda spans, length: (spans, length),
    ),
    "Concat": _RowPass(
        lambda graph, source, width: graph.add("Concat", source, source, axis=1),
        lambda spans, length: (spans // 2, length),
        2,
    ),
    "Slice": _RowPass(
        lambda graph, source, width: graph.add("Slice", source, [0], [width // 2], [1]),
        lambda spans, length: (spans, 2 * length),
    ),
    "Split": _RowPass(
        lambda graph, source, width: graph.split(source, [width // 2] * 2, axis=1)[0],
        lambda spans, length: (spans // 2, 2 * length),
        2,
    ),
    "Transpose": _RowPass(
        lambda graph, source, width: graph.add("Transpose", source, perm=[1, 0]),
        lambda spans, length: (length, spans),
    ),
}


@dataclass(frozen=True)
class Grid:
    """The sizes of the tables; the larger ones are foretold, see :class:`Filling`.

    Measured are those of at most ``most_products`` multiplications or ``most_numbers`` numbers, so that
    every machine measures the same; what takes more than ``long_s`` once only.
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
    most_products: float
    most_numbers: float
    long_s: float


# Odd numbers rather than powers of two where strides count: rows that lie 4 KiB apart fall onto the
# same lines of a cache, which no width but 1,024 and its like suffers.
FULL_GRID = Grid(
    rows=(1, 2, 4, 8, 16, 64, 256, 1000, 4000),
    outputs=(1, 16, 32, 64, 128, 256, 512, 1008, 4000),
    inputs=(1, 4, 16, 64, 128, 256, 500, 1000, 4000),
    product_rows=(1, 2, 4, 16, 64, 250, 1000),
    product_columns=(1, 16, 32, 64, 125, 250, 1000),
    product_depths=(1, 4, 16, 64, 125, 250, 1000),
    numbers=(1, 64, 1024, 8192, 32768, 262144, 2097152),
    spans=(1, 20, 60, 200, 600, 2000),
    lengths=(1, 20, 60, 200, 600, 2000, 6000, 20000, 200000),
    most_products=2.0e8,
    most_numbers=2.1e6,
    long_s=0.005,
)
QUICK_GRID = Grid(
    rows=(1, 4, 16, 64, 1000),
    outputs=(1, 16, 64, 128, 256, 512, 1008),
    inputs=(1, 16, 64, 128, 256, 500, 1000),
    product_rows=(1, 4, 64, 1000),
    product_columns=(1, 16, 64, 200, 1000),
    product_depths=(1, 16, 64, 200, 1000),
    numbers=(1, 1024, 8192, 32768, 131072, 1048576),
    spans=(1, 16, 60, 250, 1000),
    lengths=(1, 16, 60, 250, 1000, 5000, 20000),
    most_products=7.0e7,
    most_numbers=1.1e6,
    long_s=0.003,
)


@dataclass(frozen=True)
class _Pair:
    """Two models that differ by ``copies`` pieces, and the rows they are called with."""

    without: ModelProto
    within: ModelProto
    rows: int
    copies: int


class Measuring:
    """The tables that are being filled, by name: "gemm", "batched" or a pass.

    Of each model the shortest time counts. A neighbour who keeps the machine busy for seconds spoils
    one of ``sweeps`` over all sizes of a table.
    """

    def __init__(self, grid: Grid, timer: Timer, sweeps: int, spending: Spending) -> None:
        self._timer, self._sweeps, self._spending = timer, sweeps, spending
        self._grid = grid
        self._fillings = {GEMM: self._gemm(), BATCHED: self._batched()}
        self._fillings |= {op: self._over_numbers(build) for op, build in PASSES.items()}
        for op, build in FUSED_ACTIVATIONS.items():
            self._fillings[FUSED + op] = self._over_numbers(build, fused=True)
        self._fillings |= {name: self._over_rows(one) for name, one in ROW_PASSES.items()}

    @property
    def passes(self) -> list[str]:
        """The names of all passes."""
        return [name for name in self._fillings if name not in (GEMM, BATCHED)]

    @property
    def doubt(self) -> str | None:
        """Why the entries are not to be trusted, whatever predictions are compared with."""
        if isinstance(self._timer, WindowedTimer) and self._timer.doubt is not None:
            return self._timer.doubt
        disturbed = np.mean(
            [one for filling in self._fillings.values() for one in filling.disturbed]
        )
        if disturbed <= MOST_DISTURBED:
            return None
        return (
            f"the machine was slowed down each time that {disturbed:.0%} of the sizes were measured"
        )

    def fill(self, *names: str) -> None:
        """Measure these tables; those that have been, again."""
        for name in names:
            for _ in range(self._sweeps):
                self._fillings[name].sweep()
            self._fillings[name].mend()

    def mend(self) -> None:
        """Measure again what all that was measured since shows to be odd, or to have been disturbed."""
        for filling in self._fillings.values():
            filling.mend()

    def table(self, name: str, source: str) -> Table:
        """Whole nodes by their sizes; of fused passes what they add to the Gemm."""
        filling = self._fillings[name]
        return _table(filling.axes, filling.values, source)

    def batched(self, node_s: float, source: str) -> Table:
        """One product of many in a node, over (rows, columns, depth), without the node."""
        filling = self._fillings[BATCHED]
        return _table(filling.axes, np.maximum(filling.values - node_s, 0.0) / PRODUCTS, source)

    def _gemm(self) -> Filling:
        def pair(expected: float, rows: int, outputs: int, inputs: int) -> _Pair:
            return _repeated(rows, inputs, _gemm_piece(outputs, inputs), expected)

        grid = self._grid
        return self._filling((grid.rows, grid.outputs, grid.inputs), pair, grid.most_products)

    def _batched(self) -> Filling:
        def pair(expected: float, rows: int, columns: int, depth: int) -> _Pair:
            return _repeated(rows, depth, _product_piece(columns, depth, PRODUCTS), expected)

        grid = self._grid
        axes = (grid.product_rows, grid.product_columns, grid.product_depths)
        return self._filling(axes, pair, grid.most_products / PRODUCTS)

    def _over_numbers(self, build: PassBuilder, *, fused: bool = False) -> Filling:
        def pair(expected: float, numbers: int) -> _Pair:
            width = min(numbers, PASS_WIDTH)
            return _added(numbers // width, width, build, fused=fused)

        return self._filling((self._grid.numbers,), pair, self._grid.most_numbers)

    def _over_rows(self, row_pass: _RowPass) -> Filling:
        def pair(expected: float, spans: int, length: int) -> _Pair:
            return _added(*row_pass.shape(spans, length), row_pass.build)

        spans = tuple(max(count, row_pass.least_spans) for count in self._grid.spans)
        return self._filling((spans, self._grid.lengths), pair, self._grid.most_numbers)

    def _filling(self, axes: Axes, pair: Callable[..., _Pair], most: float) -> Filling:
        def measure(sizes: tuple[int, ...], expected: float) -> Difference:
            two = pair(expected, *sizes)
            without, within = self._timer([two.without, two.within], two.rows)
            loop_s = self._timer.loop_s if isinstance(self._timer, WindowedTimer) else 0.0
            return Difference(float(without), float(within), two.copies, loop_s)

        return Filling(axes, measure, most, self._grid.long_s, self._spending, self._usual_s)

    def _usual_s(self) -> float:
        return self._timer.usual_s if isinstance(self._timer, WindowedTimer) else 0.0


def _table(axes: Axes, values: Array, source: str) -> Table:
    rounded = tuple(float(f"{value:.4g}") for value in values.ravel())
    return Table(axes=axes, value=rounded, unit="s", source=source, kind="measured")


def _repeated(rows: int, inputs: int, piece: Piece, expected: float) -> _Pair:
    """More copies of a piece, which takes about ``expected`` seconds."""
    first, copies = (0, 1) if expected > LONG_S else (1, COPIES)
    few, many = (probe(inputs, piece, n) for n in (first, first + copies))
    return _Pair(few, many, rows, copies)


def _added(rows: int, width: int, build: PassBuilder, *, fused: bool = False) -> _Pair:
    """A pass behind a Gemm, where it is fused, or behind a node that takes in nothing."""
    inputs = 1 if fused else width

    def before(graph: GraphBuilder) -> str:
        if fused:
            return gemm(graph, "x", width, 1)
        return graph.add("Add", "x", random_weight(graph, 1))

    def within(graph: GraphBuilder) -> str:
        return build(graph, before(graph), width)

    return _Pair(probe(inputs, before, COPIES), probe(inputs, within, COPIES), rows, COPIES)


def _gemm_piece(outputs: int, inputs: int) -> Piece:
    """A dense layer."""
    return lambda graph: gemm(graph, "x", outputs, inputs)


def _product_piece(columns: int, depth: int, count: int) -> Piece:
    """``count`` products with matrices (depth, columns) that are not prepacked."""
    return lambda graph: graph.add("MatMul", "x", random_weight(graph, count, depth, columns))
