"""A structure of matrices that hedge does not have, in one module: what docs/extending.md asks for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import ClassVar

import numpy as np

from hedge.arrays import Array
from hedge.compression.metric import mean_square
from hedge.compression.seen import Seen
from hedge.devices import Work, gemm_work, pass_work
from hedge.documents import Positive
from hedge.graph import GraphBuilder, Precision
from hedge.graph.structures.structure import Form, Lowering, Matrix, Rectangle, Structure
from hedge.graph.structures.weights import biased, weight
from hedge.hmatrix import Block


@dataclass(frozen=True)
class Repetition(Structure):
    """Every row of a smaller matrix ``times`` times, one after the other."""

    times: Positive

    FORMS: ClassVar[tuple[Form, ...]] = ("repeated",)

    @property
    def label(self) -> str:
        return f"rows {self.times} times"

    @property
    def reason(self) -> str:
        return f"every row serves {self.times} outputs"

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        return {"distinct": (self.outputs // self.times, self.inputs)}

    @property
    def blocks(self) -> tuple[Block, ...]:
        return (Block(self.times, self.inputs, 1, self.outputs // self.times),)

    @property
    def rectangles(self) -> list[Rectangle]:
        tops = range(0, self.outputs, self.times)
        return [(slice(top, top + self.times), slice(0, self.inputs)) for top in tops]

    def matrix(self, arrays: Mapping[str, Array], bias: Array, precision: Precision) -> Matrix:
        return RepeatedMatrix(arrays["distinct"], bias, precision)

    def work(self, batch: int) -> Work:
        few = self.outputs // self.times
        return gemm_work(batch, few, self.inputs) + pass_work("Expand", batch * few, self.times)


@dataclass(frozen=True, eq=False)
class RepeatedMatrix(Matrix):
    """z = W a + b, of distinct rows (n_out / times, n_in)."""

    distinct: Array
    bias: Array
    precision: Precision = "float32"

    @property
    def structure(self) -> Repetition:
        return Repetition(len(self.bias), self.distinct.shape[1], self._times)

    @property
    def arrays(self) -> dict[str, Array]:
        return {"distinct": self.distinct}

    @property
    def forms(self) -> dict[Form, Lowering]:
        return {"repeated": partial(lower_repeated, self)}

    def dense(self) -> Array:
        return np.repeat(self.distinct, self._times, axis=0)

    def times(self, a: Array) -> Array:
        return np.repeat(a @ self.distinct.T, self._times, axis=1)

    @property
    def _times(self) -> int:
        return len(self.bias) // len(self.distinct)


def lower_repeated(matrix: RepeatedMatrix, graph: GraphBuilder, source: str) -> str:
    few, outputs = len(matrix.distinct), len(matrix.bias)
    right = weight(graph, "distinct", matrix.distinct, matrix.precision)
    part = graph.linear(source, right, output="few")
    part = graph.add("Reshape", part, [-1, few, 1], output="apart")
    part = graph.add("Expand", part, [1, few, outputs // few], output="repeated")
    return biased(graph, graph.add("Reshape", part, [-1, outputs], output="together"), matrix.bias)


def repetitions(seen: Seen, metric: Array, enough: float) -> Iterator[tuple[Matrix, float]]:
    """Pairs of rows by their mean, where there are pairs."""
    weight = seen.weight
    if len(weight) % 2:
        return
    means = weight.reshape(-1, 2, weight.shape[1]).mean(axis=1)
    found = RepeatedMatrix(means, np.zeros(len(weight)))
    apart = weight - found.dense()
    yield found, mean_square(seen.read() @ apart.T, metric)
