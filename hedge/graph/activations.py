"""Activations as nodes of standard ops: of imported networks, and to be measured."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from hedge.graph.builder import GraphBuilder


def silu(graph: GraphBuilder, z: str) -> str:
    """Adds z · sigmoid(z), also called swish."""
    return graph.add("Mul", z, graph.add("Sigmoid", z))


def gelu(graph: GraphBuilder, z: str, *, approximate: str = "none") -> str:
    """Adds z Φ(z), with Φ from the error function or, for ``"tanh"``, from its approximation."""
    if approximate == "tanh":
        cube = graph.add("Mul", graph.add("Pow", z, 3.0), 0.044715)
        inner = graph.add("Mul", graph.add("Add", z, cube), float(np.sqrt(2.0 / np.pi)))
        bent = graph.add("Tanh", inner)
    else:
        bent = graph.add("Erf", graph.add("Div", z, float(np.sqrt(2.0))))
    return graph.add("Mul", graph.add("Mul", z, graph.add("Add", bent, 1.0)), 0.5)


def softplus(graph: GraphBuilder, z: str, beta: float = 1.0, threshold: float = 20.0) -> str:
    """Adds log(1 + exp(beta z)) / beta; above torch's ``threshold`` that is z to 2e-9 anyway."""
    if beta == 1.0:
        return graph.add("Softplus", z)
    return graph.add("Div", graph.add("Softplus", graph.add("Mul", z, beta)), beta)


def mish(graph: GraphBuilder, z: str) -> str:
    """Adds z · tanh(softplus(z))."""
    return graph.add("Mul", z, graph.add("Tanh", graph.add("Softplus", z)))


def _standard(op: str) -> Callable[[GraphBuilder, str], str]:
    return lambda graph, z: graph.add(op, z)


# What a user may name as the activation of a state dict.
ACTIVATIONS: dict[str, Callable[[GraphBuilder, str], str]] = {
    "tanh": _standard("Tanh"),
    "sin": _standard("Sin"),
    "silu": silu,
    "gelu": gelu,
    "relu": _standard("Relu"),
    "sigmoid": _standard("Sigmoid"),
    "softplus": softplus,
    "elu": _standard("Elu"),
    "selu": _standard("Selu"),
    "mish": mish,
}
