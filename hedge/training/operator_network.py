"""The trained operator: one matrix, the map composed of it, and the map as an ``.onnx`` file."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from onnx import ModelProto

from hedge.arrays import Array
from hedge.errors import InputError, ModelError
from hedge.graph import GraphBuilder
from hedge.problems import OperatorProblem


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
        u = self._once(sources)
        for _ in range(self.problem.iterations - 1):
            u = self._once(sources - u**3)
        return u

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

    A linear problem is one Gemm. Unrolled steps are Mul, Mul, Sub and Gemm each, and share one
    weight. The metadata names the problem as ``hedge.problem``; its sensors are the input's width.

    Raises InputError if the matrix is not finite in float32.
    """
    problem = network.problem
    graph, source = GraphBuilder(), "x"
    try:
        weight = graph.constant(network.matrix(), "green.weight")
    except ModelError as error:
        raise InputError(f"{problem.name}: the trained matrix is not finite in float32") from error
    for step in range(problem.iterations - 1):
        u = graph.linear(source, weight, output=f"step{step}.u")
        cube = graph.add("Mul", graph.add("Mul", u, u), u)
        source = graph.add("Sub", "x", cube)
    graph.linear(source, weight, output="u")
    return graph.model(
        {"x": problem.sensors},
        {"u": problem.sensors},
        problem.name,
        title=f"{problem.title}, on {problem.sensors} sensors",
        properties={"hedge.problem": problem.name, **(properties or {})},
    )
