"""The trained operator: one matrix, the map composed of it, and the map as an ``.onnx`` file."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, TensorProto, checker, helper, numpy_helper

from hedge.errors import InputError
from hedge.graph import LEAST_OPSET, NEWEST_IR_VERSION
from hedge.problems import OperatorProblem

Array = NDArray[np.float64]


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
    """The map as a float32 model: input ``x`` [batch, n], output ``u`` [batch, n], batch dynamic.

    A linear problem is one Gemm. Unrolled steps are Mul, Mul, Sub and Gemm each, and share one
    weight. The metadata names the problem as ``hedge.problem``; its sensors are the input's width.

    Raises InputError if the matrix is not finite in float32.
    """
    problem = network.problem
    with np.errstate(over="ignore"):
        weight = network.matrix().astype(np.float32)
    if not np.isfinite(weight).all():
        raise InputError(f"{problem.name}: the trained matrix is not finite in float32")
    last = problem.iterations - 1
    nodes: list[NodeProto] = []
    source = "x"
    for step in range(problem.iterations):
        target = "u" if step == last else f"step{step}.u"
        nodes.append(
            helper.make_node(
                "Gemm", [source, "green.weight"], [target], name=f"step{step}.gemm", transB=1
            )
        )
        if step < last:
            square, cube, source = (f"step{step}.{part}" for part in ("square", "cube", "source"))
            nodes += [
                helper.make_node("Mul", [target, target], [square], name=square),
                helper.make_node("Mul", [square, target], [cube], name=cube),
                helper.make_node("Sub", ["x", cube], [source], name=source),
            ]
    shape: list[str | int | None] = ["batch", problem.sensors]
    graph = helper.make_graph(
        nodes,
        problem.name,
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("u", TensorProto.FLOAT, shape)],
        [numpy_helper.from_array(weight, "green.weight")],
    )
    model = helper.make_model(
        graph,
        opset_imports=[helper.make_opsetid("", LEAST_OPSET)],
        ir_version=NEWEST_IR_VERSION,
        producer_name="hedge",
        doc_string=f"{problem.title}, on {problem.sensors} sensors",
    )
    helper.set_model_props(model, {"hedge.problem": problem.name, **(properties or {})})
    checker.check_model(model, full_check=True)
    return model
