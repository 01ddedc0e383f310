"""What a matrix may be, without its numbers: dense, factors, blocks with shared bases, any leaves.

A structure knows its leaves as the paper counts them, what it takes, and which arrays a file holds for it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product

from hedge.devices import Work, gemm_work, pass_work, product_work
from hedge.hmatrix import Block

Place = tuple[int, int, int, int, int | None]
"""(top, bottom, start, stop, rank or None for dense) of a leaf."""
Rectangle = tuple[slice, slice]
"""Rows and columns."""


@dataclass(frozen=True)
class Factors:
    """An (outputs, inputs) matrix that is dense (rank None), or of two factors.

    >>> Factors(8, 4, 2).shapes
    {'factor0': (8, 2), 'factor1': (2, 4)}
    """

    outputs: int
    inputs: int
    rank: int | None = None

    @property
    def label(self) -> str:
        """In a few words."""
        return "dense" if self.rank is None else f"rank {self.rank}"

    @property
    def reason(self) -> str:
        """Why it was chosen, empty if it is dense."""
        if self.rank is None:
            return ""
        return f"rank {self.rank} costs less than {self.outputs}x{self.inputs} dense"

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """The arrays it is stored as."""
        return _factor_shapes("factor", self.outputs, self.inputs, self.rank)

    @property
    def blocks(self) -> tuple[Block, ...]:
        """Its one leaf."""
        return (Block(self.outputs, self.inputs, self.rank),)

    @property
    def rectangles(self) -> list[Rectangle]:
        """Where its leaf is."""
        return [(slice(0, self.outputs), slice(0, self.inputs))]

    def work(self, batch: int) -> Work:
        """A Gemm for each factor."""
        if self.rank is None:
            return gemm_work(batch, self.outputs, self.inputs)
        return gemm_work(batch, self.rank, self.inputs) + gemm_work(batch, self.outputs, self.rank)


@dataclass(frozen=True)
class BlockLayout:
    """An (outputs, inputs) matrix cut into ``count`` leaves a side; ``rank`` vectors in each basis.

    Where the sides are no multiples of ``count`` the last leaves are filled up with zeros.

    >>> layout = BlockLayout(1000, 1000, count=16, rank=2)
    >>> layout.leaf, layout.numbers
    ((63, 63), 68560)
    """

    outputs: int
    inputs: int
    count: int
    rank: int

    @property
    def leaf(self) -> tuple[int, int]:
        """Rows and columns of a leaf."""
        return -(-self.outputs // self.count), -(-self.inputs // self.count)

    @property
    def label(self) -> str:
        """In a few words."""
        return f"{self.count} leaves a side, rank {self.rank}"

    @property
    def reason(self) -> str:
        """Why it was chosen."""
        rows, columns = self.leaf
        return f"{self.count} leaves of {rows}x{columns} and rank {self.rank} off them cost least"

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """The arrays it is stored as, see :class:`hedge.graph.BlockMatrix`."""
        (height, width), coupled = self.leaf, self.count * self.rank
        return {
            "rows": (self.count, height, width + self.rank),
            "coupling": (coupled, coupled),
            "right": (self.count, self.rank, width),
        }

    @property
    def blocks(self) -> tuple[Block, ...]:
        """Its leaves, alike ones once: blocks count the bases that they share."""
        rows, columns = self.leaf
        return (
            Block(rows, columns, None, self.count),
            Block(rows, columns, self.rank, self.count * (self.count - 1)),
        )

    @property
    def rectangles(self) -> list[Rectangle]:
        """Where its leaves are."""
        (height, width), (outputs, inputs) = self.leaf, (self.outputs, self.inputs)
        rows = [slice(top, top + height) for top in range(0, outputs, height)]
        columns = [slice(start, start + width) for start in range(0, inputs, width)]
        return list(product(rows, columns))

    @property
    def padded(self) -> tuple[int, int]:
        """Rows and columns of all leaves together."""
        return self.leaf[0] * self.count, self.leaf[1] * self.count

    @property
    def numbers(self) -> int:
        """Weights of leaves, bases and coupling."""
        rows, columns = self.padded
        coupled = self.count * self.rank
        return rows * self.leaf[1] + (rows + columns) * self.rank + coupled**2

    @property
    def joins_coupling(self) -> bool:
        """Whether S V runs as one matrix: more numbers than S and V apart, but fewer nodes.

        That pays (in float32) while it has at most half as many numbers as the block rows.
        """
        (rows, columns), coupled = self.padded, self.count * self.rank
        return 2 * coupled * columns <= rows * (self.leaf[1] + self.rank)

    def work(self, batch: int) -> Work:
        """The nodes of :func:`hedge.graph.lowering.lowered` for ``batch`` rows, stored in float32."""
        joined = self._joined_work if self.joins_coupling else self._separate_work
        return joined(batch) + pass_work("Add", batch, self.outputs)

    def _joined_work(self, batch: int) -> Work:
        (rows, columns), (height, width) = self.padded, self.leaf
        total = gemm_work(batch, self.count * self.rank, self.inputs)
        if columns > self.inputs:
            total += pass_work("Pad", batch, columns, batch * self.inputs)
        total += pass_work("Reshape", 1, batch * columns)
        total += pass_work("Reshape", 1, batch * self.count * self.rank)
        both = width + self.rank
        total += pass_work("Concat", 2 * batch * self.count, both / 2)
        total += pass_work("Transpose of rows", batch * self.count, both)
        total += product_work(batch, height, both, self.count)
        total += pass_work("Transpose of rows", batch * self.count, height)
        total += pass_work("Reshape", 1, batch * rows)
        if rows > self.outputs:
            total += pass_work("Slice", batch, self.outputs, batch * rows)
        return total

    def _separate_work(self, batch: int) -> Work:
        (rows, columns), (height, width) = self.padded, self.leaf
        coupled = self.count * self.rank
        total = pass_work("Transpose", self.inputs, batch)
        if columns > self.inputs:
            total += pass_work("Pad", 1, columns * batch, self.inputs * batch)
        total += pass_work("Reshape", 1, columns * batch)
        total += product_work(self.rank, batch, width, self.count)
        total += pass_work("Reshape", 1, coupled * batch)
        total += product_work(coupled, batch, coupled)
        total += pass_work("Reshape", 1, coupled * batch)
        total += pass_work("Concat", 2 * self.count, (width + self.rank) * batch / 2)
        total += product_work(height, batch, width + self.rank, self.count)
        total += pass_work("Reshape", 1, rows * batch)
        if rows > self.outputs:
            total += pass_work("Slice", 1, self.outputs * batch, rows * batch)
        return total + pass_work("Transpose", batch, self.outputs)


@dataclass(frozen=True)
class Partition:
    """An (outputs, inputs) matrix cut into any leaves that tile it."""

    outputs: int
    inputs: int
    places: tuple[Place, ...]

    @property
    def label(self) -> str:
        """In a few words."""
        return f"{len(self.places)} leaves"

    @property
    def reason(self) -> str:
        """Why it was chosen: only the paper's algorithms do."""
        return f"the paper's partition into {len(self.places)} blocks"

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """The arrays it is stored as."""
        return {
            name: shape
            for i, (block, _) in enumerate(self._leaves())
            for name, shape in _factor_shapes(
                f"leaf{i}.factor", block.rows, block.columns, block.rank
            ).items()
        }

    @property
    def blocks(self) -> tuple[Block, ...]:
        """Its leaves."""
        return tuple(block for block, _ in self._leaves())

    @property
    def rectangles(self) -> list[Rectangle]:
        """Where its leaves are."""
        return [rectangle for _, rectangle in self._leaves()]

    def _leaves(self) -> Iterator[tuple[Block, Rectangle]]:
        for top, bottom, start, stop, rank in self.places:
            rectangle = slice(top, bottom), slice(start, stop)
            yield Block(bottom - top, stop - start, rank), rectangle


Structure = Factors | BlockLayout | Partition


def _factor_shapes(
    name: str, rows: int, columns: int, rank: int | None
) -> dict[str, tuple[int, ...]]:
    """Of one dense factor, or of two."""
    if rank is None:
        return {f"{name}0": (rows, columns)}
    return {f"{name}0": (rows, rank), f"{name}1": (rank, columns)}
