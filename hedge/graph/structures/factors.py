"""One product or two: the whole matrix as one Gemm, or its factors as one each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import ClassVar

import numpy as np

from hedge.arrays import Array, rows_times
from hedge.documents import Count
from hedge.graph.builder import GraphBuilder
from hedge.graph.precision import Precision
from hedge.graph.structures.structure import (
    Form,
    Lowering,
    Matrix,
    Rectangle,
    Structure,
    factor_shapes,
)
from hedge.graph.structures.weights import weight
from hedge.hmatrix import Block


@dataclass(frozen=True)
class Factors(Structure):
    """An (outputs, inputs) matrix that is dense (rank None), or of two factors.

    >>> Factors(8, 4, 2).shapes
    {'factor0': (8, 2), 'factor1': (2, 4)}
    """

    rank: Count | None = None

    FORMS: ClassVar[tuple[Form, ...]] = ("dense", "factors")

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
        return factor_shapes("factor", self.outputs, self.inputs, self.rank)

    @property
    def blocks(self) -> tuple[Block, ...]:
        """Its one leaf."""
        return (Block(self.outputs, self.inputs, self.rank),)

    @property
    def rectangles(self) -> list[Rectangle]:
        """Where its leaf is."""
        return [(slice(0, self.outputs), slice(0, self.inputs))]

    def matrix(self, arrays: Mapping[str, Array], bias: Array, precision: Precision) -> SiteMatrix:
        """The matrix of these arrays and bias."""
        return SiteMatrix(tuple(arrays[name] for name in self.shapes), bias, precision)


@dataclass(frozen=True)
class SiteMatrix(Matrix):
    """z = (F₁ F₂ …) a + b: the product of one factor (dense) or two (U Vᵀ), and a bias.

    factors multiply from left to right, (n_out, k), (k, n_in).
    """

    factors: tuple[Array, ...]
    bias: Array
    precision: Precision = "float32"

    @property
    def shape(self) -> tuple[int, int]:
        """(n_out, n_in)."""
        return self.factors[0].shape[0], self.factors[-1].shape[1]

    @property
    def structure(self) -> Factors:
        """Dense, or of a rank."""
        return Factors(*self.shape, self.factors[1].shape[0] if len(self.factors) == 2 else None)

    @property
    def rank(self) -> int:
        """The rank its shape allows: the smallest inner or outer dimension."""
        return int(min(*self.shape, self.factors[0].shape[1]))

    @property
    def arrays(self) -> dict[str, Array]:
        """What is stored beside the bias, by name."""
        return {f"factor{i}": factor for i, factor in enumerate(self.factors)}

    @property
    def is_float32(self) -> bool:
        """Whether it has a factor that is too large to be widened, see :func:`hedge.arrays.widened`."""
        return any(factor.dtype == np.float32 for factor in self.factors)

    @property
    def forms(self) -> dict[Form, Lowering]:
        """A Gemm a factor."""
        return {"dense" if len(self.factors) == 1 else "factors": partial(lower_factors, self)}

    def dense(self) -> Array:
        """The product of the factors, (n_out, n_in)."""
        return self.factors[0] if len(self.factors) == 1 else self.factors[0] @ self.factors[1]

    def times(self, a: Array) -> Array:
        """The product with every row of ``a`` (N, n_in), without the bias: (N, n_out)."""
        for factor in reversed(self.factors):
            a = rows_times(a, factor)
        return a


def factor_labels(matrix: SiteMatrix) -> dict[str, Array]:
    """Its weights by what a graph calls them, in the order in which they meet the input."""
    if len(matrix.factors) == 1:
        labelled = {"weight": matrix.factors[0]}
    else:
        labelled = {f"factor{i}": factor for i, factor in enumerate(reversed(matrix.factors))}
    return {**labelled, "bias": matrix.bias}


def lower_factors(matrix: SiteMatrix, graph: GraphBuilder, source: str) -> str:
    """One Gemm per factor: the rightmost meets the input first, the bias joins the last product."""
    *inner, (label, last), (_, bias) = factor_labels(matrix).items()
    for position, (name, factor) in enumerate(inner):
        right = weight(graph, name, factor, matrix.precision)
        source = graph.linear(source, right, output=f"hidden{position}")
    left = weight(graph, label, last, matrix.precision)
    return graph.linear(source, left, weight(graph, "bias", bias))
