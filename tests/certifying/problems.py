"""Networks and formulas in the form of the gallery's problems."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from onnx import ModelProto, TensorProto, helper

from hedge.graph import GraphBuilder
from hedge.graph.expressions import Expression, Functions
from hedge.problems import Problem
from hedge.training.network import Network, new_network
from hedge.training.to_onnx import network_to_onnx

Lines = Callable[[Sequence[Any], Functions], Any]


def untrained(problem: Problem, *, widths: Sequence[int] = (6, 6), seed: int = 0) -> ModelProto:
    """A network of random weights in the problem's form, which meets its conditions."""
    inputs = len(problem.network_inputs([np.zeros(1)] * problem.dimension, _Numbers()))
    network = new_network(inputs, widths, seed, problem.outputs)
    return network_to_onnx(problem, Network(network.weights, network.biases))


class _Numbers:
    sin, cos, exp = staticmethod(np.sin), staticmethod(np.cos), staticmethod(np.exp)

    @staticmethod
    def log(x: Any) -> Any:
        return np.log(np.maximum(x, 1e-9))


def formula(inputs: int, lines: Lines) -> ModelProto:
    """u(x) by these lines, as a graph of float64 numbers."""
    graph = GraphBuilder(real=np.float64)
    functions = Functions(graph)
    columns = [Expression(name, functions) for name in graph.split("x", [1] * inputs, 1)]
    graph.rename(lines(columns, functions).name, "u")
    ports = [
        helper.make_tensor_value_info(name, TensorProto.DOUBLE, ["n", width])
        for name, width in (("x", inputs), ("u", 1))
    ]
    made = helper.make_graph(
        graph.nodes, "formula", ports[:1], ports[1:], list(graph.constants.values())
    )
    return helper.make_model(made, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)


def _heat(x: Sequence[Any], f: Functions) -> Any:
    pi = math.pi
    one = f.exp(-0.1 * pi**2 * x[1]) * f.sin(pi * x[0])
    three = f.exp(-0.9 * pi**2 * x[1]) * f.sin(3.0 * pi * x[0])
    return one + 0.5 * three


def _wave(x: Sequence[Any], f: Functions) -> Any:
    one = f.cos(2.0 * math.pi * x[1]) * f.sin(math.pi * x[0])
    four = f.cos(8.0 * math.pi * x[1]) * f.sin(4.0 * math.pi * x[0])
    return one + 0.5 * four


SOLUTIONS: Mapping[str, Lines] = {
    "heat": _heat,
    "wave": _wave,
    "poisson": lambda x, f: f.sin(math.pi * x[0]) * f.sin(math.pi * x[1]),
    "helmholtz": lambda x, f: f.sin(math.pi * x[0]) * f.sin(4.0 * math.pi * x[1]),
}
