"""Derivatives as the checker encloses them: against automatic differentiation."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from onnx import ModelProto

from hedge.certifying.checking.derivatives import DERIVATIVES
from hedge.certifying.checking.graphs import graph_of
from hedge.certifying.checking.jets import _KINKS, _OF_SHAPES, _RULES, Axes, jet_of
from hedge.certifying.checking.operators import MOVING, OPERATORS
from hedge.certifying.checking.polynomials import Basis
from hedge.certifying.checking.proving import points_of
from hedge.certifying.checking.rules import Rules
from hedge.certifying.network import covered
from hedge.errors import InputError
from hedge.graph import GraphBuilder
from hedge.graph.derivatives import _RULES as SEARCHED
from hedge.graph.slopes import SMOOTH
from tests.graph.test_derivatives import CASES as WRITTEN
from tests.graph.test_derivatives import WEIGHTS, W

DOMAIN = np.array([[0.2, 1.5], [0.2, 1.5]])
WANTED: list[Axes] = [(0,), (1,), (0, 0), (0, 1), (1, 1)]
Write = Callable[[GraphBuilder, str], str]

CASES: dict[str, tuple[Write, Callable[[Any], Any]]] = {
    **WRITTEN,
    "swish": (
        lambda g, x: g.add("Mul", z := g.add("MatMul", x, WEIGHTS), g.add("Sigmoid", z)),
        lambda x: torch.nn.functional.silu(x @ W),
    ),
    "gemm": (
        lambda g, x: g.add(
            "Gemm", g.add("Sin", x), WEIGHTS.T, np.ones(3), alpha=0.5, beta=2.0, transB=1
        ),
        lambda x: 0.5 * (torch.sin(x) @ W) + 2.0,
    ),
    "fourth power": (lambda g, x: g.add("Pow", x, np.array(4.0)), lambda x: x**4),
    "moved": (
        lambda g, x: g.add(
            "Reshape",
            g.add("Transpose", g.add("Unsqueeze", g.add("Exp", x), [1]), perm=[0, 2, 1]),
            [-1, 2],
        ),
        torch.exp,
    ),
    "by its shape": (
        lambda g, x: g.add("Reshape", g.add("Mul", x, x), g.add("Shape", x)),
        lambda x: x * x,
    ),
    "gathered": (
        lambda g, x: g.add("Gather", g.add("Mul", x, x), np.array([1, 0, 1]), axis=1),
        lambda x: (x * x)[:, [1, 0, 1]],
    ),
    "total": (
        lambda g, x: g.add("ReduceSum", g.add("Cos", x), [1], keepdims=1),
        lambda x: torch.cos(x).sum(1, keepdim=True),
    ),
    "less itself": (
        lambda g, x: g.add("Sub", np.ones((1, 2)), g.add("Mul", x, g.add("Sqrt", x))),
        lambda x: 1.0 - x**1.5,
    ),
}


def _model(write: Write, weights: np.ndarray) -> ModelProto:
    graph = GraphBuilder()
    return graph.model({"x": 2}, {graph.linear(write(graph, "x"), weights.T, output="u"): 1})


@pytest.mark.parametrize("name", CASES)
def test_no_derivative_lies_outside(name: str) -> None:
    write, function = CASES[name]
    width = function(torch.full((1, 2), 0.5, dtype=torch.float64)).shape[1]
    weights = np.random.default_rng(4).integers(1, 9, (width, 1)) / 4.0
    graph = graph_of(_model(write, weights), "it")
    rng = np.random.default_rng(5)
    levels = np.array([[0, 0], [1, 3], [2, 2], [5, 4]])
    places = rng.integers(0, 2**levels)
    for order in (2, 5):
        basis = Basis(2, order)
        points = points_of(basis, DOMAIN, levels, places)
        with np.errstate(all="ignore"):
            jet = jet_of(graph, Rules(basis), points, WANTED)
        for box in range(len(levels)):
            centre, half = points.polynomials[0, :, box], 0.65 * 2.0 ** -levels[box]
            s = rng.uniform(-1, 1, (50, 2))
            exact = _by_torch(lambda x: function(x) @ torch.tensor(weights), centre + half * s)
            for axes, values in exact.items():
                _check_inside(jet.get(axes), values, box, s, basis)


def _check_inside(held: Any, values: np.ndarray, box: int, s: np.ndarray, basis: Basis) -> None:
    if held is None:
        assert np.abs(values).max() <= 1e-12
        return
    box = min(box, held.radius.shape[1] - 1)
    powers = (s[:, None, :] ** np.array(basis.exponents)[None]).prod(axis=2)
    terms = held.polynomials[:, 0, box]
    off = np.abs(powers[:, : len(terms)] @ terms - values)
    assert (off <= held.radius[0, box] + 1e-13 * (1.0 + np.abs(values))).all()
    if box == 3 and basis.order == 5:
        assert held.radius[0, box] <= 1e-5 * (1.0 + np.abs(values).max())


def _by_torch(function: Callable[[Any], Any], points: np.ndarray) -> dict[Axes, np.ndarray]:
    """All derivatives up to the second, one row after the other."""
    x = torch.tensor(points, requires_grad=True)

    def slopes(y: Any) -> Any:
        found = torch.autograd.grad(y.sum(), x, create_graph=True, allow_unused=True)[0]
        return torch.zeros_like(x) if found is None else found

    value = function(x)
    first = torch.autograd.grad(value.sum(), x, create_graph=True)[0]
    found = {(): value[:, 0], **{(i,): first[:, i] for i in (0, 1)}}
    if first.requires_grad:
        second = [slopes(first[:, i]) for i in (0, 1)]
        found |= {(i, j): second[i][:, j] for i, j in ((0, 0), (0, 1), (1, 1))}
    else:
        found |= {axes: torch.zeros(len(points)) for axes in WANTED if len(axes) == 2}
    return {axes: each.detach().numpy() for axes, each in found.items()}


def test_what_the_search_differentiates_the_checker_does_too() -> None:
    mine = {*DERIVATIVES, *_RULES, *MOVING}
    assert {*SEARCHED, *SMOOTH} & {*covered()} <= mine
    assert not mine & _KINKS
    assert {*OPERATORS} - mine == _KINKS | _OF_SHAPES


@pytest.mark.parametrize(
    ("write", "message"),
    [
        (lambda g, x: g.add("Relu", x), r"it: Relu .* it has a kink"),
        (lambda g, x: g.add("MatMul", x, g.add("Exp", x)), "its second operand varies"),
    ],
)
def test_what_has_no_derivative_is_refused_by_name(write: Write, message: str) -> None:
    basis, where = Basis(2, 3), np.array([[1, 1]])
    points = points_of(basis, DOMAIN, where, where)
    graph = graph_of(_model(write, np.ones((2, 1))), "it")
    with pytest.raises(InputError, match=message):
        jet_of(graph, Rules(basis), points, WANTED)


def test_third_derivatives_are_refused() -> None:
    basis, where = Basis(2, 3), np.array([[1, 1]])
    graph = graph_of(_model(lambda g, x: g.add("Sin", x), np.ones((2, 1))), "it")
    with pytest.raises(InputError, match="above the second"):
        jet_of(graph, Rules(basis), points_of(basis, DOMAIN, where, where), [(0, 0, 1)])
