"""A trained operator: its map in numpy, and as an ONNX model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from onnx import ModelProto

from hedge.arrays import Array
from hedge.errors import InputError, ModelError
from hedge.graph import GraphBuilder
from hedge.problems import OperatorProblem
from hedge.problems.unrolled import Numbers, OnArrays, Rows


@dataclass(frozen=True)
class OperatorNetwork:
    """A problem's map with the trained matrix ``layer`` S (n, n), float64, in it.

    >>> from hedge.problems import poisson_operator
    >>> problem = poisson_operator(3)
    >>> exact = OperatorNetwork(problem, problem.layer.solve(np.eye(3)))
    >>> exact(np.array([[0.0, 4.0, 0.0]]))
    array([[0.125, 0.25 , 0.125]])
    """

    problem: OperatorProblem
    layer: Array

    def __call__(self, sources: Array) -> Array:
        """The outputs (count, n) for ``sources`` (count, n), float64."""
        unrolled = self.problem.unrolled
        if unrolled is None:
            return self._once(sources)
        return np.asarray(unrolled(OnArrays(self._once), sources, self.numbers))

    @cached_property
    def numbers(self) -> Numbers:
        """What the steps of an unrolled map have beside the layer, settled for it."""
        unrolled = self.problem.unrolled
        return () if unrolled is None else unrolled.settle(self._once)

    def matrix(self) -> Array:
        """The matrix G (n, n) of one step, u = G f: for a linear problem the whole map, folded."""
        if self.problem.series is None:
            return self.layer
        return self._once(np.eye(self.problem.sensors)).T

    def _once(self, rows: Array) -> Array:
        series = self.problem.series
        if series is None:
            return rows @ self.layer.T
        # Chebyshev's recurrence T_{k+1} = 2 (2 S − 1) T_k − T_{k−1}, on the rows.
        before, last = rows, 2.0 * (rows @ self.layer.T) - rows
        total = series[0] * before + series[1] * last
        for coefficient in series[2:]:
            before, last = last, 4.0 * (last @ self.layer.T) - 2.0 * last - before
            total += coefficient * last
        return total


def operator_network_to_onnx(
    network: OperatorNetwork, properties: dict[str, str] | None = None
) -> ModelProto:
    """The map as a float32 model: input ``x`` [rows, n], output ``u`` [rows, n], rows dynamic.

    A linear problem is one Gemm; unrolled steps are elementwise around one Gemm each, and share one
    weight. The metadata names the problem as ``hedge.problem``; its sensors are the input's width.

    Raises InputError if the matrix is not finite in float32.
    """
    problem = network.problem
    graph, matrix = GraphBuilder(), network.matrix()
    try:
        weight = graph.constant(matrix, "green.weight")
    except ModelError as error:
        raise InputError(f"{problem.name}: the trained matrix is not finite in float32") from error
    in_graph = _InGraph(graph, weight, matrix)
    if problem.unrolled is None:
        last = in_graph.layer("x")
    else:
        last = problem.unrolled(in_graph, "x", network.numbers)
    graph.rename(last, "u")
    return graph.model(
        {"x": problem.sensors},
        {"u": problem.sensors},
        problem.name,
        title=f"{problem.title}, on {problem.sensors} sensors",
        properties={"hedge.problem": problem.name, **(properties or {})},
    )


@dataclass(frozen=True)
class _InGraph:
    """Steps written as nodes; what hangs on constants alone is computed.

    weight is the name of ``matrix`` S (n, n). Rows are names of tensors [rows, n], constants arrays (1, n).
    """

    graph: GraphBuilder
    weight: str
    matrix: Array

    def layer(self, rows: Rows) -> Rows:
        return self.graph.linear(rows, self.weight) if _varies(rows) else rows @ self.matrix.T

    def add(self, a: Rows, b: Rows) -> Rows:
        return self.graph.add("Add", a, b) if _varies(a, b) else a + b

    def subtract(self, a: Rows, b: Rows) -> Rows:
        return self.graph.add("Sub", a, b) if _varies(a, b) else a - b

    def multiply(self, a: Rows, b: Rows) -> Rows:
        return self.graph.add("Mul", a, b) if _varies(a, b) else a * b

    def rolled(self, rows: Rows, steps: Sequence[int]) -> list[Rows]:
        """Slices of rows that go on at both ends with what is at the other one."""
        if not _varies(rows):
            return OnArrays(self.layer).rolled(rows, steps)
        size, most = len(self.matrix), max(map(abs, steps))
        ends = [self._part(rows, size - most, size), rows, self._part(rows, 0, most)]
        longer = self.graph.add("Concat", *ends, axis=1)
        return [self._part(longer, most + step, most + step + size) for step in steps]

    def _part(self, rows: Rows, start: int, stop: int) -> Rows:
        return self.graph.add("Slice", rows, *(np.array([i]) for i in (start, stop, 1)))


def _varies(*rows: Rows) -> bool:
    """Whether one of these is a tensor of the graph."""
    return any(isinstance(one, str) for one in rows)
