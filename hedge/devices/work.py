"""Work, counted once: what the nodes of one call do, whatever they cost where.

A count is a number, or a numpy array of numbers where many sizes are priced at once.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from hedge.ops import op_of

BYTES_PER_FLOAT = 4
Count = Any
# How an activation is called that runs as part of the Gemm before it.
FUSED = "Gemm+"


@dataclass(frozen=True)
class Product:
    """One node of ``count`` matrix products, (rows, depth) times (depth, columns) each.

    packed says that the second factor is one constant matrix, which runtimes rearrange at load; turned
    that the first factor is constant, so that the rows of the batch are columns. stored is the type in
    which the constant factor's numbers lie in the file.
    """

    rows: Count
    columns: Count
    depth: Count
    count: Count = 1
    packed: bool = True
    turned: bool = False
    stored: str = "float32"

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
    """The nodes of one call with ``batch`` rows; parts of one are summed, whose batch may be still to tell.

    >>> work = gemm_work(1, 2, 3) + pass_work("Gemm+Tanh", 1, 2)
    >>> work.nodes, work.flops, work.activations
    (1, 12, 2)
    """

    products: tuple[Product, ...] = ()
    passes: tuple[Pass, ...] = ()
    batch: int = 1

    def __add__(self, other: Work) -> Work:
        batch = max(self.batch, other.batch)
        return Work(self.products + other.products, self.passes + other.passes, batch)

    def at(self, batch: int, stored: str | None = None) -> Work:
        """The same as part of a call with so many rows; with ``stored``, of constant factors so stored."""
        products = self.products
        if stored is not None:
            products = tuple(replace(product, stored=stored) for product in products)
        return Work(products, self.passes, batch)

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


def product_work(
    rows: Count, columns: Count, depth: Count, count: Count = 1, *, turned: bool = False
) -> Work:
    """One MatMul node of ``count`` products (rows, depth) times (depth, columns), none prepacked.

    turned where the first factor is the constant one.
    """
    return Work((Product(rows, columns, depth, count, packed=False, turned=turned),))


def pass_work(op: str, spans: Count = 0, length: Count = 0, read: Count | None = None) -> Work:
    """One node that goes over numbers; without ``read`` it reads as many as it writes."""
    return Work(passes=(Pass(op, spans, length, spans * length if read is None else read),))
