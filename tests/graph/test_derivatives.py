"""Derivatives as nodes: against those of the same functions by automatic differentiation."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from onnx import ModelProto

from hedge.arrays import Array
from hedge.errors import ModelError
from hedge.graph import Evaluator, GraphBuilder
from hedge.graph.derivatives import Derivatives

POINTS = np.random.default_rng(0).uniform(0.2, 1.5, (7, 2))
WEIGHTS = np.random.default_rng(1).integers(-16, 16, (2, 3)) / 8.0


def _model(write: Callable[[GraphBuilder, str], str], width: int) -> ModelProto:
    graph = GraphBuilder()
    return graph.model({"x": 2}, {graph.rename(write(graph, "x"), "u"): width})


def _derived(model: ModelProto, columns: list[int]) -> Array:
    derived = Derivatives(model)
    found = derived.of("u", columns)
    if found is None:
        return np.zeros(1)
    changed = ModelProto()
    changed.CopyFrom(model)
    del changed.graph.node[:]
    changed.graph.node.extend(derived.graph.nodes)
    changed.graph.initializer.extend(derived.graph.constants.values())
    changed.graph.output[0].name = found
    return Evaluator(changed)(POINTS)


def _by_torch(function: Callable[[Any], Any], columns: list[int]) -> Array:
    """Of each output column, one point after the other."""

    def at(x: Any) -> Any:
        return function(x[None])[0]

    wanted = at
    for column in columns:
        wanted = _partial(wanted, column)
    return np.stack([wanted(torch.tensor(p)).detach().numpy() for p in POINTS])


def _partial(function: Callable[[Any], Any], column: int) -> Callable[[Any], Any]:
    def derivative(x: Any) -> Any:
        return torch.autograd.functional.jacobian(function, x, create_graph=True)[..., column]

    return derivative


W = torch.tensor(WEIGHTS)
ONE = np.ones((1, 1))
CASES: dict[str, tuple[Callable[[GraphBuilder, str], str], Callable[[Any], Any]]] = {
    **{
        op: (
            lambda g, x, op=op: g.add(op, g.add("MatMul", x, np.abs(WEIGHTS))),
            lambda x, of=of: of(x @ W.abs()),
        )
        for op, of in {
            "Cos": torch.cos, "Erf": torch.erf, "Exp": torch.exp, "Log": torch.log,
            "Reciprocal": torch.reciprocal, "Sigmoid": torch.sigmoid, "Sin": torch.sin,
            "Softplus": torch.nn.functional.softplus, "Sqrt": torch.sqrt, "Tanh": torch.tanh,
            "Neg": torch.neg, "Identity": lambda z: z,
        }.items()
    },
    "power": (
        lambda g, x: g.add("Pow", x, np.array(2.5)), lambda x: x**2.5,
    ),
    "square": (lambda g, x: g.add("Pow", x, np.array(2.0)), lambda x: x**2),
    "product": (
        lambda g, x: g.add("Mul", g.add("Sin", x), g.add("Mul", x, x)), lambda x: torch.sin(x) * x * x,
    ),
    "quotient": (
        lambda g, x: g.add("Div", g.add("Sin", x), g.add("Add", x, ONE)),
        lambda x: torch.sin(x) / (x + 1.0),
    ),
    "over a number": (lambda g, x: g.add("Div", ONE, x), lambda x: 1.0 / x),
    "spread over columns": (
        lambda g, x: g.add("Sub", g.split(x, [1, 1], 1)[0], g.add("Mul", x, x)),
        lambda x: x[:, :1] - x * x,
    ),
    "one column for all": (
        lambda g, x: g.add("Gemm", g.add("Add", g.split(x, [1, 1], 1)[1], np.ones((1, 2))), WEIGHTS),
        lambda x: (x[:, 1:] + torch.ones(1, 2, dtype=torch.float64)) @ W,
    ),
    "columns beside others": (
        lambda g, x: g.add("Concat", g.split(x, [1, 1], 1)[0], g.add("Tanh", x), axis=1),
        lambda x: torch.cat([x[:, :1], torch.tanh(x)], 1),
    ),
    "sum of three": (
        lambda g, x: g.add("Sum", x, g.add("Mul", x, x), ONE), lambda x: x + x * x + 1.0,
    ),
    "sum of three, spread by one that does not vary": (
        lambda g, x: g.add("MatMul", g.add("Sum", *g.split(x, [1, 1], 1), np.ones((1, 2))), WEIGHTS),
        lambda x: (x.sum(1, keepdim=True) + torch.ones(1, 2, dtype=torch.float64)) @ W,
    ),
    "layers": (
        lambda g, x: g.add("Tanh", g.linear(g.add("Tanh", g.linear(x, WEIGHTS.T, np.ones(3))), WEIGHTS)),
        lambda x: torch.tanh(torch.tanh(x @ W + 1.0) @ W.T),
    ),
    "mean over columns": (
        lambda g, x: g.add("ReduceMean", g.add("Tanh", g.add("MatMul", x, WEIGHTS)), axes=[1], keepdims=1),
        lambda x: torch.tanh(x @ W).mean(1, keepdim=True),
    ),
}  # fmt: skip


@pytest.mark.parametrize("columns", [[0], [1], [0, 0], [0, 1], [1, 1, 0]], ids=str)
@pytest.mark.parametrize("name", CASES)
def test_derivatives_are_those_of_automatic_differentiation(name: str, columns: list[int]) -> None:
    write, function = CASES[name]
    width = function(torch.tensor(POINTS)).shape[1]
    found = _derived(_model(write, width), columns)
    np.testing.assert_allclose(
        np.broadcast_to(found, (len(POINTS), width)),
        _by_torch(function, columns),
        rtol=1e-9,
        atol=1e-10,
    )


def test_what_fills_up_has_the_derivative_zero() -> None:
    pads, value = np.array([0, 1, 0, 2]), np.array(0.7)
    model = _model(lambda g, x: g.add("Pad", g.add("Mul", x, x), pads, value), 5)
    expected = np.pad(2.0 * POINTS * [1.0, 0.0], ((0, 0), (1, 2)))
    np.testing.assert_allclose(_derived(model, [0]), expected, rtol=1e-12)


def test_what_several_derivatives_share_is_written_once() -> None:
    derived = Derivatives(_model(*_layers()))
    derived.of("u", [0, 0])
    before = len(derived.graph.nodes)
    derived.of("u", [0])
    derived.of("u", [0, 0])
    assert len(derived.graph.nodes) == before


@pytest.mark.parametrize("number", range(4))
def test_names_of_the_model_are_not_taken_for_those_of_derivatives(number: int) -> None:
    """Constants that are written are called d.constant0 and so on."""

    def write(graph: GraphBuilder, x: str) -> str:
        factor = graph.tensor(f"d.constant{number}", np.array([[3.0]], np.float32))
        return graph.add("Mul", graph.add("Tanh", x), factor)

    found = _derived(_model(write, 2), [0, 0])
    wanted = _by_torch(lambda x: 3.0 * torch.tanh(x), [0, 0])
    np.testing.assert_allclose(found, wanted, rtol=1e-9, atol=1e-10)


def _layers() -> tuple[Callable[[GraphBuilder, str], str], int]:
    return CASES["layers"][0], 2


def test_kinks_and_unknown_operators_are_refused_by_name() -> None:
    for op, says in (
        ("Relu", "has a kink"),
        ("Floor", "jumps"),
        ("LogSoftmax", "differentiated are"),
    ):
        model = _model(lambda g, x, op=op: g.add(op, x), 2)
        with pytest.raises(ModelError, match=f"{op} .*{says}"):
            Derivatives(model).of("u", [0])
