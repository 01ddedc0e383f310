"""What every structure and every matrix knows of itself.

A structure is what a matrix is without its numbers: frozen and hashable, and its fields are the keys of
a site in a plan, so they are read from files within bounds. Its matrix is a frozen dataclass, too.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from hedge.arrays import Array
from hedge.devices import Work
from hedge.documents import Count, Positive
from hedge.graph.builder import GraphBuilder
from hedge.graph.precision import Precision, rounded, stored_bytes
from hedge.hmatrix import Block
from hedge.hmatrix.leaf import tiles

Place = tuple[Count, Count, Count, Count, Positive | None]
"""(top, bottom, start, stop, rank or None for dense) of a leaf."""
Rectangle = tuple[slice, slice]
"""Rows and columns."""
Form = str
"""The name of a way to write a matrix to ONNX: "dense" is one Gemm, others are a structure's own."""
Lowering = Callable[[GraphBuilder, str], str]
"""Adds nodes that read a tensor (n, n_in), and returns the one (n, n_out) that they end in."""


BYTES_PER_INDEX = 8
"""Of an int64, as graphs of ONNX have them."""


@dataclass(frozen=True)
class Structure(ABC):
    """What an (outputs, inputs) matrix is, without its numbers."""

    outputs: Count
    inputs: Count

    FORMS: ClassVar[tuple[Form, ...]]
    """All forms of its own."""

    @property
    @abstractmethod
    def label(self) -> str:
        """In a few words."""

    @property
    @abstractmethod
    def reason(self) -> str:
        """Why it was chosen, empty if it is dense."""

    @property
    @abstractmethod
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """The arrays it is stored as."""

    @property
    @abstractmethod
    def blocks(self) -> tuple[Block, ...]:
        """Its leaves as the paper counts them; alike ones may be one."""

    @property
    @abstractmethod
    def rectangles(self) -> list[Rectangle]:
        """Where its leaves are; they tile it."""

    @abstractmethod
    def matrix(self, arrays: Mapping[str, Array], bias: Array, precision: Precision) -> Matrix:
        """The matrix of these arrays, named as in :attr:`shapes`, and bias (n_out,)."""

    @property
    def numbers(self) -> int:
        """Weights of all arrays."""
        return sum(int(np.prod(shape)) for shape in self.shapes.values())

    @property
    def indices(self) -> int:
        """Whole numbers that are kept beside the weights: where rows and columns are taken from."""
        return 0

    def arranged(self, values: Array) -> Array:
        """A matrix (n_out, n_in) with rows and columns in the order in which its leaves tile it."""
        return values

    def work(self, batch: int) -> Work:
        """What its usual form does for ``batch`` rows in float32; of structures that compress chooses."""
        raise NotImplementedError(f"{self.label}: its work is not known")

    def work_in_c(self, batch: int) -> Work:
        """The same of what it does in exported C."""
        return self.work(batch)

    def check(self) -> None:
        """Raise ValueError where what a file says contradicts itself."""
        places = [(r.start, r.stop, c.start, c.stop) for r, c in self.rectangles]
        if not tiles(places, self.outputs, self.inputs):
            raise ValueError("its leaves don't tile it")


class Matrix(ABC):
    """z = W a + b with W (n_out, n_in) of some structure, bias b (n_out,); all float64.

    precision is that of the weights in files; biases stay float32.
    """

    bias: Array
    precision: Precision

    def __post_init__(self) -> None:
        for array in (*self.arrays.values(), self.bias):
            array.setflags(write=False)

    @property
    @abstractmethod
    def structure(self) -> Structure:
        """What it is."""

    @property
    @abstractmethod
    def arrays(self) -> dict[str, Array]:
        """What is stored beside the bias, by name."""

    @property
    @abstractmethod
    def forms(self) -> dict[Form, Lowering]:
        """Its ways to ONNX, the usual one first."""

    @property
    def form_in_c(self) -> Form:
        """That of its forms which does what its exported C does."""
        return next(iter(self.forms))

    @abstractmethod
    def dense(self) -> Array:
        """All entries, (n_out, n_in)."""

    @abstractmethod
    def times(self, a: Array) -> Array:
        """The product with every row of ``a`` (N, n_in), without the bias: (N, n_out)."""

    @property
    def shape(self) -> tuple[int, int]:
        """(n_out, n_in)."""
        return self.structure.outputs, self.structure.inputs

    @property
    def parameters(self) -> int:
        """Weights of all arrays, and biases."""
        return sum(values.size for values in self.arrays.values()) + self.bias.size


def with_bias(matrix: Matrix, bias: Array) -> Matrix:
    """The same matrix with another bias (n_out,)."""
    return matrix.structure.matrix(matrix.arrays, bias, matrix.precision)


def stored_as(matrix: Matrix, precision: Precision) -> Matrix:
    """The matrix as it comes back from a file of this precision."""
    if precision == "float32":  # rounded when written, as ever
        return matrix.structure.matrix(matrix.arrays, matrix.bias, precision)
    return _rounded(matrix, precision)


def as_written(matrix: Matrix) -> Matrix:
    """The matrix of the numbers that a file of it holds, so that what is made of it is the same later."""
    bias = rounded(matrix.bias, "float32")
    return with_bias(_rounded(matrix, matrix.precision), bias)


def _rounded(matrix: Matrix, precision: Precision) -> Matrix:
    arrays = {name: rounded(values, precision) for name, values in matrix.arrays.items()}
    return matrix.structure.matrix(arrays, matrix.bias, precision)


def matrix_bytes(matrix: Matrix) -> int:
    """What it takes in a file: numbers, scales and the float32 bias."""
    stored = sum(stored_bytes(values.shape, matrix.precision) for values in matrix.arrays.values())
    return (
        stored
        + stored_bytes(matrix.bias.shape, "float32")
        + BYTES_PER_INDEX * matrix.structure.indices
    )


def factor_shapes(
    name: str, rows: int, columns: int, rank: int | None
) -> dict[str, tuple[int, ...]]:
    """Of one dense factor, or of two."""
    if rank is None:
        return {f"{name}0": (rows, columns)}
    return {f"{name}0": (rows, rank), f"{name}1": (rank, columns)}
